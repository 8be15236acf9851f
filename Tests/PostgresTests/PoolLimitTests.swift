import PostgresTestKit
import Resilience
import Runtime
import TestKit
import Testing

@testable import Postgres

/// What the pool's settings promise, as the server sees it (CHECKLIST R24, R26, R29, R33).
@Suite(.serialized, .timeLimit(.minutes(5))) struct PoolLimitTests {
    /// How many sessions the server has in a pool's name.
    private func sessions(_ watcher: PostgresPool) async throws -> Int {
        try await watcher.query(
            """
            SELECT count(*) AS n FROM pg_stat_activity
            WHERE application_name = 'limits' AND datname = current_database()
            """)[0].int("n")
    }

    private func withPools(
        clock: MachineClock = .real, _ change: (inout PostgresSettings) -> Void = { _ in },
        _ body: (PostgresPool, PostgresPool) async throws -> Void
    ) async throws {
        try await withPostgres { database in
            let pool = try makePool(database.socketURL, application: "limits", clock: clock, change)
            let watcher = try makePool(database.socketURL, application: "watcher")
            do {
                try await body(pool, watcher)
            } catch {
                await pool.close(grace: .zero)
                await watcher.close(grace: .zero)
                throw error
            }
            await pool.close(grace: .zero)
            await watcher.close(grace: .zero)
        }
    }

    @Test func `five to twenty sessions, the twenty-first caller waits, and the statistics are the server's`()
        async throws
    {
        try await withPools {
            $0.minConnections = 5
        } _: { pool, watcher in
            let running = Task { await pool.run() }
            try await eventually(within: .seconds(60), "the minimum") {
                pool.statistics.size == 5 && pool.statistics.active == 0
            }
            let atRest = try await sessions(watcher)
            #expect(atRest == 5)
            let gate = Attempts()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        // Nothing is begun: the server would end a session that is idle in a transaction.
                        try await pool.transaction("holds") { _ in
                            try await eventually(within: .seconds(60), "released") { gate.value > 0 }
                        }
                    }
                }
                try await eventually(within: .seconds(60), "twenty are lent") { pool.statistics.active == 20 }
                group.addTask { try await pool.ping(timeout: .seconds(30)) }
                try await eventually(within: .seconds(60), "the next one waits") { pool.statistics.waiting == 1 }
                let seen = try await sessions(watcher)
                #expect(seen == 20)
                #expect(pool.statistics.size == 20)
                #expect(pool.statistics.idle == 0)
                gate.add()
                try await group.waitForAll()
            }
            #expect(pool.statistics.waiting == 0)
            running.cancel()
            await running.value
            try await eventually(within: .seconds(60), "no session left") { try await sessions(watcher) == 0 }
        }
    }

    @Test func `a session's server process changes at the end of its life and after its idle time`() async throws {
        let time = ManualTime()
        try await withPools(clock: .manual(time)) {
            $0.maxLifetime = .seconds(2)
        } _: { pool, watcher in
            let first = try await pool.query("SELECT pg_backend_pid() AS pid")[0].int("pid")
            time.advance(by: .milliseconds(2001))
            let second = try await pool.query("SELECT pg_backend_pid() AS pid")[0].int("pid")
            #expect(first != second)
            try await eventually(within: .seconds(60), "the first is gone") {
                try await watcher.query("SELECT 1 FROM pg_stat_activity WHERE pid = \(first)").isEmpty
            }
        }
    }

    @Test func `what may be retried is retried after 100, 200 and 400 ms with jitter, and then thrown`() async throws {
        let time = ManualTime()
        try await withPools(clock: .manual(time)) { pool, _ in
            try await pool.ping(timeout: .seconds(30))
            let attempts = Attempts()
            // The pool's own alarm, if it has one, sleeps as well.
            let others = time.sleeperCount
            let call = Task {
                try await pool.retryingTransaction("again") { _ in
                    attempts.add()
                    throw PostgresError(.retryTransaction, "forced", context: "test", sqlState: "40001")
                }
            }
            for (attempt, delay) in [100, 200, 400].enumerated() {
                try await eventually(within: .seconds(60), "attempt \(attempt + 1)") { attempts.value == attempt + 1 }
                await time.untilSleepers(others + 1)
                time.advance(by: .milliseconds(delay * 9 / 10 - 1))
                // Whoever was woken has left the sleepers at once, also before it has run.
                #expect(time.sleeperCount >= others + 1, "earlier than the jitter allows")
                #expect(attempts.value == attempt + 1)
                time.advance(by: .milliseconds(delay / 5 + 2))
            }
            let error = await #expect(throws: PostgresError.self) { try await call.value }
            #expect(error?.code == .retryTransaction)
            #expect(attempts.value == 4)
            #expect(pool.statistics.retries == 3)
            #expect((pool.statistics.recovered, pool.statistics.givenUp) == (0, 1))
        }
    }

    @Test func `a connection held for long is reported with its holder and its statement`() async throws {
        let time = ManualTime()
        try await withCapturedLog { log, lines in
            try await withPostgres { database in
                let pool = try makePool(database.socketURL, clock: .manual(time), log: log) {
                    $0.leakReport = .seconds(10)
                    $0.maxConnections = 2
                }
                let running = Task { await pool.run() }
                try await pool.transaction("forgotten by its author") { transaction in
                    _ = try await transaction.query("SELECT 1")
                    try await eventually(within: .seconds(60), "reported") {
                        time.advance(by: .seconds(1))
                        return pool.statistics.leaksReported == 1
                    }
                }
                let report = lines.lines.first { $0.contains("database connection held for long") }
                #expect(report?.contains("forgotten by its author") ?? false, "\(lines.lines)")
                running.cancel()
                await running.value
            }
        }
    }

    @Test func `idle sessions are asked whether they still answer`() async throws {
        let time = ManualTime()
        let metrics = MetricsRegistry()
        try await withPostgres { database in
            let pool = try makePool(database.socketURL, clock: .manual(time), metrics: metrics) {
                $0.keepAlive = .seconds(5)
                $0.healthCheckInterval = .seconds(3600)
            }
            let running = Task { await pool.run() }
            try await pool.ping(timeout: .seconds(30))
            try await eventually(within: .seconds(60), "a probe") {
                time.advance(by: .seconds(1))
                return (metrics.snapshot()["db_pool_probes"] ?? 0) > 0
            }
            #expect(pool.statistics.closed == 0)
            running.cancel()
            await running.value
        }
    }
}
