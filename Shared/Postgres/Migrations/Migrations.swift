import Logging

/// Brings the schema to what this build knows (CHECKLIST R35).
///
/// One transaction under one advisory lock: five services starting at once do it once, and a failed migration leaves
/// nothing behind. A history that differs from the build's is refused, never repaired. What a newer build has added
/// after it is accepted as far as that build has said so, so that one image can be rolled back without a restore.
public enum Migrations {
    /// The lock's number; any constant that nothing else uses.
    private static let lock: Int64 = 0x4C49_4E45_534D_414E

    /// - Returns: the versions applied now; empty when the schema was up to date.
    /// - Throws: `PostgresError` with `migration` when the history is changed, unknown, or out of order, or with the
    ///   file and the line of a statement that the server refuses.
    @discardableResult
    public static func run(
        _ pool: PostgresPool, _ migrations: [Migration] = Migration.all, timeout: Duration = .seconds(60)
    ) async throws -> [Int] {
        for (index, migration) in migrations.enumerated() {
            precondition(migration.version == index + 1, "migration \(migration.name) is number \(index + 1)")
        }
        let statements = try migrations.map(statements)
        let applied = try await pool.retryingTransaction("migrations", timeout: timeout) { transaction in
            try await prepare(transaction, timeout)
            let known = try await history(transaction)
            let checksums = try await checksums(of: migrations, transaction)
            try check(known, migrations, checksums)
            let pending = migrations.dropFirst(known.count)
            for migration in pending {
                for statement in statements[migration.version - 1] {
                    try await apply(statement, of: migration, transaction)
                }
                try await record(migration, checksum: checksums[migration.version - 1], transaction)
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
        var oldestReader: Int
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
        // Asked first: altering takes a lock that readers would wait for.
        let isKnown = try await transaction.first(
            """
            SELECT 1 AS found FROM pg_attribute
            WHERE attrelid = 'schema_migrations'::regclass AND attname = 'oldest_reader'
            """)
        guard isKnown == nil else { return }
        try await transaction.execute(
            "ALTER TABLE schema_migrations ADD COLUMN oldest_reader INT NOT NULL DEFAULT 1 CHECK (oldest_reader > 0)")
    }

    private static func history(_ transaction: PostgresTransaction) async throws -> [Applied] {
        try await transaction.query(
            "SELECT version, name, checksum, oldest_reader FROM schema_migrations ORDER BY version"
        ).map {
            try Applied(
                version: $0.int("version"), name: $0.text("name"), checksum: $0.text("checksum"),
                oldestReader: $0.int("oldest_reader"))
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
                // A newer build's, which says whether ours can live with it.
                if applied.oldestReader <= migrations.count { continue }
                throw refusal(
                    "the database has migration \(applied.version) \"\(applied.name)\", which belongs to a newer "
                        + "build and is readable by builds that know migration \(applied.oldestReader); this one knows "
                        + "\(migrations.count): start a newer build, or restore a backup from before it")
            }
            guard applied.name == migrations[index].name, applied.checksum == checksums[index] else {
                throw refusal(
                    "migration \(applied.version) \"\(applied.name)\" was applied with other contents than this "
                        + "build's \(migrations[index].file): an applied migration must not be changed; put the file "
                        + "back and add a new one")
            }
        }
    }

    private static func refusal(_ message: String) -> PostgresError {
        PostgresError(.migration, message, context: "migrations")
    }

    /// What the transaction of the whole forbids is found before anything runs.
    private static func statements(of migration: Migration) throws -> [SQLScript.Statement] {
        let statements = SQLScript(migration.sql).statements
        for statement in statements where transactionControl.contains(statement.verb) {
            throw refusal(
                "\(migration.file), line \(statement.line): \(statement.verb) is not allowed, all migrations run in "
                    + "one transaction")
        }
        return statements
    }

    private static let transactionControl: Set<String> = [
        "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE",
    ]

    private static func apply(
        _ statement: SQLScript.Statement, of migration: Migration, _ transaction: PostgresTransaction
    ) async throws {
        do {
            try await transaction.script(statement.text)
        } catch var error as PostgresError where error.code == .permanent {
            // The same again at every start: it is the file that must be mended.
            error.code = .migration
            error.message = "\(migration.file), line \(statement.line): \(error.message); nothing was applied"
            error.context = "migrations"
            throw error
        }
    }

    private static func record(
        _ migration: Migration, checksum: String, _ transaction: PostgresTransaction
    ) async throws {
        try await transaction.execute(
            """
            INSERT INTO schema_migrations (version, name, checksum, oldest_reader)
            VALUES (\(migration.version), \(migration.name), \(checksum), \(migration.oldestReader))
            """)
    }
}
