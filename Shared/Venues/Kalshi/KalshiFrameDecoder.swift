import Domain

/// Decodes the frames of the Kalshi WebSocket in place: any key order, both eras of fields (WIRE 1.3), unknown keys
/// skipped, everything checked.
public struct KalshiFrameDecoder {
    private var tickers = TickerTable()

    public init() {}

    public mutating func decode(_ bytes: UnsafeRawBufferPointer) throws(KalshiFrameError) -> KalshiFrame {
        var header = Header()
        do {
            return try decode(bytes, &header)
        } catch let error as KalshiFrameError {
            throw error
        } catch let error as JSONScanError {
            throw KalshiFrameError(
                error.code == .tooDeep ? .tooDeep : .malformedJSON, type: header.typeName, field: "\(error)")
        } catch let error as DomainError {
            throw KalshiFrameError(.invalidField, type: header.typeName, field: "\(error)")
        } catch {
            throw KalshiFrameError(.malformedJSON, type: header.typeName, field: "unreadable")
        }
    }

    public mutating func decode(_ bytes: [UInt8]) throws(KalshiFrameError) -> KalshiFrame {
        // Typed throws do not pass through the closure, hence the result.
        let result = bytes.withUnsafeBytes { raw in
            Result { () throws(KalshiFrameError) in try self.decode(raw) }
        }
        return try result.get()
    }

    enum FrameType: String {
        case subscribed
        case ok
        case unsubscribed
        case snapshot = "orderbook_snapshot"
        case delta = "orderbook_delta"
        case ticker
        case trade
        case lifecycle = "market_lifecycle_v2"
        case fill
        case error
        case other = "\u{0}other"
    }

    /// What stands beside `msg`.
    struct Header {
        var type: FrameType?
        var typeName = "untyped"
        var id: Int64?
        var sid: Int64?
        var sequence: Int64?

        func requiredSID() throws -> Int64 { try required(sid, "sid") }
        func requiredSequence() throws -> Int64 { try required(sequence, "seq") }

        func required<T>(_ value: T?, _ field: StaticString) throws -> T {
            guard let value else { throw KalshiFrameError(.missingField, type: typeName, field: "\(field)") }
            return value
        }
    }

    private mutating func decode(_ bytes: UnsafeRawBufferPointer, _ header: inout Header) throws -> KalshiFrame {
        var scanner = JSONScanner(bytes)
        var body: Body?
        var bodyPosition: JSONScanner?
        var isFirst = true
        try scanner.beginObject()
        while let key = try scanner.nextKey(&isFirst) {
            if scanner.matches(key, "type") {
                try readType(&scanner, &header)
            } else if scanner.matches(key, "sid") {
                header.sid = try KalshiFields.integer(&scanner, "sid")
            } else if scanner.matches(key, "seq") {
                header.sequence = try KalshiFields.integer(&scanner, "seq")
            } else if scanner.matches(key, "id") {
                header.id = try KalshiFields.integer(&scanner, "id")
            } else if scanner.matches(key, "msg") {
                if let type = header.type {
                    body = try readBody(type, &scanner)
                } else {
                    bodyPosition = scanner
                    try scanner.skip()
                }
            } else {
                try scanner.skip()
            }
        }
        try scanner.finish()
        let type = try header.required(header.type, "type")
        if body == nil, var late = bodyPosition { body = try readBody(type, &late) }
        return try assemble(type, header, body ?? Body())
    }

    private func readType(_ scanner: inout JSONScanner, _ header: inout Header) throws {
        let name = try scanner.string()
        if scanner.matches(name, "orderbook_delta") {
            header.type = .delta
            header.typeName = FrameType.delta.rawValue
            return
        }
        header.typeName = try scanner.text(name)
        header.type = FrameType(rawValue: header.typeName)
        if header.type == nil { header.type = .other }
    }

    /// Everything that any `msg` may hold and we use.
    private struct Body {
        var market: MarketID?
        var markets: [MarketID] = []
        var channel: String?
        var side: Outcome?
        var price: Price?
        var hundredths: Int64?
        var at: VenueInstant?
        var yes: [BookLevel] = []
        var no: [BookLevel] = []
        var yesRank = 0
        var noRank = 0
        var bid: Price?
        var ask: Price?
        var tradeID: String?
        var orderID: String?
        var fee: Money?
        var event: String?
        var result: Outcome?
        var code: Int64?
        var message: String?
    }

