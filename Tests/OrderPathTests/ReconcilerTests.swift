import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Runtime
import Testing
import Wire

@testable import ExecutionService

/// Our books and the venue's, before any new order and ever after (CHECKLIST N12).
@Suite(.serialized) struct ReconcilerTests {
    private static let soon = ["RECONCILIATION_CONFIRM_SECS": "0.5", "BALANCE_POLL_SECS": "1"]

    private func store(_ path: OrderPath) -> ReconciliationStore { ReconciliationStore(path.rig.account, at: .kalshi) }

    private func untilVerdict(_ verdict: ReconciliationRecord.Verdict, _ path: OrderPath) async throws {
        try await eventually("verdict \(verdict.rawValue)") {
            try await store(path).read(path.rig.pool)?.verdict == verdict
        }
    }

    /// Asks for a look, and waits for one that began afterwards with this verdict.
    private func look(_ verdict: ReconciliationRecord.Verdict, _ path: OrderPath) async throws -> ReconciliationRecord {
        let wanted = try await store(path).request(path.rig.pool)
        var found: ReconciliationRecord?
        try await eventually("a new look: \(verdict.rawValue)") {
            found = try await store(path).read(path.rig.pool)
            return found.map { $0.lookedAt >= wanted && $0.verdict == verdict } ?? false
        }
        return try #require(found)
    }

    private func count(_ event: String, _ path: OrderPath) async throws -> Int64 {
        try await path.rig.number("SELECT count(*) AS n FROM audit_log WHERE event = \(event)")
    }

    private func engaged(_ path: OrderPath) async throws -> String? {
        try await path.rig.text("SELECT reason AS t FROM kill_switch WHERE engaged")
    }

    private func buy(_ path: OrderPath) async throws {
        path.startSignalProcessor()
        try await path.publish(try path.rig.signal("s1"))
        try await path.untilOrder(.filled)
    }

    // PITFALLS 8, row 27.
    @Test func `a venue that differs by one halts, alerts and engages the kill switch, once`() async throws {
        try await withOrderPath { path in
            path.venue.hold(["game-1-HOME": 1])
            path.startSignalProcessor()
            path.startExecution(Self.soon)
            try await path.untilAlert("reconciliationMismatch")
            try await eventually("engaged") { try await engaged(path) != nil }
            #expect(
                try await engaged(path)
                    == "reconciliation mismatch: position:game-1-HOME ours 0.00, venue's 0.01")
            let record = try #require(try await store(path).read(path.rig.pool))
            #expect(record.verdict == .differs && record.differsSince != nil)
            #expect(
                record.differences == [
                    .init(
                        code: "position", subject: "game-1-HOME", market: "game-1-HOME", ours: 0, venues: 1,
                        isMended: false)
                ])
            #expect(record.haltedFor == ["position:game-1-HOME"])

            // Somebody who releases it is not overruled; there are still no orders.
            _ = try await path.rig.pool.transaction("release") {
                try await KillSwitchStore.change(engaged: false, reason: "a test", by: "test", $0)
            }
            _ = try await look(.differs, path)
            _ = try await look(.differs, path)
            #expect(try await engaged(path) == nil)
            #expect(try await count("reconciliation_mismatch", path) == 1)
            try await path.publish(try path.rig.signal("s1"))
            try await eventually("approved") { try await path.rig.number("SELECT count(*) AS n FROM intents") == 1 }
            #expect(path.venue.submits.isEmpty)

