import Domain

/// The bodies of Kalshi's REST interface, both eras of fields (WIRE 1.3, 1.4, 1.6).
enum KalshiDecoding {
    static func body(_ response: VenueResponse) throws(VenueError) -> JSONValue {
        if let refusal = KalshiErrors.refusal(in: response) { throw refusal }
        do {
            return try JSONValue(response.body)
        } catch {
            throw VenueError(.unreadableBody, status: response.status, message: "\(error)")
        }
    }

    /// The items of one page; an item that cannot be decoded does not cost the others.
    static func page<Item: Sendable>(
        _ body: JSONValue, _ key: String, _ decode: (JSONValue) throws(VenueError) -> Item
    ) throws(VenueError) -> KalshiPage<Item> {
        guard case .object = body else { throw VenueError(.unreadableBody, detail: key) }
        var items: [Item] = []
        var refused: [VenueError] = []
        switch body[key] {
        case .array(let elements):
            for element in elements {
                do { items.append(try decode(element)) } catch { refused.append(error) }
            }
        case .null: break
        case nil: throw VenueError(.missingField, detail: key)
        case .some: throw VenueError(.invalidField, detail: key)
        }
        let cursor = body["cursor"]?.text
        return KalshiPage(items: items, cursor: cursor?.isEmpty == false ? cursor : nil, refused: refused)
    }

    static func identifier<Kind>(_ fields: JSONFields, _ name: String) throws(VenueError) -> Identifier<Kind> {
        let text = try fields.required(name)
        return try fields.domain(name) { () throws(DomainError) in try Identifier<Kind>(text) }
    }

    static func market(_ value: JSONValue) throws(VenueError) -> KalshiMarket {
        let fields = try JSONFields(value, "market")
        let raw = try fields.required("status")
        let result = try fields.text("result")
        let scalar = try fields.price(["settlement_value_dollars"], cents: "settlement_value")
        let yesValue: Price? =
            switch result {
            case "yes": .one
            case "no": .zero
            case nil: nil
            default: scalar
            }
        let status: MarketStatus
        switch raw {
        case "active", "open": status = .active
        case "initialized", "inactive", "unopened", "paused", "closed", "determined", "disputed", "amended":
            status = .closed
        // A result that is missing, or a value, is told later: to pay back what a market still pays out is for good.
        case "finalized", "settled": status = yesValue != nil ? .settled : result == "void" ? .voided : .closed
        default: throw fields.invalid(["status"], .string(raw))
        }
        return KalshiMarket(
            ticker: try identifier(fields, "ticker"), eventTicker: try fields.required("event_ticker"),
            title: try fields.text("title") ?? "", yesSubtitle: try fields.text("yes_sub_title") ?? "",
            rawStatus: raw, status: status, yesValue: yesValue, closeAt: try fields.time("close_time"),
            expectedExpirationAt: try fields.time("expected_expiration_time"),
            priceStep: PriceStep(rawValue: try fields.text("price_level_structure") ?? "") ?? .linearCent,
            yesBid: try fields.price(["yes_bid_dollars"], cents: "yes_bid"),
            yesAsk: try fields.price(["yes_ask_dollars"], cents: "yes_ask"))
    }

    /// Both keys of the order book; levels may stand in any order.
    static func orderBook(_ body: JSONValue) throws(VenueError) -> OrderBook {
        let yes: [BookLevel]
        let no: [BookLevel]
        if let book = body["orderbook_fp"], !book.isNull {
            yes = try levels(book, ["yes_dollars", "yes_dollars_fp"], cents: "yes")
            no = try levels(book, ["no_dollars", "no_dollars_fp"], cents: "no")
        } else if let book = body["orderbook"], !book.isNull {
            yes = try levels(book, ["yes_dollars_fp", "yes_dollars"], cents: "yes")
            no = try levels(book, ["no_dollars_fp", "no_dollars"], cents: "no")
        } else {
            throw VenueError(.missingField, detail: "orderbook_fp")
        }
        do {
            return try OrderBook(yesBids: yes, noBids: no)
        } catch {
            throw VenueError(.invalidField, detail: "orderbook", message: "\(error)")
        }
    }

