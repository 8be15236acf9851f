import PostgresTestKit
import Resilience
import Runtime
import TestKit
import Testing

@testable import Postgres

/// Connections that are cut, stalled or killed under writes: what is told is what is stored.
@Suite(.serialized, .timeLimit(.minutes(5))) struct FaultTests {
    /// The whole sweep over every byte, also for the other kinds, is `linesman-bench postgres-faults`.
    @Test(arguments: CutSweep.Kind.allCases, FaultProxy.Direction.allCases)
    func `a write cut at any byte is stored once, or not at all and said so`(
        kind: CutSweep.Kind, direction: FaultProxy.Direction
    ) async throws {
        try await withPostgres { database in
            let sweep = CutSweep(server: database.server, database: database.name)
            let tally = try await sweep.run(kind, direction, stride: kind == .idempotent ? 1 : 9)
            #expect(tally.lost == 0)
            #expect(tally.duplicated == 0)
            #expect(tally.cuts > 3, "\(tally)")
            // What was cut before COMMIT was sent is written again, so little is ever refused.
            #expect(tally.refused == 0, "\(tally)")
            if kind == .idempotent {
                #expect(tally.cuts == tally.bytes)
                #expect(tally.unknown == 0, "\(tally)")
            }
        }
    }

    // CHECKLIST R32: more than 99 % succeed, and N21: a commit whose answer is lost is not written twice.
    @Test func `a thousand idempotent writes survive thirty terminated back ends, and none is stored twice`()
        async throws
    {
        try await withPostgres { database in
            let tally = try await KillRun(url: database.socketURL).run()
            #expect(tally.kills == 30)
            #expect(tally.writes == 1000)
            #expect(tally.successRate > 0.99, "\(tally)")
            #expect(tally.lost == 0)
            #expect(tally.duplicated == 0)
        }
    }

    @Test(arguments: [true, false])
    func `two hundred waiting on twenty connections are all served`(asks: Bool) async throws {
        try await withPostgres { database in
            let tally = try await LeaseRun(url: database.socketURL).run(10_000, asks: asks)
            #expect(tally.leases == 10_000)
            #expect(tally.left == 0)
            // A slow machine may serve all before the last session is open.
            #expect((1...20).contains(tally.opened))
        }
    }

    /// A pool behind a proxy, and a session that is open.
    private func withProxy(
        clock: MachineClock = .real, _ tuned: Tuned = Tuned { _ in },
        _ body: (PostgresPool, FaultProxy) async throws -> Void
    ) async throws {
        try await withPostgres { database in
            let proxy = try await FaultProxy.start(to: database.server.port)
            let url = database.url.replacing(":\(database.server.port)/", with: ":\(proxy.port)/")
            let pool = try makePool(url, clock: clock) {
                $0.maxConnections = 2
                tuned.apply(&$0)
            }
            try await pool.ping(timeout: .seconds(30))
            try await body(pool, proxy)
            try await proxy.close()
            await pool.close(grace: .zero)
        }
    }

    // Nothing would ever come back to whoever waited for it.
    @Test(.timeLimit(.minutes(4)))
    func `a pool closes in time though its sockets are half-open`() async throws {
        try await withProxy { pool, proxy in
            let held = Task {
                try await pool.transaction("holds") { transaction in
                    _ = try await transaction.query("SELECT 1")
                    _ = try await transaction.query("SELECT pg_sleep(600)")
                }
            }
            try await eventually(within: .seconds(60), "a lease") { pool.statistics.active == 1 }
            try await pool.ping(timeout: .seconds(30))
            try await proxy.forget()
            await pool.close(grace: .milliseconds(100))
            let error = await #expect(throws: PostgresError.self) { try await held.value }
            #expect(error?.code == .reconnect || error?.code == .closed)
            try await eventually(within: .seconds(60), "nothing is left") {
                pool.statistics.size == 0 && proxy.open == 0
            }
        }
    }

    @Test func `a connection that went half-open while idle is found by its validation and replaced`() async throws {
        try await withProxy(Tuned { $0.validateAfterIdle = .zero }) { pool, proxy in
            try await proxy.forget()
            let rows = try await pool.query("SELECT 1")
            #expect(rows.count == 1)
            #expect(pool.statistics.opened == 2)
            #expect(pool.statistics.retries == 0, "the caller's own statement had to find out")
        }
    }

    // CHECKLIST S10: a client never waits for longer than it was told.
    @Test func `a stalled server ends a call at its deadline with an error that says so`() async throws {
        try await withProxy { pool, proxy in
            try await proxy.stall()
            let error = await #expect(throws: PostgresError.self) {
                try await pool.query("SELECT 1", timeout: .milliseconds(200))
            }
            #expect(error?.code == .deadlineExceeded)
            #expect(error?.description.contains("check what the server is busy with") ?? false)
            try await proxy.pass()
            let rows = try await pool.query("SELECT 1")
            #expect(rows.count == 1)
        }
    }

    @Test func `a connection that is reset inside a transaction costs a retry and no row`() async throws {
        try await withProxy { pool, proxy in
            try await pool.execute("CREATE TABLE t (id int PRIMARY KEY)")
            let attempts = Attempts()
            try await pool.retryingTransaction("reset") { transaction in
                attempts.add()
                try await transaction.execute("INSERT INTO t VALUES (1)")
                if attempts.value == 1 { try await proxy.reset() }
                try await transaction.execute("INSERT INTO t VALUES (2)")
            }
            #expect(attempts.value == 2)
            let ids = try await pool.query("SELECT id FROM t ORDER BY id").map { try $0.int("id") }
            #expect(ids == [1, 2])
        }
    }

    @Test func `attempts to connect do not run away in an outage, and the pool recovers`() async throws {
        try await withOwnPostgres { server in
            let pool = try makePool(server.socketURL(database: "linesman")) {
                $0.breakerFailures = 3
                $0.breakerCooldown = .seconds(600)
                $0.connectBackoffBase = .milliseconds(1)
            }
            try await pool.execute("CREATE TABLE t (x int)")
            await server.stop()
            // Three hundred callers, many at once.
            await withTaskGroup(of: PostgresError.Code?.self) { group in
                for _ in 0..<300 {
                    group.addTask {
                        do {
                            try await pool.execute("INSERT INTO t VALUES (1)")
                            return nil
                        } catch {
                            return (error as? PostgresError)?.code
                        }
                    }
                }
                for await code in group { #expect(code == .unavailable || code == .reconnect) }
            }
            #expect(pool.statistics.failedConnects < 3 + PoolEngine.attemptsAtOnce)
            #expect(pool.statistics.breaker == .open)
            await pool.close()

            let second = try makePool(server.socketURL(database: "linesman")) {
                $0.breakerFailures = 2
                $0.breakerCooldown = .milliseconds(20)
                $0.connectBackoffBase = .milliseconds(1)
                $0.connectBackoffCap = .milliseconds(5)
            }
            await #expect(throws: PostgresError.self) { try await second.query("SELECT 1") }
            try await server.startAgain()
            try await eventually(within: .seconds(60), "the pool works again") {
                (try? await second.query("SELECT 1")) != nil
            }
            #expect(second.statistics.lastFailure == nil)
            await second.close()
        }
    }

    @Test func `too many clients means waiting, and the session is opened when there is room`() async throws {
        try await withOwnPostgres(maxConnections: 5, settings: ["superuser_reserved_connections": "0"]) { server in
            let url = server.socketURL(database: "linesman")
            let first = try makePool(url) { $0.maxConnections = 5 }
            let second = try makePool(url) { $0.connectBackoffBase = .milliseconds(5) }
            // Fills the server.
            let gate = Attempts()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<5 {
                    group.addTask {
                        try await first.transaction("fills") { _ in
                            try await eventually(within: .seconds(60), "the second pool was refused") {
                                gate.value == 1
                            }
                        }
                    }
                }
                try await eventually(within: .seconds(60), "full") { first.statistics.active == 5 }
                let waiting = Task { try await second.query("SELECT 1") }
                try await eventually(within: .seconds(60), "refused") {
                    second.statistics.lastFailure?.contains("too many clients") ?? false
                }
                #expect(second.statistics.waiting == 1)
                gate.add()
                try await group.waitForAll()
                await first.close()
                #expect(try await waiting.value.count == 1)
            }
            await second.close()
        }
    }

    @Test func `a lock that is not given in time is waited for again`() async throws {
        try await withDatabase(Tuned { $0.lockTimeout = .milliseconds(50) }) { pool, _ in
            try await pool.execute("CREATE TABLE t (id int PRIMARY KEY)")
            try await pool.execute("INSERT INTO t VALUES (1)")
            let attempts = Attempts()
            try await pool.transaction("holds the row") { holder in
                _ = try await holder.query("SELECT * FROM t FOR UPDATE")
                let error = await #expect(throws: PostgresError.self) {
                    try await pool.transaction("once") { _ = try await $0.query("SELECT * FROM t FOR UPDATE") }
                }
                #expect(error?.code == .wait)
                #expect(error?.sqlState == "55P03")
            }
            let holder = Task {
                try await pool.transaction("holds the row") { holder in
                    _ = try await holder.query("SELECT * FROM t FOR UPDATE")
                    try await eventually(within: .seconds(60), "a second attempt") { attempts.value >= 2 }
                }
            }
            try await eventually(within: .seconds(60), "held") { pool.statistics.active == 1 }
            try await eventually(within: .seconds(60), "locked") {
                try await pool.query("SELECT 1 FROM pg_locks WHERE mode = 'RowShareLock'").count > 0
            }
            try await pool.retryingTransaction("waits") { transaction in
                attempts.add()
                _ = try await transaction.query("SELECT * FROM t FOR UPDATE")
            }
            #expect(attempts.value >= 2)
            try await holder.value
        }
    }
}
