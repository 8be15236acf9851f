import Domain
import Testing

@testable import MarketDiscoveryEngine

@Suite struct MarketMatcherTests {
    @Test func `a game at midnight UTC is found under the Eastern day before`() throws {
        let game = try game(
            .nba, home: ("Chicago Bulls", "CHI"), away: ("Golden State Warriors", "GS"), at: "2025-12-08T00:00Z")
        let right = event("KXNBAGAME-25DEC07GSWCHI", [("GSW", "Golden State"), ("CHI", "Chicago")])
        let dayAfter = event("KXNBAGAME-25DEC08GSWCHI", [("GSW", "Golden State"), ("CHI", "Chicago")])
        guard case .matched(let markets) = MarketMatcher.match(game, among: right + dayAfter) else {
            Issue.record("not matched")
            return
        }
        #expect(markets.map(\.id.rawValue) == ["KXNBAGAME-25DEC07GSWCHI-CHI", "KXNBAGAME-25DEC07GSWCHI-GSW"])
        #expect(markets.map(\.team) == [.home, .away])
        #expect(markets.allSatisfy { $0.game == game.id && $0.venue == .kalshi })
        #expect(MarketMatcher.match(game, among: dayAfter) == .unmatched(.otherDays))
    }

    @Test func `daylight saving decides the Eastern day`() throws {
        for (utc, day) in [
            ("2026-03-08T04:59Z", "2026-03-07"), ("2026-03-08T05:00Z", "2026-03-08"),
            ("2026-03-09T03:59Z", "2026-03-08"), ("2026-03-09T04:00Z", "2026-03-09"),
            ("2025-11-02T03:59Z", "2025-11-01"), ("2025-11-02T04:00Z", "2025-11-02"),
            ("2025-11-03T04:59Z", "2025-11-02"), ("2025-11-03T05:00Z", "2025-11-03"),
            ("2026-04-20T23:10Z", "2026-04-20"), ("2026-01-01T04:30Z", "2025-12-31"),
        ] {
            #expect(USEastern.day(of: try VenueInstant(rfc3339: utc)).description == day, "\(utc)")
        }
    }

    @Test func `an event ticker is taken apart or refused`() {
        #expect(EventTicker("KXNBAGAME-25DEC07ORLNYK")?.teams == "ORLNYK")
        #expect(EventTicker("KXMLBGAME-26APR201905TORCLE")?.teams == "TORCLE")
        #expect(EventTicker("KXMLBGAME-26APR201905TORCLE")?.day.description == "2026-04-20")
        #expect(EventTicker("KXNBAGAME-24FEB29ORLNYK")?.day.description == "2024-02-29")
        for bad in [
            "", "KXNBAGAME", "KXNBAGAME-", "KXNBAGAME-25DEC07", "KXNBAGAME-25XXX07ORLNYK", "KXNBAGAME-25FEB29ORLNYK",
            "KXNBAGAME-25FEB31ORLNYK", "-25DEC07ORLNYK", "KXNBA-26", "KXFEDMENTION-26MAR-X",
        ] {
            #expect(EventTicker(bad) == nil, "\(bad)")
        }
    }

    @Test func `Thunder is not under and Vancouver is not over`() throws {
        let thunder = try game(
            .nba, home: ("Utah Jazz", "UTAH"), away: ("Oklahoma City Thunder", "OKC"), at: "2025-12-08T01:00Z")
        let markets = event(
            "KXNBAGAME-25DEC07OKCUTA", [("OKC", "Oklahoma City"), ("UTA", "Utah")],
            title: "Oklahoma City Thunder vs Utah Jazz Winner?")
        guard case .matched(let found) = MarketMatcher.match(thunder, among: markets) else {
            Issue.record("not matched")
            return
        }
        #expect(found.count == 2)
        for (title, isMoneyline) in [
            ("Vancouver vs Seattle Winner?", true), ("Oklahoma City Thunder vs Utah Winner?", true),
            ("Oklahoma City vs Utah: Over 220.5?", false), ("Utah total points under 100", false),
            ("Oklahoma City at Utah: Spread", false), ("First half winner?", false),
        ] {
            let candidate = Candidate(ticker: "T-1", eventTicker: "T", title: title, yesSubTitle: "x", isOpen: true)
            #expect(MarketMatcher.isMoneyline(candidate) == isMoneyline, "\(title)")
        }
    }

    @Test func `another league, another question and closed markets never fit`() throws {
        let game = try game(
            .nfl, home: ("Arizona Cardinals", "ARI"), away: ("Carolina Panthers", "CAR"), at: "2025-12-07T18:00Z")
        let sides = [("CAR", "Carolina"), ("ARI", "Arizona")]
        for ticker in ["KXNHLGAME-25DEC07CARARI", "KXNFLSPREAD-25DEC07CARARI", "KXNFLGAMES-25DEC07CARARI"] {
            #expect(MarketMatcher.match(game, among: event(ticker, sides)) == .unmatched(.noOpenMarkets), "\(ticker)")
        }
        let closed = event("KXNFLGAME-25DEC07CARARI", sides).map {
            Candidate(
                ticker: $0.ticker, eventTicker: $0.eventTicker, title: $0.title, yesSubTitle: $0.yesSubTitle,
                isOpen: false)
        }
        #expect(MarketMatcher.match(game, among: closed) == .unmatched(.noOpenMarkets))
        #expect(MarketMatcher.match(game, among: []) == .unmatched(.noOpenMarkets))
    }

