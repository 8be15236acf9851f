import Domain
import ExecutionServiceEngine
import NIOConcurrencyHelpers
import Resilience
import Runtime

@testable import ExecutionService

/// A venue that fills everything at its limit, and loses what it is told to lose.
final class FakeVenue: ExecutionVenue {
    enum Manner: Sendable {
        case fills
        case fillsInPart(Int64)
        case refuses
        /// It takes the order and its answer is lost.
        case losesAnswer
        /// It never sees the order.
        case losesRequest
        /// It takes the order, and nothing of it trades until it is cancelled.
        case rests
        /// It takes the order and says nothing until `release`, whatever the deadline.
        case hangs
    }

    private struct State {
        var manners: [Manner] = []
        var orders: [OrderID: (request: OrderRequest, filled: Int64)] = [:]
        var submits: [OrderID] = []
        var outcomes: [MarketID: MarketOutcome] = [:]
        var positions: [MarketID: Int64]? = [:]
        var pagesFail = false
        var resting: Set<OrderID> = []
        var cancels: [VenueOrderID] = []
        var isProvisional = false
        var standings: [FillID: FillStanding] = [:]
    }

    struct Unreachable: Error {}

    private let released = Promise<Bool>()
    private let state = NIOLockedValueBox(State())

    /// Lets everything that hangs go on, now and from now on.
    func release() { released.fulfil(true) }

    /// How the next submits go; afterwards everything is filled.
    func will(_ manners: Manner...) { state.withLockedValue { $0.manners += manners } }
    func settle(_ market: MarketID, at value: Price) {
        state.withLockedValue { $0.outcomes[market] = .settled(yesValue: value) }
    }
    func refund(_ market: MarketID) { state.withLockedValue { $0.outcomes[market] = .refunded } }
    /// From now on a fill is certain only when `stand` has said so.
    func callFillsProvisional() { state.withLockedValue { $0.isProvisional = true } }
    func stand(_ fill: FillID, _ standing: FillStanding) { state.withLockedValue { $0.standings[fill] = standing } }
    var fillsAreProvisional: Bool { state.withLockedValue { $0.isProvisional } }
    func standings(of fills: [ProvisionalFill]) async throws -> [FillID: FillStanding] {
        state.withLockedValue { $0.standings }
    }
    func hold(_ positions: [MarketID: Int64]?) { state.withLockedValue { $0.positions = positions } }
    func failPages(_ fail: Bool) { state.withLockedValue { $0.pagesFail = fail } }
    var submits: [OrderID] { state.withLockedValue { $0.submits } }
    /// Orders that the venue has, so each would be paid for.
    var accepted: Int { state.withLockedValue { $0.orders.count } }

    var cancels: [VenueOrderID] { state.withLockedValue { $0.cancels } }

    func cancel(_ order: VenueOrderID, deadline: MachineInstant) async -> Bool {
        state.withLockedValue { state in
            state.cancels.append(order)
            state.resting = state.resting.filter { "venue-\($0)" != order.rawValue }
        }
        return true
    }

    func submit(_ order: OrderRequest, deadline: MachineInstant) async -> OrderNews {
        let (manner, whole) = state.withLockedValue { state in
            state.submits.append(order.id)
            let manner = state.manners.isEmpty ? .fills : state.manners.removeFirst()
            let whole = order.quantity.hundredths / 100
            switch manner {
            case .fills, .losesAnswer, .hangs: state.orders[order.id] = (order, whole)
            case .fillsInPart(let part): state.orders[order.id] = (order, part)
            case .rests:
                state.orders[order.id] = (order, 0)
                state.resting.insert(order.id)
            case .refuses, .losesRequest: break
            }
            return (manner, whole)
        }
        switch manner {
        case .fills: return news(order, whole)
        case .hangs:
            _ = await released.value()
            return news(order, whole)
        case .fillsInPart(let part): return news(order, part)
        case .rests: return news(order, 0, rests: true)
        case .refuses: return .refused(reason: "insufficient_balance")
        case .losesAnswer, .losesRequest: return .unanswered(reason: "timeout")
        }
    }

    func find(_ order: OrderRecord) async throws -> OrderNews? {
        let found = try state.withLockedValue { state in
            if state.pagesFail { throw Unreachable() }
            return state.orders[order.request.id].map { ($0, state.resting.contains(order.request.id)) }
        }
        return found.map { news($0.request, $0.filled, rests: $1) }
    }

    func outcome(of market: MarketID) async throws -> MarketOutcome {
        state.withLockedValue { $0.outcomes[market] ?? .open }
    }

    func positions() async throws -> [MarketID: Int64]? { state.withLockedValue { $0.positions } }
    func balance() async throws -> Money? { nil }
    func ping() async throws {}

    private func news(_ order: OrderRequest, _ contracts: Int64, rests: Bool = false) -> OrderNews {
        let quantity = Quantity.contracts(contracts)
        var fills: [Fill] = []
        if contracts > 0 {
            do {
                fills = [
                    try Fill(
                        id: FillID(stringLiteral: "fill-\(order.id)"), order: order.id, market: order.market,
                        outcome: order.outcome, action: order.action, price: order.limit, quantity: quantity,
                        fee: FeeSchedule.kalshi.fee(quantity, at: order.limit), at: tipOff)
                ]
            } catch { preconditionFailure("\(error)") }
        }
        return .accepted(
            VenueOrderID(stringLiteral: "venue-\(order.id)"), fills: fills, reported: quantity, rests: rests)
    }
}
