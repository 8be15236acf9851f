import Domain
import ExecutionServiceEngine
import Hosting
import Resilience
import Runtime
import Testing

@testable import ExecutionService
@testable import SignalProcessor

/// A venue that calls a fill matched before it is certain, and takes it back (PITFALLS 8, row 14).
struct ReversalTests {
    private let market: MarketID = "game-1-HOME"
    private let later = tipOff.advanced(by: .seconds(20))

    private func withStore(_ body: (Rig, OrderStore) async throws -> Void) async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let store = OrderStore(
            pool: rig.pool, account: rig.account, statistics: rig.statistics, fillStanding: .provisional)
        try await rig.buy(96, at: 50, store)
        try await body(rig, store)
        try await rig.expectBooksToBalance()
        await rig.pool.close(grace: .milliseconds(100))
    }

    private func sell(_ rig: Rig, _ store: OrderStore, bid: Int64) async throws -> OrderID {
        let price = try rig.price(of: "game-1", bid: bid, ask: bid + 2, at: later)
        let item = try #require(try await store.askExit(of: market, ExitPolicy(), price: price, at: later))
        let claim = try await store.claim(
            item.intent, engine: ExecutionServiceEngine(safeguards: Safeguards()), seen: .clear, at: later)
        let order = try #require(claim.claimed).order
        _ = try await store.book(order.request.id, .sent, at: later)
        _ = try await store.book(
            order.request.id, await FakeVenue().submit(order.request, deadline: .origin), at: later)
        return order.request.id
    }

    @Test func `a fill that is taken back never was, once`() async throws {
        try await withStore { rig, store in
            let fill = try #require(try await store.provisionalFills().first)
            let booking = try #require(try await store.reverse([fill.id], of: fill.order, now: later))
            #expect(booking.position.isFlat && booking.reversed.map(\.id) == [fill.id])
            #expect(try await rig.number("SELECT cash AS n FROM bankroll") == 1_000_000_000)
            #expect(try await rig.number("SELECT fees AS n FROM bankroll") == 0)
            #expect(try await rig.text("SELECT state AS t FROM orders") == "cancelled")
            #expect(try await rig.text("SELECT state AS t FROM positions") == "closed")
            let day = try await rig.number("SELECT value AS n FROM daily_stats WHERE key = 'paper:fees'")
            #expect(day == 0)
            #expect(try await store.reverse([fill.id], of: fill.order, now: later) == nil)
            #expect(try await store.provisionalFills().isEmpty)
            #expect(try await rig.number("SELECT count(*) AS n FROM audit_log WHERE event = 'fill_reversed'") == 1)
            // The venue tells of it again: it is known, and stays taken back.
            let order = try #require(try await rig.text("SELECT order_id AS t FROM orders"))
            let row = try #require(try await rig.pool.first("SELECT * FROM orders WHERE order_id = \(order)"))
            let news = await FakeVenue().submit(try OrderRecord(row).request, deadline: .origin)
            _ = try await store.book(fill.order, news, at: later)
            #expect(try await rig.number("SELECT cash AS n FROM bankroll") == 1_000_000_000)
        }
    }

    @Test func `a fill that was taken back is not missed at the venue, and is no close of a position`() async throws {
        try await withStore { rig, store in
            let fill = try #require(try await store.provisionalFills().first)
            let nothing = VenueSnapshot(orders: [], fills: [], positions: [:], balance: .dollars(1_000))
            let before = try await store.own(of: nothing, since: nil)
            #expect(before.expectedFills == [fill.id] && before.provisional == [fill])
            #expect(
                Reconciliation.look(before, nothing)
                    == .unreachable(reason: "what became of \(fill.id) could not be read"))
            _ = try await store.reverse([fill.id], of: fill.order, now: later)
            let after = try await store.own(of: nothing, since: nil)
            #expect(after.expectedFills.isEmpty && after.provisional.isEmpty)
            #expect(Reconciliation.look(after, nothing) == .compared([], inFlight: 0, open: 0))
        }
    }

    @Test func `what is confirmed cannot be taken back`() async throws {
        try await withStore { rig, store in
            let fill = try #require(try await store.provisionalFills().first)
            try await store.confirm([fill.id])
            try await store.confirm([fill.id])
            #expect(try await store.reverse([fill.id], of: fill.order, now: later) == nil)
            #expect(try await rig.number("SELECT net_quantity AS n FROM positions") == 9_600)
        }
    }

    @Test func `a purchase taken back after its exit leaves what was sold, and nothing put aside`() async throws {
        try await withStore { rig, store in
            let bought = try #require(try await store.provisionalFills().first)
            _ = try await sell(rig, store, bid: 71)
            #expect(try await rig.number("SELECT saved AS n FROM bankroll") > 0)
            #expect(try await store.reverse([bought.id], of: bought.order, now: later) != nil)
            // Sold without having held: that is NO, at the complement of the price.
            #expect(try await rig.number("SELECT net_quantity AS n FROM positions") == -9_600)
            #expect(try await rig.number("SELECT cost AS n FROM positions") == 96 * 300_000)
            #expect(try await rig.text("SELECT state AS t FROM positions") == "open")
            #expect(try await rig.number("SELECT saved AS n FROM bankroll") == 0)
        }
    }

    @Test func `a fill taken back after the settlement takes its pay-out with it`() async throws {
        try await withStore { rig, store in
            let fill = try #require(try await store.provisionalFills().first)
            #expect(try await store.settle(market, at: .one, voided: false, now: later) == .paid)
            #expect(try await store.reverse([fill.id], of: fill.order, now: later) != nil)
            #expect(try await rig.number("SELECT cash AS n FROM bankroll") == 1_000_000_000)
            #expect(try await rig.text("SELECT state AS t FROM positions") == "settled")
        }
    }

    @Test func `a fill taken back in a market that was paid back opens nothing and costs nothing`() async throws {
        try await withStore { rig, store in
            try await rig.buy(10, at: 40, store, name: "s2")
            let fills = try await store.provisionalFills()
            #expect(fills.count == 2)
            #expect(try await store.settle(market, at: nil, voided: true, now: later) == .paid)
            #expect(try await rig.number("SELECT cash AS n FROM bankroll") == 1_000_000_000)
            for fill in fills {
                let booking = try #require(try await store.reverse([fill.id], of: fill.order, now: later))
                #expect(booking.account == AccountChange() && booking.position.isFlat)
                #expect(try await rig.number("SELECT cash AS n FROM bankroll") == 1_000_000_000)
                #expect(try await rig.number("SELECT net_quantity + cost + fees AS n FROM positions") == 0)
                #expect(try await rig.text("SELECT state AS t FROM positions") == "settled")
                try await rig.expectBooksToBalance()
            }
        }
    }

    @Test func `the service asks until a fill is confirmed or taken back, and tells of it`() async throws {
        try await withOrderPath { path in
            try await path.rig.addGame("game-2")
            path.venue.callFillsProvisional()
            for game in ["game-1", "game-2"] as [GameID] { try await path.rig.approve(in: game, name: "s-\(game)") }
            path.startExecution(["PROVISIONAL_FILL_POLL_MS": "50"])
            try await path.untilOrder(.filled, 2)
            let fills = try await path.rig.pool.query(
                "SELECT fill_id, order_id FROM fills WHERE standing = 'provisional' ORDER BY market_id")
            #expect(fills.count == 2)
            path.venue.stand(try FillID(fills[0].text("fill_id")), .confirmed)
            path.venue.stand(try FillID(fills[1].text("fill_id")), .reversed)
            try await eventually("both are certain") {
                try await path.rig.number("SELECT count(*) AS n FROM fills WHERE standing = 'provisional'") == 0
            }
            #expect(try await path.rig.number("SELECT count(*) AS n FROM positions WHERE net_quantity > 0") == 1)
            try await path.untilAlert("fillReversed:\(fills[1].text("order_id"))")
        }
    }
}
