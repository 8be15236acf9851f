import Domain

/// Real orders over Kalshi's REST interface.
public struct KalshiGateway: OrderGateway {
    private let rest: KalshiREST
    private let time: VenueTime
    private let schedule: FeeSchedule
    private let restingLife: Duration

    /// - Parameters:
    ///   - rest: signed, for a real venue.
    ///   - time: see there.
    ///   - schedule: for fills whose fee the venue does not tell.
    ///   - restingLife: the expiry that is put on a resting order, at most 10 s (DESIGN rule 6).
    public init(
        rest: KalshiREST, time: VenueTime, schedule: FeeSchedule = .kalshi, restingLife: Duration = .seconds(10)
    ) {
        self.rest = rest
        self.time = time
        self.schedule = schedule
        self.restingLife = min(restingLife, .seconds(10))
    }

    public func submit(_ order: OrderRequest, deadline: Duration, lastLook: LastLook) async -> SubmitOutcome {
        let rests = order.timeInForce == .goodTillCancelled
        do {
            let receipt = try await rest.createOrder(
                order, expiresAt: rests ? time.now.advanced(by: restingLife) : nil, timeout: deadline,
                lastLook: lastLook)
            // An answer about another order is no answer about ours.
            guard receipt.clientOrder.isEmpty || receipt.clientOrder == order.id.rawValue else {
                return .unknown(VenueError(.invalidField, detail: "order.client_order_id"))
            }
            return .accepted(
                OrderReceipt(
                    order: order.id, venueOrder: receipt.order, filled: receipt.filled, remaining: receipt.remaining,
                    averagePrice: receipt.averageYesPrice.map { order.outcome == .yes ? $0 : $0.complement },
                    fees: receipt.averageFee.map { $0.scaled(receipt.filled.hundredths, over: 100) },
                    at: receipt.at ?? time.now))
        } catch {
            return error.provesNonAcceptance ? .refused(error) : .unknown(error)
        }
    }

    public func cancel(_ order: VenueOrderID, deadline: Duration) async -> CancelOutcome {
        do {
            return .cancelled(stillOpen: try await rest.cancelOrder(order, timeout: deadline))
        } catch {
            return error.status == 404 && error.code == .notFound ? .gone : .unknown(error)
        }
    }

    public func find(_ order: OrderID, market: MarketID) async -> FindOutcome {
        do {
            let page = try await rest.orders(market: market)
            if let found = page.items.first(where: { $0.clientOrder == order.rawValue }) {
                return .found(
                    VenueOrder(
                        order: order, venueOrder: found.id, market: found.market,
                        state: found.status == .resting ? .resting : .done, filled: found.filled,
                        remaining: found.remaining))
            }
            // One that could not be read may be the one.
            if let unread = page.refused.first { return .unknown(unread) }
            let fills = try await rest.fills(market: market)
            if let unread = fills.refused.first { return .unknown(unread) }
            let listed = Set(page.items.map(\.id))
            let stray = fills.items.first { fill in
                !listed.contains(fill.order) && (fill.clientOrder.isEmpty || fill.clientOrder == order.rawValue)
            }
            if let stray {
                return .unknown(
                    VenueError(
                        .conflict, detail: "fill.order_id", message: "fill \(stray.id) is of no order that is listed"))
            }
            return .absent
        } catch {
            return .unknown(error)
        }
    }

    public func fills(of order: OrderRequest, venueOrder: VenueOrderID) async throws(VenueError) -> [Fill] {
        let page = try await rest.fills(order: venueOrder)
        if let unread = page.refused.first { throw unread }
        let parts = page.items.filter { $0.order == venueOrder }
            .sorted { ($0.at, $0.id) < ($1.at, $1.id) }
        let takesYes: Outcome = (order.outcome == .yes) == (order.action == .buy) ? .yes : .no
        if let other = parts.first(where: { $0.bought != nil && $0.bought != takesYes }) {
            throw VenueError(.conflict, detail: "fill.book_side", message: "fill \(other.id) is of the other side")
        }
        do {
            let levels = try parts.map { part throws(DomainError) in
                try BookLevel(price: price(part, order), quantity: part.quantity)
            }
            let computed = schedule.fees(for: levels)
            return try zip(parts, zip(levels, computed)).map { part, rest throws(DomainError) in
                try Fill(
                    id: FillID(part.id), order: order.id, market: order.market, outcome: order.outcome,
                    action: order.action, price: rest.0.price, quantity: part.quantity,
                    fee: part.fee ?? (part.isTaker ? rest.1 : .zero), at: part.at)
            }
        } catch {
            throw VenueError(.invalidField, detail: "fill", message: "\(error)")
        }
    }

    private func price(_ part: KalshiFill, _ order: OrderRequest) -> Price {
        order.outcome == .yes ? part.yesPrice : part.yesPrice.complement
    }

    public func account(since: VenueInstant?) async throws(VenueError) -> VenueAccount {
        // What rests may be older than what is asked for.
        let resting = since == nil ? nil : try await rest.orders(status: KalshiOrder.Status.resting.rawValue)
        let recent = try await rest.orders(since: since)
        let fills = try await rest.fills(since: since)
        if let unread = resting?.refused.first ?? recent.refused.first ?? fills.refused.first { throw unread }
        var orders: [VenueOrderID: KalshiOrder] = [:]
        // Read later, so it wins.
        for order in (resting?.items ?? []) + recent.items { orders[order.id] = order }
        do {
            return VenueAccount(
                orders: orders.values.sorted { $0.id < $1.id }.map { order in
                    AccountOrder(
                        venueOrder: order.id, order: try? OrderID(order.clientOrder),  // another's key may be anything
                        market: order.market, filled: order.filled, isOpen: order.status == .resting)
                },
                fills: try fills.items.map { fill throws(DomainError) in
                    AccountFill(
                        id: try FillID(fill.id), venueOrder: fill.order, market: fill.market, quantity: fill.quantity,
                        yesPrice: fill.yesPrice, bought: fill.bought, fee: fill.fee ?? (fill.isTaker ? nil : .zero),
                        at: fill.at)
                },
                positions: try await positions().filter { $0.netHundredths != 0 }, balance: try await balance())
        } catch let error as DomainError {
            throw VenueError(.invalidField, detail: "fill", message: "\(error)")
        } catch {
            throw VenueHTTP.classify(error)
        }
    }

    public func positions() async throws(VenueError) -> [VenuePosition] {
        let page = try await rest.positions()
        if let unread = page.refused.first { throw unread }
        return page.items
    }

    public func settlements(since: VenueInstant) async throws(VenueError) -> AccountSettlements {
        let page = try await rest.settlements(since: since)
        return AccountSettlements(items: page.items, unread: page.refused.first)
    }

    public func balance() async throws(VenueError) -> Money { try await rest.balance() }

    public func market(_ market: MarketID) async throws(VenueError) -> VenueMarket {
        let found = try await rest.market(market)
        return VenueMarket(
            market: market, status: found.status, yesValue: found.yesValue, closeAt: found.closeAt)
    }
}
