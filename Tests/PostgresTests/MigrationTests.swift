import Foundation
import PostgresTestKit
import Runtime
import Testing

@testable import Postgres

@Suite struct MigrationTests {
    private let first = Migration(version: 1, name: "one", sql: "CREATE TABLE one (x int); INSERT INTO one VALUES (1)")
    private let second = Migration(version: 2, name: "two", sql: "ALTER TABLE one ADD COLUMN y int")

    // CHECKLIST R35; one of them finds everything applied, whichever comes later.
    @Test func `five services starting at once migrate once`() async throws {
        try await withDatabase { pool, url in
            let total = try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<5 {
                    group.addTask {
                        let own = try makePool(url, application: "service \(number)")
                        let applied = try await Migrations.run(own)
                        await own.close()
                        return applied.count
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(total == Migration.all.count)
            let again = try await Migrations.run(pool)
            #expect(again.isEmpty)
            let rows = try await pool.query("SELECT count(*) AS n FROM schema_migrations")
            #expect(try rows[0].int("n") == Migration.all.count)
        }
    }

    @Test func `a later migration is added to the earlier ones`() async throws {
        try await withDatabase { pool, _ in
            let one = try await Migrations.run(pool, [first])
            let two = try await Migrations.run(pool, [first, second])
            #expect(one == [1])
            #expect(two == [2])
        }
    }

    @Test func `a changed migration is refused by name`() async throws {
        try await withDatabase { pool, _ in
            try await Migrations.run(pool, [first])
            let changed = Migration(version: 1, name: "one", sql: first.sql + " ")
            let error = await #expect(throws: PostgresError.self) { try await Migrations.run(pool, [changed, second]) }
            #expect(error?.code == .migration)
            #expect(error?.message.contains("migration 1 \"one\" was applied with other contents") ?? false)
            let columns = try await pool.query("SELECT * FROM one")
            #expect(columns[0].columns == ["x"])
        }
    }

    @Test func `one image is rolled back without a restore when the newer schema only adds`() async throws {
        try await withDatabase { pool, _ in
            try await Migrations.run(pool, [first, second])
            let older = try await Migrations.run(pool, [first])
            #expect(older.isEmpty)
            let columns = try await pool.query("SELECT x FROM one")
            #expect(try columns[0].int("x") == 1)
            let newer = try await Migrations.run(pool, [first, second])
            #expect(newer.isEmpty)
        }
    }

    @Test func `a history from a newer build that takes something away is refused`() async throws {
        try await withDatabase { pool, _ in
            let third = Migration(version: 3, name: "three", sql: "ALTER TABLE one DROP COLUMN y", oldestReader: 2)
            try await Migrations.run(pool, [first, second, third])
            let accepted = try await Migrations.run(pool, [first, second])
            #expect(accepted.isEmpty)
            let error = await #expect(throws: PostgresError.self) { try await Migrations.run(pool, [first]) }
            #expect(error?.code == .migration)
            #expect(
                error?.message
                    == "the database has migration 3 \"three\", which belongs to a newer build and is readable by "
                    + "builds that know migration 2; this one knows 1: start a newer build, or restore a backup "
                    + "from before it"
            )
        }
    }

    @Test func `a failing migration leaves nothing behind`() async throws {
        try await withDatabase { pool, _ in
            let broken = Migration(version: 2, name: "broken", sql: "CREATE TABLE two (x int); SELECT 1 / 0")
            let error = await #expect(throws: PostgresError.self) { try await Migrations.run(pool, [first, broken]) }
            #expect(error?.sqlState == "22012" && error?.code == .migration)
            #expect(
                error?.message == "M0002-broken.sql, line 1: division by zero; nothing was applied",
                "\(error?.description ?? "")")
            let tables = try await pool.query("SELECT 1 FROM pg_tables WHERE schemaname = 'public'")
            #expect(tables.isEmpty)
        }
    }

    @Test func `a syntax error is told by file and line`() async throws {
        try await withDatabase { pool, _ in
            let text = """
                -- A comment; with a semicolon, and 'quotes'.
                CREATE TABLE two (x int);
                CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $body$
                    SELECT 1; -- ends nothing
                $body$;
                /* one /* two */ ; */
                INSERT INTO two
                    VALUES (1) ('a;b', "c;d");
                """
            let broken = Migration(version: 2, name: "broken", sql: text)
            let error = await #expect(throws: PostgresError.self) { try await Migrations.run(pool, [first, broken]) }
            #expect(error?.code == .migration && error?.sqlState == "42601")
            #expect(error?.message.hasPrefix("M0002-broken.sql, line 7: syntax error at or near") ?? false)
            let tables = try await pool.query("SELECT 1 FROM pg_tables WHERE schemaname = 'public'")
            #expect(tables.isEmpty)
        }
    }

