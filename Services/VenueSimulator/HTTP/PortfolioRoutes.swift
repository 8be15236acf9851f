import Domain
import Hummingbird

/// The account's side of the trading venue: orders in, and what became of them.
struct PortfolioRoutes: Sendable {
    let simulator: Simulator

    func add(to group: RouterGroup<VenueRequestContext>) {
        let simulator = simulator
        group.post("portfolio/events/orders") { request, _ in
            let arrived = simulator.wall.microseconds
            let body = try await request.body.collect(upTo: 64 * 1024)
            let bytes = Array(body.readableBytesView)
            return simulator.answer { Self.place(bytes, arrived: arrived, &$0) }
        }
        group.delete("portfolio/events/orders/:id") { _, context in
            let id = context.parameters.get("id") ?? ""
            return simulator.answer { state in
                switch state.cancel(id) {
                case .success((let order, let reduced)):
                    .ok(PortfolioBodies.cancelled(order, reducedBy: reduced))
                case .failure(let refusal): .refused(refusal)
                }
            }
        }
        for path in ["portfolio/orders", "portfolio/orders/batched"] as [RouterPath] {
            group.post(path) { _, _ in simulator.answer { _ in Self.deprecated() } }
        }
        group.delete("portfolio/orders/:id") { _, _ in simulator.answer { _ in Self.deprecated() } }
        group.get("portfolio/orders") { request, _ in
            let query = Query(request)
            return simulator.answer { Self.orders(query, $0.exchange) }
        }
        group.get("portfolio/orders/:id") { _, context in
            let id = context.parameters.get("id") ?? ""
            return simulator.answer { state in
                state.exchange.orders[id].map { .ok(["order": PortfolioBodies.order($0)]) } ?? .notFound()
            }
        }
        group.get("portfolio/fills") { request, _ in
            let query = Query(request)
            return simulator.answer { Self.fills(query, $0.exchange) }
        }
        group.get("portfolio/positions") { request, _ in
            let query = Query(request)
            return simulator.answer { state in
                .ok(
                    PortfolioBodies.positions(
                        state.exchange, market: query["ticker"].flatMap { try? MarketID($0) },
                        event: query["event_ticker"], isOpenOnly: query["count_filter"]?.contains("position") ?? false))
            }
        }
        group.get("portfolio/settlements") { request, _ in
            let query = Query(request)
            return simulator.answer { Self.settlements(query, $0.exchange) }
        }
        group.get("portfolio/balance") { _, _ in simulator.answer { .ok(PortfolioBodies.balance($0.exchange)) } }
    }

    private static func place(_ bytes: [UInt8], arrived: Int64, _ state: inout VenueState) -> VenueReply {
        switch OrderBody.decode(bytes) {
        case .failure(let refusal):
            state.countRefusal(refusal.code)
            return .refused(refusal)
        case .success(let order):
            switch state.place(order, arrived: arrived) {
            case .success(let placed): return VenueReply(status: 201, body: PortfolioBodies.placed(placed))
            case .failure(let refusal): return .refused(refusal)
            }
        }
    }

    /// What the removed first version answers since June 2026 (WIRE 1.6).
    private static func deprecated() -> VenueReply {
        VenueReply(
            status: 410,
            body: KalshiBodies.error(
                "deprecated_v1_order_endpoint", "Please switch to the V2 endpoints",
                details: "https://docs.kalshi.com/api-reference/orders/create-order-v2"))
    }

    /// Newest first, as the venue lists them.
    private static func orders(_ query: Query, _ exchange: SimulatedExchange) -> VenueReply {
        var orders = exchange.recentOrders
        if let ticker = query["ticker"] { orders.removeAll { $0.request.market.rawValue != ticker } }
        if let status = query["status"] { orders.removeAll { $0.status.rawValue != status } }
        if let client = query["client_order_id"] { orders.removeAll { $0.request.clientOrderID != client } }
        if let from = query["min_ts"].flatMap(Int64.init) { orders.removeAll { $0.createdAt.seconds < from } }
        if let to = query["max_ts"].flatMap(Int64.init) { orders.removeAll { $0.createdAt.seconds > to } }
        guard let page = query.page(orders.reversed(), limit: 100) else { return .badRequest("bad limit or cursor") }
        return .ok(["cursor": .string(page.cursor), "orders": .array(page.items.map(PortfolioBodies.order))])
    }

    private static func fills(_ query: Query, _ exchange: SimulatedExchange) -> VenueReply {
        var fills = exchange.fills
        if let ticker = query["ticker"] { fills.removeAll { $0.market.rawValue != ticker } }
        if let order = query["order_id"] { fills.removeAll { $0.orderID != order } }
        if let from = query["min_ts"].flatMap(Int64.init) { fills.removeAll { $0.at.seconds < from } }
        if let to = query["max_ts"].flatMap(Int64.init) { fills.removeAll { $0.at.seconds > to } }
        guard let page = query.page(fills.reversed(), limit: 100) else { return .badRequest("bad limit or cursor") }
        return .ok(["cursor": .string(page.cursor), "fills": .array(page.items.map(PortfolioBodies.fill))])
    }

    private static func settlements(_ query: Query, _ exchange: SimulatedExchange) -> VenueReply {
        var settlements = exchange.account.settlements
        if let ticker = query["ticker"] { settlements.removeAll { $0.market.rawValue != ticker } }
        if let from = query["min_ts"].flatMap(Int64.init) { settlements.removeAll { $0.at.seconds < from } }
        if let to = query["max_ts"].flatMap(Int64.init) { settlements.removeAll { $0.at.seconds > to } }
        guard let page = query.page(settlements.reversed(), limit: 100) else {
            return .badRequest("bad limit or cursor")
        }
        let items = page.items.map { PortfolioBodies.settlement($0, exchange) }
        return .ok(["cursor": .string(page.cursor), "settlements": .array(items)])
    }
}
