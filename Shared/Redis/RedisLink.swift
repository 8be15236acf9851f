import NIOConcurrencyHelpers
import NIOCore
import Resilience
import Runtime

/// Says where the server is and how to log in, asked anew for each attempt: the seam for Sentinel, and for passwords
/// that change.
///
/// An answer that takes longer than the connect time-out is a failed attempt.
public typealias RedisLocator = @Sendable () async throws -> RedisEndpoint

/// What an operator wants to know of one connection.
public struct RedisLinkStatus: Hashable, Sendable {
    public let isConnected: Bool
    /// What the server answers instead of working, while it loads its data or runs a script.
    public let waitsFor: RedisError.Code?
    /// Without the first connect (CHECKLIST R8).
    public let reconnects: Int
    public let failures: Int
    public let breaker: CircuitBreaker.State
    /// How often the breaker opened.
    public let openings: Int
    public let lastPong: MachineInstant?
    public let lastError: RedisError.Code?
}

/// Owns one connection: connects, logs in, watches it by PING, and connects again when it is lost.
final class RedisLink: Sendable {
    /// What both connections of a client share.
    struct Context: Sendable {
        let settings: RedisSettings
        let identity: RedisIdentity
        let locate: RedisLocator
        let clock: MachineClock
        let random: RandomSource
        let events: RedisEvents
        let metrics: RedisMetrics
        let loop: any EventLoop
    }

    private struct State {
        var reconnection: Reconnection
        var connection: RedisConnection?
        var server: RedisServer?
        var facts: RedisServerFacts?
        var waitsFor: RedisError.Code?
        var lastPong: MachineInstant?
        var lastError: RedisError.Code?
        var predecessor: RedisLogin.Predecessor?
        /// Ends the present wait between two attempts; nil when nobody waits.
        var wake: Promise<Void>?
        /// Whether the next wait need not be.
        var isHurried = false
        /// When each error reply was last reported.
        var reported: [RedisError.Code: MachineInstant] = [:]
    }

    /// The same error reply is an event again after this long.
    static let reportInterval = Duration.seconds(10)

    let role: RedisLinkRole
    let context: Context
    let hub: SubscriptionHub?
    private let metrics: RedisMetrics.Link
    private let onDemotion: @Sendable (RedisError) -> Void
    private let broadcast = Broadcast<RedisServer>(limit: 1)
    private let state: NIOLockedValueBox<State>

    /// - Parameters:
    ///   - role: which of the two connections it is.
    ///   - context: what both share.
    ///   - hub: receives the messages; nil for a connection that carries commands.
    ///   - onDemotion: told that the server is not a master any more.
    init(
        role: RedisLinkRole, context: Context, hub: SubscriptionHub? = nil,
        onDemotion: @escaping @Sendable (RedisError) -> Void = { _ in }
    ) {
        self.role = role
        self.context = context
        self.hub = hub
        self.onDemotion = onDemotion
        metrics = role == .commands ? context.metrics.commands : context.metrics.subscriptions
        let settings = context.settings
        state = NIOLockedValueBox(
            State(reconnection: Reconnection(backoff: settings.backoff, breaker: settings.breaker)))
    }

    var settings: RedisSettings { context.settings }
    var clock: MachineClock { context.clock }

    /// The connection if there is one, logged in, and to that server if one is named.
    func connection(to server: RedisServer?) -> RedisConnection? {
        state.withLockedValue { state in server == nil || server == state.server ? state.connection : nil }
    }

    var server: RedisServer? { state.withLockedValue { $0.server } }

    /// As of the last login.
    var facts: RedisServerFacts? { state.withLockedValue { $0.facts } }

    var lastPong: MachineInstant? { state.withLockedValue { $0.lastPong } }

    var status: RedisLinkStatus {
        state.withLockedValue { state in
            RedisLinkStatus(
                isConnected: state.connection?.isOpen ?? false, waitsFor: state.waitsFor,
                reconnects: state.reconnection.reconnects, failures: state.reconnection.failures,
                breaker: state.reconnection.breaker.state, openings: state.reconnection.breaker.openings,
                lastPong: state.lastPong, lastError: state.lastError)
        }
    }

