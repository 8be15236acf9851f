import Bus
import Domain
import ExecutionServiceEngine
import Foundation
import Hosting
import Logging
import NIOConcurrencyHelpers
import Postgres
import Redis
import Resilience
import Runtime
import Servers
import TestKit
import Testing
import Wire

@testable import ExecutionService
@testable import SignalProcessor

/// Both services of the order path in this process, on real servers, against a venue that can be told to misbehave.
final class OrderPath: Sendable {
    let rig: Rig
    let venue = FakeVenue()
    let directory: TemporaryDirectory
    private let redis: PrivateRedis
    let client: RedisClient
    let bus: Bus
    private let publisher: Task<Void, any Error>
    private let signals = NIOLockedValueBox<[AsyncStream<String>.Continuation]>([])
    /// The metrics of each service's last life.
    private let registries = NIOLockedValueBox<[String: MetricsRegistry]>([:])
    private let lives = NIOLockedValueBox<[Task<ExitCode, Swift.Never>]>([])

    init() async throws {
        rig = try await Rig()
        try await rig.addGame()
        directory = try TemporaryDirectory()
        redis = try await PrivateRedis.start(in: directory.path)
        let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let reader = SettingsReader(environment: ["REDIS_URL": redis.url])
        client = RedisClient(
            settings: RedisSettings(reader), name: "test", clock: .real, random: .seeded(1), log: quiet,
            metrics: MetricsRegistry())
        bus = Bus(
            client: client, identity: BusIdentity(source: "game-shard/shard-01", incarnation: "life-1"), clock: .real,
            log: quiet, metrics: MetricsRegistry())
        // Cancelled by `end`.
        publisher = Task { [client, bus] in
            async let connection: Void = client.run()
            async let outbox: Void = bus.run()
            _ = try await (connection, outbox)
        }
    }

    var killSwitchFile: String { "\(directory.path)/kill-switch" }

    func publish(_ signal: Signal) async throws {
        _ = try await bus.publish(SignalMessage(signal: signal), on: Channels.signals, trace: "trace-1")
    }

    func publishEnd(of game: GameID) async throws {
        let ended = GameEnded(game: game, status: .final, homeScore: 100, awayScore: 90, at: tipOff)
        _ = try await bus.publish(ended, on: Channels.gamesEnded, trace: "trace-1")
    }

    /// The price of a game's home market, in cents of YES.
    func publishPrice(of game: GameID, bid: Int64, ask: Int64, at: VenueInstant) async throws {
        _ = try await bus.publish(
            rig.price(of: game, bid: bid, ask: ask, at: at), on: Channels.price(game), trace: "trace-1")
    }

    func publishRulesChanged() async throws {
        _ = try await bus.publish(RulesChanged(), on: Channels.rules, trace: "trace-1")
    }

    /// Waits until an alert with this fingerprint is in a file.
    func untilAlert(_ fingerprint: String) async throws {
        try await eventually("an alert \(fingerprint)") { try alerts(fingerprint) > 0 }
    }

    /// How many firings and recoveries of a fingerprint were told.
    func alerts(_ fingerprint: String) throws -> Int { try alertLines(fingerprint).count }

    /// The same as they stand in the files.
    func alertLines(_ fingerprint: String) throws -> [String] {
        let files = try FileManager.default.contentsOfDirectory(atPath: directory.path).filter {
            $0.hasPrefix("alerts") && $0.hasSuffix(".log")
        }
        return files.sorted().flatMap { name in
            let text = FileManager.default.contents(atPath: "\(directory.path)/\(name)") ?? Data()
            return String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
        }.filter { $0.contains("\"fingerprint\":\"\(fingerprint)\"") }
    }

    func startSignalProcessor(_ settings: [String: String] = [:], wall: WallClock = .real) {
        start("signal-processor", settings, wall) { try await SignalProcess.start(in: $0) }
    }

    /// With the venue that the settings name, over its own gateway.
    func startRealExecution(_ settings: [String: String]) {
        start("execution-service", settings) { try await ExecutionProcess.start(in: $0, makeVenue: VenueFactory.make) }
    }

    func startExecution(_ settings: [String: String] = [:], wall: WallClock = .real) {
        let venue = venue
        start("execution-service", settings, wall) { try await ExecutionProcess.start(in: $0) { _, _ in venue } }
    }