    private static func levels(
        _ book: JSONValue, _ dollars: [String], cents: String
    ) throws(VenueError) -> [BookLevel] {
        for key in dollars {
            if let levels = book[key]?.elements { return try decode(levels, key, priceScale: 4) }
        }
        return try decode(book[cents]?.elements ?? [], cents, priceScale: 2)
    }

    private static func decode(
        _ levels: [JSONValue], _ key: String, priceScale: Int
    ) throws(VenueError) -> [BookLevel] {
        var decoded: [BookLevel] = []
        for level in levels {
            guard let parts = level.elements, parts.count == 2 else { throw VenueError(.invalidField, detail: key) }
            do {
                // Cents are hundredths of a dollar: whole numbers there, decimals here.
                let units = try FixedPoint.parse(digits(parts[0]), scale: priceScale == 4 ? 4 : 0, field: key)
                let price = try Price(tenThousandths: priceScale == 4 ? units : min(units, 101) * 100, field: key)
                let quantity = try Quantity(contracts: digits(parts[1]), field: key)
                if !quantity.isZero { decoded.append(try BookLevel(price: price, quantity: quantity)) }
            } catch {
                throw VenueError(.invalidField, detail: key, message: "\(error)")
            }
        }
        return decoded
    }

    private static func digits(_ value: JSONValue) -> String {
        switch value {
        case .string(let text), .number(let text): text
        default: ""
        }
    }

    static func receipt(_ body: JSONValue) throws(VenueError) -> KalshiOrderReceipt {
        let fields = try JSONFields(body["order"] ?? body, "order")
        // Without it nobody knows whether the order has traded: none is not nothing.
        guard let filled = try fields.quantity("fill_count", "fill_count_fp") else {
            throw fields.missing(["fill_count"])
        }
        return KalshiOrderReceipt(
            order: try identifier(fields, "order_id"), clientOrder: try fields.text("client_order_id") ?? "",
            filled: filled,
            remaining: try fields.quantity("remaining_count", "remaining_count_fp") ?? .zero,
            averageYesPrice: try fields.price(["average_fill_price", "average_fill_price_dollars"], cents: "-"),
            averageFee: try fields.money(["average_fee_paid", "average_fee_paid_dollars"]),
            at: try moment(fields, "created_time"))
    }

    private static func moment(_ fields: JSONFields, _ name: String) throws(VenueError) -> VenueInstant? {
        if let precise = try fields.milliseconds("ts_ms") { return precise }
        return try fields.time(name, "ts")
    }

    static func order(_ value: JSONValue) throws(VenueError) -> KalshiOrder {
        let fields = try JSONFields(value, "order")
        let raw = try fields.required("status")
        guard let status = KalshiOrder.Status(rawValue: raw) else { throw fields.invalid(["status"], .string(raw)) }
        guard let filled = try fields.quantity("fill_count_fp", "fill_count") else {
            throw fields.missing(["fill_count_fp"])
        }
        let taker = try fields.money(["taker_fees_dollars"], cents: "taker_fees") ?? .zero
        let maker = try fields.money(["maker_fees_dollars"], cents: "maker_fees") ?? .zero
        return KalshiOrder(
            id: try identifier(fields, "order_id"), clientOrder: try fields.text("client_order_id") ?? "",
            market: try identifier(fields, "ticker"), status: status,
            filled: filled,
            remaining: try fields.quantity("remaining_count_fp", "remaining_count") ?? .zero,
            fees: taker + maker, createdAt: try fields.time("created_time"))
    }

