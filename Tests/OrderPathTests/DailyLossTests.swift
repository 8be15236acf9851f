import Domain
import Hosting
import Postgres
import Runtime
import SignalProcessorEngine
import Testing
import Wire

@testable import ExecutionService
@testable import SignalProcessor

/// Warned at 80 %, halted at 100 %, by a kill switch that outlives whoever engaged it (CHECKLIST R93, N17).
struct DailyLossTests {
    private func lose(_ dollars: Int64, _ rig: Rig) async throws {
        try await rig.pool.transaction("loss") { transaction in
            try await rig.statistics.add(["paper:realised": -dollars * 1_000_000], at: tipOff, transaction)
        }
    }

    private func isEngaged(_ rig: Rig) async throws -> Bool {
        try await rig.number("SELECT count(*) AS n FROM kill_switch WHERE engaged") == 1
    }

    @Test func `the loss of the day warns, then engages the kill switch once, and a release holds over restarts`()
        async throws
    {
        try await withOrderPath { path in
            let rig = path.rig
            path.startSignalProcessor(["DAILY_LOSS_INTERVAL_SECS": "0.05"])
            // Venue time comes from a signal; this one is refused.
            try await path.publish(try rig.signal("s1", epoch: Epoch.first.next))
            try await eventually("decided") { try await rig.number("SELECT count(*) AS n FROM signals") == 1 }
            try await lose(85, rig)
            try await path.untilAlert("dailyLossWarning")
            #expect(try await !isEngaged(rig))
            try await lose(15, rig)
            try await eventually("engaged") { try await isEngaged(rig) }
            try await path.untilAlert("dailyLossExceeded")
            #expect(try await rig.text("SELECT reason AS t FROM kill_switch")?.hasPrefix("daily loss") == true)
            #expect(try await rig.text("SELECT changed_by AS t FROM kill_switch") == "signal-processor/1")
            try await eventually("announced") {
                try await rig.number(
                    """
                    SELECT count(*) AS n FROM outbox
                    WHERE topic = 'trading:kill_switch' AND published_at IS NOT NULL
                    """) == 1
            }
            #expect(await path.stop() == [.ok])

            // Whoever releases it has seen the loss: neither this life nor the next overrules them on that day.
            try await rig.pool.execute("UPDATE kill_switch SET engaged = false, reason = 'seen', changed_by = 'op'")
            path.startSignalProcessor(["DAILY_LOSS_INTERVAL_SECS": "0.05"])
            try await rig.addGame("game-2")
            try await path.publish(try rig.signal("s2", game: "game-2"))
            try await eventually("entries stay refused") {
                try await rig.text("SELECT verdict AS t FROM signals WHERE signal_id = 's2'") == "daily_loss"
            }
            #expect(try await !isEngaged(rig))
            let events = try await rig.pool.query("SELECT event FROM audit_log ORDER BY id").map {
                try $0.text("event")
            }
            #expect(
                events.filter { $0 != "signal_refused" && $0 != "daily_loss_warning" } == [
                    "daily_loss_exceeded", "kill_switch_activated",
                ])
            #expect(events.contains("daily_loss_warning"))
        }
    }

    @Test func `a deeper limit engages the kill switch again, and what is told is what was done`() async throws {
        try await withOrderPath { path in
            let rig = path.rig
            func release() async throws {
                _ = try await rig.pool.transaction("release") {
                    try await KillSwitchStore.change(engaged: false, reason: "seen", by: "op", $0)
                }
            }
            /// What was told of the limit, in the order of telling.
            func told() throws -> [Bool] {
                try path.alertLines("dailyLossExceeded").filter { $0.contains("has reached its limit") }
                    .map { $0.contains("the kill switch is engaged") }
            }
            path.startSignalProcessor(["DAILY_LOSS_INTERVAL_SECS": "0.05"])
            try await path.publish(try rig.signal("s1", epoch: Epoch.first.next))
            try await eventually("decided") { try await rig.number("SELECT count(*) AS n FROM signals") == 1 }
            try await lose(100, rig)
            try await path.untilAlert("dailyLossExceeded")
            #expect(try await isEngaged(rig))
            #expect(try told() == [true])

            try await release()
            let row = try await rig.pool.transaction("deeper") {
                try await RuntimeLimits.set("MAX_DAILY_LOSS", to: "150", reason: "a test", by: "test", $0)
            }
            try await eventually("taken") {
                try await RuntimeLimits.takers(since: row, rig.pool) == ["signal-processor/1"]
            }
            #expect(try await !isEngaged(rig))
            try await lose(50, rig)
            try await eventually("engaged again") { try await isEngaged(rig) }
            try await eventually("told again") { try told() == [true, true] }
            #expect(await path.stop() == [.ok])

            try await release()
            path.startSignalProcessor(["DAILY_LOSS_INTERVAL_SECS": "0.05"])
            try await path.publish(try rig.signal("s2", epoch: Epoch.first.next))
            try await eventually("told what stays released") { try told() == [true, true, false] }
            #expect(try await !isEngaged(rig))
            let engaged = try await rig.number(
                "SELECT count(*) AS n FROM audit_log WHERE event = 'daily_loss_exceeded'")
            #expect(engaged == 2)
        }
    }

    @Test func `a marked loss halts too, once for several processes`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        try await rig.hold(300, in: "game-1", cost: .dollars(180))
        let store = SignalStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        let standing = try await store.dayStanding(marks: rig.mark(20, of: "game-1"), at: tipOff)
        #expect(standing.day == "2026-04-20" && standing.realised == .zero)
        var watch = DailyLossWatch(limit: .dollars(100))
        let step = watch.observe(realised: standing.realised, marked: standing.marked, on: standing.day)
        guard case .halt(let loss) = step else { throw NeverCame(description: "a halt: \(step as Any)") }
        #expect(loss > .dollars(120))
        let halts = try await withThrowingTaskGroup(of: LossHalt.self) { group in
            for number in 0..<5 {
                group.addTask {
                    try await store.halt(for: loss, limit: .dollars(100), by: "signal-processor/\(number)", at: tipOff)
                }
            }
            return try await group.reduce(into: [LossHalt: Int]()) { $0[$1, default: 0] += 1 }
        }
        #expect(halts == [.engaged: 1, .stands: 4])
        #expect(try await isEngaged(rig))
        #expect(try await rig.number("SELECT count(*) AS n FROM outbox WHERE topic = 'trading:kill_switch'") == 1)
    }
}

