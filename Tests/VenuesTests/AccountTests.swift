import Domain
import Foundation
import NIOConcurrencyHelpers
import Testing

@testable import Venues

/// An account read whole, and what a venue says when it was asked too much.
@Suite struct AccountTests {
    private static func order(_ number: Int, _ key: String, _ status: String, filled: String = "0.00") -> String {
        #"{"order_id":"V-\#(number)","client_order_id":"\#(key)","ticker":"M-1","status":"\#(status)","#
            + #""fill_count_fp":"\#(filled)"}"#
    }

    private static func fill(_ number: Int, of order: Int, client: String? = nil) -> String {
        let key = client.map { #""client_order_id":"\#($0)","# } ?? ""
        return #"{"trade_id":"t-\#(number)","order_id":"V-\#(order)",\#(key)"ticker":"M-1","book_side":"ask","#
            + #""yes_price_dollars":"0.5300","count_fp":"6.00","created_time":"2026-04-20T23:14:00Z"}"#
    }

    private func withGateway(
        _ answer: @escaping @Sendable (ScriptedServer.Request) -> ScriptedServer.Answer,
        _ body: (KalshiGateway, ScriptedServer) async throws -> Void
    ) async throws {
        let server = try await ScriptedServer { request, _ in answer(request) }
        let http = Fixture.http()
        try await body(KalshiGateway(rest: Fixture.rest(server, http), time: ShownTime().time), server)
        await http.shutdown()
        await server.stop()
    }

    private static func settlement(_ more: String) -> String {
        #"{"ticker":"M-1","event_ticker":"E","yes_count_fp":"3.00","no_count_fp":"0.00","#
            + #""settled_time":"2026-04-20T23:14:00Z","fee_cost":"0.0400",\#(more)}"#
    }

    @Test func `settlements are read by what a contract paid, and one that makes no sense spoils no other`()
        async throws
    {
        let told: [(String, Price?, Bool, Int64)] = [
            (#""market_result":"yes","revenue":300,"value":100"#, .one, false, 300),
            (#""market_result":"no","revenue":0,"value":0"#, .zero, false, 0),
            (#""market_result":"scalar","revenue":75,"value":25"#, .cents(25), false, 75),
            (#""market_result":"void","revenue":120,"value":null"#, nil, true, 120),
        ]
        let nonsense = [
            #""market_result":"maybe","revenue":0"#, #""market_result":"scalar","revenue":0"#, #""revenue":0"#,
            #""market_result":"yes""#, #""market_result":"yes","revenue":"1e3""#,
        ]
        let items = (told.map { $0.0 } + nonsense).map { Self.settlement($0) }.joined(separator: ",")
        try await withGateway { request in
            request.path.contains("min_ts=1776722400")
                ? .json(#"{"settlements":[\#(items)],"cursor":""}"#) : .json(#"{"settlements":[],"cursor":""}"#)
        } _: { gateway, _ in
            let list = try await gateway.settlements(since: VenueInstant(rfc3339: "2026-04-20T22:00:00Z"))
            #expect(list.items.map(\.yesValue) == told.map { $0.1 })
            #expect(list.items.map(\.isVoid) == told.map { $0.2 })
            #expect(list.items.map(\.paid) == told.map { .cents($0.3) })
            #expect(list.items.allSatisfy { $0.market == "M-1" && $0.yes == .contracts(3) && $0.no.isZero })
            #expect(list.unread?.code == .invalidField)
        }
    }

    @Test func `every list is paged to its end, and what rests is older than what is asked for`() async throws {
        try await withGateway { request in
            let path = request.path
            if path.contains("/portfolio/positions") {
                return .json(
                    #"{"market_positions":[{"ticker":"M-1","position_fp":"-6.00"},"#
                        + #"{"ticker":"M-2","position_fp":"0.00"}],"cursor":""}"#)
            }
            if path.contains("/portfolio/balance") { return .json(#"{"balance_dollars":"12.345600"}"#) }
            if path.contains("/portfolio/fills") {
                return path.contains("cursor=b")
                    ? .json(#"{"fills":[\#(Self.fill(2, of: 3))],"cursor":""}"#)
                    : .json(#"{"fills":[\#(Self.fill(1, of: 2))],"cursor":"b"}"#)
            }
            if path.contains("status=resting") {
                return .json(#"{"orders":[\#(Self.order(1, "", "resting"))],"cursor":""}"#)
            }
            return path.contains("cursor=a")
                ? .json(#"{"orders":[\#(Self.order(3, "hand made", "canceled"))],"cursor":""}"#)
                : .json(#"{"orders":[\#(Self.order(2, "order-1", "executed", filled: "6.00"))],"cursor":"a"}"#)
        } _: { gateway, server in
            let since = try VenueInstant(rfc3339: "2026-04-20T22:00:00Z")
            let account = try await gateway.account(since: since)
            #expect(account.orders.map(\.venueOrder) == ["V-1", "V-2", "V-3"])
            #expect(account.orders[0].order == nil && account.orders[1].order == "order-1")
            #expect(account.orders.map(\.isOpen) == [true, false, false])
            #expect(account.fills.map(\.id) == ["t-1", "t-2"] && account.fills[0].bought == .no)
            #expect(account.positions == [VenuePosition(market: "M-1", netHundredths: -600)])
            let balance = try Money(dollars: "12.3456")
            #expect(account.balance == balance)
            let asked = server.requests.map(\.path)
            let bounded = asked.filter { $0.contains("min_ts=1776722400") }
            #expect(bounded.count == 4 && !asked.contains { $0.contains("resting") && $0.contains("min_ts") })
            _ = try await gateway.account(since: nil)
            #expect(!server.requests.dropFirst(asked.count).contains { $0.path.contains("min_ts") })
        }
    }

    @Test(arguments: ["/portfolio/orders", "/portfolio/fills", "/portfolio/positions", "/portfolio/balance"])
    func `one list that cannot be read whole is no account`(list: String) async throws {
        for bad in [#"{"orders":[{}],"fills":[{}],"market_positions":[{}],"cursor":""}"#, "<html>"] {
            try await withGateway { request in
                request.path.contains(list)
                    ? .json(bad)
                    : .json(
                        #"{"orders":[],"fills":[],"market_positions":[],"balance_dollars":"1.00","cursor":""}"#)
            } _: { gateway, _ in
                await #expect(throws: VenueError.self) { try await gateway.account(since: nil) }
            }
        }
    }

    @Test func `a fill of an order that is not listed may be ours, unless it says whose it is`() async throws {
        let fills = NIOLockedValueBox("")
        try await withGateway { request in
            request.path.contains("/portfolio/fills")
                ? .json(#"{"fills":[\#(fills.withLockedValue { $0 })],"cursor":""}"#)
                : .json(#"{"orders":[\#(Self.order(1, "other", "executed"))],"cursor":""}"#)
        } _: { gateway, _ in
            func find() async -> FindOutcome { await gateway.find("order-1", market: "M-1") }
            #expect(await find() == .absent)
            fills.withLockedValue { $0 = Self.fill(1, of: 1) }
            #expect(await find() == .absent, "of the order that is listed")
            fills.withLockedValue { $0 = Self.fill(1, of: 9, client: "other") }
            #expect(await find() == .absent)
            for stray in [Self.fill(1, of: 9), Self.fill(1, of: 9, client: "order-1"), "{}"] {
                fills.withLockedValue { $0 = stray }
                guard case .unknown = await find() else {
                    Issue.record("absent in spite of \(stray)")
                    continue
                }
            }
        }
    }

    @Test func `a refusal for too much says how long, and only a readable one is proof`() async throws {
        let cases: [(body: String, headers: [String: String], pause: Duration?, proves: Bool)] = [
            (#"{"error":"too many requests"}"#, [:], nil, true),
            (#"{"error":"too many requests"}"#, ["Retry-After": "7"], .seconds(7), true),
            (
                "<html><body>Blocked</body></html>",
                [
                    "Retry-After": "Mon, 20 Apr 2026 23:14:30 GMT", "Date": "Mon, 20 Apr 2026 23:14:00 GMT",
                ], .seconds(30), false
            ),
            ("", ["Retry-After": "soon"], nil, false),
        ]
        for expected in cases {
            try await withGateway { _ in
                .reply(status: 429, body: expected.body, headers: expected.headers)
            } _: { gateway, server in
                let outcome = await gateway.submit(try Fixture.order(), deadline: .seconds(60))
                let error: VenueError
                switch outcome {
                case .refused(let refusal): error = refusal
                case .unknown(let unknown): error = unknown
                case .accepted: throw VenueError(.unexpectedStatus)
                }
                #expect(error.code == .rateLimited && error.retryAfter == expected.pause, "\(expected)")
                #expect(error.provesNonAcceptance == expected.proves, "\(expected)")
                #expect(server.requests.count == 1, "an order is sent once")
            }
        }
    }

    @Test func `a date is compared with the answer's own, and nonsense is none`() throws {
        let now = try VenueInstant(rfc3339: "1994-11-06T08:49:00Z")
        let date = "Sun, 06 Nov 1994 08:49:37 GMT"
        #expect(RetryAfter.read(date, date: nil, now: now) == .seconds(37))
        #expect(RetryAfter.read(date, date: "Sun, 06 Nov 1994 08:49:30 GMT", now: now) == .seconds(7))
        #expect(RetryAfter.read(date, date: "Mon, 07 Nov 1994 08:49:30 GMT", now: now) == .zero, "it has passed")
        #expect(RetryAfter.read(" 120 ", date: nil, now: now) == .seconds(120))
        #expect(RetryAfter.read("99999999999999999999", date: nil, now: now) == RetryAfter.longest)
        for nonsense in ["", "-1", "1.5", "Sun Nov  6 08:49:37 1994", "Sun, 06 Foo 1994 08:49:37 GMT", "soon"] {
            #expect(RetryAfter.read(nonsense, date: nil, now: now) == nil, "\(nonsense)")
        }
    }

    @Test func `a read waits for as long as it is asked to, and not for long`() async throws {
        let answers = NIOLockedValueBox(["1", "3600"])
        try await withGateway { request in
            guard request.path.contains("balance") else { return .close }
            let next = answers.withLockedValue { $0.isEmpty ? nil : $0.removeFirst() }
            return next.map { .reply(status: 429, body: #"{"error":"x"}"#, headers: ["Retry-After": $0]) }
                ?? .json(#"{"balance_dollars":"1.00"}"#)
        } _: { gateway, server in
            await #expect(throws: VenueError.self) { try await gateway.balance() }
            #expect(server.requests.count == 2, "an hour is not waited for")
            let balance = try await gateway.balance()
            #expect(balance == .dollars(1))
        }
    }
}
