import Logging
import NIOPosix
import Resilience
import Runtime

/// A client that loses its connection, gets it back, and says what was missed.
///
/// Two connections: one pipelined for commands, one for subscriptions. Nothing is connected before `run` is called.
public final class RedisClient: Sendable {
    public let settings: RedisSettings
    private let commands: RedisLink
    let subscriptions: RedisLink
    private let hub: SubscriptionHub
    private let clock: MachineClock

    /// `name` is shown by CLIENT LIST, with `:commands` and `:subscriptions` behind it; no spaces.
    public init(
        settings: RedisSettings, name: String, clock: MachineClock, random: RandomSource, log: Logger,
        metrics: MetricsRegistry
    ) {
        self.settings = settings
        self.clock = clock
        let metrics = RedisMetrics(metrics)
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        hub = SubscriptionHub(settings: settings, log: log, dropped: metrics.dropped)
        commands = RedisLink(
            role: .commands, settings: settings, name: name, clock: clock, random: random, log: log,
            metrics: metrics.commands, hub: nil, group: loop)
        subscriptions = RedisLink(
            role: .subscriptions, settings: settings, name: name, clock: clock, random: random, log: log,
            metrics: metrics.subscriptions, hub: hub, group: loop)
    }

    /// Keeps both connections until the task is cancelled.
    public func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await self.commands.run() }
            tasks.addTask { try await self.subscriptions.run() }
            try await tasks.waitForAll()
        }
    }

    /// Replaces the connection of the subscriptions, for an owner that knows it to be deaf although it answers.
    ///
    /// Every subscription gets its gap and is restored, as after any other loss.
    public func recycleSubscriptions(_ reason: String) {
        subscriptions.connection(to: nil)?.close(RedisError(.connectionLost, reason))
    }

    public var status: RedisStatus {
        let counts = hub.counts
        return RedisStatus(
            commands: commands.status, subscriptions: subscriptions.status, desired: counts.desired,
            observed: counts.observed, dropped: hub.droppedMessages)
    }

    /// The server behind the command connection, nil while disconnected.
    public var server: RedisServer? { commands.server }

    /// The server of each command connection from now on, the present one first.
    public func servers() -> AsyncStream<RedisServer> { commands.servers() }

    /// Sends a command and waits for its reply; `server` is the connection it must go out on, any when nil.
    ///
    /// Throws `RedisError`: `notConnected` at once without that connection, and never after the command was sent.
    public func send(
        _ command: [RedisArgument], on server: RedisServer? = nil, timeout: Duration? = nil
    ) async throws -> RESPValue {
        guard let connection = commands.connection(to: server) else { throw RedisError.notConnected }
        return try await connection.send(command, timeout: timeout ?? settings.commandTimeout)
    }

    /// Sends without waiting; commands go out in the order of these calls.
    ///
    /// `server` is the connection it must go out on, any when nil. `completion` is called once, on the event loop or
    /// at once, and must not block.
    public func enqueue(
        _ command: [RedisArgument], on server: RedisServer? = nil, timeout: Duration? = nil,
        completion: @escaping @Sendable (Result<RESPValue, RedisError>) -> Void
    ) {
        guard let connection = commands.connection(to: server) else { return completion(.failure(.notConnected)) }
        connection.enqueue(command, timeout: timeout ?? settings.commandTimeout, completion: completion)
    }

    /// Subscribes, and waits until the server has acknowledged every name.
    ///
    /// - Throws: `notAcknowledged` when that takes longer than `timeout`, for instance without a connection.
    public func subscribe(
        to channels: [String] = [], matching patterns: [String] = [], timeout: Duration = .seconds(10)
    ) async throws -> RedisSubscription {
        precondition(!channels.isEmpty || !patterns.isEmpty, "a subscription needs a name")
        let names = channels.map { SubscriptionTarget(Array($0.utf8), isPattern: false) }
        let globs = patterns.map { SubscriptionTarget(Array($0.utf8), isPattern: true) }
        let (id, queue) = hub.add(Set(names + globs))
        let subscription = RedisSubscription(id: id, queue: queue, hub: hub)
        do {
            try await withDeadline(timeout, clock: clock) { try await self.hub.waitUntilLive(id) }
        } catch is DeadlineExceeded {
            throw RedisError(.notAcknowledged, "the subscription was not acknowledged in time")
        }
        return subscription
    }
}

extension RedisError {
    static let notConnected = RedisError(.notConnected, "there is no connection")
}

/// Both connections and the subscriptions on the second.
public struct RedisStatus: Hashable, Sendable {
    public let commands: RedisLinkStatus
    public let subscriptions: RedisLinkStatus
    /// Names asked for.
    public let desired: Int
    /// Names the server has acknowledged on the present connection.
    public let observed: Int
    /// Messages that fell into a gap on this side.
    public let dropped: Int

    /// Both connections are up and every subscription is live.
    public var isReady: Bool { commands.isConnected && subscriptions.isConnected && observed == desired }
}
