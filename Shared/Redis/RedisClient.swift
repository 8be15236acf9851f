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
    private let log: RedisEvents
    private let metrics: RedisMetrics
    private let executor: LoopExecutor

    /// - Parameters:
    ///   - settings: how to reach the server, how long to wait for it, and how much may be queued.
    ///   - name: shown by CLIENT LIST with the incarnation and `:commands` or `:subscriptions` behind it.
    ///   - incarnation: this life of the process; with it the connections that an earlier life left at the server are
    ///     closed at the first connect. Nil for processes of which several run under one name.
    ///   - locator: says where the server is, for each attempt; the address of the settings when nil.
    ///   - clock: what waits and time-outs run on.
    ///   - random: the source of jitter.
    ///   - log: where the events go.
    ///   - metrics: where they are counted.
    public init(
        settings: RedisSettings, name: String, incarnation: String? = nil, locator: RedisLocator? = nil,
        clock: MachineClock, random: RandomSource, log: Logger, metrics: MetricsRegistry
    ) {
        self.settings = settings
        self.clock = clock
        self.log = RedisEvents(log: log, metrics: metrics)
        self.metrics = RedisMetrics(metrics)
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        executor = LoopExecutor(loop)
        hub = SubscriptionHub(settings: settings, clock: clock, events: self.log, dropped: self.metrics.dropped)
        let context = RedisLink.Context(
            settings: settings, identity: RedisIdentity(name: name, incarnation: incarnation),
            locate: locator ?? { settings.endpoint }, clock: clock, random: random, events: self.log,
            metrics: self.metrics, loop: loop)
        let subscriptions = RedisLink(role: .subscriptions, context: context, hub: hub)
        self.subscriptions = subscriptions
        commands = RedisLink(role: .commands, context: context) { subscriptions.leave($0) }
    }

    /// The event loop of both connections, for an actor that must receive without a change of thread.
    ///
    /// What the actor does holds up the connections, so it must be short.
    ///
    /// ```swift
    /// actor Prices {
    ///     let client: RedisClient
    ///     nonisolated var unownedExecutor: UnownedSerialExecutor { client.unownedExecutor }
    ///
    ///     func follow() async throws {
    ///         for await delivery in try await client.subscribe(to: ["prices"]) { take(delivery) }
    ///     }
    /// }
    /// ```
    public var unownedExecutor: UnownedSerialExecutor { executor.loop.executor.asUnownedSerialExecutor() }

    /// The same for a task without an actor: `Task(executorPreference: client.taskExecutor) { … }`.
    public var taskExecutor: any TaskExecutor { executor }

    /// Keeps both connections until the task is cancelled.
    public func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await self.commands.run() }
            tasks.addTask { try await self.subscriptions.run() }
            tasks.addTask { await Self.keepTogether(self.commands, with: self.subscriptions) }
            tasks.addTask { await Self.keepTogether(self.subscriptions, with: self.commands) }
            try await tasks.waitForAll()
        }
    }

    /// The connection that came last found the server anew; the other one need not wait, and must not stay with another
    /// server (PITFALLS 5.42).
    private static func keepTogether(_ newer: RedisLink, with older: RedisLink) async {
        for await server in newer.servers() {
            if older.server == nil { older.hurry() }
            guard let other = older.server, newer.server == server, !other.runID.isEmpty, !server.runID.isEmpty,
                other.runID != server.runID
            else { continue }
            older.leave(RedisError(.differentServer, "the other connection leads to another server"))
        }
    }

    /// Replaces the connection of the subscriptions, for an owner that knows it to be deaf although it answers.
    ///
    /// Every subscription gets its gap and is restored, as after any other loss.
    public func recycleSubscriptions(_ reason: String) {
        subscriptions.leave(RedisError(.connectionLost, reason))
    }

    public var status: RedisStatus {
        let counts = hub.counts
        let facts = commands.facts
        return RedisStatus(
            commands: commands.status, subscriptions: subscriptions.status, desired: counts.desired,
            observed: counts.observed, missing: counts.missing, dropped: hub.droppedMessages, gapSince: hub.gapSince,
            serverVersion: facts?.versionText, pubsubLimit: facts?.pubsubLimit,
            isPubsubLimitTooLow: facts?.pubsubLimit?.isBelow(settings.minimumPubsubBuffer) ?? false,
            largestMessage: largestMessage)
    }

    /// What happens to the connections from now on; a reader that is too slow loses the oldest of 256.
    public func events() -> AsyncStream<RedisEvent> { log.stream() }

    /// The largest message the server's subscribers bear: a quarter of what the server keeps for one of them, and no
    /// more than the setting allows (PITFALLS 5.33).
    public var largestMessage: Int {
        let limit = commands.facts?.pubsubLimit?.smallest ?? .max
        return max(RedisSettings.smallestMessageLimit, min(settings.maximumMessageBytes, limit / 4))
    }

    /// Refuses a message that is too large, and counts it; for whoever publishes by a script.
    ///
    /// - Throws: `messageTooLarge`.
    public func requireSendable(messageOf bytes: Int) throws(RedisError) {
        // Most are far smaller than any limit can be.
        guard bytes > RedisSettings.smallestMessageLimit, case let largest = largestMessage, bytes > largest else {
            return
        }
        metrics.tooLarge.increment()
        throw RedisError(
            .messageTooLarge, "a message of \(bytes) bytes, at most \(largest) are allowed: see REDIS_MAX_MESSAGE_BYTES"
        )
    }

    private func requireSendable(_ command: [RedisArgument]) throws(RedisError) {
        guard let payload = command.last?.sizeLimit, payload > RedisSettings.smallestMessageLimit,
            command[0] == "PUBLISH"
        else { return }
        try requireSendable(messageOf: payload)
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
        try requireSendable(command)
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
        do throws(RedisError) { try requireSendable(command) } catch { return completion(.failure(error)) }
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
    /// Names asked for that the server has not acknowledged.
    public let missing: Int
    /// Messages that fell into a gap on this side.
    public let dropped: Int
    /// Since when subscriptions miss messages; nil when all are live.
    public let gapSince: MachineInstant?
    /// As of the last login; nil where the login may not ask, as the two below.
    public let serverVersion: String?
    public let pubsubLimit: OutputBufferLimit?
    /// The server cuts subscribers off earlier than `REDIS_MIN_PUBSUB_BUFFER_BYTES` asks for.
    public let isPubsubLimitTooLow: Bool
    /// Bytes.
    public let largestMessage: Int

    /// Both connections are up, the server works, and every subscription is live.
    public var isReady: Bool {
        commands.isConnected && subscriptions.isConnected && commands.waitsFor == nil && subscriptions.waitsFor == nil
            && missing == 0 && observed == desired
    }
}