            path.venue.hold(nil)
            try await path.untilOrder(.filled)
            let equal = try await look(.equal, path)
            #expect(equal.haltedFor.isEmpty && equal.differsSince == nil && equal.equalAt != nil)
        }
    }

    @Test func `what was halted for is no news after an outage of the venue, nor to the next life`() async throws {
        try await withOrderPath { path in
            path.venue.hold(["game-1-HOME": 1])
            path.startExecution(Self.soon)
            try await eventually("engaged") { try await engaged(path) != nil }
            _ = try await path.rig.pool.transaction("release") {
                try await KillSwitchStore.change(engaged: false, reason: "a test", by: "test", $0)
            }
            let seen = try await look(.differs, path)
            path.venue.failAccount(true)
            let away = try await look(.unreachable, path)
            #expect(away.haltedFor == ["position:game-1-HOME"] && away.differsSince == seen.differsSince)

            // The next life begins while the venue is away, and finds that the difference lasts.
            await path.stop()
            let told = try path.alerts("reconciliationMismatch")
            path.startExecution(Self.soon)
            _ = try await look(.unreachable, path)
            path.venue.failAccount(false)
            try await eventually("it is told anew") { try path.alerts("reconciliationMismatch") > told }
            let back = try await look(.differs, path)
            #expect(back.haltedFor == ["position:game-1-HOME"])
            #expect(try await engaged(path) == nil, "whoever released it is not overruled")
            #expect(try await count("reconciliation_mismatch", path) == 1)

            // Once the books were equal the same is another difference.
            path.venue.hold(nil)
            _ = try await look(.equal, path)
            path.venue.hold(["game-1-HOME": 1])
            _ = try await look(.differs, path)
            try await eventually("engaged again") { try await engaged(path) != nil }
            #expect(try await count("reconciliation_mismatch", path) == 2)
        }
    }

    @Test func `a look that could not read what was stored writes nothing over it`() async throws {
        try await withOrderPath { path in
            path.venue.hold(["game-1-HOME": 1])
            path.startExecution(Self.soon)
            try await eventually("engaged") { try await engaged(path) != nil }
            let unread = path.counted("reconciliations_total", ["verdict": "unreachable"], by: "execution-service")
            try await eventually("two looks that could not be finished") {
                // Again and again: a look that is under way writes what it has read before.
                try await path.rig.pool.execute("UPDATE reconciliations SET differences = '{}'")
                return path.counted("reconciliations_total", ["verdict": "unreachable"], by: "execution-service")
                    >= unread + 2
            }
            #expect(
                try await path.rig.text("SELECT halted_for::text AS t FROM reconciliations")
                    == #"["position:game-1-HOME"]"#)
            try await path.rig.pool.execute("UPDATE reconciliations SET differences = '[]'")
            _ = try await look(.differs, path)
            #expect(try await count("reconciliation_mismatch", path) == 1)
        }
    }

    // PITFALLS 8, row 26.
    @Test func `a venue that cannot be read drops nothing, alerts in time, and trades when it is back`() async throws {
        try await withOrderPath { path in
            path.venue.failAccount(true)
            path.startSignalProcessor()
            path.startExecution(["RECONCILIATION_ALERT_SECS": "1"])
            try await path.publish(try path.rig.signal("s1"))
            try await path.untilAlert("reconciliationOverdue")
            try await eventually("approved") { try await path.rig.number("SELECT count(*) AS n FROM intents") == 1 }
            #expect(try await store(path).read(path.rig.pool)?.verdict == .unreachable)
            #expect(path.venue.submits.isEmpty)
            #expect(try await path.rig.text("SELECT state AS t FROM intents") == "approved")
            #expect(try await engaged(path) == nil)
            path.venue.failAccount(false)
            try await path.untilOrder(.filled)
        }
    }

    @Test func `what traded under our key though we were told no is adopted and told of`() async throws {
        try await withOrderPath { path in
            path.venue.will(.refusesAndFills)
            path.startSignalProcessor()
            path.startExecution(Self.soon)
            try await path.publish(try path.rig.signal("s1"))
            try await path.untilOrder(.rejected)
            _ = try await look(.equal, path)
            #expect(try await path.rig.number("SELECT net_quantity AS n FROM positions") > 0)
            #expect(try await path.rig.number("SELECT count(*) AS n FROM fills") == 1)
            let order = try #require(try await path.rig.text("SELECT order_id AS t FROM orders"))
            try await path.untilAlert("stragglerOrder:\(order)")
            #expect(try await engaged(path) == nil)
            try await path.rig.expectBooksToBalance()
        }
    }

    @Test func `what rests at the venue though we were told no is taken back`() async throws {
        try await withOrderPath { path in
            path.venue.will(.refusesAndRests)
            path.startSignalProcessor()
            path.startExecution(Self.soon)
            try await path.publish(try path.rig.signal("s1"))
            try await path.untilOrder(.rejected)
            _ = try await look(.equal, path)
            let order = try #require(try await path.rig.text("SELECT order_id AS t FROM orders"))
            #expect(Set(path.venue.cancels.map(\.rawValue)) == ["venue-\(order)"])
            #expect(try await engaged(path) == nil)
        }
    }

    @Test func `the books are compared again when it is time, and nobody has to ask`() async throws {
        try await withOrderPath { path in
            path.startExecution(Self.soon.merging(["RECONCILIATION_INTERVAL_SECS": "1"]) { $1 })
            try await untilVerdict(.equal, path)
            let looks = path.venue.looks
            try await eventually("three looks more") { path.venue.looks >= looks + 3 }
            path.venue.hold(["game-1-HOME": 1])
            try await untilVerdict(.differs, path)
            try await eventually("engaged") { try await engaged(path) != nil }
        }
    }

    @Test func `a fill of nobody we know, in a market we never traded, is kept, told of and halts`() async throws {
        try await withOrderPath { path in
            let stranger = VenueFillState(
                id: "theirs-1", venueOrder: "by-hand", market: "NEVER-TRADED", quantity: .contracts(3),
                yesPrice: .cents(40), bought: .no, at: tipOff)
            path.venue.trade(stranger)
            path.venue.hold(["NEVER-TRADED": -300])
            path.startExecution(Self.soon)
            try await path.untilAlert("foreignFill:theirs-1")
            try await eventually("engaged") { try await engaged(path) != nil }
            let kept = try await store(path).foreignFills(limit: 10, path.rig.pool)
            #expect(
                kept == [
                    ForeignFill(
                        fill: "theirs-1", venueOrder: "by-hand", market: "NEVER-TRADED", bought: "no", yesPrice: 4_000,
                        quantity: 300, venueAt: tipOff.microseconds)
                ])
            #expect(try await count("foreign_fill", path) == 1)
            try await path.untilCounted(1, "foreign_fills_total", by: "execution-service")
            let record = try #require(try await store(path).read(path.rig.pool))
            #expect(record.differences.map(\.name) == ["foreign_fill:theirs-1", "position:NEVER-TRADED"])
            #expect(try await path.rig.number("SELECT count(*) AS n FROM positions") == 0, "it is not ours")

            // A person says that it is rightly there: from then on only what differs from that counts.
            let accepted = try await path.rig.pool.transaction("accept") {
                try await store(path).acceptAll(reason: "bought by hand", by: "test", $0)
            }
            #expect(accepted.count == 2)
            try await untilVerdict(.equal, path)
            #expect(try await count("reconciliation_accepted", path) == 2)
            path.venue.hold(["NEVER-TRADED": -301])
            let again = try await look(.differs, path)
            #expect(again.differences.map(\.venues) == [-1])
            path.venue.hold([:])
            _ = try await look(.equal, path)
        }
    }

    @Test func `the balance may be another, and must stay so; it is stored for whoever sizes`() async throws {
        try await withOrderPath { path in
            path.venue.own(.dollars(5_000))
            path.startExecution(Self.soon)
            let first = try await look(.equal, path)
            #expect(first.balance == Money.dollars(1_000).microdollars)
            #expect(first.venueBalance == Money.dollars(5_000).microdollars)
            #expect(try await count("reconciliation_baseline", path) == 1)
            try await eventually("stored") {
                try await path.rig.number("SELECT available AS n FROM venue_balances") == 5_000_000_000
            }
            path.venue.own(.dollars(5_000) - .cents(1))
            _ = try await look(.equal, path)
            path.venue.own(.dollars(4_990))
            let less = try await look(.differs, path)
            #expect(
                less.differences == [
                    .init(
                        code: "balance", subject: "", ours: Money.dollars(1_000).microdollars,
                        venues: Money.dollars(990).microdollars, isMended: false)
                ])
            _ = try await path.rig.pool.transaction("accept") {
                try await store(path).acceptAll(reason: "withdrawn", by: "test", $0)
            }
            try await untilVerdict(.equal, path)
        }
    }

    // CHECKLIST R88.
    @Test func `an order needs its value and a tenth more at the venue`() async throws {
        try await withOrderPath { path in
            path.startSignalProcessor()
            try await path.publish(try path.rig.signal("s1"))
            try await eventually("approved") { try await path.rig.number("SELECT count(*) AS n FROM intents") == 1 }
            // 96 contracts at 50 cents.
            path.venue.own(try Money(dollars: "52.79"))
            path.startExecution(Self.soon)
            try await eventually("refused") {
                try await path.rig.text("SELECT state AS t FROM intents") == "refused"
            }
            #expect(
                try await path.rig.text(
                    "SELECT details->>'reason' AS t FROM audit_log WHERE event = 'insufficient_balance'")
                    == "insufficient_balance")
            #expect(path.venue.submits.isEmpty)
        }
    }

    @Test(arguments: [-60, 60] as [Int64])
    func `a venue whose clock is off by a minute has the same books`(seconds: Int64) async throws {
        try await withOrderPath { path in
            path.venue.skew(.seconds(seconds))
            path.startExecution(Self.soon)
            try await buy(path)
            for _ in 0..<2 {
                let record = try await look(.equal, path)
                #expect(record.fills == 1 && record.differences.isEmpty && record.comparedTo != nil)
            }
        }
    }

    @Test func `a venue that has paid out and does not tell the result is not read, and no difference`() async throws {
        try await withOrderPath { path in
            path.startExecution(Self.soon)
            try await buy(path)
            _ = try await look(.equal, path)
            path.venue.failOutcomes(true)
            path.venue.settle("game-1-HOME", at: .one)
            let first = try await look(.unreachable, path)
            #expect(first.reason == "what became of game-1-HOME could not be read" && first.differences.isEmpty)
            // Far enough apart to be a lasting difference, if it were one.
            try await eventually("a later look") {
                try await store(path).read(path.rig.pool).map { $0.lookedAt > first.lookedAt + 1_500_000 } ?? false
            }
            _ = try await look(.unreachable, path)
            #expect(try await engaged(path) == nil)
            #expect(try await count("reconciliation_mismatch", path) == 0)
            #expect(path.counted("markets_not_read_total", by: "execution-service") >= 2)
            #expect(try await path.rig.text("SELECT state AS t FROM positions") == "open")
            path.venue.failOutcomes(false)
            _ = try await look(.equal, path)
            #expect(try await path.rig.text("SELECT state AS t FROM positions") == "settled")
        }
    }

    @Test func `a fill that the venue takes back is named`() async throws {
        try await withOrderPath { path in
            path.startExecution(Self.soon)
            try await buy(path)
            _ = try await look(.equal, path)
            path.venue.forget()
            let record = try await look(.differs, path)
            #expect(record.differences.map(\.code) == ["missing_fill", "position"])
            #expect(record.differences.filter(\.isMended).isEmpty)
        }
    }
}
