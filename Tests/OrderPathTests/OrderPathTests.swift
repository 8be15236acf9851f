import Domain
import ExecutionServiceEngine
import Foundation
import Hosting
import Postgres
import Resilience
import Runtime
import Testing

@testable import ExecutionService
@testable import SignalProcessor

struct OrderPathTests {
    @Test func `a signal becomes a filled order, a position and, in the end, money`() async throws {
        try await withOrderPath { path in
            path.startSignalProcessor()
            path.startExecution()
            try await path.publish(try path.rig.signal("s1"))
            try await path.publish(try path.rig.signal("s1"))
            try await path.untilOrder(.filled)
            // $50 a game is the limit: 96 contracts cost $48 and $1.68.
            #expect(try await path.rig.number("SELECT cash AS n FROM bankroll") == 950_320_000)
            #expect(try await path.rig.text("SELECT state AS t FROM reservations") == "committed")
            #expect(try await path.rig.text("SELECT state AS t FROM intents") == "done")
            #expect(path.venue.submits.count == 1)
            try await path.rig.expectBooksToBalance()

            path.venue.settle("game-1-HOME", at: .one)
            try await eventually("settled") {
                try await path.rig.text("SELECT state AS t FROM positions") == "settled"
            }
            #expect(try await path.rig.number("SELECT cash AS n FROM bankroll") == 1_046_320_000)
            #expect(try await path.rig.number("SELECT realised AS n FROM positions") == 48_000_000)
            #expect(try await path.rig.text("SELECT status AS t FROM market_mappings") == "settled")
            try await eventually("everything announced") {
                try await path.rig.number("SELECT count(*) AS n FROM outbox WHERE published_at IS NULL") == 0
            }
            let announced = try await path.rig.pool.query("SELECT topic FROM outbox ORDER BY id").map {
                try $0.text("topic")
            }
            #expect(
                announced == [
                    "execution:requests", "execution:results", "execution:results", "positions:updates",
                    "positions:updates",
                ])
            #expect(await path.stop() == [.ok, .ok])
        }
    }

    @Test func `a lost answer is looked for, found once, and never sent twice`() async throws {
        try await withOrderPath { path in
            path.venue.will(.losesAnswer)
            path.venue.failPages(true)
            path.startSignalProcessor()
            path.startExecution()
            try await path.publish(try path.rig.signal("s1"))
            try await path.untilOrder(.unknown)
            #expect(try await path.rig.text("SELECT state AS t FROM reservations") == "held")
            try await path.rig.expectBooksToBalance()
            path.venue.failPages(false)
            try await path.untilOrder(.filled)
            #expect(path.venue.submits.count == 1)
        }
    }

    @Test func `a lost request is proven absent before another attempt is made`() async throws {
        try await withOrderPath { path in
            path.venue.will(.losesRequest, .fillsInPart(10))
            path.startSignalProcessor()
            path.startExecution()
            let began = MachineClock.real.now
            try await path.publish(try path.rig.signal("s1"))
            try await path.untilOrder(.partiallyFilled)
            #expect(MachineClock.real.now.since(began) >= .seconds(1))
            #expect(path.venue.submits.count == 2)
            #expect(Set(path.venue.submits).count == 2)
            #expect(path.venue.accepted == 1)
            #expect(try await path.rig.text("SELECT reason AS t FROM orders WHERE attempt = 1") == "not_accepted")
            #expect(try await path.rig.number("SELECT net_quantity AS n FROM positions") == 1_000)
        }
    }

    // CHECKLIST R91, N14.
    @Test(
        arguments: [(0, "cancelled", "released"), (37, "partially_filled", "committed"), (96, "filled", "committed")]
            as [(Int64, String, String)])
    func `what an immediate order trades is a position to the unit, and nothing stays reserved for the rest`(
        contracts: Int64, state: String, reservation: String
    ) async throws {
        try await withOrderPath { path in
            path.venue.will(.fillsInPart(contracts))
            path.startSignalProcessor()
            path.startExecution()
            try await path.publish(path.rig.signal("s1"))
            try await eventually("ended") {
                try await path.rig.text("SELECT state AS t FROM orders WHERE closed_at IS NOT NULL") == state
            }
            #expect(try await path.rig.number("SELECT filled AS n FROM orders") == contracts * 100)
            #expect(try await path.rig.text("SELECT state AS t FROM reservations") == reservation)
            #expect(try await path.rig.number("SELECT released - amount AS n FROM reservations") == 0)
            let held = try await path.rig.number("SELECT coalesce(sum(net_quantity), 0)::int8 AS n FROM positions")
            #expect(held == contracts * 100)
            let fee = FeeSchedule.kalshi.fee(.contracts(contracts), at: .cents(50))
            let spent = try await path.rig.number("SELECT initial - cash AS n FROM bankroll")
            #expect(spent == (Price.cents(50) * .contracts(contracts) + fee).microdollars)
            try await path.rig.expectBooksToBalance()
        }
    }

    @Test func `a refusal frees the reservation and ends the intent`() async throws {
        try await withOrderPath { path in
            path.venue.will(.refuses)
            path.startSignalProcessor()
            path.startExecution()
            try await path.publish(try path.rig.signal("s1"))
            try await path.untilOrder(.rejected)
            #expect(try await path.rig.text("SELECT state AS t FROM intents") == "refused")
            #expect(try await path.rig.text("SELECT state AS t FROM reservations") == "released")
            #expect(try await path.rig.number("SELECT cash AS n FROM bankroll") == 1_000_000_000)
        }
    }

    @Test func `the kill switch file stops an order directly before the write`() async throws {
        try await withOrderPath { path in
            #expect(FileManager.default.createFile(atPath: path.killSwitchFile, contents: nil))
            path.startSignalProcessor()
            path.startExecution()
            try await path.publish(try path.rig.signal("s1"))
            try await path.untilOrder(.rejected)
            #expect(try await path.rig.text("SELECT reason AS t FROM orders") == "kill_switch_file")
            #expect(path.venue.submits.isEmpty)
            #expect(try await path.rig.text("SELECT state AS t FROM reservations") == "released")
        }
    }

    @Test func `the kill switch file that appears while an order waits for its connection stops it`() async throws {
        try await withOrderPath { path in
            path.venue.will(.connectsLate)
            path.startSignalProcessor()
            path.startExecution(["ORDER_SUBMIT_TIMEOUT_MS": "60000", "NON_ACCEPTANCE_WAIT_SECS": "120"])
            try await path.publish(try path.rig.signal("s1"))
            try await eventually("it waits for its connection") { path.venue.connecting == 1 }
            #expect(FileManager.default.createFile(atPath: path.killSwitchFile, contents: nil))
            path.venue.release()
            try await path.untilOrder(.rejected)
            #expect(try await path.rig.text("SELECT reason AS t FROM orders") == "kill_switch_file")
            #expect(path.venue.submits.isEmpty)
            #expect(try await path.rig.text("SELECT state AS t FROM reservations") == "released")
        }
    }

    @Test func `a kill switch engaged after the approval refuses the intent`() async throws {
        try await withOrderPath { path in
            path.startSignalProcessor()
            try await path.publish(try path.rig.signal("s1"))
            try await eventually("approved") { try await path.rig.number("SELECT count(*) AS n FROM intents") == 1 }
            try await path.rig.pool.execute("UPDATE kill_switch SET engaged = true")
            path.startExecution()
            try await eventually("refused") {
                try await path.rig.text("SELECT state AS t FROM intents") == "refused"
            }
            #expect(try await path.rig.number("SELECT count(*) AS n FROM orders") == 0)
            #expect(path.venue.submits.isEmpty)
        }
    }

    @Test func `an engaged kill switch takes back what rests at the venue`() async throws {
        try await withOrderPath { path in
            path.venue.will(.rests)
            path.startSignalProcessor()
            path.startExecution(["KILL_SWITCH_POLL_MS": "50"])
            try await path.publish(try path.rig.signal("s1"))
            try await path.untilOrder(.resting)
            #expect(path.venue.cancels.isEmpty)
            let changed = try await path.rig.pool.transaction("engage") {
                try await KillSwitchStore.change(engaged: true, reason: "a test", by: "test", $0)
            }
            #expect(changed)
            try await path.untilOrder(.cancelled)
            #expect(!path.venue.cancels.isEmpty && path.venue.submits.count == 1)
            #expect(try await path.rig.text("SELECT state AS t FROM reservations") == "released")
            try await eventually("acknowledged by both") {
                try await path.rig.number(
                    "SELECT count(*) AS n FROM kill_switch_acknowledgements WHERE sees = 'engaged'") == 2
            }
        }
    }

    // CHECKLIST H35.
    @Test func `shadow mode decides everything and sends nothing`() async throws {
        try await withOrderPath { path in
            path.startSignalProcessor()
            path.startExecution(["SHADOW_TRADING": "true"])
            try await path.publish(try path.rig.signal("s1"))
            try await path.untilOrder(.expired)
            #expect(path.venue.submits.isEmpty)
            #expect(try await path.rig.text("SELECT reason AS t FROM orders") == "shadow")
        }
    }

    @Test func `nothing is sent while positions differ from the venue's`() async throws {
        try await withOrderPath { path in
            path.venue.hold(["game-1-HOME": 500])
            path.startSignalProcessor()
            // Too short to last: nothing is engaged for it.
            path.startExecution(["RECONCILIATION_CONFIRM_SECS": "600"])
            try await path.publish(try path.rig.signal("s1"))
            try await eventually("a trace of it") {
                try await path.rig.text("SELECT verdict AS t FROM reconciliations") == "differs"
            }
            try await eventually("approved") { try await path.rig.number("SELECT count(*) AS n FROM intents") == 1 }
            #expect(path.venue.submits.isEmpty)
            #expect(try await path.rig.text("SELECT state AS t FROM intents") == "approved")
            path.venue.hold(nil)
            try await path.untilOrder(.filled)
            #expect(try await path.rig.number("SELECT count(*) AS n FROM kill_switch WHERE engaged") == 0)
        }
    }

    @Test func `orders that a dead process left behind are taken up, and none is sent again`() async throws {
        try await withOrderPath { path in
            path.startSignalProcessor()
            try await path.rig.addGame("game-2")
            try await path.rig.addGame("game-3")
            for (index, game) in (["game-1", "game-2", "game-3"] as [GameID]).enumerated() {
                try await path.publish(try path.rig.signal(SignalID(stringLiteral: "s\(index)"), game: game))
            }
            try await eventually("approved") { try await path.rig.number("SELECT count(*) AS n FROM intents") == 3 }
            let store = OrderStore(pool: path.rig.pool, account: path.rig.account, statistics: path.rig.statistics)
            let engine = ExecutionServiceEngine(safeguards: Safeguards())
            var claimed: [ClaimedOrder] = []
            for intent in try await store.waitingIntents() {
                let claim = try await store.claim(intent, engine: engine, seen: .clear, at: tipOff)
                let again = try await store.claim(intent, engine: engine, seen: .clear, at: tipOff)
                #expect(again.claimed == nil)
                claimed.append(try #require(claim.claimed))
            }
            // The first was never sent, the second was and the venue has it, the third was and never arrived.
            _ = try await store.book(claimed[1].order.request.id, .sent, at: tipOff)
            _ = try await store.book(claimed[2].order.request.id, .sent, at: tipOff)
            path.venue.will(.losesAnswer)
            _ = await path.venue.submit(claimed[1].order.request, deadline: .origin)
            path.startExecution(["MAX_ORDER_ATTEMPTS": "1"])
            try await path.untilOrder(.expired)
            try await path.untilOrder(.filled)
            try await path.untilOrder(.rejected)
            #expect(path.venue.submits == [claimed[1].order.request.id])
            #expect(try await path.rig.number("SELECT count(*) AS n FROM reservations WHERE state = 'held'") == 0)
        }
    }

    // CHECKLIST R86.
    @Test func `claims of one intent at once make one order, and news booked twice changes nothing`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let signals = SignalStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        _ = try await signals.process(
            try rig.signal("s1"), trace: nil, engine: .init(limits: .init()), at: tipOff)
        let store = OrderStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        let engine = ExecutionServiceEngine(safeguards: Safeguards())
        let intent = try #require(try await store.waitingIntents().first)
        let claims = try await withThrowingTaskGroup(of: ClaimedOrder?.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    try await store.claim(intent, engine: engine, seen: .clear, at: tipOff).claimed
                }
            }
            var claims: [ClaimedOrder] = []
            for try await claim in group { if let claim { claims.append(claim) } }
            return claims
        }
        #expect(claims.count == 1)
        let order = try #require(claims.first).order
        let news = await FakeVenue().submit(order.request, deadline: .origin)
        _ = try await store.book(order.request.id, .sent, at: tipOff)
        for _ in 0..<3 { _ = try await store.book(order.request.id, news, at: tipOff) }
        try await rig.expectBooksToBalance()
        #expect(try await rig.number("SELECT count(*) AS n FROM fills") == 1)
        #expect(try await rig.number("SELECT value AS n FROM daily_stats WHERE key = 'fills'") == 1)
        _ = try await store.settle(order.request.market, at: .zero, voided: false, now: tipOff)
        #expect(try await store.settle(order.request.market, at: .zero, voided: false, now: tipOff) == .nothingHeld)
        try await rig.expectBooksToBalance()
        #expect(try await rig.number("SELECT realised AS n FROM bankroll") == -48_000_000)
        await rig.pool.close(grace: .milliseconds(100))
    }

    @Test func `a fill that comes after the settlement is paid out, and the position stays settled`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let signals = SignalStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        _ = try await signals.process(try rig.signal("s1"), trace: nil, engine: .init(limits: .init()), at: tipOff)
        let store = OrderStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        let intent = try #require(try await store.waitingIntents().first)
        let claim = try await store.claim(
            intent, engine: ExecutionServiceEngine(safeguards: Safeguards()), seen: .clear, at: tipOff)
        let order = try #require(claim.claimed).order.request
        func fill(_ id: FillID, _ contracts: Int64) throws -> Fill {
            try Fill(
                id: id, order: order.id, market: order.market, outcome: .yes, action: .buy, price: .cents(50),
                quantity: .contracts(contracts), fee: .zero, at: tipOff)
        }
        func hear(_ fill: Fill, reported: Int64) async throws {
            let news = OrderNews.accepted("v1", fills: [fill], reported: .contracts(reported), rests: false)
            for _ in 0..<2 { _ = try await store.book(order.id, news, at: tipOff) }
        }
        _ = try await store.book(order.id, .sent, at: tipOff)
        try await hear(fill("f1", 10), reported: 10)
        #expect(try await store.settle(order.market, at: .one, voided: false, now: tipOff) == .paid)
        try await hear(fill("f2", 5), reported: 15)
        #expect(try await rig.text("SELECT state AS t FROM positions") == "settled")
        #expect(try await rig.number("SELECT net_quantity AS n FROM positions") == 0)
        #expect(try await rig.number("SELECT realised AS n FROM bankroll") == 7_500_000)
        #expect(try await store.settle(order.market, at: .one, voided: false, now: tipOff) == .nothingHeld)
        try await rig.expectBooksToBalance()
        await rig.pool.close(grace: .milliseconds(100))
    }
}
