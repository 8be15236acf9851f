import Domain
import Testing

/// What cannot be is not made (CHECKLIST H9).
@Suite struct TradingValueTests {
    static let home: Result<Team, DomainError> = Result { () throws(DomainError) in
        try Team(name: "Cleveland Cavaliers", abbreviation: "CLE")
    }

    @Test func `a team needs a name and cannot play itself`() throws {
        #expect(throws: DomainError.self) { try Team(name: "", abbreviation: "CLE") }
        let home = try Self.home.get()
        #expect(throws: DomainError.self) {
            try Game(id: "g", sport: .nba, home: home, away: home, scheduledAt: .epoch)
        }
    }

    @Test(arguments: [
        (-1, 0, 1, 10.0), (0, -1, 1, 10), (1_001, 0, 1, 10), (0, 0, -1, 10), (0, 0, 41, 10), (0, 0, 1, -0.1),
        (0, 0, 1, 20_000), (0, 0, 1, Double.nan),
    ])
    func `absurd game states are refused`(home: Int, away: Int, period: Int, clock: Double) {
        #expect(throws: DomainError.self) {
            try GameState(
                game: "g", status: .live, homeScore: home, awayScore: away, period: period, clockSeconds: clock,
                observedAt: .epoch)
        }
    }

    @Test func `a game's status never leaves its end and never goes back to scheduled`() {
        for next in GameStatus.allCases where next != .final {
            #expect(!GameStatus.final.permits(next))
        }
        for from in GameStatus.allCases where from != .scheduled {
            #expect(!from.permits(.scheduled))
        }
        #expect(GameStatus.postponed.permits(.live) && GameStatus.scheduled.permits(.final))
    }

    @Test func `an order's end is final and unknown leads anywhere but back`() {
        for state in OrderState.allCases where state.isTerminal {
            for next in OrderState.allCases { #expect(!state.permits(next), "\(state) to \(next)") }
        }
        #expect(OrderState.stored.permits(.sent) && !OrderState.stored.permits(.filled))
        #expect(OrderState.unknown.permits(.filled) && OrderState.unknown.permits(.rejected))
        #expect(!OrderState.unknown.permits(.sent) && !OrderState.resting.permits(.rejected))
    }

    @Test func `signals, intents, orders and fills cannot be built from what cannot be traded`() {
        #expect(throws: DomainError.self) {
            try OrderRequest(
                id: "o", market: "m", outcome: .yes, action: .buy, limit: .one, quantity: .contracts(1),
                timeInForce: .immediateOrCancel)
        }
        #expect(throws: DomainError.self) {
            try OrderRequest(
                id: "o", market: "m", outcome: .yes, action: .buy, limit: .cents(50), quantity: .zero,
                timeInForce: .immediateOrCancel)
        }
        #expect(throws: DomainError.self) {
            try Fill(
                id: "f", order: "o", market: "m", outcome: .yes, action: .buy, price: .cents(50), quantity: .zero,
                fee: .zero, at: .epoch)
        }
        #expect(throws: DomainError.self) {
            try Signal(
                id: "s", kind: .modelEdgeYes, game: "g", sport: .nba, market: "m", venue: .kalshi, epoch: .first,
                shard: "shard-1", outcome: .yes, probability: Probability(0.6), price: .cents(50),
                available: .contracts(1), edgeBasisPoints: 800, play: nil, createdAt: .epoch, expiresAt: .epoch)
        }
    }
}
