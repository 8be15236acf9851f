import Domain
import Foundation
import Hosting
import Logging
import Postgres
import Runtime
import Wire

/// Sees to it that somebody has each alert that was committed with a booking (decision 0075).
///
/// Whoever books tells at once, and the relay besides; this is for what neither could: the process has died, and nobody
/// led who would have taken the relay's word.
struct UntoldAlerts: Sendable {
    /// How often is looked.
    static let interval = Duration.seconds(2)
    /// From when on an alert is told again; whoever booked it has done so, or has died.
    static let patience = Duration.seconds(5)
    /// How long the orchestrator and the file may take; what they do not have by then is told at the next look.
    static let limit = Duration.seconds(10)

    let host: ServiceHost
    let store: OrderStore
    let alarm: Alarm

    func follow(after patience: Duration = Self.patience) async throws {
        while !Task.isCancelled {
            do {
                try await look(after: patience)
            } catch  where !Task.isCancelled {
                // They are in the database, and stay there.
                host.log.warning("alerts to tell not looked at", metadata: [Key.reason: "\(error)"])
            }
            try await host.clock.sleep(for: Self.interval)
        }
    }

    private func look(after patience: Duration) async throws {
        let due = try await store.alertsToTell(olderThan: patience)
        if due.isEmpty { return }
        for alert in due where alarm.tellAgain(alert) {
            host.context.metrics.counter("alerts_told_again_total", "Alerts of bookings that had not been told.")
                .increment()
        }
        let ids = Set(due.map(\.id.rawValue))
        guard await host.alerts.areKept(ids, within: Self.limit) else { return }
        try await store.forgetAlerts(ids)
    }
}

extension OrderStore {
    /// Keeps an alert until `forgetAlerts`; the same one again is one.
    func keep(_ alert: SystemAlert, _ transaction: PostgresTransaction) throws {
        let text = String(decoding: try JSONEncoder().encode(alert), as: UTF8.self)
        try transaction.enqueue(
            """
            INSERT INTO alerts_to_tell (alert_id, alert) VALUES (\(alert.id.rawValue), \(text)::text::jsonb)
            ON CONFLICT (alert_id) DO NOTHING
            """)
    }

    /// The oldest first, at most 100.
    func alertsToTell(olderThan age: Duration) async throws -> [SystemAlert] {
        try await pool.query(
            """
            SELECT alert FROM alerts_to_tell WHERE created_at <= now() - make_interval(secs => \(age.inSeconds))
            ORDER BY created_at LIMIT 100
            """
        ).map { try $0.json("alert") }
    }

    /// Somebody has them.
    func forgetAlerts(_ ids: Set<String>) async throws {
        try await pool.execute("DELETE FROM alerts_to_tell WHERE alert_id = ANY(\(ids.sorted())::text[])")
    }
}