    static func fill(_ value: JSONValue) throws(VenueError) -> KalshiFill {
        let fields = try JSONFields(value, "fill")
        guard let id = try fields.text("trade_id", "fill_id") else { throw fields.missing(["trade_id"]) }
        guard let price = try fields.price(["yes_price_dollars", "yes_price_fixed"], cents: "yes_price") else {
            throw fields.missing(["yes_price_dollars"])
        }
        guard let quantity = try fields.quantity("count_fp", "count") else { throw fields.missing(["count_fp"]) }
        guard let at = try moment(fields, "created_time") else {
            throw fields.missing(["created_time"])
        }
        return KalshiFill(
            id: id, order: try identifier(fields, "order_id"),
            clientOrder: try fields.text("client_order_id") ?? "",
            market: try identifier(fields, fields.text("ticker") == nil ? "market_ticker" : "ticker"),
            yesPrice: price, quantity: quantity, fee: try fields.money(["fee_cost"]),
            bought: try bought(fields), isTaker: fields.flag("is_taker") ?? true, at: at)
    }

    /// `book_side` is the new word, `side` and `action` the old ones; none of them is sure to be there (WIRE 1.5).
    ///
    /// A word that is no side is refused: it is not the same as none.
    private static func bought(_ fields: JSONFields) throws(VenueError) -> Outcome? {
        switch try fields.text("book_side") {
        case "bid": return .yes
        case "ask": return .no
        case nil, "": break
        case let word?: throw fields.invalid(["book_side"], .string(word))
        }
        guard let side = try word(fields, "side", Outcome.init(rawValue:)),
            let action = try word(fields, "action", Action.init(rawValue:))
        else { return nil }
        return action == .buy ? side : side.opposite
    }

    private static func word<Value>(
        _ fields: JSONFields, _ name: String, _ read: (String) -> Value?
    ) throws(VenueError) -> Value? {
        guard let text = try fields.text(name), !text.isEmpty else { return nil }
        guard let value = read(text) else { throw fields.invalid([name], .string(text)) }
        return value
    }

    static func position(_ value: JSONValue) throws(VenueError) -> VenuePosition {
        let fields = try JSONFields(value, "position")
        guard let net = try fields.decimal(["position_fp", "position"], scale: 2) else {
            throw fields.missing(["position_fp"])
        }
        return VenuePosition(market: try identifier(fields, "ticker"), netHundredths: net)
    }

    static func settlement(_ value: JSONValue) throws(VenueError) -> KalshiSettlement {
        let fields = try JSONFields(value, "settlement")
        let result = try fields.required("market_result")
        let told = try fields.price(["value_dollars"], cents: "value")
        let yesValue: Price?
        switch result {
        case "yes": yesValue = .one
        case "no": yesValue = .zero
        case "void": yesValue = told
        case "scalar":
            guard let told else { throw fields.missing(["value"]) }
            yesValue = told
        default: throw fields.invalid(["market_result"], .string(result))
        }
        guard let at = try fields.time("settled_time") else { throw fields.missing(["settled_time"]) }
        guard let paid = try fields.money(["revenue_dollars"], cents: "revenue") else {
            throw fields.missing(["revenue"])
        }
        return KalshiSettlement(
            market: try identifier(fields, "ticker"), yesValue: yesValue, isVoid: result == "void",
            yes: try fields.quantity("yes_count_fp", "yes_count") ?? .zero,
            no: try fields.quantity("no_count_fp", "no_count") ?? .zero, paid: paid, at: at)
    }

    static func balance(_ body: JSONValue) throws(VenueError) -> Money {
        let fields = try JSONFields(body, "balance")
        guard let money = try fields.money(["balance_dollars"], cents: "balance") else {
            throw fields.missing(["balance_dollars"])
        }
        return money
    }

    static func exchangeStatus(_ body: JSONValue) throws(VenueError) -> KalshiExchangeStatus {
        let fields = try JSONFields(body, "exchange")
        guard let exchange = fields.flag("exchange_active") else { throw fields.missing(["exchange_active"]) }
        guard let trading = fields.flag("trading_active") else { throw fields.missing(["trading_active"]) }
        return KalshiExchangeStatus(isExchangeActive: exchange, isTradingActive: trading)
    }
}
