import Domain

/// REST bodies as the venue has sent them since mid 2026 (WIRE 1.4, 1.6).
enum KalshiBodies {
    static func result(_ value: Price) -> String {
        if value == .one { return "yes" }
        return value == .zero ? "no" : "scalar"
    }

    static func market(_ state: SimulatedMarket, in exchange: SimulatedExchange) -> JSONText {
        let market = state.recorded.market
        let book = exchange.publishedBook(state.id)
        let settlement = state.phase == .active ? nil : state.recorded.settlement
        let name = sideName(market)
        var body: JSONText = [
            "ticker": .string(state.id.rawValue), "event_ticker": .string(market.eventTicker), "market_type": "binary",
            "title": .string(market.title), "subtitle": "", "yes_sub_title": .string(name),
            "no_sub_title": .string(name), "status": .string(state.phase.rawValue),
            "created_time": .string(opened(exchange).brief), "open_time": .string(opened(exchange).brief),
            "close_time": .string(closes(exchange).brief),
            "expected_expiration_time": .string(expires(exchange).brief),
            "expiration_time": .string(closes(exchange).brief),
            "latest_expiration_time": .string(closes(exchange).brief), "settlement_timer_seconds": 60,
            "notional_value_dollars": "1.0000",
        ]
        body = body.adding(prices(book)).adding([
            ("last_price_dollars", .string((state.lastPrice ?? .zero).description)),
            ("volume_fp", .string(state.volume.description)), ("volume_24h_fp", .string(state.volume.description)),
            ("open_interest_fp", "0.00"), ("liquidity_dollars", "0.0000"), ("can_close_early", true),
            ("fractional_trading_enabled", true),
            ("result", .string(settlement.map(result) ?? "")),
            ("expiration_value", .string(settlement.map { $0 == .one ? name : "" } ?? "")),
            ("rules_primary", .string("If \(name) wins this game, then the market resolves to Yes.")),
            ("rules_secondary", ""), ("strike_type", "structured"), ("exchange_index", 0),
            ("price_level_structure", .string(market.priceStep.rawValue)),
            ("price_ranges", ranges(market.priceStep)),
        ])
        if state.phase == .finalized, let settlement, let at = state.settledAt {
            body = body.adding([
                ("settlement_value_dollars", .string(settlement.description)), ("settlement_ts", .string(at.brief)),
            ])
        }
        return body
    }

    private static func prices(_ book: OrderBook) -> [(String, JSONText)] {
        let bid = book.bestBid(.yes)
        let ask = book.bestAsk(.yes)
        return [
            ("yes_bid_dollars", .string((bid?.price ?? .zero).description)),
            ("yes_bid_size_fp", .string((bid?.quantity ?? .zero).description)),
            ("yes_ask_dollars", .string((ask?.price ?? .one).description)),
            ("yes_ask_size_fp", .string((ask?.quantity ?? .zero).description)),
            ("no_bid_dollars", .string((ask?.price.complement ?? .zero).description)),
            ("no_ask_dollars", .string((bid?.price.complement ?? .one).description)),
        ]
    }

    private static func ranges(_ step: PriceStep) -> JSONText {
        func range(_ start: String, _ end: String, _ step: String) -> JSONText {
            ["start": .string(start), "end": .string(end), "step": .string(step)]
        }
        return switch step {
        case .linearCent: [range("0.0000", "1.0000", "0.0100")]
        case .deciCent: [range("0.0000", "1.0000", "0.0010")]
        case .tenCent: [range("0.0000", "1.0000", "0.1000")]
        case .centiCent: [range("0.0000", "1.0000", "0.0001")]
        case .taperedDeciCent:
            [
                range("0.0000", "0.1000", "0.0010"), range("0.1000", "0.9000", "0.0100"),
                range("0.9000", "1.0000", "0.0010"),
            ]
        }
    }

    /// The venue names the team by its city: the half of the title that is its own.
    static func sideName(_ market: Market) -> String {
        let halves = eventTitle(market).split(separator: " vs ")
        guard halves.count == 2 else { return market.title }
        return String(market.team == .away ? halves[0] : halves[1])
    }

    static func eventTitle(_ market: Market) -> String { market.title.replacing(" Winner?", with: "") }

    /// Markets are listed for days before the game and could stay open for two weeks after it.
    private static func opened(_ exchange: SimulatedExchange) -> VenueInstant {
        exchange.header.game.scheduledAt.advanced(by: .seconds(-3 * 86_400))
    }

    private static func closes(_ exchange: SimulatedExchange) -> VenueInstant {
        exchange.header.game.scheduledAt.advanced(by: .seconds(14 * 86_400))
    }

    private static func expires(_ exchange: SimulatedExchange) -> VenueInstant {
        exchange.header.game.scheduledAt.advanced(by: .seconds(3 * 3_600))
    }

    static func event(_ ticker: String, in exchange: SimulatedExchange, withMarkets: Bool) -> JSONText? {
        let markets = exchange.sortedMarkets.filter { $0.recorded.market.eventTicker == ticker }
        guard let first = markets.first?.recorded.market else { return nil }
        let game = exchange.header.game
        let body: JSONText = [
            "event_ticker": .string(ticker), "series_ticker": .string(series(ticker)),
            "title": .string(eventTitle(first)),
            "sub_title": .string("\(game.away.abbreviation) at \(game.home.abbreviation)"),
            "category": "Sports", "collateral_return_type": "MECNET", "mutually_exclusive": true,
            "available_on_brokers": true, "strike_period": "", "product_metadata": [:],
        ]
        return withMarkets
            ? body.adding([("markets", .array(markets.map { market($0, in: exchange) }))]) : body
    }

    /// The part of an event ticker before the first dash.
    static func series(_ ticker: String) -> String { String(ticker.prefix { $0 != "-" }) }

    static func orderbook(_ id: MarketID, in exchange: SimulatedExchange, depth: Int) -> JSONText {
        let book = exchange.publishedBook(id)
        func side(_ levels: [BookLevel]) -> JSONText {
            KalshiFrames.levels(depth > 0 ? Array(levels.suffix(depth)) : levels)
        }
        return ["orderbook_fp": ["no_dollars": side(book.no), "yes_dollars": side(book.yes)]]
    }

    static func exchangeStatus() -> JSONText {
        ["exchange_active": true, "exchange_estimated_resume_time": nil, "trading_active": true]
    }

    /// The wrapped form (WIRE 1.7).
    static func error(_ code: String, _ message: String, details: String? = nil, service: String? = nil) -> JSONText {
        var body: JSONText = ["code": .string(code), "message": .string(message)]
        if let details { body = body.adding([("details", .string(details))]) }
        if let service { body = body.adding([("service", .string(service))]) }
        return ["error": body]
    }
}
