import Domain
import ExecutionServiceEngine
import Resilience
import Runtime
import Venues

/// A gateway in the engine's words.
struct GatewayVenue: ExecutionVenue {
    let gateway: any OrderGateway
    let rest: KalshiREST
    /// False for paper that lives in this process: after a restart it remembers nothing, and there is nothing to
    /// compare with.
    let keepsPositions: Bool
    /// True for money: then the venue's balance counts beside our books.
    let keepsBalance: Bool
    let clock: MachineClock
    /// Every question but those about an order that is sent or taken back goes through it.
    let reads: VenueReads
    /// Of the venue's clock; nil where there is none to keep in step with.
    var watch: VenueClockWatch?
    /// What the account may ask of the venue; nil where nobody counts.
    var budget: BudgetKeeper?

    func submit(_ order: OrderRequest, deadline: MachineInstant, lastLook: LastLook) async -> OrderNews {
        let life = clock.now.duration(to: deadline)
        switch await gateway.submit(order, deadline: life, lastLook: lastLook) {
        case .accepted(let receipt):
            await budget?.note(.accepted)
            let rests = order.timeInForce == .goodTillCancelled && !receipt.remaining.isZero
            if receipt.filled.isZero {
                return .accepted(receipt.venueOrder, fills: [], reported: .zero, rests: rests)
            }
            // Fills that cannot be read yet leave the order unknown, and the resolver reads them.
            let fills = (try? await reads { try await gateway.fills(of: order, venueOrder: receipt.venueOrder) }) ?? []
            return .accepted(receipt.venueOrder, fills: fills, reported: receipt.filled, rests: rests)
        case .refused(let error):
            await note(error)
            return .refused(reason: error.code == .withheld ? error.detail : error.code.rawValue)
        case .unknown(let error):
            await note(error)
            return .unanswered(reason: error.code.rawValue)
        }
    }

    private func note(_ error: VenueError) async {
        if error.code == .rateLimited { await budget?.note(.tooMuch(retryAfter: error.retryAfter)) }
    }

    func cancel(_ order: VenueOrderID, deadline: MachineInstant) async -> Bool {
        if let budget, await !budget.takeForCancel(deadline: deadline) { return false }
        switch await gateway.cancel(order, deadline: clock.now.duration(to: deadline)) {
        case .cancelled, .gone: return true
        case .unknown(let error):
            await note(error)
            return false
        }
    }

    func find(_ order: OrderRecord) async throws -> OrderNews? { try await reads { try await look(for: order) } }

    private func look(for order: OrderRecord) async throws -> OrderNews? {
        switch await gateway.find(order.request.id, market: order.request.market) {
        case .found(let found):
            let fills = try await gateway.fills(of: order.request, venueOrder: found.venueOrder)
            return .accepted(found.venueOrder, fills: fills, reported: found.filled, rests: found.state == .resting)
        case .absent:
            guard let known = order.venueOrder else { return nil }
            let fills = try await gateway.fills(of: order.request, venueOrder: known)
            let filled = fills.reduce(Quantity.zero) { $0 + $1.quantity }
            return fills.isEmpty ? nil : .accepted(known, fills: fills, reported: filled, rests: false)
        case .unknown(let error): throw error
        }
    }

    func outcome(of market: MarketID) async throws -> MarketOutcome {
        let found = try await reads { try await gateway.market(market) }
        switch (found.status, found.yesValue) {
        case (.active, _): return .open
        case (.settled, let value?): return .settled(yesValue: value)
        case (.voided, let value?): return .voided(yesValue: value)
        case (.voided, nil): return .refunded
        case (.closed, _), (.settled, nil): return .closed
        }
    }

    func snapshot(since: VenueInstant?) async throws -> VenueSnapshot? {
        guard keepsPositions else { return nil }
        let account = try await reads { try await gateway.account(since: since) }
        return VenueSnapshot(
            orders: account.orders.map { order in
                VenueOrderState(
                    venueOrder: order.venueOrder, key: order.order, market: order.market, filled: order.filled,
                    isOpen: order.isOpen)
            },
            fills: account.fills.map { fill in
                VenueFillState(
                    id: fill.id, venueOrder: fill.venueOrder, market: fill.market, quantity: fill.quantity,
                    yesPrice: fill.yesPrice, bought: fill.bought, fee: fill.fee, at: fill.at)
            },
            positions: Dictionary(account.positions.map { ($0.market, $0.netHundredths) }, uniquingKeysWith: +),
            balance: account.balance)
    }

    func settlements(since: VenueInstant, take: (VenueSettlement) async throws -> Void) async throws {
        let list = try await reads { try await gateway.settlements(since: since) }
        for item in list.items {
            try await take(
                VenueSettlement(
                    market: item.market, yesValue: item.yesValue, isVoid: item.isVoid, yes: item.yes, no: item.no,
                    paid: item.paid, at: item.at))
        }
        // Told like any other answer that makes no sense.
        if let unread = list.unread { try await reads { () async throws -> Void in throw unread } }
    }

    func balance() async throws -> Money? {
        keepsBalance ? try await reads { try await gateway.balance() } : nil
    }

    func book(of market: MarketID) async throws -> OrderBook? {
        try await reads { try await rest.orderBook(market).book }
    }

    func ping() async throws {
        _ = try await reads { try await rest.exchangeStatus() }
        try watch?.permitOrder()
    }
}
