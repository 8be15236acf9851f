import Domain
import Resilience
import Runtime

/// Kalshi's REST interface, today's shape (WIRE 1.4, 1.6).
///
/// Reads are tried three times, 500 ms apart, also after 429 and 5xx; orders and cancels are sent exactly once, what
/// follows an unknown outcome is for the caller to decide.
public struct KalshiREST: Sendable {
    /// Pages that one call reads at most; more is an error, never a silent part.
    public static let pagesPerCall = 1_000
    /// A venue that wants to be left alone for longer is not asked again by the same call.
    static let longestPause = Duration.seconds(2)

    private let http: VenueHTTP
    private let baseURL: String
    /// Of the base address, for the signature: `/trade-api/v2`.
    private let basePath: String
    private let signer: KalshiSigner?
    private let clock: MachineClock
    private let random: RandomSource
    private let reads: RetryPolicy
    private let time: VenueTime
    private let watch: VenueClockWatch?

    /// With a `watch`, every answer measures the venue's clock, and an order is sent only while it permits one.
    public init(
        baseURL: String, http: VenueHTTP, signer: KalshiSigner?, time: VenueTime, clock: MachineClock,
        random: RandomSource, reads: RetryPolicy = RetryPolicy(attempts: 3, delays: [.milliseconds(500)], jitter: 0.1),
        watch: VenueClockWatch? = nil
    ) {
        self.http = http
        self.baseURL = baseURL
        let authority = baseURL.drop { $0 != "/" }.dropFirst(2)
        basePath = String(authority.drop { $0 != "/" })
        self.signer = signer
        self.clock = clock
        self.random = random
        self.reads = reads
        self.time = time
        self.watch = watch
    }

    // MARK: Market data

    /// All markets that match, page by page; those that cannot be decoded are in `refused`.
    public func markets(
        event: String? = nil, series: String? = nil, status: String? = nil, tickers: [MarketID] = []
    ) async throws(VenueError) -> KalshiPage<KalshiMarket> {
        var query: [(String, String)] = [("limit", "200")]
        if let event { query.append(("event_ticker", event)) }
        if let series { query.append(("series_ticker", series)) }
        if let status { query.append(("status", status)) }
        if !tickers.isEmpty { query.append(("tickers", tickers.map(\.rawValue).joined(separator: ","))) }
        return try await pages("/markets", query, "markets", KalshiDecoding.market)
    }

    public func market(_ market: MarketID) async throws(VenueError) -> KalshiMarket {
        let body = try await read("/markets/\(Self.escaped(market.rawValue))")
        guard let inner = body["market"] else { throw VenueError(.missingField, detail: "market") }
        return try KalshiDecoding.market(inner)
    }

    /// The whole book, and the venue time at which it was read.
    public func orderBook(_ market: MarketID) async throws(VenueError) -> (book: OrderBook, at: VenueInstant) {
        let (body, shown) = try await readWithTime("/markets/\(Self.escaped(market.rawValue))/orderbook", [])
        return (try KalshiDecoding.orderBook(body), shown ?? time.now)
    }

    public func exchangeStatus() async throws(VenueError) -> KalshiExchangeStatus {
        try KalshiDecoding.exchangeStatus(try await read("/exchange/status"))
    }

    // MARK: Account

    /// Our orders: of one market, in one status, made from one second on, or all.
    public func orders(
        market: MarketID? = nil, status: String? = nil, since: VenueInstant? = nil
    ) async throws(VenueError) -> KalshiPage<KalshiOrder> {
        var query: [(String, String)] = [("limit", "200")]
        if let market { query.append(("ticker", market.rawValue)) }
        if let status { query.append(("status", status)) }
        if let since { query.append(("min_ts", String(since.microseconds / 1_000_000))) }
        return try await pages("/portfolio/orders", query, "orders", KalshiDecoding.order)
    }

    /// Our fills: of one order, of one market, from one second on, or all.
    public func fills(
        order: VenueOrderID? = nil, market: MarketID? = nil, since: VenueInstant? = nil
    ) async throws(VenueError) -> KalshiPage<KalshiFill> {
        var query: [(String, String)] = [("limit", "200")]
        if let order { query.append(("order_id", order.rawValue)) }
        if let market { query.append(("ticker", market.rawValue)) }
        if let since { query.append(("min_ts", String(since.microseconds / 1_000_000))) }
        return try await pages("/portfolio/fills", query, "fills", KalshiDecoding.fill)
    }

    public func positions() async throws(VenueError) -> KalshiPage<VenuePosition> {
        try await pages("/portfolio/positions", [("limit", "200")], "market_positions", KalshiDecoding.position)
    }

    /// What the account was paid for markets, from one second on.
    public func settlements(since: VenueInstant) async throws(VenueError) -> KalshiPage<KalshiSettlement> {
        let query = [("limit", "200"), ("min_ts", String(since.microseconds / 1_000_000))]
        return try await pages("/portfolio/settlements", query, "settlements", KalshiDecoding.settlement)
    }

    public func balance() async throws(VenueError) -> Money {
        try KalshiDecoding.balance(try await read("/portfolio/balance"))
    }

    // MARK: Orders

