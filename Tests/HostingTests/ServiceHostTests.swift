import Bus
import Domain
import Foundation
import Hosting
import Logging
import NIOConcurrencyHelpers
import Postgres
import Redis
import Runtime
import TestKit
import Testing
import Wire

/// A service of the tests' own on real servers, through the same door as the five.
func withHost(
    redis url: String, _ database: TestDatabase, instance: String, more: [String: String] = [:],
    _ body: @escaping @Sendable (ServiceHost) async throws -> Void
) async throws -> (code: ExitCode, error: (any Error)?) {
    let failure = NIOLockedValueBox<(any Error)?>(nil)
    let folder = FileManager.default.temporaryDirectory.appending(path: "host-\(UUID().uuidString)")
    // Left behind only when the machine cannot remove it.
    defer { try? FileManager.default.removeItem(at: folder) }
    let own = [
        "REDIS_URL": url, "SERVICE_INSTANCE": instance, "HEARTBEAT_INTERVAL_SECS": "0.05", "LOG_LEVEL": "error",
        "ALERT_LOG_PATH": "\(folder.path)/alerts.log",
    ]
    let environment = database.environment.merging(own) { $1 }.merging(more) { $1 }
    let world = ProcessWorld(
        environment: environment, clock: .real, wallClock: .real, random: .system, output: .standardError,
        signals: AsyncStream { _ in }, processID: 4_242)
    let code = await ProcessRunner.exitCode(
        service: "test-service", knownSettings: SettingsCatalogue.keys, world: world
    ) { context in
        let settings = try context.settings { HostSettings($0) }
        let host = try await ServiceHost.start(settings, in: context)
        do { try await body(host) } catch { failure.withLockedValue { $0 = error } }
        context.stop("the test is over")
    }
    return (code, failure.withLockedValue { $0 })
}

@Suite struct ServiceHostTests {
    // CHECKLIST R36, R37, N34.
    @Test(.timeLimit(.minutes(2)))
    func `a heartbeat carries everything, its key expires, and the last one says stopping`() async throws {
        try await withRedis { redis in
            try await withPostgres { database in
                let observer = try Observer(redis)
                let beats = try await observer.bus.subscribe(to: Channels.heartbeats)
                let collected = NIOLockedValueBox<[Heartbeat]>([])
                // Ended with the test.
                let collector = Task {
                    for await delivery in beats {
                        guard case .message(let envelope, _) = delivery, envelope.body.instance == "beat-1" else {
                            continue
                        }
                        collected.withLockedValue { $0.append(envelope.body) }
                    }
                }
                let (code, error) = try await withHost(redis: redis.url, database, instance: "beat-1") { host in
                    host.sendHeartbeats()
                    try await eventually("five heartbeats with good checks") {
                        collected.withLockedValue { $0.filter { $0.status == .healthy }.count >= 5 }
                    }
                    let life = try await host.redis.send(["TTL", "health:hb:test-service:beat-1"])
                    if case .integer(let seconds) = life {
                        #expect((25...35).contains(seconds))
                    } else {
                        Issue.record("TTL answered \(life)")
                    }
                }
                if let error { throw error }
                #expect(code == .ok)
                try await eventually("the last heartbeat") {
                    collected.withLockedValue { $0.last?.status == .stopping }
                }
                let all = collected.withLockedValue { $0 }
                #expect(all.map(\.beat) == Array(all[0].beat..<(all[0].beat + Int64(all.count))))
                let one = try #require(all.first { $0.status == .healthy })
                #expect(one.service == "test-service" && one.processID == 4_242 && one.startedAt > 0)
                #expect(one.checks == ["redis": true, "bus": true, "database": true])
                #expect(!one.metrics.isEmpty && one.build == "dev")
                // CHECKLIST R33: this very probe's connection at least.
                let pool = try ["size", "idle", "active", "waiting"].map { try #require(one.metrics["db_pool_\($0)"]) }
                #expect(pool[0] >= 1 && pool[0] == pool[1] + pool[2] && pool[3] == 0, "\(pool)")
                let bus = BusReport(one)
                #expect(bus.state == .live && bus.reconnects == 0, "\(bus)")
                #expect(Set(all.map(\.incarnation)).count == 1)
                collector.cancel()
                await observer.stop()
            }
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func `what is committed is announced once, in order, and a row nobody can read holds up nothing`() async throws {
        try await withRedis { redis in
            try await withPostgres { database in
                let observer = try Observer(redis)
                let messages = try await observer.bus.subscribe(to: Channels.killSwitch)
                let reasons = NIOLockedValueBox<[String]>([])
                // Ended with the test.
                let collector = Task {
                    for await delivery in messages {
                        if case .message(let envelope, _) = delivery, envelope.trace == "outbox-test" {
                            reasons.withLockedValue { $0.append(envelope.body.reason) }
                        }
                    }
                }
                let (_, error) = try await withHost(redis: redis.url, database, instance: "outbox-1") { host in
                    host.relayOutbox()
                    try await host.database.transaction("announce") { transaction in
                        try await OutboxStore.append(
                            topic: "no:such:channel", key: "k", messageType: "kill_switch", payload: "{}", trace: "",
                            in: transaction)
                        for number in 1...20 {
                            try await OutboxStore.append(
                                KillSwitchChange(engaged: true, reason: "\(number)", by: "test"),
                                on: Channels.killSwitch, key: "k", trace: "outbox-test", in: transaction)
                        }
                    }
                    host.outbox()
                    try await eventually("twenty announcements") { reasons.withLockedValue { $0.count >= 20 } }
                    try await eventually("an empty outbox") { try await OutboxStore.backlog(host.database).count == 0 }
                }
                if let error { throw error }
                #expect(reasons.withLockedValue { $0 } == (1...20).map { "\($0)" })
                collector.cancel()
                await observer.stop()
            }
        }
    }
}

/// A bus of the test's own, to see what a service says.
struct Observer {
    let bus: Bus
    private let tasks: [Task<Void, Never>]

    init(_ redis: TestRedis) throws {
        let reader = SettingsReader(environment: redis.environment, file: nil)
        let settings = RedisSettings(reader)
        try reader.finish()
        let log = Logger(label: "observer") { _ in SwiftLogNoOpLogHandler() }
        let client = RedisClient(
            settings: settings, name: "observer", clock: .real, random: .system, log: log, metrics: MetricsRegistry())
        let bus = Bus(
            client: client, identity: BusIdentity(source: "test/observer", incarnation: "observer"), clock: .real,
            log: log, metrics: MetricsRegistry())
        self.bus = bus
        // Both end by cancellation in `stop`; their errors are that cancellation.
        tasks = [Task { try? await client.run() }, Task { try? await bus.run() }]
    }

    func stop() async {
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }
}
