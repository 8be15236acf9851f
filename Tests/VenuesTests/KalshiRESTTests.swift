import Domain
import Foundation
import Resilience
import TestKit
import Testing

@testable import Venues

@Suite struct KalshiRESTTests {
    /// What a call met; nil when it succeeded.
    private func failure(_ body: () async throws(VenueError) -> Void) async -> VenueError? {
        do {
            try await body()
            return nil
        } catch {
            return error
        }
    }

    private static let receipt = """
        {"order_id":"V-1","client_order_id":"order-1","fill_count":"4.00","remaining_count":"6.00",
        "average_fill_price":"0.5200","average_fee_paid":"0.0175","ts_ms":1781821370267}
        """

    @Test(arguments: [
        (Action.buy, Outcome.yes, "bid", "0.5300"), (.sell, .yes, "ask", "0.5300"), (.buy, .no, "ask", "0.4700"),
        (.sell, .no, "bid", "0.4700"),
    ])
    func `the price that is sent is always the YES price`(
        _ action: Action, _ outcome: Outcome, _ side: String, _ price: String
    ) async throws {
        let body = KalshiREST.encode(try Fixture.order(action, outcome), expiresAt: nil)
        let root = try #require(try JSONSerialization.jsonObject(with: Data(body)) as? [String: String])
        #expect(
            root == [
                "ticker": "M-1", "client_order_id": "order-1", "side": side, "count": "10.00", "price": price,
                "time_in_force": "immediate_or_cancel", "self_trade_prevention_type": "taker_at_cross",
            ])
    }

    @Test func `an order is posted to today's endpoint and its answer is read`() async throws {
        let server = try await ScriptedServer { _, _ in .json(Self.receipt, status: 201) }
        let http = Fixture.http()
        let receipt = try await Fixture.rest(server, http).createOrder(Fixture.order())
        #expect(receipt.order == "V-1" && receipt.clientOrder == "order-1")
        #expect(receipt.filled == .contracts(4) && receipt.remaining == .contracts(6))
        #expect(receipt.averageYesPrice == .cents(52))
        #expect(server.requests.map(\.method) == ["POST"])
        #expect(server.requests.map(\.path) == ["/trade-api/v2/portfolio/events/orders"])
        await http.shutdown()
        await server.stop()
    }

    @Test func `reads are tried three times, orders once`() async throws {
        let server = try await ScriptedServer { _, _ in .json(#"{"error":"too many requests"}"#, status: 429) }
        let http = Fixture.http()
        let rest = Fixture.rest(server, http)
        let read = await failure { () async throws(VenueError) in _ = try await rest.balance() }
        #expect(read?.code == .rateLimited && read?.message == "too many requests")
        #expect(server.requests.count == 3)
        let order = try Fixture.order()
        let sent = await failure { () async throws(VenueError) in _ = try await rest.createOrder(order) }
        #expect(sent?.code == .rateLimited)
        #expect(server.requests.count == 4)
        await http.shutdown()
        await server.stop()
    }

    @Test func `a read that fails first succeeds when it is tried again`() async throws {
        let server = try await ScriptedServer { _, number in
            number == 0 ? .reply(status: 503, body: "<html>busy</html>") : .json(#"{"balance":12345}"#)
        }
        let http = Fixture.http()
        let balance = try await Fixture.rest(server, http).balance()
        #expect(balance == .cents(12_345))
        await http.shutdown()
        await server.stop()
    }

    struct Misbehaviour: Sendable, CustomTestStringConvertible {
        let answer: ScriptedServer.Answer
        let codes: [VenueError.Code]
        let proves: Bool
        let testDescription: String

        init(_ name: String, _ answer: ScriptedServer.Answer, _ codes: VenueError.Code..., proves: Bool = false) {
            testDescription = name
            self.answer = answer
            self.codes = codes
            self.proves = proves
        }
    }

    static let misbehaviours: [Misbehaviour] = [
        Misbehaviour("hang", .hang, .timeout),
        Misbehaviour("stall in the body", .stall(body: "{"), .timeout),
        Misbehaviour("close", .close, .connectionReset),
        Misbehaviour("reset", .reset, .connectionReset, .connectionFailed),
        Misbehaviour("garbage", .raw("this is not http\r\n\r\n"), .connectionReset),
        Misbehaviour("html under success", .reply(status: 200, body: "<html></html>"), .unreadableBody),
        Misbehaviour("html under refusal", .reply(status: 403, body: "<html></html>"), .forbidden),
        Misbehaviour("server error", .json(#"{"error":{"code":"internal","message":"x"}}"#, status: 500), .serverError),
        Misbehaviour("bad gateway", .reply(status: 502, body: "<html></html>"), .serverError),
        Misbehaviour("an order without a name", .json(#"{"fill_count":"1.00"}"#, status: 201), .missingField),
        Misbehaviour(
            "an order of which nobody says what has traded",
            .json(#"{"order_id":"V-1","client_order_id":"c","filled":"1.00"}"#, status: 201), .missingField),
        Misbehaviour("request time-out", .json(#"{"error":"slow"}"#, status: 408), .timeout),
        Misbehaviour(
            "duplicate", .json(#"{"error":{"code":"order_already_exists"}}"#, status: 409), .duplicateOrder),
        Misbehaviour("conflict", .json(#"{"error":{"code":"something_else"}}"#, status: 409), .conflict),
        Misbehaviour(
            "nothing to fill or kill", .json(#"{"code":"fill_or_kill_insufficient_resting_volume"}"#, status: 409),
            .fillOrKillUnfilled, proves: true),
        Misbehaviour("too large", .reply(status: 200, body: String(repeating: "x", count: 5_000)), .bodyTooLarge),
        Misbehaviour(
            "wrapped refusal",
            .json(#"{"error":{"code":"insufficient_balance","message":"no money"}}"#, status: 400),
            .insufficientBalance, proves: true),
        Misbehaviour(
            "flat refusal", .json(#"{"code":"invalid_price","message":"invalid price"}"#, status: 400), .invalidPrice,
            proves: true),
        Misbehaviour(
            "refusal as text", .json(#"{"error":"too many requests"}"#, status: 429), .rateLimited, proves: true),
        Misbehaviour(
            "authentication", .json(#"{"code":"authentication_error","details":"NOT_FOUND"}"#, status: 401),
            .authentication, proves: true),
        Misbehaviour(
            "removed endpoint",
            .json(#"{"error":{"code":"deprecated_v1_order_endpoint","message":"Please switch"}}"#, status: 410),
            .deprecatedEndpoint, proves: true),
        Misbehaviour(
            "removed endpoint under success",
            .json(#"{"error":{"code":"deprecated_v1_order_endpoint","message":"Please switch"}}"#, status: 200),
            .deprecatedEndpoint, proves: true),
        Misbehaviour(
            "unknown code", .json(#"{"error":{"code":"brand_new"}}"#, status: 422), .unexpectedStatus, proves: true),
    ]

    @Test(arguments: misbehaviours)
    func `only an explicit refusal proves that an order was not taken`(_ misbehaviour: Misbehaviour) async throws {
        let server = try await ScriptedServer { _, _ in misbehaviour.answer }
        let isSilent = misbehaviour.codes.contains(.timeout)
        let http = Fixture.http(timeout: isSilent ? .milliseconds(500) : .seconds(60), bodyBytes: 4_096)
        let gateway = KalshiGateway(rest: Fixture.rest(server, http), time: ShownTime().time)
        let outcome = await gateway.submit(try Fixture.order(), deadline: .seconds(60))
        switch outcome {
        case .refused(let error):
            #expect(misbehaviour.proves && misbehaviour.codes.contains(error.code), "\(error)")
        case .unknown(let error):
            #expect(!misbehaviour.proves && misbehaviour.codes.contains(error.code), "\(error)")
        case .accepted(let receipt): Issue.record("accepted \(receipt)")
        }
        #expect(server.requests.count <= 1)
        await http.shutdown()
        await server.stop()
    }

    @Test func `nobody at home is no proof either`() async throws {
        let server = try await ScriptedServer { _, _ in .hang }
        await server.stop()
        let http = Fixture.http()
        let gateway = KalshiGateway(rest: Fixture.rest(server, http), time: ShownTime().time)
        guard case .unknown(let error) = await gateway.submit(try Fixture.order(), deadline: .seconds(60)) else {
            Issue.record("expected an unknown outcome")
            return
        }
        #expect(error.code == .connectionFailed)
        await http.shutdown()
    }

    @Test func `lists are read to their last page`() async throws {
        let server = try await ScriptedServer { request, _ in
            let order = { (id: String) in
                #"{"order_id":"\#(id)","client_order_id":"c-\#(id)","ticker":"M-1","status":"executed","#
                    + #""fill_count_fp":"1.00"}"#
            }
            return request.path.contains("cursor=next%3D")
                ? .json(#"{"orders":[\#(order("b"))],"cursor":""}"#)
                : .json(#"{"orders":[\#(order("a")),{"order_id":7}],"cursor":"next="}"#)
        }
        let http = Fixture.http()
        let page = try await Fixture.rest(server, http).orders(market: "M-1")
        #expect(page.items.map(\.id) == ["a", "b"])
        #expect(page.refused.count == 1)
        #expect(server.requests.count == 2)
        await http.shutdown()
        await server.stop()
    }

    @Test(arguments: [["a", "a"], ["a", "b", "a"]])
    func `a list that leads back to one of its pages is no whole list`(_ cursors: [String]) async throws {
        let server = try await ScriptedServer { request, number in
            let (cursor, name) = (cursors[number % cursors.count], request.path.contains("fills") ? "fills" : "orders")
            return .json(#"{"\#(name)":[],"cursor":"\#(cursor)"}"#)
        }
        let http = Fixture.http()
        let rest = Fixture.rest(server, http)
        let orders = await failure { () async throws(VenueError) in _ = try await rest.orders(market: "M-1") }
        #expect(orders?.code == .repeatedCursor && orders?.isTransient == true && orders?.detail == "orders")
        #expect(server.requests.count == cursors.count)
        // Neither is an order absent whose place may be behind it.
        guard
            case .unknown(let error) = await KalshiGateway(rest: rest, time: ShownTime().time)
                .find("order-1", market: "M-1")
        else {
            Issue.record("half a list proved something")
            return
        }
        #expect(error.code == .repeatedCursor)
        await http.shutdown()
        await server.stop()
    }

    @Test func `a list that has no end is an error after as many pages as a call reads`() async throws {
        let server = try await ScriptedServer { _, number in .json(#"{"fills":[],"cursor":"c\#(number)"}"#) }
        let http = Fixture.http()
        let rest = Fixture.rest(server, http)
        let fills = await failure { () async throws(VenueError) in _ = try await rest.fills() }
        #expect(fills?.code == .unexpectedStatus && fills?.detail == "fills")
        #expect(server.requests.count == KalshiREST.pagesPerCall)
        await http.shutdown()
        await server.stop()
    }

    @Test func `the venue's time is passed on`() async throws {
        let server = try await ScriptedServer { _, _ in
            .reply(
                status: 200, body: #"{"orderbook_fp":{"yes_dollars":[["0.4000","10.00"]],"no_dollars":null}}"#,
                headers: ["X-Venue-Time": "1790000000000000"])
        }
        let shown = ShownTime()
        let http = Fixture.http(time: shown.time)
        let (book, at) = try await Fixture.rest(server, http, time: shown.time).orderBook("M-1")
        #expect(book.bestBid(.yes)?.price == .cents(40))
        #expect(at.microseconds == 1_790_000_000_000_000)
        #expect(shown.latest == at)
        await http.shutdown()
        await server.stop()
    }

    @Test func `an order in time is never sent late`() async throws {
        let server = try await ScriptedServer { _, _ in .hang }
        let http = Fixture.http()
        let gateway = KalshiGateway(rest: Fixture.rest(server, http), time: ShownTime().time)
        let outcome = await gateway.submit(try Fixture.order(), deadline: .zero)
        #expect(outcome == .unknown(VenueError(.timeout, message: "no time was left to send it")))
        #expect(server.requests.isEmpty)
        await http.shutdown()
        await server.stop()
    }
}

@Suite(.enabled(if: SharedData.isThere, "\(SharedData.reason)"))
struct KalshiRecordedBodiesTests {
    private func json(_ body: [UInt8]) throws -> JSONValue {
        try KalshiDecoding.body(VenueResponse(status: 200, body: body))
    }

    @Test func `markets of three eras are decoded`() throws {
        let listed = try KalshiDecoding.page(
            json(Recorded.golden("markets_list")), "markets", KalshiDecoding.market)
        #expect(!listed.items.isEmpty && listed.refused.isEmpty)
        let vcr = try KalshiDecoding.page(
            json(Recorded.vcr("vcr_kalshi_get_markets")[0].body), "markets", KalshiDecoding.market)
        #expect(vcr.items.count == 5 && vcr.cursor != nil)
        #expect(vcr.items[0].ticker == "KXNFLGAME-25NOV27GBDET-GB")
        #expect(vcr.items[0].yesSubtitle == "Green Bay" && vcr.items[0].status == .active)
        guard case .object(let march) = try json(SharedData.read("kalshi/markets_KXFEDMENTION_202603.json")) else {
            Issue.record("not an object")
            return
        }
        #expect(march.count == 46)
        for (_, value) in march { _ = try KalshiDecoding.market(value) }
    }

    @Test func `the order books of the demo session are those of its snapshots`() throws {
        var snapshots: [MarketID: [OrderBook]] = [:]
        var decoder = KalshiFrameDecoder()
        for line in try Recorded.lines(Recorded.webSocketFiles[0]) {
            if case .snapshot(_, _, let market, let book) = try decoder.decode(line) {
                snapshots[market, default: []].append(book)
            }
        }
        let exchanges = try Recorded.lines("kalshi/rest_orderbooks_demo_20260701.jsonl")
        #expect(exchanges.count == 3)
        for line in exchanges {
            let exchange = try JSONValue(line)
            let parts = (exchange["url"]?.text ?? "").split(separator: "/")
            let market = try MarketID(String(parts[parts.count - 2]))
            let book = try KalshiDecoding.orderBook(json(Array((exchange["response_body"]?.text ?? "").utf8)))
            #expect(snapshots[market]?.contains(book) == true, "\(market)")
        }
        #expect(try KalshiDecoding.orderBook(json(Recorded.golden("orderbook"))) == .empty)
    }

    @Test func `fills, orders, positions and balance are decoded`() throws {
        let fills = try KalshiDecoding.page(
            json(Recorded.golden("portfolio_fills")), "fills", KalshiDecoding.fill)
        #expect(fills.refused.isEmpty)
        #expect(fills.items.first?.yesPrice == .cents(60) && fills.items.first?.quantity == .contracts(32))
        #expect(fills.items.first?.bought == .yes)
        let older = try KalshiDecoding.page(
            json(Recorded.vcr("vcr_kalshi_get_fills")[0].body), "fills", KalshiDecoding.fill)
        #expect(older.items.map(\.quantity) == [.contracts(103)] && older.items[0].bought == .no)
        let orders = try KalshiDecoding.page(
            json(Recorded.golden("portfolio_orders")), "orders", KalshiDecoding.order)
        #expect(orders.refused.isEmpty && orders.items.first?.status == .executed)
        #expect(orders.items.first?.filled == .contracts(32))
        let positions = try KalshiDecoding.page(
            json(Recorded.vcr("vcr_kalshi_get_positions")[0].body), "market_positions", KalshiDecoding.position)
        #expect(positions.items == [VenuePosition(market: "KXALIENS-26", netHundredths: -10_300)])
        let golden = try KalshiDecoding.page(
            json(Recorded.golden("portfolio_positions")), "market_positions", KalshiDecoding.position)
        #expect(golden.refused.isEmpty)
        #expect(try KalshiDecoding.balance(json(Recorded.golden("portfolio_balance"))) == .cents(10_000))
        let status = try KalshiDecoding.exchangeStatus(json(Recorded.golden("exchange_status")))
        #expect(status.isExchangeActive && status.isTradingActive)
    }

    @Test func `error bodies that users quoted are classified`() throws {
        let quoted = try JSONSerialization.jsonObject(
            with: Data(SharedData.read("orders_and_errors_quoted.json")))
        var codes: [VenueError.Code] = []
        for case let record as [String: Any] in quoted as? [Any] ?? [] where record["venue"] as? String == "kalshi" {
            let response = VenueResponse(
                status: record["status"] as? Int ?? 0,
                body: Array(try JSONSerialization.data(withJSONObject: record["body"] ?? [:])))
            if let refusal = KalshiErrors.refusal(in: response) {
                codes.append(refusal.code)
                #expect(refusal.provesNonAcceptance)
            }
        }
        #expect(codes == [.deprecatedEndpoint, .invalidOrder, .invalidPrice, .authentication])
    }
}