    /// Sends an order once.
    ///
    /// The price that is sent is always the YES price: buying NO at `q` is an ask at `1 − q`. `expiresAt` is for a
    /// resting order, in venue time and whole seconds; `timeout` only shortens the request time-out. `lastLook` is
    /// asked when the connection is there.
    public func createOrder(
        _ order: OrderRequest, expiresAt: VenueInstant? = nil, timeout: Duration? = nil, lastLook: LastLook = .none
    ) async throws(VenueError) -> KalshiOrderReceipt {
        try watch?.permitOrder()
        let body = Self.encode(order, expiresAt: expiresAt)
        let response = try await request(
            "POST", "/portfolio/events/orders", body: body, timeout: timeout, lastLook: lastLook)
        return try KalshiDecoding.receipt(try KalshiDecoding.body(response))
    }

    /// Takes an order back; returns what was still open of it.
    public func cancelOrder(_ order: VenueOrderID, timeout: Duration? = nil) async throws(VenueError) -> Quantity {
        let path = "/portfolio/events/orders/\(Self.escaped(order.rawValue))"
        let body = try KalshiDecoding.body(try await request("DELETE", path, timeout: timeout))
        let fields = try JSONFields(body, "cancel")
        guard let reduced = try fields.quantity("reduced_by", "reduced_by_fp") else {
            throw fields.missing(["reduced_by"])
        }
        return reduced
    }

    /// The body of a new order (WIRE 1.6).
    static func encode(_ order: OrderRequest, expiresAt: VenueInstant?) -> [UInt8] {
        let isBid = (order.outcome == .yes) == (order.action == .buy)
        let price = order.outcome == .yes ? order.limit : order.limit.complement
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("ticker", order.market.rawValue)
            writer.field("client_order_id", order.id.rawValue)
            writer.field("side", isBid ? "bid" : "ask")
            writer.field("count", order.quantity.description)
            writer.field("price", price.description)
            writer.field("time_in_force", order.timeInForce.rawValue)
            writer.field("self_trade_prevention_type", "taker_at_cross")
            if let expiresAt { writer.field("expiration_time", expiresAt.microseconds / 1_000_000) }
        }
        return writer.bytes
    }

    // MARK: Sending

    private func request(
        _ method: String, _ path: String, query: [(String, String)] = [], body: [UInt8]? = nil,
        timeout: Duration? = nil, lastLook: LastLook = .none
    ) async throws(VenueError) -> VenueResponse {
        let headers = try signer?.headers(method: method, path: basePath + path) ?? []
        var url = baseURL + path
        if !query.isEmpty {
            url += "?" + query.map { "\($0.0)=\(Self.escaped($0.1))" }.joined(separator: "&")
        }
        let sent = watch?.microseconds
        let response = try await http.send(
            method, url, headers: headers, body: body, timeout: timeout, lastLook: lastLook)
        if let sent, let date = response.date { watch?.observe(date: date, sent: sent) }
        return response
    }

    private func read(_ path: String, _ query: [(String, String)] = []) async throws(VenueError) -> JSONValue {
        try await readWithTime(path, query).body
    }

    private func readWithTime(
        _ path: String, _ query: [(String, String)]
    ) async throws(VenueError) -> (body: JSONValue, at: VenueInstant?) {
        var attempt = 1
        while true {
            let failure: VenueError
            do {
                let response = try await request("GET", path, query: query)
                return (try KalshiDecoding.body(response), response.venueTime)
            } catch {
                failure = error
            }
            let delay = random.withGenerator { generator in
                reads.delay(afterAttempt: attempt, using: &generator)
            }
            let asked = failure.retryAfter ?? .zero
            guard failure.isTransient, let delay, asked <= Self.longestPause else { throw failure }
            do { try await clock.sleep(for: max(delay, asked)) } catch { throw VenueError(.cancelled) }
            attempt += 1
        }
    }

    /// Reads a list to the page that names no other; one that leads back to a page is no whole list, but an error.
    private func pages<Item: Sendable>(
        _ path: String, _ query: [(String, String)], _ key: String,
        _ decode: (JSONValue) throws(VenueError) -> Item
    ) async throws(VenueError) -> KalshiPage<Item> {
        var items: [Item] = []
        var refused: [VenueError] = []
        var cursor: String?
        var seen: Set<String> = []
        for _ in 0..<Self.pagesPerCall {
            let body = try await read(path, query + (cursor.map { [("cursor", $0)] } ?? []))
            let page = try KalshiDecoding.page(body, key, decode)
            items += page.items
            refused += page.refused
            guard let next = page.cursor else { return KalshiPage(items: items, cursor: nil, refused: refused) }
            guard seen.insert(next).inserted else {
                throw VenueError(.repeatedCursor, detail: key, message: "page \(seen.count + 1) leads back to \(next)")
            }
            cursor = next
        }
        throw VenueError(.unexpectedStatus, detail: key, message: "more than \(Self.pagesPerCall) pages")
    }

    /// Percent-encodes everything outside the unreserved characters.
    static func escaped(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF")
        var out = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"), UInt8(ascii: ","):
                out.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                out.append("%")
                out.append(digits[Int(byte >> 4)])
                out.append(digits[Int(byte & 15)])
            }
        }
        return out
    }
}
