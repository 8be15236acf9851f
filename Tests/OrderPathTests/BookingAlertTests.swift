import Bus
import Domain
import ExecutionServiceEngine
import NIOConcurrencyHelpers
import Runtime
import TestKit
import Testing
import Wire

@testable import ExecutionService
@testable import OrderTestKit
@testable import SignalProcessor

/// What an operator must hear of follows from what is committed, whoever dies and whichever answer is lost.
struct BookingAlertTests {
    /// Between the execution-service and its database: the answer to the first commit of a kind is lost.
    private func cutting(_ write: Write, _ path: OrderPath) async throws -> (proxy: TapProxy, url: String) {
        let isCut = NIOLockedValueBox(false)
        let (head, tail) = try #require(Self.parts(of: path.rig.tcp))
        let unknown = UnknownOrders()
        let proxy = try await TapProxy.start(
            to: try #require(Int(tail.prefix { $0 != "/" })), tap: { DatabaseTap(unknown) },
            judge: { seen in
                guard seen == write else { return nil }
                return isCut.withLockedValue { isCut in
                    defer { isCut = true }
                    return isCut ? nil : .answered
                }
            }, kill: {})
        return (proxy, "\(head):\(proxy.port)\(tail.drop { $0 != "/" })")
    }

    /// Before and behind the colon of the port.
    private static func parts(of url: String) -> (String, Substring)? {
        url.lastIndex(of: ":").map { (String(url[..<$0]), url[url.index(after: $0)...]) }
    }

    private func order(_ path: OrderPath) async throws -> String {
        try #require(try await path.rig.text("SELECT order_id AS t FROM orders"))
    }

    /// An order in the books of an earlier life, marked as sent.
    private func send(_ path: OrderPath) async throws -> (store: OrderStore, order: OrderRequest) {
        let store = OrderStore(pool: path.rig.pool, account: path.rig.account, statistics: path.rig.statistics)
        let claim = try await store.claim(
            path.rig.approve(), engine: ExecutionServiceEngine(safeguards: Safeguards()), seen: .clear, marking: true,
            at: tipOff)
        return (store, try #require(claim.claimed).order.request)
    }

    @Test func `an order that is unknown is told of though the answer to its commit was lost`() async throws {
        try await withOrderPath { path in
            path.venue.will(.losesAnswer)
            path.venue.failPages(true)
            let (proxy, url) = try await cutting(.unknownCommit, path)
            path.startSignalProcessor()
            path.startExecution(["DATABASE_URL": url])
            try await path.publish(try path.rig.signal("s1"))
            try await path.untilOrder(.unknown)
            try await path.untilAlert("orderUnknown:\(try await order(path))")
            #expect(proxy.count(.unknownCommit) == 1, "committed, and booked again it was no news")
            path.venue.failPages(false)
            try await path.untilOrder(.filled)
            #expect(try path.alerts("orderUnknown:\(try await order(path))") == 1)
        }
    }

    @Test func `an order that an earlier life left unknown, and told nobody of, is told of by the next`() async throws {
        try await withOrderPath { path in
            path.venue.failPages(true)
            let (store, order) = try await send(path)
            _ = await path.venue.submit(order, deadline: .origin)
            _ = try await store.book(order.id, .unanswered(reason: "timeout"), at: tipOff)
            // Who takes it up tells of it, though nothing says that it was not told.
            try await path.rig.pool.execute("DELETE FROM alerts_to_tell")
            try await path.rig.pool.execute("UPDATE outbox SET published_at = now()")
            path.startExecution()
            try await path.untilAlert("orderUnknown:\(order.id)")
            try await eventually("looked at again and again") {
                path.counted("unknown_order_looks_failed_total", ["code": "other"], by: "execution-service") > 20
            }
            #expect(try path.alerts("orderUnknown:\(order.id)") == 1)
            path.venue.failPages(false)
            try await path.untilOrder(.filled)
        }
    }

    @Test func `what a life that has ended told nobody, is told by the next, and forgotten when it is in a file`()
        async throws
    {
        try await withOrderPath { path in
            let (store, order) = try await send(path)
            _ = try await store.book(order.id, .refused(reason: "no"), at: tipOff)
            let fill = try Fill(
                id: "f1", order: order.id, market: order.market, outcome: order.outcome, action: order.action,
                price: order.limit, quantity: .contracts(1), fee: .zero, at: tipOff)
            let news = OrderNews.accepted("v1", fills: [fill], reported: .contracts(1), rests: false)
            #expect(try await store.book(order.id, news, at: tipOff).alerts.count == 1)
            // The relay has said it, and nobody led who would have taken it.
            try await path.rig.pool.execute("UPDATE outbox SET published_at = now()")
            try await path.rig.pool.execute("UPDATE alerts_to_tell SET created_at = now() - interval '1 minute'")
            path.venue.hold([order.market: 100])
            path.startExecution()
            try await path.untilAlert("stragglerOrder:\(order.id)")
            try await eventually("it is forgotten") {
                try await path.rig.number("SELECT count(*) AS n FROM alerts_to_tell") == 0
            }
            #expect(try path.alerts("stragglerOrder:\(order.id)") == 1)
            try await path.untilCounted(1, "alerts_told_again_total", by: "execution-service")
        }
    }

    @Test func `an order that waits for its fills only, alerts nobody`() async throws {
        try await withOrderPath { path in
            let (store, order) = try await send(path)
            _ = try await store.book(
                order.id, .accepted("v1", fills: [], reported: .contracts(1), rests: false), at: tipOff)
            #expect(try await path.rig.text("SELECT state AS t FROM orders") == "unknown")
            #expect(try await path.rig.number("SELECT count(*) AS n FROM outbox WHERE topic = 'system:alerts'") == 0)
            _ = await path.venue.submit(order, deadline: .origin)
            path.startExecution()
            try await path.untilOrder(.filled)
            #expect(try path.alerts("orderUnknown:\(order.id)") == 0)
        }
    }

    @Test(.timeLimit(.minutes(5)))
    func `what a booking means to people is announced with it, under one name whoever tells it`() async throws {
        try await withOrderPath { path in
            let (store, order) = try await send(path)
            _ = try await store.book(order.id, .refused(reason: "no"), at: tipOff)
            // It trades all the same, and more than was asked for; then this life ends.
            let fill = try Fill(
                id: "f1", order: order.id, market: order.market, outcome: order.outcome, action: order.action,
                price: order.limit, quantity: .contracts(97), fee: .zero, at: tipOff)
            let news = OrderNews.accepted("v1", fills: [fill], reported: .contracts(97), rests: false)
            var alerts: [ExecutionAlert] = []
            for _ in 0..<2 { alerts += try await store.book(order.id, news, at: tipOff).alerts }
            #expect(alerts.count == 2, "booked again it is no news")
            let heard = try await path.bus.subscribe(to: Channels.alerts)
            path.venue.hold([order.market: 9_700])
            path.startExecution()
            var told: [SystemAlert] = []
            for await delivery in heard {
                guard case .message(let envelope, _) = delivery else { continue }
                if ["stragglerOrder", "orderOverfilled"].contains(envelope.body.kind) { told.append(envelope.body) }
                if told.count == 2 { break }
            }
            #expect(told.map(\.id.rawValue).sorted() == alerts.map(\.notice.id).sorted())
            #expect(told.map(\.fingerprint).sorted() == ["orderOverfilled:\(order.id)", "stragglerOrder:\(order.id)"])
            #expect(told.filter { $0.lasting != false || $0.at < 1_700_000_000_000_000 }.isEmpty)
        }
    }
}
