import Foundation
import NIOConcurrencyHelpers
import PostgresTestKit
import Resilience
import Runtime
import TestKit
import Testing

@testable import Postgres

@Suite struct TransactionTests {
    private struct Refusal: Error {}

    private func count(_ pool: PostgresPool) async throws -> Int {
        try await pool.query("SELECT count(*) AS n FROM t")[0].int("n")
    }

    private func withTable(
        _ tuned: Tuned = Tuned { _ in }, _ body: (PostgresPool, String) async throws -> Void
    ) async throws {
        try await withDatabase(tuned) { pool, url in
            try await pool.execute("CREATE TABLE t (id int PRIMARY KEY, x int NOT NULL DEFAULT 0)")
            try await body(pool, url)
            #expect(pool.statistics.active == 0, "a connection leaked")
        }
    }

    @Test func `a returning scope commits and a throwing one rolls back`() async throws {
        try await withTable { pool, _ in
            let value = try await pool.transaction("keep") { transaction in
                try await transaction.execute("INSERT INTO t VALUES (1), (2)")
            }
            #expect(value == 2)
            await #expect(throws: Refusal.self) {
                try await pool.transaction("drop") { transaction in
                    try await transaction.execute("INSERT INTO t VALUES (3)")
                    throw Refusal()
                }
            }
            let rows = try await count(pool)
            #expect(rows == 2)
            #expect(pool.statistics.opened == 1)
        }
    }

    @Test func `a commit after a swallowed error is an error`() async throws {
        try await withTable { pool, _ in
            let error = await #expect(throws: PostgresError.self) {
                try await pool.transaction("swallow") { transaction in
                    try await transaction.execute("INSERT INTO t VALUES (1)")
                    _ = try? await transaction.execute("INSERT INTO t VALUES (1)")
                }
            }
            #expect(error?.message.contains("rolled back") ?? false)
            let rows = try await count(pool)
            #expect(rows == 0)
        }
    }

    @Test func `an ended transaction refuses statements`() async throws {
        try await withTable { pool, _ in
            let escaped = try await pool.transaction("short") { $0 }
            let error = await #expect(throws: PostgresError.self) { try await escaped.query("SELECT 1") }
            #expect(error?.code == .closed)
        }
    }

    // CHECKLIST R31.
    @Test func `a violated key is permanent and names the constraint`() async throws {
        try await withTable { pool, _ in
            try await pool.execute("INSERT INTO t VALUES (1)")
            let attempts = Attempts()
            let error = await #expect(throws: PostgresError.self) {
                try await pool.retryingTransaction("again") { transaction in
                    attempts.add()
                    try await transaction.execute("INSERT INTO t VALUES (1)")
                }
            }
            #expect(error?.code == .permanent)
            #expect(error?.isUniqueViolation ?? false)
            #expect(error?.constraint == "t_pkey")
            #expect(error?.context == "again: INSERT INTO t VALUES (1)")
            #expect(attempts.value == 1)
        }
    }

    @Test func `a deadlock is run again and both succeed`() async throws {
        try await withTable { pool, _ in
            try await pool.execute("INSERT INTO t VALUES (1), (2)")
            let attempts = Attempts()
            let gate = Attempts()
            @Sendable func cross(_ first: Int, _ second: Int) async throws {
                try await pool.retryingTransaction("cross") { transaction in
                    attempts.add()
                    try await transaction.execute("UPDATE t SET x = x + 1 WHERE id = \(first)")
                    gate.add()
                    try await eventually("both hold a row") { gate.value >= 2 }
                    try await transaction.execute("UPDATE t SET x = x + 1 WHERE id = \(second)")
                }
            }
            async let one: Void = cross(1, 2)
            async let two: Void = cross(2, 1)
            _ = try await (one, two)
            #expect(attempts.value >= 3)
            #expect(pool.statistics.retries >= 1)
            let sum = try await pool.query("SELECT sum(x)::int AS n FROM t")[0].int("n")
            #expect(sum == 4)
        }
    }

    @Test func `serialisation failures are run again until the sum is right`() async throws {
        try await withTable { pool, _ in
            try await pool.execute("INSERT INTO t VALUES (1)")
            let policy = RetryPolicy(attempts: 30, delays: [.milliseconds(5)], jitter: 0.5)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<6 {
                    group.addTask {
                        try await pool.retryingTransaction("add", isolation: .serializable, policy: policy) { tx in
                            let x = try await tx.query("SELECT x FROM t WHERE id = 1")[0].int("x")
                            try await tx.execute("UPDATE t SET x = \(x + 1) WHERE id = 1")
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await pool.query("SELECT x FROM t")[0].int("x") == 6)
        }
    }

    @Test func `a backend ended inside a transaction costs a retry and no row`() async throws {
        try await withTable { pool, url in
            let other = try makePool(url)
            let attempts = Attempts()
            try await pool.retryingTransaction("ended") { transaction in
                attempts.add()
                try await transaction.execute("INSERT INTO t VALUES (1)")
                let pid = try await transaction.query("SELECT pg_backend_pid() AS pid")[0].int("pid")
                if attempts.value == 1 { try await other.execute("SELECT pg_terminate_backend(\(Int32(pid)))") }
                try await transaction.execute("INSERT INTO t VALUES (2)")
            }
            #expect(attempts.value == 2)
            let rows = try await count(pool)
            #expect(rows == 2)
            await other.close()
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func `a deadline cancels the statement and the connection lives on`() async throws {
        try await withTable(Tuned { $0.maxConnections = 1 }) { pool, _ in
            let pid = try await pool.query("SELECT pg_backend_pid() AS pid")[0].int("pid")
            let error = await #expect(throws: PostgresError.self) {
                try await pool.query("SELECT pg_sleep(600)", timeout: .milliseconds(100))
            }
            #expect(error?.code == .deadlineExceeded)
            #expect(error?.sqlState == "57014")
            #expect(try await pool.query("SELECT pg_backend_pid() AS pid")[0].int("pid") == pid)
        }
    }

    @Test func `a cancelled task ends its statement and rolls back`() async throws {
        try await withTable(Tuned { $0.maxConnections = 1 }) { pool, _ in
            let task = Task {
                try await pool.transaction("cancelled") { transaction in
                    try await transaction.execute("INSERT INTO t VALUES (1)")
                    _ = try await transaction.query("SELECT pg_sleep(10)")
                }
            }
            try await eventually("the statement runs") { pool.statistics.active == 1 }
            task.cancel()
            let error = await #expect(throws: PostgresError.self) { try await task.value }
            #expect(error?.code == .cancelled)
            let rows = try await count(pool)
            #expect(rows == 0)
        }
    }

    @Test func `a task cancelled before the commit does not commit`() async throws {
        try await withTable(Tuned { $0.maxConnections = 1 }) { pool, _ in
            let task = Task {
                try await pool.transaction("late") { transaction in
                    try await transaction.execute("INSERT INTO t VALUES (1)")
                    withUnsafeCurrentTask { $0?.cancel() }
                }
            }
            let error = await #expect(throws: PostgresError.self) { try await task.value }
            #expect(error?.code == .cancelled)
            let rows = try await count(pool)
            #expect(rows == 0)
        }
    }

    /// A stopped backend answers nothing, not even a cancel request.
    private func stopped(_ pid: Int, _ body: () async throws -> Void) async rethrows {
        kill(pid_t(pid), SIGSTOP)
        defer { kill(pid_t(pid), SIGCONT) }
        try await body()
    }

    @Test func `a silent server is given up one second after the deadline`() async throws {
        try await withTable(Tuned { $0.maxConnections = 1 }) { pool, _ in
            let pid = try await pool.query("SELECT pg_backend_pid() AS pid")[0].int("pid")
            await stopped(pid) {
                let began = MachineClock.real.now
                let read = await #expect(throws: PostgresError.self) {
                    try await pool.query("SELECT 2", timeout: .milliseconds(100))
                }
                #expect(read?.code == .deadlineExceeded)
                let took = MachineClock.real.now.since(began)
                #expect(took >= .seconds(1) && took < .seconds(9))
            }
            #expect(try await pool.query("SELECT pg_backend_pid() AS pid")[0].int("pid") != pid)
        }
    }

    @Test func `a lost commit is unknown, and so is a lost write outside a transaction`() async throws {
        try await withTable(Tuned { $0.maxConnections = 1 }) { pool, _ in
            let attempts = Attempts()
            let pids = Attempts()
            let commit = await #expect(throws: PostgresError.self) {
                try await pool.retryingTransaction("lost", timeout: .seconds(6)) { transaction in
                    attempts.add()
                    try await transaction.execute("INSERT INTO t VALUES (1)")
                    let pid = try await transaction.query("SELECT pg_backend_pid() AS pid")[0].int("pid")
                    pids.add(pid)
                    kill(pid_t(pid), SIGSTOP)
                }
            }
            kill(pid_t(pids.value), SIGCONT)
            #expect(commit?.code == .unknownCommit)
            #expect(attempts.value == 1, "an unknown commit must not be repeated")

            let pid = try await pool.query("SELECT pg_backend_pid() AS pid")[0].int("pid")
            try await pool.execute("INSERT INTO t VALUES (\(8))")
            await stopped(pid) {
                let write = await #expect(throws: PostgresError.self) {
                    try await pool.execute("INSERT INTO t VALUES (\(9))", timeout: .milliseconds(100))
                }
                #expect(write?.code == .unknownCommit)
            }
        }
    }

    @Test func `the transaction's deadline covers all its statements`() async throws {
        try await withTable { pool, _ in
            let error = await #expect(throws: PostgresError.self) {
                try await pool.transaction("slow", timeout: .milliseconds(200)) { transaction in
                    try await transaction.execute("INSERT INTO t VALUES (1)")
                    for _ in 0..<100 { _ = try await transaction.query("SELECT pg_sleep(0.05)") }
                }
            }
            #expect(error?.code == .deadlineExceeded)
            let rows = try await count(pool)
            #expect(rows == 0)
        }
    }

    @Test func `statements given at once to one transaction run one after the other`() async throws {
        try await withTable { pool, _ in
            try await pool.transaction("twice") { transaction in
                async let slow = transaction.query("SELECT pg_sleep(0.05), 'slow' AS name")
                async let fast = transaction.query("SELECT 'fast' AS name")
                let (slowRows, fastRows) = (try await slow, try await fast)
                #expect(try slowRows[0].text("name") == "slow")
                #expect(try fastRows[0].text("name") == "fast")
            }
        }
    }
}

/// A sum across tasks.
final class Attempts: Sendable {
    private let box = NIOLockedValueBox(0)
    var value: Int { box.withLockedValue { $0 } }
    func add(_ amount: Int = 1) { box.withLockedValue { $0 += amount } }
}
