import Domain
import Foundation
import Postgres
import Runtime

/// A limit that a person has changed while the suite runs.
public struct ChangedLimit: Hashable, Sendable, Codable {
    /// The setting that it stands in for.
    public let key: String
    /// As it would be written in the settings.
    public let value: String
    public let by: String
    public let reason: String
    /// The database's time, in microseconds since 1970.
    public let changedAt: Int64
}

/// Limits that are changed without a restart (CHECKLIST H37): stored in PostgreSQL, and read again by every
/// signal-processor within `interval`.
///
/// A change is judged by the very settings that it stands in for, so there is one owner of what is valid: by the
/// command before it is stored, and again by each process before it counts. It lasts until it is taken back, over
/// restarts.
public enum RuntimeLimits {
    /// How often a signal-processor reads them, and the rules beside them; one look at a table of a few rows.
    public static let interval = Duration.seconds(1)

    /// What may be changed: what decides about new entries, and stands in nobody's books.
    public static let keys = [
        "KELLY_FRACTION", "LOSS_COOLDOWN_SECONDS", "MAX_ARBITRAGE_LOSS", "MAX_DAILY_LOSS", "MAX_ENTRIES_PER_SIDE",
        "MAX_GAME_EXPOSURE", "MAX_ORDER_CONTRACTS", "MAX_ORDER_SIZE", "MAX_POSITIONS_PER_GAME", "MAX_POSITION_PCT",
        "MAX_POSITION_PER_MARKET", "MAX_SPORT_EXPOSURE", "MAX_TOTAL_EXPOSURE", "MIN_ARBITRAGE_EDGE_CENTS",
        "MIN_EDGE_PCT", "MIN_PROFIT_THRESHOLD", "MIN_STAKE", "WIN_COOLDOWN_SECONDS",
    ]

    /// The settings with these limits changed, and everything else as it is.
    ///
    /// - Throws: every change that is not valid, by itself or beside the others, and keys that are no limits.
    public static func settings(
        _ changes: [String: String], over environment: [String: String], _ file: SettingsFile?
    ) throws(SettingsError) -> SignalProcessorSettings {
        let strange = changes.keys.filter { !keys.contains($0) }.sorted()
        guard strange.isEmpty else {
            throw SettingsError(
                problems: strange.map {
                    SettingsProblem(
                        key: $0, value: nil, file: nil, line: nil,
                        message: "cannot be changed while the suite runs; what can is \(keys.joined(separator: ", "))")
                })
        }
        let reader = SettingsReader(environment: environment.merging(changes) { $1 }, file: file)
        let settings = SignalProcessorSettings(reader)
        // An empty value would be none, and what the settings say would count instead.
        for key in changes.keys.sorted() { reader.require(changes[key]?.isEmpty == false, [key], "must not be empty") }
        try reader.finish(known: SettingsCatalogue.keys)
        return settings
    }

    // MARK: In the database

    /// A rule of this kind is a limit.
    private static let kind = "limit"

    /// All that hold now, by key.
    public static func read(_ database: some PostgresQuerying) async throws -> [ChangedLimit] {
        try await database.query(
            """
            SELECT conditions->>'key' AS key, action->>'value' AS value, action->>'by' AS by,
                action->>'reason' AS reason, action->>'at' AS at
            FROM trading_rules WHERE kind = \(kind) AND status = 'active' ORDER BY rule_id LIMIT 100
            """
        ).map { row in
            ChangedLimit(
                key: try row.textOrNil("key") ?? "", value: try row.textOrNil("value") ?? "",
                by: try row.textOrNil("by") ?? "", reason: try row.textOrNil("reason") ?? "",
                changedAt: try row.textOrNil("at").flatMap { Int64($0) } ?? 0)
        }
    }

    /// Changes a limit; what is valid is the caller's to say.
    ///
    /// - Returns: the number of the audit's row, behind which a process says that it has taken it.
    public static func set(
        _ key: String, to value: String, reason: String, by: String, _ transaction: PostgresTransaction
    ) async throws -> Int64 {
        let (rule, before) = (name(of: key), try await current(key, transaction))
        try await transaction.execute(
            """
            INSERT INTO trading_rules (rule_id, kind, conditions, action, status)
            VALUES (\(rule), \(kind), jsonb_build_object('key', \(key)::text),
                jsonb_build_object('value', \(value)::text, 'by', \(by)::text, 'reason', \(reason)::text,
                    'at', ((extract(epoch FROM now()) * 1000000)::int8)::text), 'active')
            ON CONFLICT (rule_id) DO UPDATE SET kind = excluded.kind, conditions = excluded.conditions,
                action = excluded.action, status = excluded.status, expires_at = NULL
            """)
        return try await audit(
            ["limit": key, "value": value, "before": before ?? "as configured", "reason": reason, "by": by],
            transaction)
    }

    /// Takes a change back, so that what is configured counts again; nil when there was none.
    public static func reset(
        _ key: String, reason: String, by: String, _ transaction: PostgresTransaction
    ) async throws -> Int64? {
        guard let before = try await current(key, transaction) else { return nil }
        try await transaction.execute("DELETE FROM trading_rules WHERE rule_id = \(name(of: key)) AND kind = \(kind)")
        return try await audit(
            ["limit": key, "value": "as configured", "before": before, "reason": reason, "by": by], transaction)
    }

    /// Says that a process decides by these limits from now on.
    public static func take(_ limits: [String: String], by source: String, _ pool: PostgresPool) async throws {
        var details = limits
        details["by"] = source
        let entry = AuditEntry(.limitsTaken, details: details)
        _ = try await pool.transaction("limits taken") { try await entry.write($0) }
    }

    /// Who has taken the limits as they are since a row of the audit.
    public static func takers(since row: Int64, _ database: some PostgresQuerying) async throws -> [String] {
        try await database.query(
            """
            SELECT DISTINCT details->>'by' AS by FROM audit_log
            WHERE event = \(AuditEvent.limitsTaken.rawValue) AND id > \(row) ORDER BY 1
            """
        ).map { try $0.text("by") }
    }

    private static func name(of key: String) -> String { "limit:\(key)" }

    private static func current(_ key: String, _ transaction: PostgresTransaction) async throws -> String? {
        try await transaction.first(
            """
            SELECT action->>'value' AS value FROM trading_rules
            WHERE rule_id = \(name(of: key)) AND kind = \(kind) AND status = 'active' FOR UPDATE
            """
        )?.textOrNil("value")
    }

    private static func audit(_ details: [String: String], _ transaction: PostgresTransaction) async throws -> Int64 {
        try await AuditEntry(.limitChanged, details: details).write(transaction)
        let row = try await transaction.first(
            "SELECT max(id) AS id FROM audit_log WHERE writer = pg_current_xact_id() AND hash IS NULL")
        return try row?.int64OrNil("id") ?? 0
    }
}
