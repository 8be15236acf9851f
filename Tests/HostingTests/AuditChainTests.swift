import NIOConcurrencyHelpers
import Postgres
import PostgresTestKit
import Resilience
import Runtime
import TestKit
import Testing

@testable import Hosting

/// Sealing on a real server: order, horizon, two sealers, and sealers that die (CHECKLIST R92).
@Suite struct AuditChainTests {
    @Test func `a row has no hash until it is sealed, whatever its writer asks for`() async throws {
        try await AuditDatabase.run { database in
            try await database.write("a")
            try await database.pool.execute(
                """
                INSERT INTO audit_log (event, writer, position, previous_hash, hash)
                VALUES ('b', '1', 7, '\\x00', '\\x01')
                """)
            #expect(
                try await database.number(
                    """
                    SELECT count(*) AS n FROM audit_log
                    WHERE hash IS NULL AND previous_hash IS NULL AND position IS NULL AND writer::text::int8 > 1
                    """) == 2)
            try await database.sealAll()
            try await database.expectWhole(2)
        }
    }

    @Test func `the server's own SHA-256 over the written form gives the same hashes`() async throws {
        try await AuditDatabase.run { database in
            try await database.write("a", "b")
            try await database.pool.execute(
                """
                INSERT INTO audit_log (event, at, game_id, details)
                VALUES ('é"\\', '1969-07-20 20:17:40.123456+00', '', '{"z": [1, 2.50, null], "a": {"ü": "\\n"}}')
                """)
            try await database.sealAll()
            try await database.pool.transaction("function") { transaction in
                try await transaction.script(
                    """
                    CREATE FUNCTION field(t text) RETURNS bytea LANGUAGE sql AS $$
                        SELECT coalesce(int4send(octet_length(convert_to(t, 'UTF8'))) || convert_to(t, 'UTF8'),
                            '\\xffffffff') $$
                    """)
            }
            let different = try await database.number(
                """
                SELECT count(*) AS n FROM audit_log WHERE hash <> sha256(
                    field('linesman-audit-1') || field(position::text) || field(id::text) || field(writer::text)
                    || field((extract(epoch FROM at) * 1000000)::int8::text) || field(event) || field(intent_id)
                    || field(order_id) || field(market_id) || field(game_id) || field(details::text) || previous_hash)
                """)
            #expect(different == 0)
            try await database.expectWhole(3)
        }
    }

    @Test func `rows from before the chain come first, and those of an older build go on`() async throws {
        try await AuditDatabase.run { database in
            try await database.tamper(
                "INSERT INTO audit_log (event) SELECT 'old ' || n FROM generate_series(1, 20) AS n")
            #expect(try await database.number("SELECT count(*) AS n FROM audit_log WHERE writer IS NULL") == 20)
            try await database.write("new")
            try await database.sealAll()
            #expect(try await database.number("SELECT position AS n FROM audit_log WHERE event = 'new'") == 21)
            #expect(try await database.chain.verify(page: 7).findings.isEmpty)
        }
    }

    /// An open transaction that has written a row, until `release`.
    private func hold(
        _ database: AuditDatabase, _ event: String, until isOver: NIOLockedValueBox<Bool>, fails: Bool = false
    ) async throws {
        struct RolledBack: Error {}
        do {
            try await database.pool.transaction("held") { transaction in
                try await AuditEntry(event).write(transaction)
                while !isOver.withLockedValue({ $0 }) {
                    _ = try await transaction.query("SELECT 1")
                    try await MachineClock.real.sleep(for: .milliseconds(2))
                }
                if fails { throw RolledBack() }
            }
        } catch is RolledBack {}
    }

    @Test(.timeLimit(.minutes(2)))
    func `while a transaction is open nothing behind it is sealed, and no writer waits`() async throws {
        try await AuditDatabase.run(isAlone: true) { database in
            try await database.write("before")
            try await database.sealAll()
            let (isOver, isSealing) = (NIOLockedValueBox(false), NIOLockedValueBox(true))
            let sealer = try makePool(database.url, application: "sealer")
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await hold(database, "late", until: isOver) }
                try await eventually("it is open") {
                    try await database.chain.oldestWriter() != nil
                }
                group.addTask {
                    while isSealing.withLockedValue({ $0 }) {
                        _ = try await AuditChain(sealer).seal()
                        try await MachineClock.real.sleep(for: .milliseconds(2))
                    }
                }
                // All of them end while the other one is still open.
                try await withThrowingTaskGroup(of: Void.self) { writers in
                    for number in 0..<200 { writers.addTask { try await database.write("n\(number)") } }
                    try await writers.waitForAll()
                }
                #expect(try await database.number("SELECT count(*) AS n FROM audit_log WHERE hash IS NULL") == 200)
                let culprit = try await database.chain.oldestWriter()
                #expect(culprit?.contains("(writer, database linesman)") == true, "\(culprit ?? "-")")
                #expect(try await database.chain.verify().findings.isEmpty)
                isOver.withLockedValue { $0 = true }
                try await eventually("everything is sealed") { try await database.chain.backlog().rows == 0 }
                isSealing.withLockedValue { $0 = false }
                try await group.waitForAll()
            }
            await sealer.close(grace: .zero)
            // It wrote first and committed last, and stands where it belongs.
            #expect(try await database.number("SELECT position AS n FROM audit_log WHERE event = 'late'") == 2)
            try await database.expectWhole(202)
        }
    }

    @Test func `one that is rolled back leaves no gap, and the ones behind it are sealed`() async throws {
        try await AuditDatabase.run(isAlone: true) { database in
            let isOver = NIOLockedValueBox(false)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await hold(database, "never", until: isOver, fails: true) }
                try await eventually("it is open") { try await database.chain.oldestWriter() != nil }
                try await database.write("a", "b")
                #expect(try await database.chain.seal() == .sealed(0, isWhole: true))
                isOver.withLockedValue { $0 = true }
                try await group.waitForAll()
            }
            try await database.sealAll()
            try await database.expectWhole(2)
        }
    }

    @Test func `a second sealer leaves the work to the first`() async throws {
        try await AuditDatabase.run(isAlone: true) { database in
            try await database.write("a")
            try await database.pool.transaction("first") { transaction in
                _ = try await transaction.query("SELECT 1 AS one FROM audit_chain FOR UPDATE")
                #expect(try await database.chain.seal() == .busy)
            }
            #expect(try await database.chain.seal() == .sealed(1, isWhole: true))
        }
    }

    @Test func `without its end the chain is not begun anew`() async throws {
        try await AuditDatabase.run { database in
            try await database.write("a")
            await #expect(throws: PostgresError.self) { try await database.pool.execute("DELETE FROM audit_chain") }
            await #expect(throws: PostgresError.self) {
                try await database.pool.execute("UPDATE audit_chain SET position = 0")
            }
            try await database.tamper("DELETE FROM audit_chain")
            await #expect(throws: AuditChain.Failure.noEnd) { try await database.chain.seal() }
        }
    }

    /// Writers whose transactions overlap at random, some rolled back; two sealers; and somebody who ends the sealers'
    /// sessions wherever they are.
    @Test(.timeLimit(.minutes(4)), arguments: [1, 2, 3] as [UInt64])
    func `whatever overlaps, rolls back or dies, the chain is whole at every moment`(seed: UInt64) async throws {
        try await AuditDatabase.run(isAlone: true) { database in
            let isOver = NIOLockedValueBox(false)
            let sealers = try (0..<2).map { _ in try makePool(database.url, application: "sealer") }
            let rows = NIOLockedValueBox(0)
            let kills = try await withThrowingTaskGroup(of: Void.self) { group in
                for pool in sealers { group.addTask { await sealUntil(isOver, pool) } }
                try await withThrowingTaskGroup(of: Int.self) { writers in
                    for lane in 0..<8 {
                        let random = SeededGenerator(seed: seed &* 100 &+ UInt64(lane))
                        writers.addTask { try await overlap(database, random) }
                    }
                    for try await written in writers { rows.withLockedValue { $0 += written } }
                }
                // The killer needs sealers that work: rows go on coming until it has had its fill.
                var kills = 0
                while kills < 15 {
                    try await database.write("during")
                    rows.withLockedValue { $0 += 1 }
                    kills += try await database.pool.query(
                        """
                        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                        WHERE application_name = 'sealer' AND state <> 'idle' LIMIT 1
                        """
                    ).count
                    #expect(try await database.chain.verify(page: 50).findings.isEmpty)
                }
                isOver.withLockedValue { $0 = true }
                try await group.waitForAll()
                return kills
            }
            for pool in sealers { await pool.close(grace: .zero) }
            try await database.sealAll()
            #expect(kills >= 15)
            try await database.expectWhole(Int64(rows.withLockedValue { $0 }))
        }
    }

    private func sealUntil(_ isOver: NIOLockedValueBox<Bool>, _ pool: PostgresPool) async {
        while !isOver.withLockedValue({ $0 }) {
            // A session that was ended under it is what this is about.
            _ = try? await AuditChain(pool).seal(limit: 5)
        }
    }

    /// Transactions of one lane, each open for a while; the rows that were committed.
    private func overlap(_ database: AuditDatabase, _ seeded: SeededGenerator) async throws -> Int {
        struct RolledBack: Error {}
        var random = seeded
        var written = 0
        for _ in 0..<12 {
            let pauses = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                Int.random(in: 0...4, using: &random)
            }
            let isKept = Int.random(in: 0..<5, using: &random) > 0
            do {
                try await database.pool.transaction("lane") { transaction in
                    for pause in pauses {
                        try await AuditEntry("lane", details: ["pause": "\(pause)"]).write(transaction)
                        try await MachineClock.real.sleep(for: .milliseconds(pause))
                    }
                    if !isKept { throw RolledBack() }
                }
                written += pauses.count
            } catch is RolledBack {}
        }
        return written
    }

    @Test(.timeLimit(.minutes(2)))
    func `rows outlive the server's sudden death, each with what it tells of, and the chain goes on`() async throws {
        try await withOwnPostgres(fsync: true) { server in
            let pool = try makePool(server.socketURL(database: "linesman"), application: "writer")
            try await Migrations.run(pool)
            let acknowledged = NIOLockedValueBox<Set<Int>>([])
            try await withThrowingTaskGroup(of: Void.self) { group in
                for lane in 0..<4 {
                    group.addTask {
                        for number in 0..<10_000 {
                            let key = lane * 10_000 + number
                            // The first refusal is the server's death.
                            guard (try? await Self.writeBoth(key, pool)) != nil else { return }
                            acknowledged.withLockedValue { _ = $0.insert(key) }
                            _ = try? await AuditChain(pool).seal()
                        }
                    }
                }
                try await eventually(within: .seconds(60), "many rows") {
                    acknowledged.withLockedValue { $0.count } >= 200
                }
                await server.kill()
                try await group.waitForAll()
            }
            try await server.startAgain()
            try await eventually(within: .seconds(30), "the pool is back") {
                (try? await pool.first("SELECT 1 AS one")) != nil
            }
            let rows = Set(try await pool.query("SELECT event::int AS n FROM audit_log").map { try $0.int("n") })
            let told = Set(try await pool.query("SELECT key::int AS n FROM daily_stats").map { try $0.int("n") })
            #expect(rows == told && acknowledged.withLockedValue { $0 }.isSubset(of: rows))
            let database = AuditDatabase(url: server.socketURL(database: "linesman"), pool: pool)
            try await database.sealAll()
            try await database.expectWhole(Int64(rows.count))
            await pool.close(grace: .milliseconds(100))
        }
    }

    private static func writeBoth(_ key: Int, _ pool: PostgresPool) async throws {
        try await pool.transaction("both") { transaction in
            try await transaction.execute(
                "INSERT INTO daily_stats (day, key, value) VALUES ('2026-01-01', \("\(key)"), 1)")
            try await AuditEntry("\(key)").write(transaction)
        }
    }
}
