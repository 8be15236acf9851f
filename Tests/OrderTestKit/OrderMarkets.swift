import Domain
import Recording

/// Markets whose books are filled up again each few seconds, for as long as a rehearsal may take.
///
/// Every third of them is thin, so that orders are filled in part or not at all.
enum OrderMarkets {
    static let count = 40
    static let game: GameID = "orders"
    /// What a YES contract can be bought for everywhere; it can be sold for one cent less.
    static let ask = Price.cents(50)
    static let bid = Price.cents(49)

    /// Who watches them all.
    static let shard: ShardID = "shard-01"
    static let ids = (1...count).map { MarketID(stringLiteral: "KXORDERS-\(100 + $0)") }
    private static let thin = (0..<count).filter(isThin)

    /// Each is traded as a game of its own.
    static func game(of market: MarketID) -> GameID { GameID(stringLiteral: "orders-\(market)") }

    static func isThin(_ index: Int) -> Bool { index % 3 == 0 }

    static func recording(from start: VenueInstant, lasting seconds: Int64 = 1_800) throws -> Recording {
        let game = try Game(
            id: game, sport: .nba, home: Team(name: "Home", abbreviation: "HOM"),
            away: Team(name: "Away", abbreviation: "AWY"), scheduledAt: start)
        let markets = try ids.map { id in
            try Market(id: id, venue: .kalshi, game: game.id, eventTicker: "KXORDERS", title: "Winner?", team: .home)
        }
        let header = RecordingHeader(
            name: "orders", attribution: ["nobody: generated for rehearsals"], synthetic: ["everything"], game: game,
            start: start, markets: markets.map { RecordedMarket(market: $0, settlement: nil) }, depth: nil)
        let score = RecordedScore(period: 3, clockTenths: 3_000, home: 70, away: 60)
        var entries = [RecordingEntry(at: start, fact: .status(.live, score))]
        entries += ids.indices.map { RecordingEntry(at: start, fact: .quote(quote($0, ids[$0]))) }
        // The thin ones are filled up again, one each second.
        for second in 1..<seconds {
            let market = thin[Int(second) % thin.count]
            let fact = RecordedFact.quote(quote(market, ids[market]))
            entries.append(RecordingEntry(at: start.advanced(by: .seconds(second)), fact: fact))
        }
        return try Recording(header: header, entries: entries)
    }

    private static func quote(_ index: Int, _ id: MarketID) -> RecordedQuote {
        let size = Quantity.contracts(isThin(index) ? 25 : 1_000_000)
        return RecordedQuote(market: id, bid: bid, ask: ask, bidSize: size, askSize: size)
    }
}
