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

        var instance: Substring { name.split(separator: "/").dropLast().last ?? "" }
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
    /// For how long it is written at a time.
    let life: Duration
    private struct State {
        var held: Held?
        /// We go away: what is under way, or asked for later, must not take the row again.
        var hasResigned = false
    }

    private let state = NIOLockedValueBox(State())

    init(database: PostgresPool, holder: String, settings: OrchestratorSettings) {
        self.database = database
        self.holder = holder
        life = settings.leadershipLife
    }

    func term(at now: MachineInstant) -> Int64? {
        state.withLockedValue { state in state.held.flatMap { now < $0.until ? $0.term : nil } }
    }

    /// Until when it is ours without being renewed, by our own clock; nil while it is not ours.
    var heldUntil: MachineInstant? { state.withLockedValue { $0.held?.until } }

    /// The term that we took last and did not give up; it may have run out.
    var taken: Int64? { state.withLockedValue { $0.held?.term } }

    /// The term is over for us, whoever the row names: who leads again does so under another.
    func giveUp() { state.withLockedValue { $0.held = nil } }

    private var hasResigned: Bool { state.withLockedValue { $0.hasResigned } }

    /// Takes the row when nobody has held it for `patience`.
    ///
    /// - Returns: the new term and who held it before; nil while another leads, and once we have resigned.
    func acquire(
        patience: Duration = .zero, clock: MachineClock
    ) async throws -> (term: Int64, before: Holder)? {
        guard !hasResigned else { return nil }
        let asked = clock.now
        let row = try await database.query(
            """
            UPDATE leadership AS row SET term = row.term + 1, holder = \(holder),
                expires_at = clock_timestamp() + make_interval(secs => \(life.inSeconds))
            FROM leadership AS before
            WHERE before.id = row.id
                AND row.expires_at <= clock_timestamp() - make_interval(secs => \(patience.inSeconds))
            RETURNING row.term AS term, before.holder AS before
            """, timeout: .seconds(1)
        ).first
        guard let row else { return nil }
        let term = try row.int64("term")
        let isWanted = state.withLockedValue { state in
            if !state.hasResigned { state.held = Held(term: term, until: asked.advanced(by: life)) }
            return !state.hasResigned
        }
        guard isWanted else {
            await expire(term)
            return nil
        }
        return (term, Holder(name: try row.text("before")))
    }

    /// Lets others take the row until it is renewed; meanwhile it is not ours.
    func offer(_ term: Int64) async {
        state.withLockedValue { $0.held?.until = .origin }
        await expire(term)
    }

    /// Keeps the row, also one that has run out or was offered: while nobody took it, nobody has led in between.
    ///
    /// A term is written only by its leader, and a later leader has a later term. So a machine that is too busy to
    /// renew in time changes no leader and no term (decision 0059).
    ///
    /// - Returns: false when another took it, and once we have resigned.
    func renew(_ term: Int64, clock: MachineClock) async throws -> Bool {
        guard !hasResigned else { return false }
        let asked = clock.now
        let renewed = try await database.execute(
            """
            UPDATE leadership SET expires_at = clock_timestamp() + make_interval(secs => \(life.inSeconds))
            WHERE term = \(term) AND holder = \(holder)
            """, timeout: .seconds(1))
        let isWanted = state.withLockedValue { state in
            let isOurs = renewed == 1 && !state.hasResigned
            state.held = isOurs ? Held(term: term, until: asked.advanced(by: life)) : nil
            return !state.hasResigned
        }
        if renewed == 1, !isWanted { await expire(term) }
        return renewed == 1 && isWanted
    }

    /// Whether another leads now; an earlier life of our own, killed a moment ago, is no other.
    func isAnothers() async throws -> Bool {
        let row = try await database.query(
            "SELECT holder FROM leadership WHERE expires_at > clock_timestamp()", timeout: .seconds(1)
        ).first
        return try row.map { Holder(name: try $0.text("holder")).instance != Holder(name: holder).instance } ?? false
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

    /// Returns when no transaction of a leader is under way any more, also none that nobody waits for: each holds the
    /// row until the server has ended it.
    ///
    /// - Throws: `PostgresError` when one takes longer than two seconds.
    func settle() async throws {
        _ = try await database.query("SELECT term FROM leadership FOR NO KEY UPDATE", timeout: .seconds(2))
    }

    /// Lets go for good, so that a standby need not wait.
    func resign() async {
        let term = state.withLockedValue { state in
            state.hasResigned = true
            defer { state.held = nil }
            return state.held?.term
        }
        if let term { await expire(term) }
    }

    /// Without an answer the row expires by itself.
    private func expire(_ term: Int64) async {
        _ = try? await database.execute(
            "UPDATE leadership SET expires_at = clock_timestamp() WHERE term = \(term) AND holder = \(holder)",
            timeout: .seconds(1))
    }
}
