import NIOConcurrencyHelpers
import Postgres
import PostgresTestKit
import Resilience
import Runtime
import TestKit
import Testing

@testable import Hosting

/// A database with the suite's schema, a pool to write audit rows with, and the means of somebody who may do anything.
struct AuditDatabase {
    let url: String
    let pool: PostgresPool
    var chain: AuditChain { AuditChain(pool) }

    /// A server of its own when `isAlone`: transactions of other tests would hold the horizon.
    static func run(isAlone: Bool = false, _ body: (AuditDatabase) async throws -> Void) async throws {
        if isAlone {
            try await withOwnPostgres { try await run($0.socketURL(database: "linesman"), body) }
        } else {
            try await withPostgres { try await run($0.socketURL, body) }
        }
    }

    private static func run(_ url: String, _ body: (AuditDatabase) async throws -> Void) async throws {
        let pool = try makePool(url, application: "writer")
        do {
            try await Migrations.run(pool)
            try await body(AuditDatabase(url: url, pool: pool))
        } catch {
            await pool.close(grace: .milliseconds(100))
            throw error
        }
        await pool.close(grace: .milliseconds(100))
    }

    /// One transaction of some rows.
    func write(_ events: String...) async throws {
        try await pool.transaction("write") { transaction in
            for event in events {
                try await AuditEntry(event, intent: "i", order: "o", market: "m", game: "g", details: ["event": event])
                    .write(transaction)
            }
        }
    }

    /// Until every row has its seal.
    func sealAll() async throws {
        try await eventually(within: .seconds(60), "everything is sealed") {
            while case .sealed(_, isWhole: false) = try await chain.seal() {}
            return try await chain.backlog().rows == 0
        }
    }

    /// What somebody who owns the database does: no trigger stands in the way.
    func tamper(_ statements: String...) async throws {
        try await pool.transaction("tamper") { transaction in
            try await transaction.script("SET LOCAL session_replication_role = replica")
            for statement in statements { try await transaction.script(statement) }
        }
    }

    func number(_ sql: SQL) async throws -> Int64 { try await pool.first(sql)?.int64("n") ?? -1 }

    func head() async throws -> AuditHead { try #require(try await chain.head()) }

    /// Places are 1 to n, in the order of transaction and id, and nothing is found.
    func expectWhole(_ rows: Int64, _ location: SourceLocation = #_sourceLocation) async throws {
        let report = try await chain.verify(page: 7)
        #expect(report.findings.isEmpty && report.rows == rows && report.waiting == 0, sourceLocation: location)
        #expect(try await head() == report.head, sourceLocation: location)
        let disorder = try await number(
            """
            SELECT count(*) AS n FROM (
                SELECT position, row_number() OVER (ORDER BY writer, id) AS place FROM audit_log) AS p
            WHERE position IS DISTINCT FROM place
            """)
        #expect(disorder == 0, sourceLocation: location)
    }
}
