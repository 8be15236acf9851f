import PostgresTestKit
import Runtime
import Testing

@testable import Postgres

@Suite struct MigrationTests {
    private let first = Migration(version: 1, name: "one", sql: "CREATE TABLE one (x int); INSERT INTO one VALUES (1)")
    private let second = Migration(version: 2, name: "two", sql: "ALTER TABLE one ADD COLUMN y int")

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

    @Test func `a history from a newer build is refused`() async throws {
        try await withDatabase { pool, _ in
            try await Migrations.run(pool, [first, second])
            let error = await #expect(throws: PostgresError.self) { try await Migrations.run(pool, [first]) }
            #expect(error?.code == .migration)
            #expect(error?.message.contains("belongs to a newer build") ?? false)
        }
    }

    @Test func `a failing migration leaves nothing behind`() async throws {
        try await withDatabase { pool, _ in
            let broken = Migration(version: 2, name: "broken", sql: "CREATE TABLE two (x int); SELECT 1 / 0")
            let error = await #expect(throws: PostgresError.self) { try await Migrations.run(pool, [first, broken]) }
            #expect(error?.sqlState == "22012")
            let tables = try await pool.query("SELECT 1 FROM pg_tables WHERE schemaname = 'public'")
            #expect(tables.isEmpty)
        }
    }
}
