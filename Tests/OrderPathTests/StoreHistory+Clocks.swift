import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Resilience

@testable import ExecutionService
@testable import Simulation

/// What the database's clock decides in a random history, and what was read of the venue's balance by it.
///
/// The real clock cannot be set, so rows are moved by hours, in which no history ends: what comes of it is certain.
extension StoreHistory {
    /// In microseconds.
    static let hour: Int64 = 3_600_000_000

    /// So many hours from the beginning, by the clock of the simulated database, which stands still.
    static func instant(_ hours: Int64) -> MachineInstant {
        MachineInstant.origin.advanced(by: .seconds(3_600 * hours))
    }

    /// The same by the clock of the real one.
    private func microseconds(_ hours: Int64) -> Int64 { began + hours * Self.hour }

    /// Before every other step something of this may have changed.
    mutating func turnClocks() async throws -> [String] {
        switch lot(0...99) {
        case ..<6: try await expire()
        case ..<14: try await ageFills()
        case ..<19: try await ageOrder()
        case ..<22: try await tell()
        case ..<24: pause()
        case ..<40: try await turnBudget()
        default: []
        }
    }

    // MARK: Bounds

    /// What was just stored has the same bound on both sides, and runs out when `expire` says so: the database's own
    /// time passes as fast as the machine is slow.
    func holdBounds() async throws -> [String] {
        let rows = try await rig.pool.query(
            """
            SELECT 'intent' AS what, intent_id AS id,
                (extract(epoch FROM expires_at - created_at) * 1000000)::int8 AS life
            FROM intents WHERE isfinite(expires_at)
            UNION ALL SELECT 'plan', plan_id, (extract(epoch FROM expires_at - created_at) * 1000000)::int8
            FROM plans WHERE isfinite(expires_at)
            """)
        if rows.isEmpty { return [] }
        for table in ["intents", "plans"] {
            try await rig.pool.execute(
                SQL(raw: "UPDATE \(table) SET expires_at = 'infinity' WHERE isfinite(expires_at)"))
        }
        var found: [String] = []
        for row in rows {
            let (what, id, life) = (try row.text("what"), try IntentID(row.text("id")), try row.int64("life"))
            let bound = what == "plan" ? books.plans[id]?.expiresAt : books.intents[id]?.expiresAt
            guard bound?.microseconds != life else { continue }
            let ours = bound.map { "\($0.microseconds)" } ?? "no"
            found.append("\(what) \(id) lives for \(life) microseconds in PostgreSQL, for \(ours) simulated")
        }
        return found
    }

    /// An intent or a plan runs out by the database's clock.
    private mutating func expire() async throws -> [String] {
        let open = books.intents.filter { !$0.value.state.isTerminal }.keys.sorted()
        let unfinished = books.plans.filter { $0.value.state != .finished }.keys.sorted()
        if lot(0...1) == 0, let id = one(of: open) {
            try await rig.pool.execute(
                "UPDATE intents SET expires_at = '-infinity' WHERE intent_id = \(id.rawValue)")
            books.intents[id]?.expiresAt = Self.instant(-1)
            steps.append("intent \(id) runs out")
        } else if let id = one(of: unfinished) {
            try await rig.pool.execute("UPDATE plans SET expires_at = '-infinity' WHERE plan_id = \(id.rawValue)")
            books.plans[id]?.expiresAt = Self.instant(-1)
            steps.append("plan \(id) runs out")
        }
        return []
    }

    // MARK: How long ago something was

    /// Some fills were booked hours ago: what was bought since a balance was read is not all that was bought.
    private mutating func ageFills() async throws -> [String] {
        let hours = -Int64(lot(1...3))
        var moved: [String] = []
        for id in books.fills.keys.sorted() where lot(0...2) > 0 {
            moved.append(id.rawValue)
            books.bookedAt[id] = Self.instant(hours)
        }
        if moved.isEmpty { return [] }
        try await rig.force(
            """
            UPDATE fills SET booked_at = to_timestamp(\(microseconds(hours))::float8 / 1000000)
            WHERE fill_id = ANY(\(moved)::text[])
            """)
        steps.append("\(moved.count) fills were booked at hour \(hours)")
        return []
    }

    /// The fate of a plan's order was certain hours ago: the leg that it was may have stood alone since.
    private mutating func ageOrder() async throws -> [String] {
        let closed = books.orders.filter { $0.value.closedAt != nil && $0.value.purpose != nil }.keys.sorted()
        guard let id = one(of: closed) else { return [] }
        let hours = -Int64(lot(1...3))
        try await rig.pool.execute(
            """
            UPDATE orders SET closed_at = to_timestamp(\(microseconds(hours))::float8 / 1000000)
            WHERE order_id = \(id.rawValue)
            """)
        books.orders[id]?.closedAt = Self.instant(hours)
        steps.append("\(id) ended at hour \(hours)")
        return []
    }

    /// So long that an order traded before, or just not.
    private mutating func pause() -> [String] {
        // The trading day goes on.
        guard tipOff.duration(to: now) < .seconds(7_200) else { return [] }
        now = now.advanced(by: .seconds(lot(590...610)))
        steps.append("ten minutes pass")
        return []
    }

    /// Somebody has an alert: it is owed no more, until the same happens again.
    private mutating func tell() async throws -> [String] {
        guard let alert = one(of: books.untold.keys.sorted { $0.notice.id < $1.notice.id }) else { return [] }
        try await orders.forgetAlerts([alert.notice.id])
        books.untold[alert] = nil
        steps.append("\(alert) is told")
        return []
    }

    // MARK: The balance

    /// What the venue said of the account when it was asked, in one of the hours around which fills were booked.
    mutating func balance() -> (real: VenueReadings.Balance, ours: SimulatedBooks.Readings.Balance) {
        guard isTimed else { return (.own, .own) }
        let kind = lot(0...9)
        if kind == 0 { return (.own, .own) }
        if kind == 1 { return (.unread, .unread) }
        // More than is needed, or so much that it depends on what was bought since.
        let money = kind > 5 ? Money.dollars(2_000) : books.reserved + Money.cents(Int64(lot(0...6_000)))
        let age = Duration.seconds(lot(0...4) == 0 ? lot(118...122) : lot(0...60))
        let hours = Int64(lot(-3...1))
        return (
            .read(money, age: age, asked: microseconds(hours)), .read(money, age: age, asked: Self.instant(hours))
        )
    }
}
