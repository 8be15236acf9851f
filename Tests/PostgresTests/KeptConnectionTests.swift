import PostgresTestKit
import Runtime
import TestKit
import Testing

@testable import Postgres

/// One task's statements on a connection that it keeps (CHECKLIST R29, R31).
@Suite struct KeptConnectionTests {
    private static let backend: SQL = "SELECT pg_backend_pid() AS pid"

    private func single() -> Tuned { Tuned { $0.maxConnections = 1 } }

    @Test func `many statements run in one session, and it is given back at the end of the scope`() async throws {
        try await withDatabase(single()) { pool, _ in
            try await pool.execute("CREATE TABLE kept (id int PRIMARY KEY, name text)")
            let pids = try await pool.withConnection("kept") { connection in
                for id in 1...200 { try await connection.execute("INSERT INTO kept VALUES (\(id), \("n\(id)"))") }
                let answers = try await connection.batch(["SELECT count(*) AS n FROM kept", "DELETE FROM kept"])
                #expect(try answers[0].rows[0].int("n") == 200 && answers[1].affected == 200)
                #expect(pool.statistics.active == 1)
                return try await [connection.query(Self.backend), connection.query(Self.backend)].map {
                    try $0[0].int("pid")
                }
            }
            #expect(pids[0] == pids[1])
            let after = try await pool.first(Self.backend)
            #expect(try after?.int("pid") == pids[0])
            try await eventually("given back") { pool.statistics.active == 0 && pool.statistics.idle == 1 }
        }
    }

    @Test func `nothing is lent before the first statement, and others wait their turn by the keeper's name`()
        async throws
    {
        try await withDatabase(single()) { pool, _ in
            try await pool.withConnection("the keeper") { connection in
                try await pool.ping()
                try await connection.execute("SELECT 1")
                let error = await #expect(throws: PostgresError.self) {
                    try await pool.ping(timeout: .milliseconds(300))
                }
                #expect(error?.code == .acquireTimeout && error?.message.contains("the keeper for") ?? false)
            }
            try await pool.ping()
        }
    }

    @Test func `a failed statement is told and the next one runs`() async throws {
        try await withDatabase(single()) { pool, _ in
            try await pool.execute("CREATE TABLE kept (id int PRIMARY KEY)")
            try await pool.withConnection("kept") { connection in
                try await connection.execute("INSERT INTO kept VALUES (1)")
                let twice = await #expect(throws: PostgresError.self) {
                    try await connection.execute("INSERT INTO kept VALUES (1)")
                }
                #expect(twice?.isUniqueViolation ?? false)
                let late = await #expect(throws: PostgresError.self) {
                    try await connection.query("SELECT pg_sleep(30)", timeout: .milliseconds(50))
                }
                #expect(late?.code == .deadlineExceeded)
                let count = try await connection.query("SELECT count(*) AS n FROM kept")
                #expect(try count[0].int("n") == 1)
            }
        }
    }

    @Test func `a session that ends between statements is replaced, and a write in doubt is said to be`() async throws {
        try await withDatabase(Tuned { $0.maxConnections = 2 }) { pool, _ in
            try await pool.execute("CREATE TABLE kept (id int)")
            try await pool.withConnection("kept") { connection in
                let first = try await connection.query(Self.backend)[0].int("pid")
                try await pool.execute("SELECT pg_terminate_backend(\(first)::int, 5000)")
                // Nothing was sent on it, so nothing is in doubt.
                try await connection.execute("INSERT INTO kept VALUES (1)")
                let second = try await connection.query(Self.backend)[0].int("pid")
                #expect(second != first)
                let doubt = await #expect(throws: PostgresError.self) {
                    try await connection.execute(
                        "INSERT INTO kept SELECT 2 FROM pg_terminate_backend(pg_backend_pid()), pg_sleep(5)")
                }
                #expect(
                    doubt.map { [.unknownCommit, .reconnect].contains($0.code) } ?? false,
                    "\(String(describing: doubt))")
                try await connection.execute("INSERT INTO kept VALUES (3)")
                let rows = try await connection.query("SELECT id FROM kept ORDER BY id")
                #expect(try rows.map { try $0.int("id") } == [1, 3])
            }
        }
    }

    @Test func `a cancelled task's statement ends at once, and its connection is given back`() async throws {
        try await withDatabase(single()) { pool, _ in
            try await pool.execute("CREATE TABLE kept (id int)")
            let task = Task {
                try await pool.withConnection("kept") { connection in
                    try await connection.execute("INSERT INTO kept VALUES (1)")
                    let cancelled = await #expect(throws: PostgresError.self) {
                        try await connection.query("SELECT pg_sleep(600)")
                    }
                    #expect(cancelled?.code == .cancelled)
                    // It stays cancelled: nothing more is sent.
                    let next = await #expect(throws: PostgresError.self) {
                        try await connection.execute("INSERT INTO kept VALUES (2)")
                    }
                    #expect(next?.code == .cancelled)
                }
            }
            try await eventually("it sleeps") { pool.statistics.active == 1 }
            task.cancel()
            try await task.value
            let rows = try await pool.query("SELECT id FROM kept")
            #expect(rows.count <= 1, "only what was sent before")
            try await eventually("given back") { pool.statistics.active == 0 }
        }
    }

    @Test func `twenty keepers on the loop's own thread store every row once`() async throws {
        try await withDatabase(Tuned { $0.maxConnections = 20 }) { pool, _ in
            try await pool.execute("CREATE TABLE kept (id int PRIMARY KEY)")
            for executor in [PostgresPool.executor, nil] {
                try await pool.execute("TRUNCATE kept")
                try await withTaskExecutorPreference(executor) {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for keeper in 0..<20 {
                            group.addTask {
                                try await pool.withConnection("keeper \(keeper)") { connection in
                                    for row in 0..<50 {
                                        try await connection.execute("INSERT INTO kept VALUES (\(keeper * 50 + row))")
                                    }
                                }
                            }
                        }
                        try await group.waitForAll()
                    }
                }
                let row = try await pool.first("SELECT count(*) AS n FROM kept")
                #expect(try row?.int("n") == 1_000)
            }
        }
    }
}