    /// The server of each connection from now on, the present one first; keeps the newest only.
    func servers() -> AsyncStream<RedisServer> { broadcast.stream() }

    /// Ends the present connection; the next attempt asks anew where the server is.
    func leave(_ reason: RedisError) {
        state.withLockedValue { $0.connection }?.close(reason)
    }

    // MARK: Connecting

    /// Keeps the connection until the task is cancelled.
    func run() async throws {
        while true {
            try Task.checkCancellation()
            let wait = transition { reconnection in
                reconnection.attempt(at: self.clock.now)
                    ? nil : max(reconnection.breaker.wait(at: self.clock.now), .milliseconds(1))
            }
            if let wait {
                try await pause(wait)
                continue
            }
            let begun = clock.now
            let (reason, wasConnected) = await attempt()
            try Task.checkCancellation()
            let now = clock.now
            // An attempt that hung has waited already: who comes a moment before the server does would else be late by
            // its time-out and the delay.
            let since = wasConnected ? now : begun
            let full = context.random.withGenerator { generator in
                transition { $0.failed(at: since, using: &generator) }
            }
            let delay = max(.zero, full - now.since(since))
            metrics.losses.increment()
            state.withLockedValue { $0.lastError = reason.code }
            context.events.emit(
                wasConnected
                    ? .lost(role, reason.code, retryIn: delay) : .attemptFailed(role, reason.code, retryIn: delay),
                reason)
            try await pause(delay)
        }
    }

    /// Waits between two attempts, unless the server is found meanwhile.
    private func pause(_ length: Duration) async throws {
        let wake = Promise<Void>()
        let isHurried = state.withLockedValue { state in
            state.wake = wake
            defer { state.isHurried = false }
            return state.isHurried
        }
        if isHurried || length <= .zero { return state.withLockedValue { $0.wake = nil } }
        defer {
            state.withLockedValue { $0.wake = nil }
            // Lets go of whoever still waits for it.
            wake.fulfil(())
        }
        do {
            try await withDeadline(length, clock: clock) { await wake.value() }
        } catch is DeadlineExceeded {
            // The wait is over.
        }
    }

    /// The client's other connection has found the server: the next attempt waits for nothing.
    func hurry() {
        guard transition({ $0.reachable() }) else { return }
        let wake = state.withLockedValue { state in
            state.isHurried = state.wake == nil
            return state.wake.take()
        }
        wake?.fulfil(())
    }

    /// Moves the state machine, and reports what the breaker did.
    private func transition<R>(_ body: (inout Reconnection) -> R) -> R {
        let (result, before, after) = state.withLockedValue { state in
            let before = state.reconnection.breaker.state
            let result = body(&state.reconnection)
            return (result, before, state.reconnection.breaker.state)
        }
        guard before != after else { return result }
        metrics.set(after)
        if after == .open { metrics.openings.increment() }
        context.events.emit(.breaker(role, after))
        return result
    }

    /// One connection from its beginning to its end; the socket is gone when this returns.
    private func attempt() async -> (reason: RedisError, wasConnected: Bool) {
        let deadline = clock.now.advanced(by: settings.connectTimeout)
        let connection: RedisConnection
        let greeting: RedisGreeting
        do {
            let endpoint = try await withDeadline(settings.connectTimeout, clock: clock) {
                try await self.context.locate()
            }
            connection = try await RedisConnection.open(settings, at: endpoint, on: context.loop, callbacks())
            do {
                greeting = try await logIn(connection, at: endpoint, by: deadline)
            } catch {
                connection.close(error as? RedisError ?? RedisError(.cancelled, "the attempt was stopped"))
                state.withLockedValue { $0.waitsFor = nil }
                return (await connection.waitUntilClosed(), false)
            }
        } catch is DeadlineExceeded {
            return (RedisError(.connectTimedOut, "nobody says in time where the server is"), false)
        } catch {
            return (RedisError(connecting: error), false)
        }
        connected(connection, greeting)
        let reason = await watch(connection)
        disconnected(reason)
        return (reason, true)
    }

