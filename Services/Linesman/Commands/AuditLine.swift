import Domain
import Foundation
import Hosting
import Postgres
import Runtime

/// One row of the audit log, for people.
struct AuditLine: Codable, Equatable {
    let at: String
    let event: String
    let intent: String?
    let order: String?
    let market: String?
    let details: [String: String]

    /// In the order in which rows are sealed; the newest `limit` of those that `condition` names.
    static func read(
        where condition: SQL, limit: Int = 1_000, from database: some PostgresQuerying
    ) async throws -> [AuditLine] {
        try await database.query(
            """
            SELECT * FROM (
                SELECT id, writer, at, event, intent_id, order_id, market_id, details::text AS details
                FROM audit_log WHERE \(condition) ORDER BY writer DESC NULLS LAST, id DESC LIMIT \(limit)
            ) AS newest ORDER BY writer NULLS FIRST, id
            """
        ).map { row in
            let details = try row.text("details")
            return AuditLine(
                at: WallClock.text(try row.timestampMicros("at")), event: try row.text("event"),
                intent: try row.textOrNil("intent_id"), order: try row.textOrNil("order_id"),
                market: try row.textOrNil("market_id"),
                // Every writer of ours stores strings; anything else is shown as it is.
                details: (try? JSONDecoder().decode([String: String].self, from: Data(details.utf8)))
                    ?? ["details": details])
        }
    }

    var text: String {
        let facts = details.sorted { $0.key < $1.key }.filter { !$0.value.isEmpty }.map { "\($0.key) \($0.value)" }
        return "\(at)  \(event.padded(24)) \(facts.joined(separator: ", "))"
    }
}