    private func start(
        _ service: String, _ more: [String: String] = [:], _ wall: WallClock = .real,
        _ body: @escaping @Sendable (ProcessContext) async throws -> Void
    ) {
        let (stream, continuation) = AsyncStream.makeStream(of: String.self)
        signals.withLockedValue { $0.append(continuation) }
        var environment = [
            "REDIS_URL": redis.url, "DATABASE_URL": rig.url, "DB_POOL_MIN_CONNECTIONS": "0", "REPLAY_SPEED": "120",
            "KILL_SWITCH_FILE": killSwitchFile, "INTENT_SWEEP_MS": "100", "UNKNOWN_ORDER_POLL_MS": "50",
            "SETTLEMENT_POLL_MS": "100", "NON_ACCEPTANCE_WAIT_SECS": "12", "REDIS_RECONNECT_BASE_DELAY_MS": "50",
            "ALERT_LOG_PATH": "\(directory.path)/alerts.log", "ALERT_ACK_TIMEOUT_MS": "200",
            "ORDER_SUBMIT_TIMEOUT_MS": "2000",
        ]
        environment.merge(more) { $1 }
        let world = ProcessWorld(
            environment: environment, clock: .real, wallClock: wall, random: .system, output: LogOutput { _ in },
            signals: stream, processID: 1)
        // Awaited by `stop`.
        let life = Task {
            await ProcessRunner.exitCode(service: service, world: world) { [registries] context in
                registries.withLockedValue { $0[service] = context.metrics }
                try await body(context)
            }
        }
        lives.withLockedValue { $0.append(life) }
    }

    /// A counter of a service that runs; 0 before it counted.
    func counted(_ name: String, _ labels: [String: String] = [:], by service: String) -> Int {
        registries.withLockedValue { $0[service] }?.counter(name, labels: labels).value ?? 0
    }

    /// What is counted after its commit may be read from PostgreSQL before.
    func untilCounted(
        _ count: Int, _ name: String, _ labels: [String: String] = [:], by service: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        try await eventually("\(count) \(name)") { counted(name, labels, by: service) >= count }
        #expect(counted(name, labels, by: service) == count, sourceLocation: sourceLocation)
    }

    func gauge(_ name: String, of service: String) -> Double {
        registries.withLockedValue { $0[service] }?.gauge(name).value ?? 0
    }

    /// Lets the relays announce everything once more, as after a relay's death between publishing and its commit.
    ///
    /// - Returns: how many announcements that were.
    @discardableResult
    func announceAgain() async throws -> Int {
        try await untilAnnounced()
        let count = try await rig.pool.execute("UPDATE outbox SET published_at = NULL")
        try await untilAnnounced()
        return count
    }

    private func untilAnnounced() async throws {
        try await eventually("everything announced") {
            try await rig.number("SELECT count(*) AS n FROM outbox WHERE published_at IS NULL") == 0
        }
    }

    /// SIGTERM to everything that runs; the exit codes.
    @discardableResult
    func stop() async -> [ExitCode] {
        for signal in signals.withLockedValue({ $0 }) { signal.yield("SIGTERM") }
        defer { signals.withLockedValue { $0 = [] } }
        return await ended()
    }

    /// The exit codes of what ends by itself.
    func ended() async -> [ExitCode] {
        let lives = lives.withLockedValue { lives in
            defer { lives = [] }
            return lives
        }
        var codes: [ExitCode] = []
        for life in lives { codes.append(await life.value) }
        return codes
    }

    func end() async {
        await stop()
        publisher.cancel()
        _ = await publisher.result
        await rig.pool.close(grace: .milliseconds(100))
        await redis.stop()
        directory.remove()
    }

    func untilOrder(_ state: OrderState, _ count: Int64 = 1) async throws {
        try await eventually("\(count) orders \(state.rawValue)") {
            try await rig.number("SELECT count(*) AS n FROM orders WHERE state = \(state.rawValue)") == count
        }
    }
}

/// Each order path is two services and a Redis.
private let turns = Turns(limit: 6)

func withOrderPath(_ body: @Sendable (OrderPath) async throws -> Void) async throws {
    try await turns.one { try await runOrderPath(body) }
}

private func runOrderPath(_ body: (OrderPath) async throws -> Void) async throws {
    let path = try await OrderPath()
    do {
        try await body(path)
    } catch {
        await path.end()
        throw error
    }
    try await path.rig.expectBooksToBalance()
    await path.end()
}
