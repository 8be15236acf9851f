import Foundation
import NIOConcurrencyHelpers
import Redis
import Resilience
import Runtime
import Servers
import TestKit

/// A redis-server of one test's own, ended when the test lets go of it.
public final class OwnRedis: Sendable {
    public let port: Int
    private let directory: TemporaryDirectory
    private let options: [String]
    private let appendOnly: Bool
    private let server = NIOLockedValueBox<PrivateRedis?>(nil)

    /// Does not start it yet.
    public init(_ options: [String] = [], appendOnly: Bool = false) throws {
        port = try FreePort.find()
        directory = try TemporaryDirectory("redis")
        self.options = options
        self.appendOnly = appendOnly
    }

    deinit {
        if let server = server.withLockedValue({ $0 }), server.isRunning {
            Foundation.kill(server.processID, SIGKILL)
        }
        directory.remove()
    }

    public static func started(_ options: [String] = [], appendOnly: Bool = false) async throws -> OwnRedis {
        let server = try OwnRedis(options, appendOnly: appendOnly)
        try await server.start()
        return server
    }

    public var url: String { "redis://127.0.0.1:\(port)" }

    /// Starts the process, for the first time or again, and waits until it answers.
    public func start() async throws {
        if let server = server.withLockedValue({ $0 }) { return try await server.startAgain() }
        let first = try await PrivateRedis.start(
            in: directory.path, port: port, appendOnly: appendOnly, options: options)
        server.withLockedValue { $0 = first }
    }

    /// Ends the process at once and waits until it is gone.
    public func kill() async { await server.withLockedValue { $0 }?.kill() }

    /// Ends the process in good order, as `docker stop` does, and waits until it is gone.
    public func stop() async { await server.withLockedValue { $0 }?.stop() }

    public func restart() async throws {
        await kill()
        try await start()
    }

    public func pause() { server.withLockedValue { $0 }?.pause() }
    public func resume() { server.withLockedValue { $0 }?.resume() }
}

/// Settings that fail and recover fast.
public func fastSettings(_ url: String, _ more: [String: String] = [:]) -> RedisSettings {
    let fast = [
        "REDIS_URL": url, "REDIS_RECONNECT_BASE_DELAY_MS": "20", "REDIS_RECONNECT_MAX_DELAY_MS": "100",
        "REDIS_BREAKER_COOLDOWN_MS": "100", "REDIS_PING_INTERVAL_MS": "200", "REDIS_PONG_TIMEOUT_MS": "800",
        "REDIS_CONNECT_TIMEOUT_MS": "2000", "REDIS_COMMAND_TIMEOUT_MS": "4000",
    ]
    return RedisSettings(SettingsReader(environment: fast.merging(more) { $1 }))
}

/// Settings for a test in which no link may be given up by mistake, however busy the machine is.
public func patientSettings(_ url: String, _ more: [String: String] = [:]) -> RedisSettings {
    let patient = [
        "REDIS_PONG_TIMEOUT_MS": "15000", "REDIS_CONNECT_TIMEOUT_MS": "15000", "REDIS_COMMAND_TIMEOUT_MS": "15000",
    ]
    return fastSettings(url, patient.merging(more) { $1 })
}

/// Runs a client for the length of `body`.
public func withClient<R: Sendable>(
    _ settings: RedisSettings, name: String = "test", incarnation: String? = nil, locator: RedisLocator? = nil,
    clock: MachineClock = .real, log: LogCapture = LogCapture(), metrics: MetricsRegistry = MetricsRegistry(),
    awaitsConnection: Bool = true,
    _ body: @escaping @Sendable (RedisClient) async throws -> R
) async throws -> R {
    let client = RedisClient(
        settings: settings, name: name, incarnation: incarnation, locator: locator, clock: clock, random: .seeded(1),
        log: log.logger(), metrics: metrics)
    return try await withThrowingTaskGroup(of: R?.self) { tasks in
        tasks.addTask {
            try? await client.run()  // ends by cancellation
            return nil
        }
        tasks.addTask {
            if awaitsConnection { try await eventually(within: .seconds(20), "connected") { client.status.isReady } }
            return try await body(client)
        }
        defer { tasks.cancelAll() }
        while let result = try await tasks.next() {
            if let result { return result }
        }
        throw CancellationError()
    }
}

extension RedisClient {
    /// A command of words.
    public func command(_ words: String...) async throws -> RESPValue { try await send(words.map { .text($0) }) }

    /// Connections of one role that the server sees under this client's name.
    public func connectionsSeen(_ name: String) async throws -> Int {
        let list = try await command("CLIENT", "LIST").text ?? ""
        return list.split(separator: "\n").count { $0.contains("name=\(name):") || $0.contains("name=\(name)/") }
    }
}
