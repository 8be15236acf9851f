import Domain
import ExecutionServiceEngine

let tipOff = VenueInstant.epoch.advanced(by: .seconds(1_776_729_600))
let market: MarketID = "GAME-1-HOME"

func makeIntent(
    cents: Int64 = 50, contracts: Int64 = 40, count: String? = nil, outcome: Outcome = .yes
) throws -> ApprovedIntent {
    try ApprovedIntent(
        id: "intent-1", signal: "signal-1", reservation: "reservation-1", game: "game-1", sport: .nba,
        market: market, venue: .kalshi, epoch: .first, outcome: outcome, action: .buy, limit: .cents(cents),
        quantity: count.map { try Quantity(contracts: $0) } ?? .contracts(contracts),
        expiresAt: tipOff.advanced(by: .seconds(60)))
}

func makeOrder(
    _ id: OrderID = "order-1", cents: Int64 = 50, contracts: Int64 = 40, outcome: Outcome = .yes, attempt: Int = 1,
    state: OrderState = .stored, filled: Quantity = .zero, reason: String? = nil
) throws -> OrderRecord {
    let request = try OrderRequest(
        id: id, market: market, outcome: outcome, action: .buy, limit: .cents(cents),
        quantity: .contracts(contracts), timeInForce: .immediateOrCancel)
    return OrderRecord(
        request: request, intent: "intent-1", attempt: attempt, state: state, filled: filled, reason: reason)
}

func makeFill(
    _ id: FillID, of order: OrderRecord, contracts: Int64, cents: Int64 = 50
) throws -> Fill {
    try Fill(
        id: id, order: order.request.id, market: market, outcome: order.request.outcome, action: .buy,
        price: .cents(cents), quantity: .contracts(contracts),
        fee: FeeSchedule.kalshi.fee(.contracts(contracts), at: .cents(cents)), at: tipOff)
}

/// A booking of an order whose reservation covers it at its limit.
func makeBooking(
    _ order: OrderRecord, intent: IntentState = .sending, position: Position = Position(market: market)
) -> OrderBooking {
    let quantity = order.request.quantity
    let amount = order.request.limit * quantity + FeeSchedule.kalshi.fee(quantity, at: order.request.limit)
    return OrderBooking(
        order: order, reservation: ReservationRecord(id: "reservation-1", amount: amount), position: position,
        intent: intent, knownFills: [])
}

/// Everything permitted.
func clearContext() -> SendContext {
    var context = SendContext()
    context.killSwitch = .released
    context.isReconciled = true
    context.balance = .dollars(1_000)
    context.signalAge = .zero
    return context
}
