import Domain
import ExecutionServiceEngine
import Hosting
import OrderTestKit
import Postgres
import Testing

@testable import ExecutionService

/// What holds the rehearsals' books to account can itself fail: each rule is broken once, past the schema's own guards.
struct BooksCheckTests {
    /// A rule, and what breaks it in books that were whole.
    struct Damage: Sendable, CustomTestStringConvertible {
        let what: String
        let sql: [SQL]

        init(_ what: String, _ sql: SQL...) { (self.what, self.sql) = (what, sql) }

        var testDescription: String { what }
    }

    private static let damages = [
        // CHECKLIST H5: what a rejected order had reserved was kept.
        Damage(
            "reservations kept by intents that have ended",
            "UPDATE reservations SET state = 'held', released = 0, closed_at = NULL WHERE reservation_id = 'rejected'"),
        Damage(
            "reservations left over",
            "UPDATE reservations SET state = 'held', released = 0, closed_at = NULL WHERE reservation_id = 'rejected'"),
        Damage(
            "intents that live without what they reserved",
            "UPDATE intents SET state = 'sending' WHERE intent_id = 'rejected'"),
        Damage("microdollars by which cash is off", "UPDATE bankroll SET cash = cash + 1"),
        Damage("intents without an end", "UPDATE intents SET state = 'approved' WHERE intent_id = 'rejected'"),
        Damage(
            "plans without an end",
            """
            INSERT INTO plans (plan_id, signal_id, reservation_id, game_id, approved, venue_expires_at, expires_at,
                trace)
            SELECT 'left', signal_id, reservation_id, game_id, '{}', 0, now(), '' FROM intents
            WHERE intent_id = 'rejected'
            """),
        Damage(
            "orders without an end",
            "UPDATE orders SET state = 'unknown', closed_at = NULL WHERE intent_id = 'rejected'"),
        Damage(
            "reservations closed with something still reserved",
            "ALTER TABLE reservations DROP CONSTRAINT reservations_closed_whole",
            "UPDATE reservations SET released = amount - 1 WHERE reservation_id = 'rejected'"),
        Damage(
            "reservations committed without a fill",
            "UPDATE reservations SET state = 'committed' WHERE reservation_id = 'rejected'"),
        Damage("intents that were done without an order", "UPDATE intents SET state = 'done' WHERE intent_id = 'late'"),
        Damage("intents filled by more than they asked for", "UPDATE fills SET quantity = quantity + 1"),
        Damage(
            "intents with two orders that may have reached the venue",
            """
            INSERT INTO orders SELECT (jsonb_populate_record(NULL::orders, to_jsonb(o)
                || '{"order_id":"another","attempt":2,"venue_order_id":null}')).*
            FROM orders o WHERE intent_id = 'rejected'
            """),
        Damage("orders that are not the sum of their fills", "UPDATE fills SET quantity = quantity - 1"),
        Damage(
            "orders without their beginning or their end in the audit",
            "DELETE FROM audit_log WHERE event = 'order_rejected'"),
        Damage(
            "orders whose answer was lost and of which nobody was told",
            "DELETE FROM outbox WHERE topic LIKE 'system:%'"),
        Damage("positions that are not the sum of their fills", "UPDATE positions SET net_quantity = net_quantity + 1"),
    ]

    /// Books with an order that was filled, one that was rejected and an intent without one.
    private func withBooks(_ body: (Rig) async throws -> Void) async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let store = OrderStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        let engine = ExecutionServiceEngine(safeguards: Safeguards())
        try await rig.buy(10, at: 50, store, name: "filled")
        let claim = try await store.claim(
            rig.approve(10, name: "rejected"), engine: engine, seen: .clear, marking: true, at: tipOff)
        let order = try #require(claim.claimed).order.request.id
        _ = try await store.book(order, .unanswered(reason: "timeout"), at: tipOff)
        _ = try await store.book(order, .refused(reason: "invalid_price"), at: tipOff)
        let late = try await rig.approve(10, name: "late")
        _ = try await store.claim(late, engine: engine, seen: .clear, at: tipOff.advanced(by: .seconds(3_600)))
        try await body(rig)
        await rig.pool.close(grace: .milliseconds(100))
    }

    @Test func `whole books break no rule, and every rule has its damage`() async throws {
        try await withBooks { rig in
            let broken = try await BooksCheck.broken(BooksCheck.all, rig.pool)
            #expect(broken == [])
            let late = try await rig.text("SELECT state AS t FROM intents WHERE intent_id = 'late'")
            #expect(late == "expired")
        }
        #expect(Set(Self.damages.map(\.what)) == Set(BooksCheck.all.map(\.what)))
    }

    @Test(arguments: damages)
    func `a damage is found by its rule`(damage: Damage) async throws {
        try await withBooks { rig in
            for sql in damage.sql { try await rig.force(sql) }
            let broken = try await BooksCheck.broken(BooksCheck.all, rig.pool)
            #expect(broken.contains { $0.hasSuffix(" \(damage.what)") }, "\(broken)")
        }
    }
}
