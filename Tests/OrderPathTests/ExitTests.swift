import Domain
import ExecutionServiceEngine
import Hosting
import Runtime
import Testing
import Wire

@testable import ExecutionService
@testable import SignalProcessor

/// Positions sold before their market ends (CHECKLIST R94, N17).
struct ExitTests {
    private let later = tipOff.advanced(by: .seconds(20))

    /// A store with one position: contracts at cents of the outcome, below zero in NO.
    private func withPosition(
        _ contracts: Int64, at cents: Int64, _ body: (Rig, OrderStore) async throws -> Void
    ) async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let store = OrderStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        try await rig.buy(contracts, at: cents, store)
        try await body(rig, store)
        try await rig.expectBooksToBalance()
        await rig.pool.close(grace: .milliseconds(100))
    }

    private func claim(
        _ item: OrderQueue.Item, _ store: OrderStore, at now: VenueInstant
    ) async throws -> OrderRecord {
        let engine = ExecutionServiceEngine(safeguards: Safeguards())
        return try #require(
            try await store.claim(item.intent, engine: engine, seen: .clear, at: now).claimed
        ).order
    }

    /// Sends an order to a venue that fills it as it is told.
    private func fill(_ order: OrderRecord, _ store: OrderStore, _ manner: FakeVenue.Manner = .fills) async throws {
        _ = try await store.book(order.request.id, .sent, at: later)
        let venue = FakeVenue()
        venue.will(manner)
        _ = try await store.book(order.request.id, await venue.submit(order.request, deadline: .origin), at: later)
    }

    @Test(arguments: [(96, 54, 56, 53), (-96, 44, 46, 53)] as [(Int64, Int64, Int64, Int64)])
    func `a profit is taken to the cent, in YES and in NO, and half of it is put aside`(
        contracts: Int64, bid: Int64, ask: Int64, sold: Int64
    ) async throws {
        try await withPosition(contracts, at: 50) { rig, store in
            let price = try rig.price(of: "game-1", bid: bid, ask: ask, at: later)
            let item = try #require(
                try await store.askExit(of: "game-1-HOME", ExitPolicy(), price: price, at: later))
            #expect(item.priority == .takeProfit && item.account == "kalshi")
            let order = try await claim(item, store, at: later)
            #expect(order.request.action == .sell && order.request.limit == .cents(sold))
            #expect(order.request.quantity == .contracts(96))
            try await fill(order, store)
            // Bought at 50, sold at 53; a fee of 1.68 each time: 0.07 × 96 × p × (1 − p), up to the cent.
            let fees = Money.cents(168 + 168)
            let cash = Money.dollars(1_000) + .cents(288) - fees
            #expect(try await rig.number("SELECT cash AS n FROM bankroll") == cash.microdollars)
            #expect(try await rig.number("SELECT realised AS n FROM positions") == 2_880_000)
            #expect(try await rig.text("SELECT state AS t FROM positions") == "closed")
            // 2.88 less 3.36 is a loss, of which nothing is put aside.
            #expect(try await rig.number("SELECT saved AS n FROM bankroll") == 0)
            #expect(try await store.askExit(of: "game-1-HOME", ExitPolicy(), price: price, at: later) == nil)
        }
    }

    @Test func `half of each trade's profit after fees is put aside, and a loss takes nothing back`() async throws {
        try await withPosition(96, at: 50) { rig, store in
            func sell(bid: Int64) async throws {
                let price = try rig.price(of: "game-1", bid: bid, ask: bid + 2, at: later)
                let item = try #require(
                    try await store.askExit(of: "game-1-HOME", ExitPolicy(), price: price, at: later))
                try await fill(claim(item, store, at: later), store)
            }
            try await sell(bid: 71)
            // 20 cents on 96 contracts, less 1.68 and 1.42 of fees: half of 16.10.
            let saved = try await rig.number("SELECT saved AS n FROM bankroll")
            let net = try await rig.number("SELECT realised - fees AS n FROM bankroll")
            #expect(net == 16_100_000 && saved == net / 2)
            let spendable = try await rig.pool.transaction("look") { try await rig.account.lock($0).microdollars }
            #expect(try await spendable == rig.number("SELECT cash AS n FROM bankroll") - saved)
            try await rig.buy(96, at: 50, store, name: "s2")
            try await sell(bid: 40)
            #expect(try await rig.number("SELECT saved AS n FROM bankroll") == saved)
            try await rig.buy(96, at: 50, store, name: "s3")
            _ = try await store.settle("game-1-HOME", at: .one, voided: false, now: later)
            let third = (48_000_000 - 1_680_000) / 2
            #expect(try await rig.number("SELECT saved AS n FROM bankroll") == saved + Int64(third))
        }
    }

    @Test func `a loss is stopped, what was not sold is asked for again, and nothing is asked for twice`()
        async throws
    {
        try await withPosition(96, at: 50) { rig, store in
            let price = try rig.price(of: "game-1", bid: 46, ask: 48, at: later)
            let items = try await withThrowingTaskGroup(of: OrderQueue.Item?.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        try await store.askExit(of: "game-1-HOME", ExitPolicy(), price: price, at: later)
                    }
                }
                var items: [OrderQueue.Item] = []
                for try await item in group { if let item { items.append(item) } }
                return items
            }
            #expect(items.count == 1)
            let item = try #require(items.first)
            #expect(item.priority == .stopLoss)
            #expect(try await store.waiting() == [item], "a restart finds it")
            let order = try await claim(item, store, at: later)
            #expect(try await store.askExit(of: "game-1-HOME", ExitPolicy(), price: price, at: later) == nil)
            try await fill(order, store, .fillsInPart(40))
            let rest = try #require(
                try await store.askExit(of: "game-1-HOME", ExitPolicy(), price: price, at: later))
            #expect(rest.intent != item.intent)
            let again = try await claim(rest, store, at: later)
            #expect(again.request.quantity == .contracts(56))
            try await fill(again, store)
            #expect(try await rig.number("SELECT net_quantity AS n FROM positions") == 0)
            #expect(try await rig.number("SELECT count(*) AS n FROM audit_log WHERE event = 'exit_requested'") == 2)
            let counted = try await rig.number("SELECT value AS n FROM daily_stats WHERE key = 'exits:stop_loss'")
            #expect(counted == 2)
        }
    }

    @Test func `a stop does not wait behind a profit that was missed`() async throws {
        try await withPosition(96, at: 50) { rig, store in
            func ask(bid: Int64) async throws -> OrderQueue.Item? {
                let price = try rig.price(of: "game-1", bid: bid, ask: bid + 2, at: later)
                return try await store.askExit(of: "game-1-HOME", ExitPolicy(), price: price, at: later)
            }
            let profit = try #require(try await ask(bid: 55))
            #expect(try await ask(bid: 54) != nil, "its limit was missed")
            let stop = try #require(try await ask(bid: 45))
            #expect(stop.priority == .stopLoss)
            #expect(try await store.waiting().map(\.intent) == [stop.intent])
            let ended = try await rig.text(
                "SELECT state AS t FROM intents WHERE intent_id = \(profit.intent.rawValue)")
            #expect(ended == "expired")
        }
    }

    @Test func `in shadow mode each reason is followed once for a position`() async throws {
        try await withPosition(96, at: 50) { rig, store in
            let policy = ExitPolicy(isShadow: true)
            func ask() async throws -> OrderQueue.Item? {
                let price = try rig.price(of: "game-1", bid: 45, ask: 47, at: later)
                return try await store.askExit(of: "game-1-HOME", policy, price: price, at: later)
            }
            let order = try await claim(#require(try await ask()), store, at: later)
            _ = try await store.book(order.request.id, .notSent(reason: "shadow"), at: later)
            #expect(try await ask() == nil)
        }
    }

    @Test func `scripted prices stop a loss and take a profit, over a restart, while entries are refused`() async throws
    {
        try await withOrderPath { path in
            try await path.rig.addGame("game-2")
            try await path.rig.addGame("game-3")
            try await path.rig.addGame("game-4")
            for game in ["game-1", "game-2", "game-4"] as [GameID] {
                try await path.rig.approve(in: game, name: "s-\(game)")
            }
            path.startExecution(["EXITS_ENABLED": "false"])
            try await path.untilOrder(.filled, 3)
            await path.stop()
            // The loss of the day refuses entries, and engages the kill switch; exits pass
            // (CHECKLIST N17, decision 0083).
            path.startSignalProcessor(["MAX_DAILY_LOSS": "1"])
            path.startExecution(["EXIT_CHECK_INTERVAL_SECS": "0.1"])
            try await eventually("the loss is stopped") {
                try await path.publishPrice(of: "game-1", bid: 30, ask: 32, at: later)
                try await path.publishPrice(of: "game-2", bid: 50, ask: 52, at: later)
                return try await path.rig.number("SELECT count(*) AS n FROM positions WHERE state = 'closed'") == 1
            }
            try await eventually("the profit is taken") {
                try await path.publishPrice(of: "game-2", bid: 60, ask: 62, at: later)
                return try await path.rig.number("SELECT count(*) AS n FROM positions WHERE state = 'closed'") == 2
            }
            let reasons = try await path.rig.pool.query(
                "SELECT exit_reason FROM intents WHERE exit_reason IS NOT NULL ORDER BY created_at"
            ).map { try $0.text("exit_reason") }
            #expect(reasons == ["stop_loss", "take_profit"])
            #expect(try await path.rig.number("SELECT count(*) AS n FROM orders WHERE reduces") == 2)
            try await path.publish(path.rig.signal("s-late", game: "game-3"))
            try await eventually("the entry is refused") {
                let verdict = try await path.rig.text("SELECT verdict AS t FROM signals WHERE signal_id = 's-late'")
                return verdict == "daily_loss" || verdict == "kill_switch"
            }
            try await eventually("halted") {
                try await path.rig.pool.transaction("look") { try await KillSwitchStore.read($0) } == .reduceOnly
            }
            // A person who stops everything stops exits too, and another loss does not loosen that.
            for limit in [1, 2] as [Int64] {
                let changed = try await path.rig.pool.transaction("engage") {
                    try await KillSwitchStore.change(
                        engaged: true, reduceOnly: limit == 2, reason: "a test", by: "op", $0)
                }
                #expect(changed == (limit == 1))
            }
            try await eventually("both have seen it") {
                try await path.rig.number(
                    """
                    SELECT count(*) AS n FROM kill_switch_acknowledgements
                    WHERE sees = 'engaged' AND reduce_only_at IS NULL
                    """) == 2
            }
            try await eventually("it is looked at, and stays") {
                try await path.publishPrice(of: "game-4", bid: 60, ask: 62, at: later)
                return try path.alerts("exitHeldBack:game-4-HOME") == 1
            }
            #expect(try await path.rig.number("SELECT count(*) AS n FROM positions WHERE state = 'closed'") == 2)
            _ = try await path.rig.pool.transaction("release") {
                try await KillSwitchStore.change(engaged: false, reason: "a test", by: "op", $0)
            }
            try await eventually("released, it is sold") {
                try await path.publishPrice(of: "game-4", bid: 60, ask: 62, at: later)
                return try await path.rig.number("SELECT count(*) AS n FROM positions WHERE state = 'closed'") == 3
            }
        }
    }
}
