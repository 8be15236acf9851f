import Domain

/// WebSocket frames as the venue has sent them since mid 2026: dollars and counts as strings only (WIRE 1.5).
enum KalshiFrames {
    static func subscribed(_ id: Int64, _ channel: FrameChannel, sid: Int) -> OutgoingFrame {
        frame([
            "type": "subscribed", "id": .integer(id),
            "msg": ["channel": .string(channel.rawValue), "sid": .integer(Int64(sid))],
        ])
    }

    static func unsubscribed(_ id: Int64, sid: Int, sequence: Int64) -> OutgoingFrame {
        frame(["type": "unsubscribed", "id": .integer(id), "sid": .integer(Int64(sid)), "seq": .integer(sequence)])
    }

    /// The acknowledgement uses up a sequence number.
    static func acknowledged(_ id: Int64, sid: Int, sequence: Int64, markets: [MarketID]) -> OutgoingFrame {
        frame([
            "type": "ok", "id": .integer(id), "sid": .integer(Int64(sid)), "seq": .integer(sequence),
            "msg": ["market_tickers": .array(markets.map { .string($0.rawValue) })],
        ])
    }

    static func list(_ id: Int64, _ subscriptions: [Subscription]) -> OutgoingFrame {
        frame([
            "type": "ok", "id": .integer(id),
            "msg": .array(
                subscriptions.map { ["channel": .string($0.channel.rawValue), "sid": .integer(Int64($0.sid))] }),
        ])
    }

    static func error(_ error: SocketError) -> OutgoingFrame {
        let msg: JSONText = ["code": .integer(Int64(error.code.rawValue)), "msg": .string(error.text)]
        guard let id = error.id else { return frame(["type": "error", "msg": msg]) }
        return frame(["type": "error", "id": .integer(id), "msg": msg])
    }

    /// A side without orders has no key; a snapshot has no time.
    static func snapshot(_ id: MarketID, sid: Int, sequence: Int64, in exchange: SimulatedExchange) -> OutgoingFrame {
        let book = exchange.publishedBook(id)
        var msg: JSONText = [
            "market_ticker": .string(id.rawValue),
            "market_id": .string(book.isEmpty ? "" : exchange.markets[id]?.uuid ?? ""),
        ]
        if !book.yes.isEmpty { msg = msg.adding([("yes_dollars_fp", levels(book.yes))]) }
        if !book.no.isEmpty { msg = msg.adding([("no_dollars_fp", levels(book.no))]) }
        return frame([
            "type": "orderbook_snapshot", "sid": .integer(Int64(sid)), "seq": .integer(sequence), "msg": msg,
        ])
    }

    /// Ascending: the best bid is last.
    static func levels(_ levels: [BookLevel]) -> JSONText {
        .array(levels.map { [.string($0.price.description), .string($0.quantity.description)] })
    }

    /// The frame of something that was published; without a sequence number on the channels that have none.
    static func event(
        _ event: ExchangeEvent, sid: Int, sequence: Int64?, in exchange: SimulatedExchange
    ) -> OutgoingFrame {
        let kind: String
        let msg: JSONText
        switch event {
        case .delta(let market, let outcome, let price, let change, let clientOrder):
            kind = "orderbook_delta"
            msg = delta(market, outcome, price, change, clientOrder, exchange)
        case .trade(let trade):
            kind = "trade"
            msg = self.trade(trade)
        case .fill(let fill):
            kind = "fill"
            msg = self.fill(fill)
        case .ticker(let market):
            kind = "ticker"
            msg = ticker(market, exchange)
        case .lifecycle(let market, let phase):
            kind = "market_lifecycle_v2"
            msg = lifecycle(market, phase, exchange)
        }
        var members: JSONText = ["type": .string(kind), "sid": .integer(Int64(sid))]
        if let sequence { members = members.adding([("seq", .integer(sequence))]) }
        return frame(members.adding([("msg", msg)]))
    }

    private static func delta(
        _ market: MarketID, _ outcome: Outcome, _ price: Price, _ change: Int64, _ clientOrder: String?,
        _ exchange: SimulatedExchange
    ) -> JSONText {
        let msg: JSONText = [
            "market_ticker": .string(market.rawValue), "market_id": .string(exchange.markets[market]?.uuid ?? ""),
            "price_dollars": .string(price.description),
            "delta_fp": .string(FixedPoint.format(change, scale: 2)), "side": .string(outcome.rawValue),
            "ts": .string(exchange.now.description), "ts_ms": .integer(exchange.now.milliseconds),
        ]
        guard let clientOrder else { return msg }
        return msg.adding([("client_order_id", .string(clientOrder)), ("subaccount", 0)])
    }