    private mutating func readBody(_ type: FrameType, _ scanner: inout JSONScanner) throws -> Body {
        var body = Body()
        let kind = try scanner.kind()
        if type == .other || kind != .object {
            try scanner.skip()
            return body
        }
        var textTime: JSONScanner?
        var isFirst = true
        try scanner.beginObject()
        while let key = try scanner.nextKey(&isFirst) {
            if try scanner.kind() == .null {
                try scanner.null()
                continue
            }
            if scanner.matches(key, "market_ticker") {
                let ticker = try scanner.string()
                body.market =
                    ticker.isEscaped
                    ? try MarketID(scanner.text(ticker)) : try tickers.market(scanner.raw(ticker))
            } else if scanner.matches(key, "ts_ms") {
                body.at = try KalshiFields.milliseconds(&scanner, "ts_ms")
            } else if scanner.matches(key, "ts") {
                // The text says what `ts_ms` says, and costs more to read than all the rest.
                textTime = scanner
                try scanner.skip()
            } else {
                switch type {
                case .delta: try readDelta(key, &scanner, &body)
                case .snapshot: try readSnapshot(key, &scanner, &body)
                case .ticker: try readTicker(key, &scanner, &body)
                case .trade, .fill: try readTrade(key, &scanner, &body)
                case .lifecycle: try readLifecycle(key, &scanner, &body)
                case .subscribed, .ok, .unsubscribed, .error, .other: try readControl(key, &scanner, &body)
                }
            }
        }
        if body.at == nil, var textTime { body.at = try KalshiFields.time(&textTime, "ts") }
        return body
    }

    private func readDelta(_ key: JSONSlice, _ scanner: inout JSONScanner, _ body: inout Body) throws {
        if scanner.matches(key, "price_dollars") {
            body.price = try KalshiFields.dollars(&scanner, "price_dollars")
        } else if scanner.matches(key, "delta_fp") {
            body.hundredths = try KalshiFields.contracts(&scanner, "delta_fp")
        } else if scanner.matches(key, "side") {
            body.side = try KalshiFields.outcome(&scanner, "side")
        } else if scanner.matches(key, "price") {
            let price = try KalshiFields.cents(&scanner, "price")
            if body.price == nil { body.price = price }
        } else if scanner.matches(key, "delta") {
            let count = try KalshiFields.contracts(&scanner, "delta")
            if body.hundredths == nil { body.hundredths = count }
        } else {
            try scanner.skip()
        }
    }

    /// Of several spellings of one side the newest counts: `_dollars_fp`, then `_dollars`, then cents.
    private func readSnapshot(_ key: JSONSlice, _ scanner: inout JSONScanner, _ body: inout Body) throws {
        if scanner.matches(key, "yes_dollars_fp") {
            body.yes = try KalshiFields.levels(&scanner, inCents: false, "yes_dollars_fp")
            body.yesRank = 3
        } else if scanner.matches(key, "no_dollars_fp") {
            body.no = try KalshiFields.levels(&scanner, inCents: false, "no_dollars_fp")
            body.noRank = 3
        } else if scanner.matches(key, "yes_dollars"), body.yesRank < 2 {
            body.yes = try KalshiFields.levels(&scanner, inCents: false, "yes_dollars")
            body.yesRank = 2
        } else if scanner.matches(key, "no_dollars"), body.noRank < 2 {
            body.no = try KalshiFields.levels(&scanner, inCents: false, "no_dollars")
            body.noRank = 2
        } else if scanner.matches(key, "yes"), body.yesRank < 1 {
            body.yes = try KalshiFields.levels(&scanner, inCents: true, "yes")
            body.yesRank = 1
        } else if scanner.matches(key, "no"), body.noRank < 1 {
            body.no = try KalshiFields.levels(&scanner, inCents: true, "no")
            body.noRank = 1
        } else {
            try scanner.skip()
        }
    }

    private func readTicker(_ key: JSONSlice, _ scanner: inout JSONScanner, _ body: inout Body) throws {
        if scanner.matches(key, "yes_bid_dollars") {
            body.bid = try KalshiFields.dollars(&scanner, "yes_bid_dollars")
        } else if scanner.matches(key, "yes_ask_dollars") {
            body.ask = try KalshiFields.dollars(&scanner, "yes_ask_dollars")
        } else if scanner.matches(key, "price_dollars") {
            body.price = try KalshiFields.dollars(&scanner, "price_dollars")
        } else if scanner.matches(key, "yes_bid") {
            let price = try KalshiFields.cents(&scanner, "yes_bid")
            if body.bid == nil { body.bid = price }
        } else if scanner.matches(key, "yes_ask") {
            let price = try KalshiFields.cents(&scanner, "yes_ask")
            if body.ask == nil { body.ask = price }
        } else if scanner.matches(key, "price") {
            let price = try KalshiFields.cents(&scanner, "price")
            if body.price == nil { body.price = price }
        } else {
            try scanner.skip()
        }
    }

    private func readTrade(_ key: JSONSlice, _ scanner: inout JSONScanner, _ body: inout Body) throws {
        if scanner.matches(key, "yes_price_dollars") || scanner.matches(key, "yes_price_fixed") {
            body.price = try KalshiFields.dollars(&scanner, "yes_price_dollars")
        } else if scanner.matches(key, "count_fp") {
            body.hundredths = try KalshiFields.contracts(&scanner, "count_fp")
        } else if scanner.matches(key, "trade_id") {
            body.tradeID = try KalshiFields.text(&scanner, "trade_id")
        } else if scanner.matches(key, "order_id") {
            body.orderID = try KalshiFields.text(&scanner, "order_id")
        } else if scanner.matches(key, "taker_outcome_side") {
            body.side = try KalshiFields.outcome(&scanner, "taker_outcome_side")
        } else if scanner.matches(key, "taker_side") {
            let side = try KalshiFields.outcome(&scanner, "taker_side")
            if body.side == nil { body.side = side }
        } else if scanner.matches(key, "yes_price") {
            let price = try KalshiFields.cents(&scanner, "yes_price")
            if body.price == nil { body.price = price }
        } else if scanner.matches(key, "count") {
            let count = try KalshiFields.contracts(&scanner, "count")
            if body.hundredths == nil { body.hundredths = count }
        } else if scanner.matches(key, "fee_cost") {
            body.fee = try Money(dollars: KalshiFields.text(&scanner, "fee_cost"), field: "fee_cost")
        } else {
            try scanner.skip()
        }
    }