    @Test func `transaction control inside a migration is refused before anything runs`() async throws {
        try await withDatabase { pool, _ in
            let broken = Migration(version: 2, name: "broken", sql: "CREATE TABLE two (x int);\n\n commit;")
            let error = await #expect(throws: PostgresError.self) { try await Migrations.run(pool, [first, broken]) }
            #expect(error?.message.hasPrefix("M0002-broken.sql, line 3: COMMIT is not allowed") ?? false)
        }
    }

    @Test func `a history with a hole is refused`() async throws {
        try await withDatabase { pool, _ in
            try await Migrations.run(pool, [first, second])
            try await pool.execute("DELETE FROM schema_migrations WHERE version = 1")
            let error = await #expect(throws: PostgresError.self) { try await Migrations.run(pool, [first, second]) }
            #expect(error?.code == .migration)
            #expect(error?.message == "the database has migration 2 but not 1")
        }
    }

    @Test func `a database from before this build is brought up without losing its history`() async throws {
        try await withDatabase { pool, _ in
            try await Migrations.run(pool, Array(Migration.all.prefix(4)))
            try await pool.execute("ALTER TABLE schema_migrations DROP COLUMN oldest_reader")
            let applied = try await Migrations.run(pool)
            #expect(applied == Array(5...Migration.all.count))
        }
    }