    private static func trade(_ trade: SimulatedTrade) -> JSONText {
        [
            "trade_id": .string(trade.id), "market_ticker": .string(trade.market.rawValue),
            "yes_price_dollars": .string(trade.yesPrice.description),
            "no_price_dollars": .string(trade.yesPrice.complement.description),
            "count_fp": .string(trade.quantity.description), "taker_side": trade.takerBoughtYes ? "yes" : "no",
            "taker_outcome_side": trade.takerBoughtYes ? "yes" : "no",
            "taker_book_side": trade.takerBoughtYes ? "bid" : "ask", "ts": .integer(trade.at.seconds),
            "ts_ms": .integer(trade.at.milliseconds),
        ]
    }

    private static func fill(_ fill: SimulatedFill) -> JSONText {
        let outcome: JSONText = fill.side == .bid ? "yes" : "no"
        return [
            "trade_id": .string(fill.tradeID), "order_id": .string(fill.orderID),
            "client_order_id": .string(fill.clientOrderID), "market_ticker": .string(fill.market.rawValue),
            "is_taker": .flag(fill.isTaker), "side": outcome, "action": "buy", "purchased_side": outcome,
            "outcome_side": outcome, "book_side": .string(fill.side.rawValue),
            "yes_price_dollars": .string(fill.yesPrice.description), "count_fp": .string(fill.quantity.description),
            "fee_cost": .string(fill.fee.description),
            "post_position_fp": .string(FixedPoint.format(fill.positionAfter, scale: 2)),
            "ts": .integer(fill.at.seconds), "ts_ms": .integer(fill.at.milliseconds), "subaccount": 0,
        ]
    }

    private static func ticker(_ id: MarketID, _ exchange: SimulatedExchange) -> JSONText {
        let book = exchange.publishedBook(id)
        let market = exchange.markets[id]
        return [
            "market_id": .string(market?.uuid ?? ""), "market_ticker": .string(id.rawValue),
            "price_dollars": .string((market?.lastPrice ?? .zero).description),
            "yes_bid_dollars": .string((book.bestBid(.yes)?.price ?? .zero).description),
            "yes_ask_dollars": .string((book.bestAsk(.yes)?.price ?? .one).description),
            "volume_fp": .string((market?.volume ?? .zero).description), "open_interest_fp": "0.00",
            "yes_bid_size_fp": .string((book.bestBid(.yes)?.quantity ?? .zero).description),
            "yes_ask_size_fp": .string((book.bestAsk(.yes)?.quantity ?? .zero).description),
            "last_trade_size_fp": .string((market?.lastQuantity ?? .zero).description),
            "ts": .integer(exchange.now.seconds), "ts_ms": .integer(exchange.now.milliseconds),
        ]
    }

    private static func lifecycle(_ id: MarketID, _ phase: MarketPhase, _ exchange: SimulatedExchange) -> JSONText {
        let kind =
            switch phase {
            case .active: "activated"
            case .closed: "determined"
            case .finalized: "settled"
            }
        var msg: JSONText = ["event_type": .string(kind), "market_ticker": .string(id.rawValue)]
        if phase != .active, let value = exchange.markets[id]?.recorded.settlement {
            let stamp = phase == .closed ? "determination_ts" : "settled_ts"
            msg = msg.adding([
                ("result", .string(KalshiBodies.result(value))), (stamp, .integer(exchange.now.seconds)),
            ])
        }
        return msg
    }

    private static func frame(_ json: JSONText) -> OutgoingFrame { OutgoingFrame(json) }
}

extension OutgoingFrame {
    fileprivate init(_ json: JSONText) {
        guard case .object(let members) = json, case .string(let kind)? = members.first?.value else {
            preconditionFailure("a frame begins with its type")
        }
        self.init(kind: kind, text: json.text)
    }
}

extension VenueInstant {
    var seconds: Int64 { microseconds / 1_000_000 }
    var milliseconds: Int64 { microseconds / 1_000 }
    /// With whole seconds, as REST bodies carry it.
    var brief: String { String(description.prefix(19)) + "Z" }
}
