import PostgresTestKit
import TestKit
import Testing

@testable import Postgres

/// What a transaction sends ahead of the call that waits for it.
@Suite struct AheadTests {
    private func withTable(_ body: (PostgresPool) async throws -> Void) async throws {
        try await withDatabase(Tuned { $0.maxConnections = 2 }) { pool, _ in
            try await pool.execute("CREATE TABLE t (id int PRIMARY KEY, x int NOT NULL DEFAULT 0)")
            try await pool.execute("INSERT INTO t VALUES (0)")
            try await body(pool)
            #expect(pool.statistics.active == 0, "a connection leaked")
        }
    }

    private func ids(_ pool: PostgresPool) async throws -> [Int] {
        try await pool.query("SELECT id FROM t ORDER BY id").map { try $0.int("id") }
    }

    private func isLocked(_ key: Int, _ pool: PostgresPool) async throws -> Bool {
        let row = try await pool.first(
            """
            SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND objid::int8 = \(key) AND granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """)
        return try row?.int("n") == 1
    }

    @Test func `what is pushed is done while nothing is waited for`() async throws {
        try await withTable { pool in
            try await pool.transaction("pushes") { transaction in
                try transaction.enqueue("INSERT INTO t SELECT 1 FROM (SELECT pg_advisory_xact_lock(\(7))) AS held")
                transaction.push()
                try await eventually("the statement is done") { try await isLocked(7, pool) }
                try transaction.enqueue("INSERT INTO t VALUES (2)")
            }
            let stored = try await ids(pool)
            #expect(stored == [0, 1, 2])
        }
    }

    @Test func `a lock that is asked for ahead is taken, and its answer is there with the next one's`() async throws {
        try await withTable { pool in
            let sum = try await pool.transaction("asks ahead") { transaction in
                let first = transaction.ahead(
                    .first("SELECT id + 40 AS n FROM t, pg_advisory_xact_lock(\(8)) WHERE id = 0 FOR UPDATE OF t") {
                        try $0?.int("n") ?? 0
                    })
                try await eventually("the lock is taken") { try await isLocked(8, pool) }
                let next = PostgresQuestion<Int>.first("SELECT 2 AS n") { try $0?.int("n") ?? 0 }
                let second = try await transaction.ask(next)
                return try first() + second
            }
            #expect(sum == 42)
        }
    }

    @Test func `an answer is not there before a call`() async throws {
        try await withTable { pool in
            try await pool.transaction("asks too early") { transaction in
                // Held by nobody, and yet it cannot have been answered on the way there.
                let answer = transaction.ahead(.first("SELECT pg_sleep(0.2)::text AS n") { try $0?.text("n") })
                let error = #expect(throws: PostgresError.self) { try answer() }
                #expect(error?.code == .closed)
            }
        }
    }

    @Test(arguments: [false, true])
    func `what fails ahead fails the next call, and nothing is committed`(asks: Bool) async throws {
        try await withTable { pool in
            let error = await #expect(throws: PostgresError.self) {
                try await pool.transaction("fails ahead") { transaction in
                    try transaction.enqueue("INSERT INTO t VALUES (1)")
                    transaction.push()
                    try transaction.enqueue("INSERT INTO t VALUES (0)")
                    transaction.push()
                    if asks { _ = try await transaction.query("SELECT 1") }
                }
            }
            #expect(error?.isUniqueViolation ?? false)
            #expect(error?.context == "fails ahead: INSERT INTO t VALUES (0)")
            let stored = try await ids(pool)
            #expect(stored == [0])
        }
    }

    @Test func `what cannot be sent ahead leaves nothing outside of a transaction`() async throws {
        try await withTable { pool in
            let error = await #expect(throws: PostgresError.self) {
                try await pool.transaction("cannot be sent") { transaction in
                    try transaction.enqueue("SELECT \("\0")")
                    transaction.push()
                    try transaction.enqueue("INSERT INTO t VALUES (1)")
                }
            }
            #expect(error?.code == .encoding)
            let stored = try await ids(pool)
            #expect(stored == [0])
        }
    }

    @Test func `a failure that may be tried again is tried again`() async throws {
        try await withTable { pool in
            var attempts = 0
            try await pool.retryingTransaction("again") { transaction in
                attempts += 1
                let fails: SQL = "DO $$ BEGIN RAISE EXCEPTION 'once' USING ERRCODE = '40001'; END $$"
                if attempts == 1 { try transaction.enqueue(fails) } else { try transaction.enqueue("SELECT 1") }
                transaction.push()
            }
            #expect(attempts == 2)
        }
    }

    @Test func `a cancelled task does not wait for a lock that was asked for ahead`() async throws {
        try await withTable { pool in
            try await pool.transaction("holds") { holder in
                try await holder.execute("UPDATE t SET x = 1 WHERE id = 0")
                let waiter = Task {
                    try await pool.transaction("waits") { transaction in
                        let locked = transaction.ahead(.first("SELECT x FROM t WHERE id = 0 FOR UPDATE") { $0 != nil })
                        _ = try await transaction.query("SELECT 1")
                        return try locked()
                    }
                }
                try await eventually("it waits for the lock") {
                    let row = try await holder.first(
                        """
                        SELECT count(*) AS n FROM pg_locks
                        WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))
                        """)
                    return try row?.int("n") == 1
                }
                waiter.cancel()
                let error = await #expect(throws: PostgresError.self) { try await waiter.value }
                #expect(error?.code == .cancelled)
            }
            let row = try await pool.first("SELECT x FROM t WHERE id = 0")
            #expect(try row?.int("x") == 1)
        }
    }
}
