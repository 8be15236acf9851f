import Foundation
import PostgresTestKit
import Resilience
import Runtime
import TestKit
import Testing

@testable import Postgres

@Suite struct PoolTests {
    @Test func `values of every kind come back as they were sent`() async throws {
        try await withDatabase { pool, _ in
            struct Note: Codable, Equatable {
                var name: String
                var sizes: [Int]
            }
            let note = Note(name: "a\"b/ü", sizes: [1, 2])
            let text = "it's \\ \"quoted\" ✓"
            let row = try #require(
                await pool.first(
                    """
                    SELECT \(Int64.min) AS small, \(42) AS int, \(Int32(7)) AS int32, \(0.1 + 0.2) AS double,
                        \(true) AS yes, \(text)::text AS text, \([UInt8]([0, 255, 16])) AS bytes,
                        \(.json(note)) AS json, \(String?.none)::text AS nothing, \(["a", "b,c"])::text[] AS texts,
                        \([Int64]([3, 4])) AS numbers, to_timestamp(1795224814.5) AS at, sum(x)::numeric AS total
                    FROM unnest(\([1, 2, 3])) AS t (x)
                    """))
            #expect(try row.int64("small") == .min)
            #expect(try row.int("int") == 42)
            #expect(try row.int32("int32") == 7)
            #expect(try row.double("double") == 0.1 + 0.2)
            #expect(try row.bool("yes"))
            #expect(try row.text("text") == text)
            #expect(try row.bytes("bytes") == [0, 255, 16])
            #expect(try row.json("json", as: Note.self) == note)
            #expect(try row.textOrNil("nothing") == nil)
            #expect(try row.text("texts") == "{a,\"b,c\"}")
            #expect(try row.text("numbers") == "{3,4}")
            #expect(try row.array("numbers", of: Int64.self) == [3, 4])
            #expect(try row.array("texts", of: String.self) == ["a", "b,c"])
            #expect(try row.timestampMicros("at") == 1_795_224_814_500_000)
            #expect(try row.int64("total") == 6)
        }
    }

    @Test func `a decoding error names the column and what it held`() async throws {
        try await withDatabase { pool, _ in
            let row = try #require(await pool.first("SELECT 'abc' AS name, NULL::int AS gone"))
            let wrong = #expect(throws: PostgresError.self) { try row.int64("name") }
            #expect(wrong?.code == .decoding)
            #expect(wrong?.message == "column \"name\" (text) holds \"abc\", not a whole number of 64 bits")
            let null = #expect(throws: PostgresError.self) { try row.int("gone") }
            #expect(null?.message == "column \"gone\" is NULL")
            let missing = #expect(throws: PostgresError.self) { try row.text("nmae") }
            #expect(missing?.message == "no column \"nmae\" in the result (name, gone)")
        }
    }

    @Test func `the sessions carry the pool's bounds and name`() async throws {
        try await withDatabase(Tuned { $0.lockTimeout = .milliseconds(1234) }) { pool, _ in
            func show(_ name: String) async throws -> String? {
                try await pool.first("SELECT current_setting(\(name)) AS value")?.text("value")
            }
            let statementTimeout = try await show("statement_timeout")
            #expect(statementTimeout == "15s")
            let lockTimeout = try await show("lock_timeout")
            #expect(lockTimeout == "1234ms")
            let idleInTransactionSessionTimeout = try await show("idle_in_transaction_session_timeout")
            #expect(idleInTransactionSessionTimeout == "15s")
            let applicationName = try await show("application_name")
            #expect(applicationName == "test")
        }
    }

    @Test func `never more connections than the maximum and everybody is served`() async throws {
        try await withDatabase(Tuned { $0.maxConnections = 4 }) { pool, _ in
            try await withThrowingTaskGroup(of: Int64.self) { group in
                for number in 0..<100 {
                    group.addTask {
                        try await pool.query("SELECT \(Int64(number)) AS n, pg_sleep(0.002)")[0].int64("n")
                    }
                }
                var sum: Int64 = 0
                for try await number in group { sum += number }
                #expect(sum == 4950)
            }
            let count = try await pool.first(
                "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()")
            #expect(try count?.int("n") == 4)
            #expect(pool.statistics.opened == 4)
            #expect(pool.statistics.active == 0)
        }
    }

    @Test func `an acquire that times out names who holds what`() async throws {
        let time = ManualTime()
        try await withDatabase(clock: .manual(time), Tuned { $0.maxConnections = 1 }) { pool, _ in
            try await pool.transaction("settle fills") { transaction in
                _ = try await transaction.query("SELECT 1")
                let waiting = Task { try await pool.query("SELECT 2", timeout: .milliseconds(150)) }
                try await eventually("a waiter") { pool.statistics.waiting == 1 }
                await time.untilSleepers(1)
                time.advance(by: .milliseconds(150))
                let error = await #expect(throws: PostgresError.self) { try await waiting.value }
                #expect(error?.code == .acquireTimeout)
                #expect(
                    error?.message
                        == "no connection within 150 ms; 1 of 1 lent: settle fills for 150 ms, between")
                #expect(error?.context == "SELECT 2")
            }
            #expect(pool.statistics.acquireTimeouts == 1)
            #expect(pool.statistics.waiting == 0)
        }
    }

    @Test func `a cancelled waiter leaves the queue and the next is served`() async throws {
        try await withDatabase(Tuned { $0.maxConnections = 1 }) { pool, _ in
            try await pool.transaction("holder") { _ in
                let waiting = Task { try await pool.query("SELECT 1") }
                try await eventually("a waiter") { pool.statistics.waiting == 1 }
                waiting.cancel()
                let error = await #expect(throws: PostgresError.self) { try await waiting.value }
                #expect(error?.code == .cancelled)
                #expect(pool.statistics.waiting == 0)
            }
            #expect(try await pool.query("SELECT 1").count == 1)
        }
    }

    @Test func `connections are replaced at the end of their life`() async throws {
        let time = ManualTime()
        try await withDatabase(clock: .manual(time), Tuned { $0.maxLifetime = .seconds(2) }) { pool, _ in
            func backend() async throws -> Int { try await pool.query("SELECT pg_backend_pid() AS pid")[0].int("pid") }
            let first = try await backend()
            #expect(try await backend() == first)
            time.advance(by: .seconds(3))
            #expect(try await backend() != first)
            #expect(pool.statistics.closed == 1)
        }
    }

    @Test func `run keeps the minimum and retires what is idle above it`() async throws {
        let time = ManualTime()
        try await withDatabase(
            clock: .manual(time),
            Tuned {
                $0.minConnections = 2
                $0.idleTimeout = .seconds(60)
            }
        ) { pool, _ in
            let running = Task { await pool.run() }
            try await eventually("the minimum") { pool.statistics.idle >= 2 && pool.statistics.active == 0 }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<6 {
                    group.addTask {
                        try await pool.transaction("all six") { _ in
                            try await eventually(within: .seconds(50), "six connections") {
                                // A server that has no room for a moment is asked again by this clock.
                                time.advance(by: .milliseconds(1))
                                return pool.statistics.opened >= 6
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(pool.statistics.size == 6)
            time.advance(by: .seconds(61))
            try await eventually("idle connections retired") {
                time.advance(by: .seconds(1))
                return pool.statistics.size == 2
            }
            try await eventually("a health check") { pool.health.isHealthy == true }
            running.cancel()
            await running.value
            #expect(pool.statistics.size == 0)
            let error = await #expect(throws: PostgresError.self) { try await pool.query("SELECT 1") }
            #expect(error?.code == .closed)
        }
    }

    @Test func `a backend ended while idle is noticed before it is lent`() async throws {
        try await withDatabase { pool, url in
            let pid = try await pool.query("SELECT pg_backend_pid() AS pid")[0].int("pid")
            let other = try makePool(url)
            try await other.execute("SELECT pg_terminate_backend(\(Int32(pid)))")
            try await eventually("the backend is gone") {
                try await other.query("SELECT 1 FROM pg_stat_activity WHERE pid = \(pid)").isEmpty
            }
            try await pool.execute("CREATE TABLE t (x int)")
            #expect(try await pool.query("SELECT pg_backend_pid() AS pid")[0].int("pid") != pid)
            await other.close()
        }
    }

    @Test func `an unreachable server fails callers at once when the breaker is open`() async throws {
        let pool = try makePool("host=/nowhere dbname=x") {
            $0.breakerFailures = 2
            $0.breakerCooldown = .seconds(60)
            $0.connectBackoffBase = .milliseconds(1)
        }
        let first = await #expect(throws: PostgresError.self) { try await pool.query("SELECT 1") }
        #expect(first?.code == .unavailable)
        #expect(first?.message.contains("/nowhere") ?? false)
        let second = await #expect(throws: PostgresError.self) { try await pool.query("SELECT 1") }
        #expect(second?.code == .unavailable)
        #expect(pool.statistics.breaker == .open)
        #expect(pool.statistics.failedConnects == 2, "the second caller waited for no connect")
        await pool.close()
    }

    @Test func `a half-open breaker probes and closes`() async throws {
        try await withPostgres { database in
            let time = ManualTime()
            let sockets = database.server.socketDirectory
            let link = "\(database.server.directory)/later-\(database.name)"
            let settings = try PostgresSettings(url: database.socketURL)
            let parameters = settings.parameters(application: "test")
            let pool = try makePool(
                "host=\(link) port=\(parameters["port"] ?? "") user=\(parameters["user"] ?? "")"
                    + " dbname=\(database.name)",
                clock: .manual(time)
            ) {
                $0.password = settings.password
                $0.breakerFailures = 1
                $0.breakerCooldown = .seconds(5)
            }
            await #expect(throws: PostgresError.self) { try await pool.query("SELECT 1") }
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: sockets)
            let early = await #expect(throws: PostgresError.self) { try await pool.query("SELECT 1") }
            #expect(early?.code == .unavailable)
            time.advance(by: .seconds(6))
            let rows = try await pool.query("SELECT 1")
            #expect(rows.count == 1)
            #expect(pool.statistics.breaker == .closed)
            await pool.close()
        }
    }

    @Test func `a refused login fails callers with the server's state`() async throws {
        try await withPostgres { database in
            let missing = database.socketURL.replacing(database.name, with: "no_such_database")
            let pool = try makePool(missing)
            let error = await #expect(throws: PostgresError.self) { try await pool.query("SELECT 1") }
            #expect(error?.code == .permanent)
            #expect(error?.sqlState == "3D000")
            await pool.close()
        }
    }

    @Test func `more distinct statements than the cache holds still run`() async throws {
        try await withDatabase(Tuned { $0.maxConnections = 1 }) { pool, _ in
            for number in 0..<300 {
                let rows = try await pool.query("SELECT \(number) AS n, \(raw: "\(number)") AS raw")
                #expect(try rows[0].int("n") == number)
            }
            let cached = try await pool.query("SELECT count(*) AS n FROM pg_prepared_statements")[0].int("n")
            #expect(cached <= 256)
        }
    }

    @Test func `a large result and a large value pass while both sides are busy`() async throws {
        try await withDatabase { pool, _ in
            let large = String(repeating: "x", count: 8_000_000)
            let row = try await pool.query("SELECT length(\(large)::text) AS n, repeat('y', 8000000) AS back")[0]
            #expect(try row.int("n") == 8_000_000)
            #expect(try row.text("back").utf8.count == 8_000_000)
            #expect(try await pool.query("SELECT n FROM generate_series(1, 50000) AS s (n)").count == 50_000)
        }
    }
}
