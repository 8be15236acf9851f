import Domain
import Hummingbird

/// Market data of the trading venue: what needs no account.
struct MarketRoutes: Sendable {
    let simulator: Simulator

    func add(to group: RouterGroup<VenueRequestContext>) {
        let simulator = simulator
        group.get("exchange/status") { _, _ in simulator.answer { _ in .ok(KalshiBodies.exchangeStatus()) } }
        group.get("markets") { request, _ in
            let query = Query(request)
            return simulator.answer { Self.markets(query, $0.exchange) }
        }
        group.get("markets/:ticker") { _, context in
            let ticker = context.parameters.get("ticker")
            return simulator.answer { state in
                guard let market = Self.market(ticker, state.exchange) else { return .notFound() }
                return .ok(["market": KalshiBodies.market(market, in: state.exchange)])
            }
        }
        group.get("markets/:ticker/orderbook") { request, context in
            let ticker = context.parameters.get("ticker")
            let depth = Query(request).integer("depth", default: 0, in: 0...100)
            return simulator.answer { state in
                guard let market = Self.market(ticker, state.exchange) else { return .notFound() }
                guard let depth else { return .badRequest("depth must be 0 to 100") }
                return .ok(KalshiBodies.orderbook(market.id, in: state.exchange, depth: depth))
            }
        }
        group.get("events") { request, _ in
            let query = Query(request)
            return simulator.answer { Self.events(query, $0.exchange) }
        }
        group.get("events/:ticker") { request, context in
            let ticker = context.parameters.get("ticker") ?? ""
            let isNested = Query(request)["with_nested_markets"] == "true"
            return simulator.answer { state in
                let exchange = state.exchange
                guard let event = KalshiBodies.event(ticker, in: exchange, withMarkets: isNested) else {
                    return .notFound()
                }
                let markets = exchange.sortedMarkets.filter { $0.recorded.market.eventTicker == ticker }
                return .ok([
                    "event": event,
                    "markets": isNested ? [] : .array(markets.map { KalshiBodies.market($0, in: exchange) }),
                ])
            }
        }
    }

    private static func market(_ ticker: String?, _ exchange: SimulatedExchange) -> SimulatedMarket? {
        exchange.sortedMarkets.first { $0.id.rawValue == ticker }
    }

    private static func markets(_ query: Query, _ exchange: SimulatedExchange) -> VenueReply {
        var markets = exchange.sortedMarkets
        if let event = query["event_ticker"] { markets.removeAll { $0.recorded.market.eventTicker != event } }
        if let series = query["series_ticker"] {
            markets.removeAll { KalshiBodies.series($0.recorded.market.eventTicker) != series }
        }
        if let tickers = query.list("tickers") { markets.removeAll { !tickers.contains($0.id.rawValue) } }
        if let wanted = query.list("status") {
            guard wanted.isSubset(of: ["unopened", "open", "paused", "closed", "settled"]) else {
                return .badRequest("status must be unopened, open, paused, closed or settled")
            }
            markets.removeAll { !wanted.contains(filterWord($0.phase)) }
        }
        guard let page = query.page(markets, limit: 100) else { return .badRequest("bad limit or cursor") }
        return .ok([
            "cursor": .string(page.cursor),
            "markets": .array(page.items.map { KalshiBodies.market($0, in: exchange) }),
        ])
    }

    /// The filter's words are not those of the answer (WIRE 1.4).
    private static func filterWord(_ phase: MarketPhase) -> String {
        switch phase {
        case .active: "open"
        case .closed: "closed"
        case .finalized: "settled"
        }
    }

    private static func events(_ query: Query, _ exchange: SimulatedExchange) -> VenueReply {
        var tickers: [String] = []
        for market in exchange.sortedMarkets {
            let ticker = market.recorded.market.eventTicker
            if let series = query["series_ticker"], KalshiBodies.series(ticker) != series { continue }
            if let wanted = query.list("status"), !wanted.contains(filterWord(market.phase)) { continue }
            if !tickers.contains(ticker) { tickers.append(ticker) }
        }
        guard let page = query.page(tickers, limit: 200) else { return .badRequest("bad limit or cursor") }
        let isNested = query["with_nested_markets"] == "true"
        return .ok([
            "cursor": .string(page.cursor),
            "events": .array(page.items.compactMap { KalshiBodies.event($0, in: exchange, withMarkets: isNested) }),
            "milestones": [],
        ])
    }
}