    // A released file never changes: databases in the field know its checksum.
    @Test func `the files are those that were released`() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Shared/Postgres/Migrations")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".sql") }
        #expect(files.sorted() == Migration.all.map(\.file))
        for migration in Migration.all {
            let text = try String(contentsOf: folder.appending(path: migration.file), encoding: .utf8)
            #expect(text == migration.sql + "\n", "\(migration.file)")
        }
        #expect(Migration.all.map(\.version) == Array(1...Migration.all.count))
    }

    /// SHA-256 of the SQL; a new migration adds its line, no line ever changes.
    private static let released = [
        "73d9d54ced35fac0df200ba6d592212d1a828c5f7954665fe31500e4d49b608a",
        "43f2a879714aec0214b79582c313a5200ff890934b5100527ff8d765321e3fc1",
        "2d467631ba21c7ad1c665e83b74f6bbb67daf58f933257462cfccc3f536480e7",
        "2a9f7c8f591ca7a16814b7c17ffeb63647aea7755cb88accd7cbc977e2ca9d37",
        "6aac06e7a756d214c7e914b82f12ad6aeb8e23caecbccfdd7e5d109f15e77eea",
        "b008de98d3cad405c3e20356c453cb1dfe5e2852d1e72b61c1a8494569d88b3d",
        "145088df39aeda47ae3860a366087b2976c68a0ff26a669aba9097de243ca674",
        "3912f4041563e10e4bf55066535ad2b0952e9889f3333a7d272d5f8045b346a1",
        "eb10ec420d77890abc2bc8879a7c68f4a4c75a97a16f109dd5f891c04430b14e",
        "78e78218aba7839b94507722dd6c147e702d93d7058afcbb16cda4c3279c41c5",
        "8a0d709610bbf497309ccee59092dbd5d6afa94d5c8002057a3f574a9a71b1f2",
        "284b627f4a2251490827f3311bd36a13c0f97e5d091fa13d7cf71fcbae871e7e",
        "6f88a59538695c9eea5c494077dfe594b2046fe99074d8c8a30536ea903630b5",
        "ee5270d39127304960ba05a8ca257b7d1c0ab10cd54a9d88c63837495934b842",
        "27c0cbb18c63696ed3aa08803dc71734a35dd1f6d1a53340a828b91c7d755808",
        "668848142229b4b3333ad8932e9c2f5b6c920bd03806351482a25a3a2b446672",
        "9da8a01906729967df05d18e2069d5576d5f4e58b076fe5b3956dd64cc0852b5",
        "f99392930b82146b3a0109622c5f0780888443ebeab0e1edb5c52e20a53eb432",
        "42e85c69ebf3a23ba981f8c8f31b82b1a3d4b7f83593832ce6e53dfad5e74446",
    ]

    @Test func `the checksums are those that were released`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            let rows = try await pool.query("SELECT checksum FROM schema_migrations ORDER BY version")
            #expect(try rows.map { try $0.text("checksum") } == Self.released)
        }
    }

    /// One image is rolled back without a restore, whatever it is rolled back from (decision 0021).
    @Test func `no migration shuts out the version before`() {
        for migration in Migration.all {
            #expect(migration.oldestReader <= max(1, migration.version - 1), "\(migration.file)")
        }
    }

    /// Statements that take something away from a build that knows only the versions before, as they begin.
    private static let takesAway = [
        "DROP ", "TRUNCATE ", "ALTER TABLE .* DROP COLUMN", "ALTER TABLE .* RENAME", "ALTER TABLE .* ALTER COLUMN",
        "ALTER TABLE .* SET SCHEMA", "ALTER TABLE .* ADD COLUMN .* NOT NULL(?!.* DEFAULT)(?! DEFAULT)",
        "ALTER TABLE .* ADD CONSTRAINT", "ALTER TABLE .* DROP CONSTRAINT",
    ]

    /// Those that do, argued one by one: migrations 5 and 13 make a rule looser, which no older writer can violate, and
    /// no older reader looks for an intent by its reservation.
    private static let allowed = [
        "ALTER TABLE intents DROP CONSTRAINT intents_reservation_id_key",
        "ALTER TABLE orders DROP CONSTRAINT orders_filled_in_part",
        "ALTER TABLE orders ADD CONSTRAINT orders_filled_in_part CHECK (state <> 'partially_filled' OR filled BETWEEN "
            + "1 AND quantity)",
    ]

    private static func takesAway(_ statement: String) throws -> Bool {
        try takesAway.contains { pattern in
            try Regex("^" + pattern).ignoresCase().firstMatch(in: statement) != nil
        }
    }

    // The rule of `Migration`: what the version before reads and writes stays as it was.
    @Test func `no migration takes anything from the version before`() throws {
        for migration in Migration.all where migration.oldestReader == 1 {
            for statement in SQLScript(migration.sql).statements {
                let line = statement.text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
                let breaks = try Self.takesAway(line) && !Self.allowed.contains(line)
                #expect(!breaks, "\(migration.file), line \(statement.line): \(line)")
            }
        }
        for bad in [
            "DROP TABLE games", "ALTER TABLE games DROP COLUMN status", "alter table games rename TO matches",
            "ALTER TABLE games ALTER COLUMN status TYPE int", "ALTER TABLE games ADD COLUMN x int NOT NULL",
            "ALTER TABLE games ALTER COLUMN status SET NOT NULL",
        ] {
            let breaks = try Self.takesAway(bad)
            #expect(breaks, "\(bad)")
        }
        let adds = try Self.takesAway("ALTER TABLE games ADD COLUMN x int NOT NULL DEFAULT 0")
        #expect(!adds)
    }

    // What a reader relies on beside names and types: what was never null, and what a list of words allowed.
    @Test func `what was never null stays so, and no check of an older column changes`() async throws {
        try await withDatabase { pool, _ in
            var before: [String: String] = [:]
            for count in 1...Migration.all.count {
                try await Migrations.run(pool, Array(Migration.all.prefix(count)))
                let rows = try await pool.query(
                    """
                    SELECT table_name || '.' || column_name AS name, 'NOT NULL' AS rule
                    FROM information_schema.columns WHERE table_schema = 'public' AND is_nullable = 'NO'
                    UNION ALL SELECT conname::text, pg_get_constraintdef(oid) FROM pg_constraint
                    WHERE contype = 'c' AND connamespace = 'public'::regnamespace
                    """)
                var now: [String: String] = [:]
                for row in rows { now[try row.text("name")] = try row.text("rule") }
                for (name, rule) in before where !Self.loosened.contains(name) {
                    #expect(now[name] == rule, "migration \(count) changes \(name)")
                }
                before = now
            }
        }
    }

    /// Argued one by one: a fill may arrive after an order ended in part, which older readers read like any other.
    private static let loosened = ["orders_filled_in_part"]

    // The same by the catalogue: each version finds every column of the one before, of the same type.
    @Test func `each version's columns are still there in the next, and new ones can be left out`() async throws {
        try await withDatabase { pool, _ in
            var before: [String: String] = [:]
            for count in 1...Migration.all.count {
                try await Migrations.run(pool, Array(Migration.all.prefix(count)))
                let rows = try await pool.query(
                    """
                    SELECT table_name || '.' || column_name AS name, data_type,
                        is_nullable = 'YES' OR column_default IS NOT NULL AS optional, table_name
                    FROM information_schema.columns WHERE table_schema = 'public'
                    """)
                var now: [String: String] = [:]
                let tables = Set(before.keys.map { $0.prefix { $0 != "." } })
                for row in rows {
                    let name = try row.text("name")
                    now[name] = try row.text("data_type")
                    if before[name] == nil, tables.contains(try row.text("table_name")[...]) {
                        #expect(try row.bool("optional"), "migration \(count) demands \(name)")
                    }
                }
                for (name, type) in before { #expect(now[name] == type, "migration \(count) changes \(name)") }
                before = now
            }
        }
    }
}
