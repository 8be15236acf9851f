import Domain
import Recording

/// Pairs of markets, one for each team, that cost ninety cents together, or are said to.
enum PlanMarkets {
    /// What the venue has of the second leg.
    enum Depth: Int, CaseIterable {
        /// Whatever is asked for.
        case deep
        /// A few contracts each second: the second leg is missed in part, and covered.
        case thin
        /// Nothing below eighty cents, whatever was said of it: the first leg is sold again.
        case dear
    }

    struct Pair: Sendable {
        let home: MarketID
        let away: MarketID
        let event: String
        let depth: Depth
    }

    static let game: GameID = "plans"
    static let ask = Price.cents(45)
    static let bid = Price.cents(43)
    static let dearAsk = Price.cents(80)
    static let dearBid = Price.cents(78)
    private static let refill = Quantity.contracts(7)
    private static let whole = Quantity.contracts(1_000_000)

    static let pairs: [Pair] = (0..<12).compactMap { number in
        let event = "KXPLANS-\(100 + number)"
        return Depth(rawValue: number % Depth.allCases.count).map {
            Pair(
                home: MarketID(stringLiteral: "\(event)-HOM"), away: MarketID(stringLiteral: "\(event)-AWY"),
                event: event, depth: $0)
        }
    }

    static func recording(from start: VenueInstant, lasting seconds: Int64 = 1_800) throws -> Recording {
        let game = try Game(
            id: game, sport: .nba, home: Team(name: "Home", abbreviation: "HOM"),
            away: Team(name: "Away", abbreviation: "AWY"), scheduledAt: start)
        let markets = try pairs.flatMap { pair in
            try [(pair.home, HomeAway.home), (pair.away, .away)].map { id, team in
                try Market(
                    id: id, venue: .kalshi, game: game.id, eventTicker: pair.event, title: "Winner?", team: team)
            }
        }
        let header = RecordingHeader(
            name: "plans", attribution: ["nobody: generated for rehearsals"], synthetic: ["everything"], game: game,
            start: start, markets: markets.map { RecordedMarket(market: $0, settlement: nil) }, depth: nil)
        var entries = [
            RecordingEntry(
                at: start, fact: .status(.live, RecordedScore(period: 3, clockTenths: 3_000, home: 70, away: 60)))
        ]
        for pair in pairs {
            entries.append(RecordingEntry(at: start, fact: .quote(quote(pair.home, bid, ask, whole))))
            entries.append(RecordingEntry(at: start, fact: .quote(away(of: pair))))
        }
        let thin = pairs.filter { $0.depth == .thin }
        for second in 1..<seconds {
            for pair in thin {
                entries.append(RecordingEntry(at: start.advanced(by: .seconds(second)), fact: .quote(away(of: pair))))
            }
        }
        return try Recording(header: header, entries: entries)
    }

    private static func away(of pair: Pair) -> RecordedQuote {
        switch pair.depth {
        case .deep: quote(pair.away, bid, ask, whole)
        case .thin: quote(pair.away, bid, ask, refill)
        case .dear: quote(pair.away, dearBid, dearAsk, whole)
        }
    }

    private static func quote(_ id: MarketID, _ bid: Price, _ ask: Price, _ size: Quantity) -> RecordedQuote {
        RecordedQuote(market: id, bid: bid, ask: ask, bidSize: size, askSize: size)
    }
}
