import Domain
import ExecutionServiceEngine
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Venues

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
        /// It says no, and trades it all the same.
        case refusesAndFills
        /// It says no, and has it in its book all the same.
        case refusesAndRests
        /// It takes the order, and nothing of it trades until it is cancelled.
        case rests
        /// It takes the order and says nothing until `release`, whatever the deadline.
        case hangs
        /// The connection to it is there only after `release`; then it fills.
        case connectsLate
    }

    private struct State {
        var manners: [Manner] = []
        var orders: [OrderID: (request: OrderRequest, filled: Int64)] = [:]
        var submits: [OrderID] = []
        var connecting = 0
        var outcomes: [MarketID: MarketOutcome] = [:]
        /// Instead of what was traded here.
        var positions: [MarketID: Int64]?
        var accountFails = false
        /// Of somebody else in the same account.
        var strangers: [VenueFillState] = []
        var strangeOrders: [VenueOrderState] = []
        var balance: Money?
        var looks = 0
        /// How far its clock is ahead of ours.
        var skew = Duration.zero
        var pagesFail = false
        var outcomesFail = false
        var resting: Set<OrderID> = []
        var cancels: [VenueOrderID] = []
        var isProvisional = false
        var standings: [FillID: FillStanding] = [:]
        var cancelsFail = 0
        var books: [MarketID: OrderBook] = [:]
        var settlements: [VenueSettlement] = []
        var settlementsListedFrom: [VenueInstant] = []
        var settlementsFail = false
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
    /// What it says we hold; nil for what was traded here.
    func hold(_ positions: [MarketID: Int64]?) { state.withLockedValue { $0.positions = positions } }
    func skew(_ skew: Duration) { state.withLockedValue { $0.skew = skew } }
    /// It says that nothing was ever traded.
    func forget() { state.withLockedValue { $0.orders = [:] } }
    func failAccount(_ fail: Bool) { state.withLockedValue { $0.accountFails = fail } }
    func trade(_ fills: VenueFillState...) { state.withLockedValue { $0.strangers += fills } }
    func list(_ orders: VenueOrderState...) { state.withLockedValue { $0.strangeOrders = orders } }
    func own(_ balance: Money?) { state.withLockedValue { $0.balance = balance } }
    /// How often it was asked for the whole account.
    var looks: Int { state.withLockedValue { $0.looks } }
    func failCancels(_ count: Int) { state.withLockedValue { $0.cancelsFail = count } }
    /// What it says rests in a market, to whoever asks.
    func show(_ book: OrderBook, of market: MarketID) { state.withLockedValue { $0.books[market] = book } }
    func book(of market: MarketID) async throws -> OrderBook? { state.withLockedValue { $0.books[market] } }
    func failPages(_ fail: Bool) { state.withLockedValue { $0.pagesFail = fail } }
    func failOutcomes(_ fail: Bool) { state.withLockedValue { $0.outcomesFail = fail } }
    var submits: [OrderID] { state.withLockedValue { $0.submits } }
    /// Orders that the venue has, so each would be paid for.
    var accepted: Int { state.withLockedValue { $0.orders.count } }

    var cancels: [VenueOrderID] { state.withLockedValue { $0.cancels } }

    func cancel(_ order: VenueOrderID, deadline: MachineInstant) async -> Bool {
        state.withLockedValue { state in
            state.cancels.append(order)
            if state.cancelsFail > 0 {
                state.cancelsFail -= 1
                return false
            }
            state.resting = state.resting.filter { "venue-\($0)" != order.rawValue }
            return true
        }
    }

    /// Orders that wait for a connection.
    var connecting: Int { state.withLockedValue { $0.connecting } }

    func submit(_ order: OrderRequest, deadline: MachineInstant) async -> OrderNews {
        await submit(order, deadline: deadline, lastLook: .none)
    }

    func submit(_ order: OrderRequest, deadline: MachineInstant, lastLook: LastLook) async -> OrderNews {
        let manner = state.withLockedValue { $0.manners.isEmpty ? .fills : $0.manners.removeFirst() }
        if case .connectsLate = manner {
            state.withLockedValue { $0.connecting += 1 }
            _ = await released.value()
        }
        if let reason = lastLook.refusal() { return .refused(reason: reason) }
        let whole = state.withLockedValue { state in
            state.submits.append(order.id)
            let whole = order.quantity.hundredths / 100
            switch manner {
            case .fills, .losesAnswer, .refusesAndFills, .hangs, .connectsLate: state.orders[order.id] = (order, whole)
            case .fillsInPart(let part): state.orders[order.id] = (order, part)
            case .rests, .refusesAndRests:
                state.orders[order.id] = (order, 0)
                state.resting.insert(order.id)
            case .refuses, .losesRequest: break
            }
            return whole
        }
        switch manner {
        case .fills, .connectsLate: return news(order, whole)
        case .hangs:
            _ = await released.value()
            return news(order, whole)
        case .fillsInPart(let part): return news(order, part)
        case .rests: return news(order, 0, rests: true)
        case .refuses, .refusesAndFills, .refusesAndRests: return .refused(reason: "insufficient_balance")
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
        try state.withLockedValue { state in
            if state.outcomesFail { throw Unreachable() }
            return state.outcomes[market] ?? .open
        }
    }

    /// It has paid the account for a market.
    func pay(_ settlement: VenueSettlement) { state.withLockedValue { $0.settlements.append(settlement) } }
    func failSettlements(_ fail: Bool) { state.withLockedValue { $0.settlementsFail = fail } }
    /// From when on it was asked what it has paid, each time.
    var settlementsListedFrom: [VenueInstant] { state.withLockedValue { $0.settlementsListedFrom } }

    func settlements(since: VenueInstant, take: (VenueSettlement) async throws -> Void) async throws {
        let told = try state.withLockedValue { state in
            state.settlementsListedFrom.append(since)
            if state.settlementsFail { throw Unreachable() }
            return state.settlements.filter { $0.at >= since }
        }
        for settlement in told { try await take(settlement) }
    }

    func snapshot(since: VenueInstant?) async throws -> VenueSnapshot? {
        try state.withLockedValue { state in
            state.looks += 1
            if state.accountFails { throw Unreachable() }
            var positions: [MarketID: Int64] = [:]
            var fills = state.strangers
            for (id, order) in state.orders where order.filled > 0 {
                let takesYes = (order.request.outcome == .yes) == (order.request.action == .buy)
                if state.outcomes[order.request.market] == nil {
                    positions[order.request.market, default: 0] += (takesYes ? 100 : -100) * order.filled
                }
                fills.append(
                    VenueFillState(
                        id: FillID(stringLiteral: "fill-\(id)"), venueOrder: VenueOrderID(stringLiteral: "venue-\(id)"),
                        market: order.request.market, quantity: .contracts(order.filled),
                        yesPrice: order.request.outcome == .yes ? order.request.limit : order.request.limit.complement,
                        bought: takesYes ? .yes : .no, at: tipOff.advanced(by: state.skew)))
            }
            if let since { fills.removeAll { $0.at < since } }
            let orders = state.orders.map { id, order in
                VenueOrderState(
                    venueOrder: VenueOrderID(stringLiteral: "venue-\(id)"), key: id, market: order.request.market,
                    filled: .contracts(order.filled), isOpen: state.resting.contains(id))
            }
            return VenueSnapshot(
                orders: orders + state.strangeOrders,
                fills: fills, positions: state.positions ?? positions, balance: state.balance)
        }
    }

    func balance() async throws -> Money? {
        try state.withLockedValue { state in
            if state.accountFails { throw Unreachable() }
            return state.balance
        }
    }
    func ping() async throws {}

    private func news(_ order: OrderRequest, _ contracts: Int64, rests: Bool = false) -> OrderNews {
        let at = tipOff.advanced(by: state.withLockedValue { $0.skew })
        let quantity = Quantity.contracts(contracts)
        var fills: [Fill] = []
        if contracts > 0 {
            do {
                fills = [
                    try Fill(
                        id: FillID(stringLiteral: "fill-\(order.id)"), order: order.id, market: order.market,
                        outcome: order.outcome, action: order.action, price: order.limit, quantity: quantity,
                        fee: FeeSchedule.kalshi.fee(quantity, at: order.limit), at: at)
                ]
            } catch { preconditionFailure("\(error)") }
        }
        return .accepted(
            VenueOrderID(stringLiteral: "venue-\(order.id)"), fills: fills, reported: quantity, rests: rests)
    }
}
