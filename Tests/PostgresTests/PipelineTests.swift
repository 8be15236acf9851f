import PostgresTestKit
import Resilience
import Runtime
import TestKit
import Testing

@testable import Postgres

/// What travels together, and what that changes when something fails.
@Suite struct PipelineTests {
    private func withTable(_ body: (PostgresPool, String) async throws -> Void) async throws {
        try await withDatabase(Tuned { $0.maxConnections = 1 }) { pool, url in
            try await pool.execute("CREATE TABLE t (id int PRIMARY KEY, x int NOT NULL DEFAULT 0)")
            try await body(pool, url)
            #expect(pool.statistics.active == 0, "a connection leaked")
        }
    }

    private func ids(_ pool: PostgresPool) async throws -> [Int] {
        try await pool.query("SELECT id FROM t ORDER BY id").map { try $0.int("id") }
    }

    @Test func `a batch is one transaction and answers each statement`() async throws {
        try await withTable { pool, _ in
            let answers = try await pool.batch([
                "INSERT INTO t VALUES (\(1)), (\(2))", "SELECT count(*) AS n FROM t", "DELETE FROM t WHERE id = \(2)",
            ])
            #expect(answers.map(\.affected) == [2, 1, 1])
            #expect(try answers[1].rows[0].int("n") == 2)
            let error = await #expect(throws: PostgresError.self) {
                try await pool.batch(["INSERT INTO t VALUES (3)", "INSERT INTO t VALUES (1)", "SELECT 1"])
            }
            #expect(error?.isUniqueViolation ?? false)
            #expect(error?.context == "INSERT INTO t VALUES (1)")
            let stored = try await ids(pool)
            #expect(stored == [1])
        }
    }

    @Test func `a constraint that is checked at the end names the statement that broke it`() async throws {
        try await withTable { pool, _ in
            try await pool.execute(
                "CREATE TABLE child (id int REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
            let alone = await #expect(throws: PostgresError.self) {
                try await pool.execute("INSERT INTO child VALUES (1)")
            }
            #expect(alone?.isForeignKeyViolation ?? false)
            #expect(alone?.code == .permanent)
            #expect(alone?.context == "INSERT INTO child VALUES (1)")
            let committed = await #expect(throws: PostgresError.self) {
                try await pool.transaction("deferred") { try $0.enqueue("INSERT INTO child VALUES (2)") }
            }
            #expect(committed?.isForeignKeyViolation ?? false)
            let rows = try await pool.query("SELECT * FROM child")
            #expect(rows.isEmpty)
            #expect(pool.statistics.opened == 1)
        }
    }

    @Test func `a session that ends between its last answer and the batch's end is a lost one`() async throws {
        try await withTable { pool, _ in
            for _ in 0..<20 {
                let error = await #expect(throws: PostgresError.self) {
                    try await pool.transaction("ends itself") { transaction in
                        _ = try await transaction.query("SELECT pg_terminate_backend(pg_backend_pid())")
                        _ = try await transaction.query("SELECT 1")
                    }
                }
                #expect(error?.code == .reconnect)
            }
            let still = try await pool.query("SELECT 1")
            #expect(still.count == 1)
        }
    }

    @Test func `queued statements run in order before the next one and with the commit`() async throws {
        try await withTable { pool, _ in
            try await pool.transaction("queue") { transaction in
                try transaction.enqueue("INSERT INTO t VALUES (1)")
                try transaction.enqueue("UPDATE t SET x = 5 WHERE id = 1")
                let x = try await transaction.query("SELECT x FROM t")[0].int("x")
                #expect(x == 5)
                try transaction.enqueue("INSERT INTO t VALUES (2)")
            }
            let stored = try await ids(pool)
            #expect(stored == [1, 2])
        }
    }

    @Test func `a queued statement that fails at the commit is named and nothing is committed`() async throws {
        try await withTable { pool, _ in
            let error = await #expect(throws: PostgresError.self) {
                try await pool.transaction("queue") { transaction in
                    try await transaction.execute("INSERT INTO t VALUES (1)")
                    try transaction.enqueue("INSERT INTO t VALUES (1)")
                    try transaction.enqueue("INSERT INTO t VALUES (2)")
                }
            }
            #expect(error?.isUniqueViolation ?? false)
            #expect(error?.context == "queue: INSERT INTO t VALUES (1)")
            let stored = try await ids(pool)
            #expect(stored == [])
        }
    }

    @Test func `what is queued by a scope that throws is never sent`() async throws {
        struct Refusal: Error {}
        try await withTable { pool, _ in
            await #expect(throws: Refusal.self) {
                try await pool.transaction("thrown") { transaction in
                    try transaction.enqueue("INSERT INTO t VALUES (1)")
                    throw Refusal()
                }
            }
            let stored = try await ids(pool)
            #expect(stored == [])
            let escaped = try await pool.transaction("short") { $0 }
            let error = #expect(throws: PostgresError.self) { try escaped.enqueue("INSERT INTO t VALUES (1)") }
            #expect(error?.code == .closed)
        }
    }

    @Test func `the failure that aborted a transaction is what later statements throw`() async throws {
        try await withTable { pool, _ in
            try await pool.execute("INSERT INTO t VALUES (1)")
            let error = await #expect(throws: PostgresError.self) {
                try await pool.transaction("first") { transaction in
                    _ = try? await transaction.execute("INSERT INTO t VALUES (1)")
                    _ = try await transaction.query("SELECT 1")
                }
            }
            #expect(error?.isUniqueViolation ?? false)
            #expect(error?.context == "first: SELECT 1")
        }
    }

    @Test func `a statement whose table has changed is prepared anew`() async throws {
        try await withTable { pool, url in
            let select: SQL = "SELECT * FROM t WHERE id >= \(0)"
            _ = try await pool.query(select)
            let other = try makePool(url)
            try await other.execute("ALTER TABLE t ADD COLUMN y int")
            try await pool.execute("INSERT INTO t VALUES (1)")
            let columns = try await pool.query(select)[0].columns
            #expect(columns == ["id", "x", "y"])
            try await other.execute("ALTER TABLE t ADD COLUMN z int")
            let inside = try await pool.retryingTransaction("again") { try await $0.query(select)[0].columns }
            #expect(inside == ["id", "x", "y", "z"])
            #expect(pool.statistics.opened == 1)
            await other.close()
        }
    }

    @Test func `a session whose statements somebody deallocated is replaced`() async throws {
        try await withTable { pool, _ in
            let select: SQL = "SELECT \(7) AS n"
            _ = try await pool.query(select)
            try await pool.transaction("prepares BEGIN and COMMIT") { _ = try await $0.query(select) }
            try await pool.execute("DEALLOCATE ALL")
            let number = try await pool.query(select)[0].int("n")
            #expect(number == 7)
            try await pool.execute("DEALLOCATE ALL")
            let again = try await pool.retryingTransaction("again") { try await $0.query(select)[0].int("n") }
            #expect(again == 7)
        }
    }

    @Test func `the least recently used statement makes room`() async throws {
        var cache = StatementCache(limit: 2)
        let first = cache.use("a")
        let second = cache.use("b \(1)")
        #expect(first.isNew && second.isNew)
        #expect(!cache.use("a").isNew)
        let third = cache.use("c")
        #expect(third.evicted == [second.statement.name])
        #expect(cache.use("b \(1)").isNew)
        #expect(cache.count == 2)
        #expect(!cache.use("b \(2)").isNew, "another value is the same statement")
        #expect(cache.use("b \(Int32(2))").isNew, "other types are another statement")
    }

    @Test func `a statement is known by its text however it was put together`() {
        var cache = StatementCache(limit: 8)
        let condition: SQL = "x = \(1)"
        let first = cache.use("SELECT \(raw: "*") FROM t WHERE \(condition) LIMIT \(5)")
        #expect(first.statement.text == "SELECT * FROM t WHERE x = $1 LIMIT $2")
        let second = cache.use("SELECT * FROM t WHERE x = \(2) LIMIT \(6)")
        #expect(!second.isNew && second.statement.name == first.statement.name)
        for other: SQL in [
            "SELECT * FROM t WHERE y = \(2) LIMIT \(6)", "SELECT * FROM t WHERE x = \(2) LIMIT \(6) OFFSET 1",
            "SELECT * FROM t WHERE x = \(2)", "SELECT * FROM t WHERE x = \("a") LIMIT \(6)",
        ] {
            #expect(cache.use(other).isNew)
        }
        #expect(!cache.use("SELECT * FROM t WHERE x = \(3) LIMIT \(7)").isNew)
    }

    @Test func `statements that follow one another as before are found without their text`() {
        var cache = StatementCache(limit: 3)
        let round: [SQL] = ["a", "b \(1)", "a", "c \("x")"]
        for sql in round { _ = cache.use(sql) }
        _ = cache.use("b \(2)")
        #expect(cache.useAgain("a")?.text == "a", "it came after this one")
        #expect(cache.useAgain("c \("y")")?.text == "c $1")
        #expect(cache.useAgain("a") == nil, "it never came after this one")
        // Its place is another one's now.
        _ = cache.use("a")
        let other = cache.use("d")
        #expect(other.isNew && other.evicted.count == 1)
        _ = cache.use("c \("z")")
        #expect(cache.useAgain("b \(3)") == nil)
        #expect(cache.use("b \(3)").isNew)
    }

    @Test func `many statements on a full cache are evicted on the server too`() async throws {
        try await withTable { pool, _ in
            for number in 0..<(Connection.statementLimit + 50) {
                _ = try await pool.query("SELECT \(number) AS n, \(raw: "\(number)") AS raw")
            }
            let there = try await pool.query("SELECT count(*) AS n FROM pg_prepared_statements")[0].int("n")
            #expect(there <= Connection.statementLimit)
        }
    }

    @Test func `a read back decides what an unknown outcome was`() async throws {
        try await withTable { pool, _ in
            let attempts = Attempts()
            // Committed, and the answer is lost.
            let found = try await pool.idempotentTransaction("lost answer") { transaction in
                try await transaction.first("SELECT x FROM t WHERE id = 1")?.int("x")
            } _: { _ in
                attempts.add()
                try await storeElsewhere(1, pool)
                throw PostgresError(.unknownCommit, "cut", context: "test")
            }
            #expect(found == 9)
            #expect(attempts.value == 1)
            // Not committed: it is run again, and stored once.
            let second = try await pool.idempotentTransaction("lost commit") { transaction in
                try await transaction.first("SELECT x FROM t WHERE id = 2")?.int("x")
            } _: { transaction in
                attempts.add()
                if attempts.value == 2 { throw PostgresError(.unknownCommit, "cut", context: "test") }
                try await transaction.execute("INSERT INTO t VALUES (2, 8)")
                return 8
            }
            #expect(second == 8)
            let stored = try await ids(pool)
            #expect(stored == [1, 2])
        }
    }

    /// The server goes away, the task is cancelled, the scope changes its mind.
    @Test(arguments: ["unavailable", "cancelled", "refused"])
    func `an outcome that nobody knows stays unknown whatever ends the next attempt`(end: String) async throws {
        struct Refusal: Error {}
        try await withTable { pool, _ in
            let attempts = Attempts()
            let call = Task {
                try await pool.idempotentTransaction("in doubt") { _ -> Int? in
                    if end == "unavailable" { throw PostgresError(.unavailable, "away", context: "test") }
                    if end == "cancelled" { withUnsafeCurrentTask { $0?.cancel() } }
                    return nil
                } _: { _ in
                    attempts.add()
                    if attempts.value > 1 { throw Refusal() }
                    throw PostgresError(.unknownCommit, "cut", context: "test")
                }
            }
            let error = await #expect(throws: PostgresError.self) { try await call.value }
            #expect(error?.code == .unknownCommit)
            #expect(error?.message.hasPrefix("an earlier attempt may have been committed; ") ?? false, "\(end)")
            #expect(attempts.value == (end == "refused" ? 2 : 1))
        }
    }

    @Test func `a task cancelled while it waits for another attempt throws what it knew`() async throws {
        try await withTable { pool, _ in
            let policy = RetryPolicy(attempts: 2, delays: [.seconds(3600)])
            for code in [PostgresError.Code.unknownCommit, .reconnect] {
                let retries = pool.statistics.retries
                let call = Task {
                    try await pool.idempotentTransaction("waits", policy: policy) { _ -> Int? in
                        nil
                    } _: { _ in
                        throw PostgresError(code, "cut", context: "test")
                    }
                }
                try await eventually("it waits") { pool.statistics.retries == retries + 1 }
                call.cancel()
                let error = await #expect(throws: PostgresError.self) { try await call.value }
                #expect(error?.code == code)
            }
        }
    }

    /// A pool of one is busy with the transaction that asks.
    private func storeElsewhere(_ id: Int, _ pool: PostgresPool) async throws {
        var settings = pool.settings
        settings.maxConnections = 1
        let other = try makePool("") { $0 = settings }
        try await other.execute("INSERT INTO t VALUES (\(Int32(id)), 9)")
        await other.close()
    }

    @Test func `questions that are asked together are answered apart and in order`() async throws {
        try await withDatabase { pool, _ in
            try await pool.execute("CREATE TABLE asked (id int PRIMARY KEY)")
            try await pool.execute("INSERT INTO asked VALUES (1), (2)")
            let ids = PostgresQuestion<[Int]>.each("SELECT id FROM asked ORDER BY id") { try $0.int("id") }
            let none = PostgresQuestion<Int?>.first("SELECT id FROM asked WHERE id = 9") { try $0?.int("id") }
            let (before, absent, count, after) = try await pool.ask(
                ids, none, PostgresQuestion("INSERT INTO asked VALUES (3) RETURNING id") { $0.count }, ids)
            #expect(before == [1, 2] && absent == nil && count == 1 && after == [1, 2, 3])
            // One transaction: what fails takes everything with it.
            await #expect(throws: PostgresError.self) {
                _ = try await pool.ask(
                    PostgresQuestion("INSERT INTO asked VALUES (4)") { $0.count },
                    PostgresQuestion("INSERT INTO asked VALUES (1)") { $0.count })
            }
            #expect(try await pool.ask(ids) == [1, 2, 3])
        }
    }
}