struct MarkBookTests {
    private func price(_ bid: Int64?, _ ask: Int64?, _ market: MarketID = "m", after seconds: Int64 = 0) throws
        -> PriceUpdate
    {
        try PriceUpdate(
            game: "g", market: market,
            yesBid: bid.map { try BookLevel(price: .cents($0), quantity: .contracts(1)) },
            yesAsk: ask.map { try BookLevel(price: .cents($0), quantity: .contracts(1)) },
            at: tipOff.advanced(by: .seconds(seconds)))
    }

    @Test func `a missing side is worth the least it can be, a lost or crossed book nothing, and news never ages`()
        throws
    {
        var book = MarkBook()
        book.observe(try price(40, 42))
        #expect(book.marks["m"] == PortfolioMark.Mark(yesBid: .cents(40), yesAsk: .cents(42), at: tipOff))
        book.observe(try price(10, 12, after: -1))
        #expect(book.marks["m"]?.yesBid == .cents(40))
        book.observe(try price(nil, 42, after: 1))
        #expect(book.marks["m"]?.yesBid == .zero)
        book.observe(try price(40, nil, after: 2))
        #expect(book.marks["m"]?.yesAsk == .one)
        book.observe(try price(44, 42, after: 3))
        #expect(book.marks["m"] == nil)
        book.observe(try price(40, 42, after: 4))
        book.observe(try price(nil, nil, after: 5))
        #expect(book.marks["m"] == nil)
    }

    @Test func `more markets than are kept have no mark until old ones are forgotten`() throws {
        var book = MarkBook()
        for number in 0..<MarkBook.capacity {
            book.observe(try price(40, 42, MarketID(stringLiteral: "m\(number)")))
        }
        let isKept = book.observe(try price(40, 42, "one-more", after: 3_600))
        #expect(!isKept && book.marks["one-more"] == nil)
        book.observe(try price(40, 42, "m0", after: 3_601))
        let isKeptThen = book.observe(try price(40, 42, "one-more", after: 3_601))
        #expect(isKeptThen && book.marks.count == 2)
    }
}