    private func readLifecycle(_ key: JSONSlice, _ scanner: inout JSONScanner, _ body: inout Body) throws {
        if scanner.matches(key, "event_type") {
            body.event = try KalshiFields.text(&scanner, "event_type")
        } else if scanner.matches(key, "result") {
            body.result = Outcome(rawValue: try KalshiFields.text(&scanner, "result"))
        } else {
            try scanner.skip()
        }
    }

    private mutating func readControl(
        _ key: JSONSlice, _ scanner: inout JSONScanner, _ body: inout Body
    ) throws {
        if scanner.matches(key, "channel") {
            body.channel = try KalshiFields.text(&scanner, "channel")
        } else if scanner.matches(key, "sid") {
            body.hundredths = try KalshiFields.integer(&scanner, "msg.sid")
        } else if scanner.matches(key, "code") {
            body.code = try KalshiFields.integer(&scanner, "code")
        } else if scanner.matches(key, "msg") || scanner.matches(key, "message") {
            body.message = try KalshiFields.text(&scanner, "msg")
        } else if scanner.matches(key, "market_tickers") {
            var isFirst = true
            try scanner.beginArray()
            while try scanner.nextElement(&isFirst) {
                let ticker = try scanner.string()
                body.markets.append(try MarketID(scanner.text(ticker)))
            }
        } else {
            try scanner.skip()
        }
    }

    private func assemble(_ type: FrameType, _ header: Header, _ body: Body) throws -> KalshiFrame {
        switch type {
        case .delta:
            return .delta(
                sid: try header.requiredSID(), sequence: try header.requiredSequence(),
                KalshiDelta(
                    market: try header.required(body.market, "market_ticker"),
                    outcome: try header.required(body.side, "side"),
                    price: try header.required(body.price, "price_dollars"),
                    hundredths: try header.required(body.hundredths, "delta_fp"), at: body.at))
        case .snapshot:
            return .snapshot(
                sid: try header.requiredSID(), sequence: try header.requiredSequence(),
                try header.required(body.market, "market_ticker"),
                try OrderBook(yesBids: body.yes, noBids: body.no))
        case .subscribed:
            return .subscribed(
                id: header.id, channel: try header.required(body.channel, "channel"),
                sid: try header.required(body.hundredths ?? header.sid, "sid"))
        case .ok:
            return .acknowledged(
                id: header.id, sid: try header.requiredSID(), sequence: header.sequence, markets: body.markets)
        case .unsubscribed:
            return .unsubscribed(
                id: header.id, sid: try header.required(header.sid ?? body.hundredths, "sid"),
                sequence: header.sequence)
        case .ticker:
            let market = try header.required(body.market, "market_ticker")
            let ticker = KalshiTicker(market: market, yesBid: body.bid, yesAsk: body.ask, last: body.price, at: body.at)
            return .ticker(sid: try header.requiredSID(), ticker)
        case .trade:
            return .trade(sid: try header.requiredSID(), sequence: header.sequence, try trade(header, body))
        case .fill:
            return .fill(
                sid: header.sid,
                KalshiFillNotice(
                    market: try header.required(body.market, "market_ticker"),
                    trade: try header.required(body.tradeID, "trade_id"),
                    order: try header.required(body.orderID, "order_id"),
                    yesPrice: try header.required(body.price, "yes_price_dollars"),
                    quantity: try Quantity(hundredths: header.required(body.hundredths, "count_fp"), field: "count_fp"),
                    fee: body.fee, at: body.at))
        case .lifecycle:
            return .lifecycle(
                sid: header.sid,
                KalshiLifecycle(
                    market: try header.required(body.market, "market_ticker"),
                    event: KalshiLifecycle.Event(rawValue: try header.required(body.event, "event_type")) ?? .other,
                    result: body.result, at: body.at))
        case .other:
            return .other(type: header.typeName, sid: header.sid, sequence: header.sequence)
        case .error:
            return .error(id: header.id, code: try header.required(body.code, "code"), message: body.message ?? "")
        }
    }

    private func trade(_ header: Header, _ body: Body) throws -> KalshiTrade {
        KalshiTrade(
            market: try header.required(body.market, "market_ticker"),
            id: try header.required(body.tradeID, "trade_id"),
            yesPrice: try header.required(body.price, "yes_price_dollars"),
            quantity: try Quantity(hundredths: header.required(body.hundredths, "count_fp"), field: "count_fp"),
            taker: body.side, at: body.at)
    }
}
