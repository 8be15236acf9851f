import Domain

/// A live game that never ends, with a home team far in front and a market that does not believe it.
///
/// Prices change each second, so that whoever watches the game has something to say about it: what a shard emits, and
/// whether it may, can be seen at any moment.
public enum GeneratedGame {
    /// - `start`: venue time that the recording begins at; wall time, for a suite that trades live.
    public static func recording(from start: VenueInstant, lasting length: Duration = .seconds(4 * 3_600)) throws
        -> Recording
    {
        let header = try header(from: start)
        let markets = header.markets.map(\.market)
        var entries = [RecordingEntry(at: start, fact: .status(.live, score))]
        for second in 0..<length.components.seconds {
            // Both markets at the start, then one a second.
            let due = second == 0 ? [0, 1] : [Int(second % 2)]
            for index in due {
                // Both teams together cost a dollar or more at any moment: there is nothing but an opinion to trade on.
                let bid = index == 0 ? 40 + second / 2 % 2 : 59 - second / 2 % 2
                let quote = RecordedQuote(
                    market: markets[index].id, bid: .cents(bid), ask: .cents(bid + 1), bidSize: .contracts(5_000),
                    askSize: .contracts(5_000))
                entries.append(RecordingEntry(at: start.advanced(by: .seconds(second)), fact: .quote(quote)))
            }
        }
        return try Recording(header: header, entries: entries)
    }

    /// A game of this day and its two markets.
    public static func header(from start: VenueInstant) throws -> RecordingHeader {
        // Noon, so that the day is the same one in US Eastern, where the venue counts its days.
        let noon = VenueInstant.epoch.advanced(by: .seconds(start.microseconds / 86_400_000_000 * 86_400 + 43_200))
        let game = try Game(
            id: "fleet", sport: .nba, home: Team(name: "Cleveland Cavaliers", abbreviation: "CLE"),
            away: Team(name: "Toronto Raptors", abbreviation: "TOR"), scheduledAt: noon)
        let event = "KXNBAGAME-\(day(of: noon))TORCLE"
        let markets = try [HomeAway.home, .away].map { team in
            let code = team == .home ? "CLE" : "TOR"
            return try Market(
                id: MarketID("\(event)-\(code)"), venue: .kalshi, game: game.id, eventTicker: event,
                title: "Toronto Raptors vs Cleveland Cavaliers Winner?", team: team)
        }
        return RecordingHeader(
            name: "generated", attribution: ["nobody: generated for rehearsals"],
            synthetic: ["everything"], game: game, start: start,
            markets: markets.map { RecordedMarket(market: $0, settlement: nil) }, depth: nil)
    }

    /// Home is far in front, with too much time left for the model to be sure.
    public static let score = RecordedScore(period: 3, clockTenths: 3_000, home: 70, away: 60)

    /// As tickers write it: `26APR20`.
    private static func day(of instant: VenueInstant) -> String {
        let months = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
        let day = instant.utcDay
        let number = String(100 + day.day).dropFirst()
        return "\(day.year % 100)\(months[Int(day.month) - 1])\(number)"
    }
}
