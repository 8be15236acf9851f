import Postgres
import PostgresTestKit
import Runtime
import TestKit

/// A change of the settings for one test.
struct Tuned: Sendable {
    let apply: @Sendable (inout PostgresSettings) -> Void
}

/// Lends a database of its own and a pool on it, and closes the pool.
func withDatabase(
    migrated: Bool = false, clock: MachineClock = .real, _ tuned: Tuned = Tuned { _ in },
    _ body: (PostgresPool, String) async throws -> Void
) async throws {
    try await withPostgres { database in
        let pool = try makePool(database.socketURL, clock: clock, tuned.apply)
        do {
            if migrated { try await Migrations.run(pool) }
            try await body(pool, database.socketURL)
        } catch {
            await pool.close(grace: .milliseconds(100))
            throw error
        }
        await pool.close(grace: .milliseconds(100))
    }
}
