import Domain
import ExecutionServiceEngine
import Faults
import Foundation
import Hosting
import Postgres
import Runtime
import Testing

@testable import ExecutionService

/// What stands in the way of a plan's orders between their storing and their write, and in their markets
/// (CHECKLIST N13, H28, DESIGN rule 14).
struct LegDeskTests {
    private static let asks: [MarketID: Int64] = ["game-1-HOME": 45, "game-1-AWAY": 45]

    /// Each order that is stored does this first, in its transaction.
    private func whenStored(_ statement: String, _ path: OrderPath) async throws {
        try await path.rig.pool.execute(
            SQL(
                raw: """
                    CREATE FUNCTION when_stored() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                        PERFORM \(statement);
                        RETURN NEW;
                    END $$
                    """))
        try await path.rig.pool.execute(
            "CREATE TRIGGER when_stored BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION when_stored()")
    }

    private func reason(_ path: OrderPath) async throws -> String? {
        try await path.rig.text("SELECT reason AS t FROM orders WHERE attempt = 1")
    }

    /// Waits until the driver of the first plan has looked so often; each look renews the lease.
    private func look(_ times: Int, _ path: OrderPath, meanwhile: () async throws -> Void) async throws {
        var leases: Set<String> = []
        try await eventually("\(times) looks") {
            try await meanwhile()
            let lease = try await path.rig.text(
                "SELECT held_until::text AS t FROM plans ORDER BY created_at LIMIT 1")
            if let lease { leases.insert(lease) }
            return leases.count > times
        }
    }

    @Test func `a kill-switch file that appears after a leg was stored stops it directly before the write`()
        async throws
    {
        try await withOrderPath { path in
            try await whenStored("pg_advisory_xact_lock(4711)", path)
            let away = try await path.startPlanning(["NON_ACCEPTANCE_WAIT_SECS": "40"])
            try await path.rig.pool.transaction("hold") { transaction in
                try await transaction.execute("SELECT pg_advisory_xact_lock(4711)")
                try await path.publish(path.rig.arbitrage("a1", away: away))
                try await path.telling(Self.asks, until: "a leg is being stored") {
                    try await path.rig.number(
                        """
                        SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted
                            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                        """) == 1
                }
                #expect(FileManager.default.createFile(atPath: path.killSwitchFile, contents: nil))
            }
            try await path.untilPlan("flat", Self.asks)
            let stopped = try await reason(path)
            #expect(stopped == "kill_switch_file")
            #expect(path.venue.submits.isEmpty)
            try await path.rig.expectEvenLegs()
        }
    }

    @Test func `a kill-switch file that appears while a leg waits for its connection stops it`() async throws {
        try await withOrderPath { path in
            path.venue.will(.connectsLate)
            let away = try await path.startPlanning([
                "ORDER_SUBMIT_TIMEOUT_MS": "60000", "NON_ACCEPTANCE_WAIT_SECS": "120",
            ])
            try await path.publish(path.rig.arbitrage("a1", away: away))
            try await path.telling(Self.asks, until: "a leg waits for its connection") { path.venue.connecting == 1 }
            #expect(FileManager.default.createFile(atPath: path.killSwitchFile, contents: nil))
            path.venue.release()
            try await path.untilPlan("flat", Self.asks)
            let stopped = try await reason(path)
            #expect(stopped == "kill_switch_file")
            #expect(path.venue.submits.isEmpty)
            try await path.rig.expectEvenLegs()
        }
    }

    @Test func `a leg that was held up on its way to the write is not written, and its plan ends flat`() async throws {
        try await withOrderPath { path in
            // A quarter of the wait of 4 seconds, and a little.
            try await whenStored("pg_sleep(1.1)", path)
            let away = try await path.startPlanning(["NON_ACCEPTANCE_WAIT_SECS": "4"])
            try await path.publish(path.rig.arbitrage("a1", away: away))
            try await path.untilPlan("flat", Self.asks)
            let stopped = try await reason(path)
            #expect(stopped == "held_up")
            #expect(path.venue.submits.isEmpty)
            try await path.rig.expectEvenLegs()
        }
    }

