import Logging
import PostgresTestKit
import Runtime
import Servers
import TestKit
import Testing

@testable import Postgres

/// CHECKLIST R27, R28: the pool's own checks against a server that goes away.
@Suite struct HealthTests {
    @Test(arguments: [true, false])
    func `an outage is counted, told at the threshold, and its end with its length`(isKilled: Bool) async throws {
        try await withOwnPostgres { server in
            var settings = try PostgresSettings(url: server.socketURL(database: "linesman"))
            settings.minConnections = 0
            settings.healthCheckInterval = .milliseconds(50)
            // A server that is gone refuses at once; a busy machine is no outage.
            settings.healthCheckTimeout = .seconds(30)
            settings.connectTimeout = .seconds(30)
            settings.breakerCooldown = .milliseconds(100)
            let capture = LogCapture()
            let pool = PostgresPool(
                settings: settings, application: "health", clock: .real, random: .seeded(1), log: capture.logger(),
                metrics: MetricsRegistry())
            let running = Task { await pool.run(closeGrace: .milliseconds(100)) }
            try await eventually(within: .seconds(60), "a good check") { pool.health.isHealthy == true }
            if isKilled { await server.kill() } else { await server.stop(.fast) }
            try await eventually(within: .seconds(30), "the alert is due, and told") {
                pool.health.isAlertDue && capture.lines.contains { $0.contains("database unreachable") }
            }
            let lines = capture.lines
            for attempt in 1...3 {
                #expect(
                    lines.filter { $0.contains("attempt=\(attempt) of 3") || $0.contains("\"\(attempt) of 3\"") }.count
                        == 1)
            }
            let told = lines.filter { $0.contains("database unreachable") }
            #expect(told.count == 1 && told[0].contains("failures=3"), "at the threshold, not later: \(told)")
            // A check that was under way when the server ended began before that, but after the last good one.
            let lastGood = try #require(pool.health.lastSuccessAt)
            #expect(pool.health.isHealthy == false && (pool.health.awaySince ?? .origin) >= lastGood)
            try await server.startAgain()
            try await eventually(within: .seconds(30), "it has recovered, and said so") {
                pool.health.isHealthy == true && capture.lines.contains { $0.contains("database recovered") }
            }
            let health = pool.health
            #expect(health.outages == 1 && !health.isAlertDue && health.consecutiveFailures == 0)
            let outage = try #require(health.lastOutage)
            #expect(outage > .zero && outage <= MachineClock.real.now.since(lastGood))
            let recovered = capture.lines.filter { $0.contains("database recovered") }
            #expect(recovered.count == 1 && recovered[0].contains("outage_ms"))
            running.cancel()
            await running.value
        }
    }

    @Test(arguments: ["53100", "58030", "XX001"])
    func `a server that answers and cannot store is not well for a while`(state: String) async throws {
        try await withPostgres { database in
            let registry = MetricsRegistry()
            let pool = try makePool(database.socketURL, metrics: registry)
            try pool.checkStorage()
            // A row that is refused for what it says is no fault of the server.
            await #expect(throws: PostgresError.self) { try await pool.query("SELECT 1 / 0") }
            try pool.checkStorage()
            let refusal = "DO $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '\(state)'; END $$"
            await #expect(throws: PostgresError.self) {
                try await pool.transaction("a write") { try await $0.execute(SQL(raw: refusal)) }
            }
            let error = #expect(throws: PostgresError.self) { try pool.checkStorage() }
            #expect(error?.message.contains("no room") == true)
            try await pool.ping()
            #expect(registry.snapshot()["db_storage_faults"] == 1)
            try await eventually(within: .seconds(60), "it is over") { (try? pool.checkStorage()) != nil }
            await pool.close(grace: .milliseconds(100))
        }
    }

    @Test func `a server that hangs fails each check of the pool within the setting's time`() async throws {
        try await withOwnPostgres { server in
            let pool = try makePool(server.socketURL(database: "linesman")) {
                $0.healthCheckInterval = .milliseconds(50)
                $0.healthCheckTimeout = .milliseconds(500)
                $0.queryTimeout = .seconds(3_600)
                $0.acquireTimeout = .seconds(600)
                $0.connectTimeout = .seconds(600)
            }
            let running = Task { await pool.run(closeGrace: .milliseconds(100)) }
            try await eventually(within: .seconds(60), "a good check") { pool.health.isHealthy == true }
            server.pause()
            // With any of the longer times the third would never end.
            try await eventually(within: .seconds(30), "three checks have failed") { pool.health.isAlertDue }
            server.resume()
            try await eventually(within: .seconds(30), "it answers again") { pool.health.isHealthy == true }
            running.cancel()
            await running.value
        }
    }

    @Test func `a server that hangs fails the check within its time-out`() async throws {
        try await withOwnPostgres { server in
            let pool = try makePool(server.socketURL(database: "linesman"))
            try await pool.ping()
            server.pause()
            let error = await #expect(throws: PostgresError.self) { try await pool.ping(timeout: .milliseconds(200)) }
            #expect([.deadlineExceeded, .reconnect, .acquireTimeout].contains(error?.code))
            server.resume()
            try await eventually(within: .seconds(30), "it answers again") {
                (try? await pool.ping(timeout: .seconds(1))) != nil
            }
            await pool.close(grace: .milliseconds(100))
        }
    }
}
