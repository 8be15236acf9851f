import Domain
import Postgres
import Wire

extension KillSwitchStore {
    /// Engages it for every process and for good: only a person releases it (DESIGN rule 14).
    ///
    /// Stored, audited and announced in one transaction, which has locked the account if it locks it at all. The
    /// reason is what an operator reads in `status`; the author is a service's `service/instance`, or a person. False
    /// when it was engaged already; it keeps its first reason then.
    @discardableResult
    public static func engage(
        _ reason: String, by author: String, _ transaction: PostgresTransaction
    ) async throws -> Bool {
        let changed = try await transaction.execute(
            """
            INSERT INTO kill_switch (id, engaged, reason, changed_by) VALUES (1, true, \(reason), \(author))
            ON CONFLICT (id) DO UPDATE SET engaged = true, reason = excluded.reason,
                changed_by = excluded.changed_by, changed_at = now() WHERE NOT kill_switch.engaged
            """)
        guard changed == 1 else { return false }
        try await AuditEntry("kill_switch_activated", details: ["reason": reason, "by": author]).write(transaction)
        try await OutboxStore.append(
            KillSwitchChange(engaged: true, reason: reason, by: author), on: Channels.killSwitch, key: "kill-switch",
            trace: nil, in: transaction)
        return true
    }
}

extension DailyStatistics {
    /// Above 0 once the loss of the day has engaged the kill switch: a release holds until the next day.
    public static func halted(_ account: TradingAccount) -> String { "\(account.name):halted" }

    /// The trading day of a moment of venue time, as `2026-04-20`.
    public func name(of now: VenueInstant, _ database: some PostgresQuerying) async throws -> String {
        try await database.first("SELECT \(day(now))::text AS day")?.text("day") ?? ""
    }
}