    @Test func `a plan waits as long as somebody has an order in one of its markets`() async throws {
        try await withOrderPath { path in
            let away = try await path.startPlanning()
            path.venue.will(.losesAnswer)
            path.venue.failPages(true)
            let bet = try await path.rig.approve(2, name: "bet")
            try await path.untilOrder(.unknown)
            // Room in the game for what the plan reserves.
            try await path.rig.force("UPDATE reservations SET amount = 2000000")
            try await path.publish(path.rig.arbitrage("a1", away: away))
            try await look(5, path) { for market in Self.asks.keys { try await path.tell(market, ask: 45) } }
            #expect(try await path.rig.number("SELECT count(*) AS n FROM orders") == 1)
            path.venue.failPages(false)
            try await path.untilPlan("complete", Self.asks)
            #expect(
                try await path.rig.number("SELECT count(*) AS n FROM orders WHERE intent_id = \(bet.rawValue)") == 1)
            try await path.rig.expectEvenLegs()
        }
    }

    @Test func `a leg that stands alone is covered from the venue's own book where nobody tells a price`() async throws
    {
        try await withOrderPath { path in
            let away = try await path.rig.addAwayMarket("game-1")
            _ = try await path.abandon(at: .booked, away: away)
            let level = try BookLevel(price: .cents(43), quantity: .contracts(100))
            let other = try BookLevel(price: .cents(55), quantity: .contracts(100))
            for market in ["game-1-HOME", away] {
                path.venue.show(try OrderBook(yesBids: [level], noBids: [other]), of: market)
            }
            path.startExecution(OrderPath.planSettings)
            try await eventually("it is covered") {
                try await path.rig.text("SELECT ending AS t FROM plans") == "complete"
            }
            try await path.rig.expectEvenLegs()
        }
    }

    @Test func `only so many plans are worked on at once, and the others wait for their turn`() async throws {
        try await withOrderPath { path in
            try await path.rig.addGame("game-2")
            let (away, other) = (try await path.startPlanning(["MAX_OPEN_PLANS": "1"]), "game-2-AWAY" as MarketID)
            #expect(try await path.rig.addAwayMarket("game-2") == other)
            func tellAll() async throws {
                for market in ["game-1-HOME", away] { try await path.tell(market, ask: 45) }
                for market in ["game-2-HOME", other] { try await path.tell(market, ask: 45, game: "game-2") }
            }
            func second() async throws -> String? {
                try await path.rig.text("SELECT state AS t FROM plans WHERE game_id = 'game-2'")
            }
            path.venue.will(.losesAnswer)
            path.venue.failPages(true)
            try await path.publish(path.rig.arbitrage("a1", away: away))
            try await eventually("the first one's order is unknown") {
                try await tellAll()
                return try await path.rig.number("SELECT count(*) AS n FROM orders WHERE state = 'unknown'") == 1
            }
            try await path.publish(path.rig.arbitrage("a2", game: "game-2", away: other))
            try await eventually("the second is approved") { try await second() != nil }
            try await look(20, path, meanwhile: tellAll)
            let waiting = try await second()
            #expect(waiting == "approved")
            #expect(path.gauge("plans_at_work", of: "execution-service") == 1)
            path.venue.failPages(false)
            try await eventually("both are complete") {
                try await tellAll()
                return try await path.rig.number("SELECT count(*) AS n FROM plans WHERE ending = 'complete'") == 2
            }
            try await path.rig.expectEvenLegs()
        }
    }

    @Test func `a leg that stands alone while the database is away is told of, and made even when it is back`()
        async throws
    {
        try await withOrderPath { path in
            let (proxy, url) = try await path.rig.behindProxy()
            let away = try await path.startPlanning(["DATABASE_URL": url, "NAKED_PATIENCE_SECS": "0"])
            path.venue.will(.fills, .refuses, .refuses, .refuses, .refuses, .refuses, .refuses)
            try await path.publish(path.rig.arbitrage("a1", away: away))
            try await path.telling(Self.asks, until: "the second leg is refused") { path.venue.submits.count >= 2 }
            // Without a bid there is no way out, nor a book to cover on.
            try await look(20, path) {
                for market in Self.asks.keys { try await path.tell(market, ask: 45, hasBid: false) }
            }
            try await path.untilAlert("nakedLeg:game-1")
            let sent = path.venue.submits.count
            #expect(try path.alerts("nakedLegHeldBack:game-1") == 0)
            try await proxy.refuse()
            try await proxy.reset()
            try await path.untilAlert("nakedLegHeldBack:game-1")
            #expect(path.venue.submits.count == sent)
            try await proxy.listen()
            try await path.untilPlan("complete", Self.asks)
            try await eventually("its end is told") { try path.alerts("nakedLegHeldBack:game-1") == 2 }
            try await path.rig.expectEvenLegs()
            await path.stop()
            try await proxy.close()
        }
    }
}
