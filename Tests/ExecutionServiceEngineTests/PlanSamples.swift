import Domain
import ExecutionServiceEngine
import Resilience

func makePlan(
    home: Int64 = 45, away: Int64 = 45, contracts: Int64 = 20, loss: Money = .dollars(5),
    available: [Int64] = [100, 60], venues: [Venue] = [.kalshi, .polymarket]
) throws -> ApprovedPlan {
    let signal = try ArbitrageSignal(
        id: "arb-1", game: "game-1", sport: .nba, epoch: .first, shard: "shard-01",
        legs: [
            ArbitrageLeg(
                market: "HOME-1", venue: venues[0], outcome: .yes, backs: .home, price: .cents(home),
                available: .contracts(available[0])),
            ArbitrageLeg(
                market: "AWAY-1", venue: venues[1], outcome: .yes, backs: .away, price: .cents(away),
                available: .contracts(available[1])),
        ],
        createdAt: tipOff, expiresAt: tipOff.advanced(by: .seconds(10)))
    return try ApprovedPlan(
        id: "plan-1", signal: signal, reservation: "reservation-1", quantity: .contracts(contracts), maximumLoss: loss)
}

/// A book with `depth` contracts at each of five prices on either side of `ask`, a cent apart, `spread` cents wide.
func makeBook(ask: Int64, spread: Int64 = 2, depth: Int64 = 100) throws -> OrderBook {
    let bids = try (0..<5).map { ask - spread - $0 }.filter { (1...99).contains($0) }.map {
        try BookLevel(price: .cents($0), quantity: .contracts(depth))
    }
    let asks = try (0..<5).map { 100 - ask - $0 }.filter { (1...99).contains($0) }.map {
        try BookLevel(price: .cents($0), quantity: .contracts(depth))
    }
    return try OrderBook(yesBids: bids, noBids: asks)
}

extension LegPlanEffect {
    var sent: LegOrder? { if case .send(let order) = self { order } else { nil } }
    var outcome: LegPlanOutcome? { if case .finished(let outcome) = self { outcome } else { nil } }
    var alert: LegPlanAlert? { if case .alert(let alert) = self { alert } else { nil } }
}

/// What an order comes to when so much of it trades at a price.
func answer(_ contracts: Int64, at price: Price, venue: Venue) -> LegAnswer {
    let quantity = Quantity.contracts(contracts)
    return LegAnswer(
        filled: quantity, value: price * quantity, fees: FeeSchedule.taker(at: venue).fee(quantity, at: price))
}
