import Domain

/// REST bodies about the account: orders, fills, positions, balance (WIRE 1.6).
enum PortfolioBodies {
    /// The flat answer to a new order; the names carry no unit, the values are strings.
    static func placed(_ order: SimulatedOrder) -> JSONText {
        let unfilled = order.request.quantity.subtracting(order.filled)
        var body: JSONText = [
            "order_id": .string(order.id), "client_order_id": .string(order.request.clientOrderID),
            "fill_count": .string(order.filled.description), "remaining_count": .string(unfilled.description),
            "ts_ms": .integer(order.createdAt.milliseconds),
        ]
        if let average = order.averageYesPrice {
            let fee = order.takerFees.scaled(100, over: order.filled.hundredths)
            body = body.adding([
                ("average_fill_price", .string(average.description)),
                ("average_fee_paid", .string(fee.description)),
            ])
        }
        return body
    }

    static func cancelled(_ order: SimulatedOrder, reducedBy: Quantity) -> JSONText {
        [
            "order_id": .string(order.id), "client_order_id": .string(order.request.clientOrderID),
            "reduced_by": .string(reducedBy.description), "ts_ms": .integer(order.updatedAt.milliseconds),
        ]
    }

    static func order(_ order: SimulatedOrder) -> JSONText {
        let outcome: JSONText = order.request.side == .bid ? "yes" : "no"
        return [
            "order_id": .string(order.id), "client_order_id": .string(order.request.clientOrderID),
            "ticker": .string(order.request.market.rawValue), "side": outcome, "action": "buy",
            "outcome_side": outcome, "book_side": .string(order.request.side.rawValue), "type": "limit",
            "status": .string(order.status.rawValue), "yes_price_dollars": .string(order.request.price.description),
            "no_price_dollars": .string(order.request.price.complement.description),
            "initial_count_fp": .string(order.request.quantity.description),
            "fill_count_fp": .string(order.filled.description),
            "remaining_count_fp": .string(order.remaining.description),
            "taker_fees_dollars": .string(order.takerFees.description), "maker_fees_dollars": "0.000000",
            "taker_fill_cost_dollars": .string(order.takerCost.description),
            "maker_fill_cost_dollars": .string(order.makerCost.description),
            "expiration_time": order.request.expiresAt.map { .string($0.brief) } ?? .null,
            "created_time": .string(order.createdAt.description),
            "last_update_time": .string(order.updatedAt.description), "order_group_id": nil,
            "subaccount_number": 0,
        ]
    }

    static func fill(_ fill: SimulatedFill) -> JSONText {
        let outcome: JSONText = fill.side == .bid ? "yes" : "no"
        return [
            "fill_id": .string(fill.tradeID), "trade_id": .string(fill.tradeID), "order_id": .string(fill.orderID),
            "client_order_id": .string(fill.clientOrderID), "ticker": .string(fill.market.rawValue),
            "market_ticker": .string(fill.market.rawValue), "side": outcome, "action": "buy",
            "outcome_side": outcome, "book_side": .string(fill.side.rawValue),
            "count_fp": .string(fill.quantity.description),
            "yes_price_dollars": .string(fill.yesPrice.description),
            "no_price_dollars": .string(fill.yesPrice.complement.description), "is_taker": .flag(fill.isTaker),
            "fee_cost": .string(fill.fee.description), "created_time": .string(fill.at.description),
            "ts": .integer(fill.at.seconds), "subaccount_number": 0,
        ]
    }

    static func positions(
        _ exchange: SimulatedExchange, market: MarketID?, event: String?, isOpenOnly: Bool
    ) -> JSONText {
        let shown = exchange.sortedMarkets.filter { state in
            let position = exchange.account.position(state.id)
            return exchange.account.positions[state.id] != nil && (market == nil || market == state.id)
                && (event == nil || event == state.recorded.market.eventTicker) && !(isOpenOnly && position.isFlat)
        }
        return [
            "cursor": "", "market_positions": .array(shown.map { self.market($0, exchange) }),
            "event_positions": .array(events(shown, exchange)),
        ]
    }

    private static func market(_ state: SimulatedMarket, _ exchange: SimulatedExchange) -> JSONText {
        let position = exchange.account.position(state.id)
        let fills = exchange.fills.filter { $0.market == state.id }
        let traded = fills.reduce(Money.zero) { $0 + $1.yesPrice * $1.quantity }
        return [
            "ticker": .string(state.id.rawValue), "total_traded_dollars": .string(traded.description),
            "position_fp": .string(FixedPoint.format(position.netHundredths, scale: 2)),
            "market_exposure_dollars": .string(position.cost.description),
            "realized_pnl_dollars": .string(position.realised.description),
            "resting_orders_count": .integer(Int64(state.resting.count)),
            "fees_paid_dollars": .string(position.fees.description),
            "last_updated_ts": .string(exchange.now.description),
        ]
    }

    private static func events(_ markets: [SimulatedMarket], _ exchange: SimulatedExchange) -> [JSONText] {
        let groups = Dictionary(grouping: markets) { $0.recorded.market.eventTicker }
        return groups.sorted { $0.key < $1.key }.map { event, markets in
            let positions = markets.map { exchange.account.position($0.id) }
            let cost = positions.reduce(Money.zero) { $0 + $1.cost }
            let contracts = positions.reduce(Quantity.zero) { $0 + $1.quantity }
            return [
                "event_ticker": .string(event), "total_cost_dollars": .string(cost.description),
                "total_cost_shares_fp": .string(contracts.description),
                "event_exposure_dollars": .string(cost.description),
                "realized_pnl_dollars": .string(positions.reduce(Money.zero) { $0 + $1.realised }.description),
                "fees_paid_dollars": .string(positions.reduce(Money.zero) { $0 + $1.fees }.description),
            ]
        }
    }

    static func settlement(_ settlement: SimulatedSettlement, _ exchange: SimulatedExchange) -> JSONText {
        func side(_ isHeld: Bool) -> (count: String, cost: String) {
            isHeld
                ? (FixedPoint.format(abs(settlement.netHundredths), scale: 2), settlement.cost.description)
                : ("0.00", "0.000000")
        }
        let (yes, no) = (side(settlement.netHundredths > 0), side(settlement.netHundredths < 0))
        let result: JSONText =
            settlement.yesValue == .one ? "yes" : (settlement.yesValue == .zero ? "no" : "scalar")
        return [
            "ticker": .string(settlement.market.rawValue),
            "event_ticker": .string(exchange.markets[settlement.market]?.recorded.market.eventTicker ?? ""),
            "market_result": result, "yes_count_fp": .string(yes.count), "yes_total_cost_dollars": .string(yes.cost),
            "no_count_fp": .string(no.count), "no_total_cost_dollars": .string(no.cost),
            "revenue": .integer(settlement.paid.microdollars / 10_000),
            "settled_time": .string(settlement.at.description), "fee_cost": .string(settlement.fees.description),
            "value": .integer(settlement.yesValue.tenThousandths / 100),
        ]
    }

    /// `balance` is in cents, rounded down; `balance_dollars` is exact.
    static func balance(_ exchange: SimulatedExchange) -> JSONText {
        let cash = exchange.account.cash
        let worth = cash + exchange.account.positions.values.reduce(Money.zero) { $0 + $1.cost }
        return [
            "balance": .integer(cash.microdollars / 10_000), "balance_dollars": .string(cash.description),
            "portfolio_value": .integer(worth.microdollars / 10_000),
            "portfolio_value_dollars": .string(worth.description), "updated_ts": .integer(exchange.now.seconds),
        ]
    }
}
