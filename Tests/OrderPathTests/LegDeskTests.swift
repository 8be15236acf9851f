import Domain
import ExecutionServiceEngine
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

    @Test func `a leg that was held up on its way to the write is not written, and its plan ends flat`() async throws {
        try await withOrderPath { path in
            // A quarter of the wait of 4 seconds, and a little.
            try await whenStored("pg_sleep(1.1)", path)
            let away = try await path.startPlanning()
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
            var looks: Set<String> = []
            try await path.telling(Self.asks, until: "it has looked at its markets") {
                // Each look renews the lease.
                if let held = try await path.rig.text("SELECT held_until::text AS t FROM plans") { looks.insert(held) }
                return looks.count > 5
            }
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
}
