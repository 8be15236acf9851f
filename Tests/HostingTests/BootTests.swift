import Bus
import Hosting
import Logging
import NIOConcurrencyHelpers
import Postgres
import Runtime
import TestKit
import Testing

/// A service's start while its database is not there yet (CHECKLIST S9).
@Suite(.serialized) struct BootTests {
    private func start(
        _ redis: TestRedis, _ databaseURL: String, bootTimeout: String,
        _ body: @escaping @Sendable (ServiceHost) async throws -> Void
    ) async -> ExitCode {
        let environment = redis.environment.merging([
            "DATABASE_URL": databaseURL, "SERVICE_INSTANCE": "boot-1", "LOG_LEVEL": "critical",
            "BOOT_TIMEOUT_SECS": bootTimeout, "DB_CONNECT_TIMEOUT_MS": "200", "DB_BREAKER_COOLDOWN_MS": "100",
        ]) { $1 }
        let world = ProcessWorld(
            environment: environment, clock: .real, wallClock: .real, random: .system, output: .standardError,
            signals: AsyncStream { _ in }, processID: 4_243)
        return await ProcessRunner.exitCode(
            service: "test-service", knownSettings: SettingsCatalogue.keys, world: world
        ) { context in
            let settings = try context.settings { HostSettings($0) }
            let host = try await ServiceHost.start(settings, in: context)
            try await body(host)
            context.stop("the test is over")
        }
    }

    private func through(_ proxy: FaultProxy, _ database: TestDatabase) -> String {
        database.url.replacing(":\(database.server.port)/", with: ":\(proxy.port)/")
    }

    @Test(.timeLimit(.minutes(2)))
    func `a database that accepts and never answers ends the start in time`() async throws {
        try await withRedis { redis in
            try await withPostgres { database in
                let proxy = try await FaultProxy.start(to: database.server.port)
                try await proxy.admit(.ignore)
                let code = await start(redis, through(proxy, database), bootTimeout: "2") { _ in
                    Issue.record("started without a database")
                }
                #expect(code == .unavailable)
                #expect(proxy.accepted >= 1)
            }
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func `a database that comes late is found, and the start goes on`() async throws {
        try await withRedis { redis in
            try await withPostgres { database in
                let proxy = try await FaultProxy.start(to: database.server.port)
                try await proxy.admit(.ignore)
                let isStarted = NIOLockedValueBox(false)
                let url = through(proxy, database)
                let code = Task {
                    await start(redis, url, bootTimeout: "60") { _ in isStarted.withLockedValue { $0 = true } }
                }
                try await eventually(within: .seconds(60), "some attempts") { proxy.accepted >= 3 }
                #expect(!isStarted.withLockedValue { $0 })
                try await proxy.pass()
                #expect(await code.value == .ok)
                #expect(isStarted.withLockedValue { $0 })
            }
        }
    }
}