    @Test func `one team of two is no match`() throws {
        let game = try game(
            .nba, home: ("Los Angeles Lakers", "LAL"), away: ("Miami Heat", "MIA"), at: "2025-11-03T02:30Z")
        let clippers = event("KXNBAGAME-25NOV02MIALAC", [("MIA", "Miami"), ("LAC", "Los Angeles C")])
        #expect(MarketMatcher.match(game, among: clippers) == .unmatched(.otherTeams))
        let half = Array(event("KXNBAGAME-25NOV02MIALAL", [("MIA", "Miami"), ("LAL", "Los Angeles L")]).prefix(1))
        #expect(MarketMatcher.match(game, among: half) == .unmatched(.otherTeams))
    }

    @Test func `two events that both fit are not guessed at`() throws {
        let game = try game(
            .mlb, home: ("Cleveland Guardians", "CLE"), away: ("Toronto Blue Jays", "TOR"), at: "2026-04-20T17:00Z")
        let sides = [("TOR", "Toronto"), ("CLE", "Cleveland")]
        let double =
            event("KXMLBGAME-26APR201305TORCLE", sides) + event("KXMLBGAME-26APR201905TORCLE", sides)
        #expect(MarketMatcher.match(game, among: double) == .unmatched(.ambiguous))
    }

    @Test func `names find a team whose code nobody listed`() throws {
        let game = try game(
            .ncaaf, home: ("Michigan State Spartans", "MSU"), away: ("Texas A&M Aggies", "TA&M"),
            at: "2025-12-07T18:00Z")
        let markets = event("KXNCAAFGAME-25DEC07TXAMMIST", [("TXAM", "Texas A&M"), ("MIST", "Michigan St.")])
        guard case .matched(let found) = MarketMatcher.match(game, among: markets) else {
            Issue.record("not matched")
            return
        }
        #expect(found.map(\.id.rawValue) == ["KXNCAAFGAME-25DEC07TXAMMIST-MIST", "KXNCAAFGAME-25DEC07TXAMMIST-TXAM"])
        let others = event("KXNCAAFGAME-25DEC07TEXMICH", [("TEX", "Texas"), ("MICH", "Michigan")])
        #expect(MarketMatcher.match(game, among: others) == .unmatched(.otherTeams))
    }

    @Test(.enabled(if: Recordings.teams != nil, "no recordings beside the package"))
    func `every labelled pair of feed and venue is found, and no other day's event`() throws {
        let index = try Recordings.rows("kalshi_events_index.csv").map { row in
            event(
                row["event_ticker"] ?? "",
                [(row["away_team"] ?? "", "away"), (row["home_team"] ?? "", "home")], title: row["title"])
        }
        var checked = 0
        for row in try Recordings.rows("espn_kalshi_game_pairs.csv") {
            // The rows without a time carry no UTC instant to convert.
            guard let date = row["espn_date_utc"], date.contains("T"), let ticker = row["kalshi_event_ticker"] else {
                continue
            }
            let game = try game(
                .nba, home: (row["espn_home_name"] ?? "", row["espn_home_abbr"] ?? ""),
                away: (row["espn_away_name"] ?? "", row["espn_away_abbr"] ?? ""), at: date)
            let codes = ticker.suffix(6)
            let listed = event(ticker, [(String(codes.prefix(3)), "x"), (String(codes.suffix(3)), "y")])
            guard case .matched(let markets) = MarketMatcher.match(game, among: listed + index.flatMap(\.self)) else {
                Issue.record("\(ticker) not matched")
                continue
            }
            #expect(markets.allSatisfy { $0.eventTicker == ticker })
            #expect(markets.first { $0.team == .away }?.id.rawValue.hasSuffix(codes.prefix(3)) == true)
            checked += 1
        }
        #expect(checked == 7)
    }

    /// The venue's whole list of a month against each of its games, named as the score feed names them.
    @Test(.enabled(if: Recordings.teams != nil, "no recordings beside the package"))
    func `a season's games find their own event among all of them`() throws {
        let rows = try Recordings.rows("nba_markets_2025_26.csv").filter { $0["event_ticker"]?.isEmpty == false }
        let all = rows.map {
            Candidate(
                ticker: $0["ticker"] ?? "", eventTicker: $0["event_ticker"] ?? "", title: $0["title"] ?? "",
                yesSubTitle: $0["yes_sub_title"] ?? "", isOpen: true)
        }
        let feedCode = Dictionary(uniqueKeysWithValues: nbaNames.keys.map { (TeamAliases.canonical($0, .nba), $0) })
        var found = 0
        for row in rows {
            let home = feedCode[TeamAliases.canonical(row["home_team"] ?? "", .nba)] ?? ""
            let away = feedCode[TeamAliases.canonical(row["away_team"] ?? "", .nba)] ?? ""
            // Tip-off at 19:00 Eastern is the next day in UTC for half of the season's dates.
            let day = try #require(EventTicker(row["event_ticker"] ?? "")).day
            let game = try game(
                .nba, home: (nbaNames[home] ?? "", home), away: (nbaNames[away] ?? "", away),
                at: "\(CivilDate(daysSince1970: day.daysSince1970 + 1))T00:30Z")
            guard case .matched(let markets) = MarketMatcher.match(game, among: all) else {
                Issue.record("\(row["event_ticker"] ?? "") not matched")
                continue
            }
            #expect(markets.allSatisfy { $0.eventTicker == row["event_ticker"] })
            let ours = try #require(markets.first { $0.id.rawValue == row["ticker"] })
            let code = TeamAliases.canonical(String(ours.id.rawValue.split(separator: "-")[2]), .nba)
            #expect((ours.team == .home) == (code == TeamAliases.canonical(home, .nba)))
            found += 1
        }
        #expect(found == rows.count && found > 400)
    }
}
