import Logging

/// Brings the schema to what this build knows (CHECKLIST R35).
///
/// One transaction under one advisory lock: five services starting at once do it once, and a failed migration leaves
/// nothing behind. A history that differs from the build's is refused, never repaired.
public enum Migrations {
    /// The lock's number; any constant that nothing else uses.
    private static let lock: Int64 = 0x4C49_4E45_534D_414E

    /// - Returns: the versions applied now; empty when the schema was up to date.
    /// - Throws: `PostgresError` with `migration` when the history is changed, unknown, or out of order.
    @discardableResult
    public static func run(
        _ pool: PostgresPool, _ migrations: [Migration] = Migration.all, timeout: Duration = .seconds(60)
    ) async throws -> [Int] {
        for (index, migration) in migrations.enumerated() {
            precondition(migration.version == index + 1, "migration \(migration.name) is number \(index + 1)")
        }
        let applied = try await pool.retryingTransaction("migrations", timeout: timeout) { transaction in
            try await prepare(transaction, timeout)
            let known = try await history(transaction)
            let checksums = try await checksums(of: migrations, transaction)
            try check(known, migrations, checksums)
            let pending = migrations.dropFirst(known.count)
            for migration in pending {
                try await apply(migration, checksum: checksums[migration.version - 1], transaction)
            }
            return pending.map(\.version)
        }
        if !applied.isEmpty {
            pool.log.info("database schema migrated", metadata: ["versions": "\(applied)"])
        }
        return applied
    }

    private struct Applied {
        var version: Int
        var name: String
        var checksum: String
    }

    /// Waits for the lock as long as the whole may take; a migration may run longer than any other statement.
    private static func prepare(_ transaction: PostgresTransaction, _ timeout: Duration) async throws {
        let milliseconds = timeout.components.seconds * 1000
        try await transaction.script(
            "SET LOCAL statement_timeout = \(milliseconds); SET LOCAL lock_timeout = \(milliseconds)")
        _ = try await transaction.query("SELECT pg_advisory_xact_lock(\(lock))")
        try await transaction.script(
            """
            CREATE TABLE IF NOT EXISTS schema_migrations (
                version    INT PRIMARY KEY CHECK (version > 0),
                name       TEXT NOT NULL,
                checksum   TEXT NOT NULL,
                applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
            )
            """)
    }

    private static func history(_ transaction: PostgresTransaction) async throws -> [Applied] {
        try await transaction.query("SELECT version, name, checksum FROM schema_migrations ORDER BY version").map {
            try Applied(version: $0.int("version"), name: $0.text("name"), checksum: $0.text("checksum"))
        }
    }

    /// SHA-256 of each migration's SQL, computed by the server: it has the function, this module need not.
    private static func checksums(
        of migrations: [Migration], _ transaction: PostgresTransaction
    ) async throws -> [String] {
        try await transaction.query(
            """
            SELECT encode(sha256(convert_to(sql, 'UTF8')), 'hex') AS checksum
            FROM unnest(\(migrations.map(\.sql))) WITH ORDINALITY AS m (sql, number) ORDER BY number
            """
        ).map { try $0.text("checksum") }
    }

    private static func check(_ known: [Applied], _ migrations: [Migration], _ checksums: [String]) throws {
        for (index, applied) in known.enumerated() {
            guard applied.version == index + 1 else {
                throw refusal("the database has migration \(applied.version) but not \(index + 1)")
            }
            guard index < migrations.count else {
                throw refusal(
                    "the database has migration \(applied.version) \"\(applied.name)\", which this build does not "
                        + "know: it belongs to a newer build")
            }
            guard applied.name == migrations[index].name, applied.checksum == checksums[index] else {
                throw refusal(
                    "migration \(applied.version) \"\(applied.name)\" was applied with other contents than this "
                        + "build's \"\(migrations[index].name)\": an applied migration must not be changed")
            }
        }
    }

    private static func refusal(_ message: String) -> PostgresError {
        PostgresError(.migration, message, context: "migrations")
    }

    private static func apply(
        _ migration: Migration, checksum: String, _ transaction: PostgresTransaction
    ) async throws {
        try await transaction.script(migration.sql)
        try await transaction.execute(
            """
            INSERT INTO schema_migrations (version, name, checksum)
            VALUES (\(migration.version), \(migration.name), \(checksum))
            """)
    }
}