    private func callbacks() -> RedisConnection.Callbacks {
        var callbacks = RedisConnection.Callbacks(errorReply: { [weak self] error in self?.received(error) })
        if let hub { callbacks.messages = { hub.deliver($0) } }
        return callbacks
    }

    private func logIn(
        _ connection: RedisConnection, at endpoint: RedisEndpoint, by deadline: MachineInstant
    ) async throws -> RedisGreeting {
        let (predecessor, connects) = state.withLockedValue { ($0.predecessor, $0.reconnection.connects) }
        let login = RedisLogin(
            role: role, connection: connection, endpoint: endpoint, identity: context.identity, settings: settings,
            clock: clock, predecessor: predecessor, isFirst: connects == 0,
            onWaiting: { [weak self] error in self?.waits(for: error) })
        return try await login.run(by: deadline)
    }

    private func connected(_ connection: RedisConnection, _ greeting: RedisGreeting) {
        transition { $0.connected(at: self.clock.now) }
        let facts = greeting.facts
        let (server, before) = state.withLockedValue { state in
            let before = state.facts
            let server = RedisServer(runID: facts.runID, connection: state.reconnection.connects)
            state.connection = connection
            state.server = server
            state.facts = facts
            state.waitsFor = nil
            state.lastPong = self.clock.now
            state.predecessor = greeting.client.map { RedisLogin.Predecessor(runID: facts.runID, client: $0) }
            return (server, before)
        }
        metrics.connected.set(true)
        metrics.connects.increment()
        if server.connection > 1 { metrics.reconnects.increment() }
        context.events.emit(.connected(role, server, isReconnect: server.connection > 1))
        report(greeting, before)
        broadcast.hold(server)
    }

    /// What an operator should know of the server that was found.
    private func report(_ greeting: RedisGreeting, _ before: RedisServerFacts?) {
        let facts = greeting.facts
        if greeting.leftovers > 0 { context.events.emit(.leftoversRemoved(greeting.leftovers)) }
        if let limit = facts.pubsubLimit, limit.isBelow(settings.minimumPubsubBuffer), let smallest = limit.smallest {
            context.events.emit(.outputBufferLimitTooLow(limit: smallest, minimum: settings.minimumPubsubBuffer))
        }
        if let before, before.runID == facts.runID, let then = before.overruns, let now = facts.overruns, now > then {
            context.events.emit(.outputBufferOverrun(clients: now - then))
        }
    }

    private func disconnected(_ reason: RedisError) {
        broadcast.withdraw()
        state.withLockedValue { state in
            state.connection = nil
            state.server = nil
            state.waitsFor = nil
        }
        metrics.connected.set(false)
        if reason.code == .readOnly || reason.code == .masterDown { onDemotion(reason) }
    }

    // MARK: Error replies

    /// Called on the event loop with every error reply.
    private func received(_ error: RedisError) {
        context.metrics.countErrorReply(error.code)
        report(error)
        if error.reaction == .leave { leave(error) }
    }

    private func report(_ error: RedisError) {
        guard error.concernsOperator else { return }
        let isDue = state.withLockedValue { state in
            let now = self.clock.now
            if let last = state.reported[error.code], now.since(last) < Self.reportInterval { return false }
            state.reported[error.code] = now
            return true
        }
        if isDue { context.events.emit(.refused(error.code), error) }
    }

    /// The server lives but does not work.
    func waits(for error: RedisError) {
        let isNew = state.withLockedValue { state in
            let isNew = state.waitsFor != error.code
            state.waitsFor = error.code
            state.lastPong = self.clock.now
            state.lastError = error.code
            return isNew
        }
        if isNew { context.events.emit(.waiting(role, error.code), error) }
    }

    /// The server lives and works.
    func ponged() {
        state.withLockedValue { state in
            state.lastPong = self.clock.now
            state.waitsFor = nil
        }
    }
}
