import Domain
import Hosting
import NIOConcurrencyHelpers
import Postgres
import Resilience
import Runtime

/// The right to decide, held in one row by the database's clock (DESIGN section 5).
///
/// Every transaction of a leader calls `require` first: it aborts without its term, whatever the leader still believes.
final class Leadership: Sendable {
    struct Lost: Error, Sendable, CustomStringConvertible {
        let term: Int64
        var description: String { "term \(term) is not ours any more" }
    }

    /// Who a leadership row names: `orchestrator/INSTANCE/INCARNATION`.
    struct Holder: Hashable, Sendable {
        let name: String

        var incarnation: Incarnation? { name.split(separator: "/").last.flatMap { try? Incarnation(String($0)) } }
    }

    private struct Held {
        let term: Int64
        /// By our own clock, counted from before the row was written: never later than the database's.
        var until: MachineInstant
    }

    private let database: PostgresPool
    /// How the row names us.
    let holder: String
    private let life: Duration
    private let held = NIOLockedValueBox<Held?>(nil)

    init(database: PostgresPool, holder: String, settings: OrchestratorSettings) {
        self.database = database
        self.holder = holder
        life = settings.leadershipLife
    }

    func term(at now: MachineInstant) -> Int64? {
        held.withLockedValue { held in held.flatMap { now < $0.until ? $0.term : nil } }
    }

    /// Until when it is ours without being renewed, by our own clock; nil while it is not ours.
    var heldUntil: MachineInstant? { held.withLockedValue { $0?.until } }

    /// Takes the row when nobody holds it.
    ///
    /// - Returns: the new term and who held it before; nil while another leads.
    func acquire(clock: MachineClock) async throws -> (term: Int64, before: Holder)? {
        let asked = clock.now
        let row = try await database.query(
            """
            UPDATE leadership AS row SET term = row.term + 1, holder = \(holder),
                expires_at = clock_timestamp() + make_interval(secs => \(life.inSeconds))
            FROM leadership AS before
            WHERE before.id = row.id AND row.expires_at <= clock_timestamp()
            RETURNING row.term AS term, before.holder AS before
            """, timeout: .seconds(1)
        ).first
        guard let row else { return nil }
        let term = try row.int64("term")
        held.withLockedValue { $0 = Held(term: term, until: asked.advanced(by: life)) }
        return (term, Holder(name: try row.text("before")))
    }

    /// - Returns: false when the row is another's or has expired.
    func renew(_ term: Int64, clock: MachineClock) async throws -> Bool {
        let asked = clock.now
        let renewed = try await database.execute(
            """
            UPDATE leadership SET expires_at = clock_timestamp() + make_interval(secs => \(life.inSeconds))
            WHERE term = \(term) AND holder = \(holder) AND expires_at > clock_timestamp()
            """, timeout: .seconds(1))
        held.withLockedValue { held in
            if renewed == 1, held?.term == term { held?.until = asked.advanced(by: life) } else { held = nil }
        }
        return renewed == 1
    }

    /// Makes the transaction depend on the term: another leader cannot take over before it has ended.
    ///
    /// So that a leader which is stopped in the middle of one holds nobody up, the server ends it after a second.
    func require(_ term: Int64, in transaction: PostgresTransaction) async throws {
        let row = try await transaction.first(
            """
            SELECT set_config('idle_in_transaction_session_timeout', '1000', true) AS bound FROM leadership
            WHERE term = \(term) AND holder = \(holder) AND expires_at > clock_timestamp() FOR SHARE
            """)
        if row == nil { throw Lost(term: term) }
    }

    /// Lets go, so that a standby need not wait.
    func resign() async {
        guard
            let term = held.withLockedValue({ held in
                defer { held = nil }
                return held?.term
            })
        else { return }
        // Without an answer the row expires by itself.
        _ = try? await database.execute(
            "UPDATE leadership SET expires_at = clock_timestamp() WHERE term = \(term) AND holder = \(holder)",
            timeout: .seconds(1))
    }
}
