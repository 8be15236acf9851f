import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Resilience
import Runtime

/// The server a connection leads to.
public struct RedisServer: Hashable, Sendable {
    /// New at each start of the server; empty if the login may not read it.
    public let runID: String
    /// Which connection this is, counted from 1.
    public let connection: Int
}

/// What an operator wants to know of one connection.
public struct RedisLinkStatus: Hashable, Sendable {
    public let isConnected: Bool
    /// Without the first connect (CHECKLIST R8).
    public let reconnects: Int
    public let failures: Int
    public let breaker: CircuitBreaker.State
    public let lastPong: MachineInstant?
    public let lastError: RedisError.Code?
}

/// Owns one connection: connects, logs in, watches it by PING, and connects again when it is lost.
final class RedisLink: Sendable {
    enum Role: String, Sendable {
        case commands
        case subscriptions
    }

    private struct State {
        var reconnection: Reconnection
        var connection: RedisConnection?
        var server: RedisServer?
        var lastPong: MachineInstant?
        var lastError: RedisError.Code?
        /// The number the server gave the last connection, and which run of the server that was.
        var client: (runID: String, id: Int64)?
        var watchers: [UInt64: AsyncStream<RedisServer>.Continuation] = [:]
        var nextWatcher: UInt64 = 0
    }

    private let role: Role
    private let settings: RedisSettings
    private let name: String
    private let clock: MachineClock
    private let random: RandomSource
    private let log: Logger
    private let metrics: RedisMetrics.Link
    private let hub: SubscriptionHub?
    private let group: any EventLoopGroup
    private let state: NIOLockedValueBox<State>

    /// `hub` receives the messages; it is nil for a connection that carries commands.
    init(
        role: Role, settings: RedisSettings, name: String, clock: MachineClock, random: RandomSource, log: Logger,
        metrics: RedisMetrics.Link, hub: SubscriptionHub?, group: any EventLoopGroup
    ) {
        self.role = role
        self.settings = settings
        self.name = name
        self.clock = clock
        self.random = random
        var log = log
        log[metadataKey: Key.connection] = "\(role.rawValue)"
        self.log = log
        self.metrics = metrics
        self.hub = hub
        self.group = group
        state = NIOLockedValueBox(
            State(reconnection: Reconnection(backoff: settings.backoff, breaker: settings.breaker)))
    }

    /// The connection if there is one, logged in, and to that server if one is named.
    func connection(to server: RedisServer?) -> RedisConnection? {
        state.withLockedValue { state in server == nil || server == state.server ? state.connection : nil }
    }

    var server: RedisServer? { state.withLockedValue { $0.server } }

    var status: RedisLinkStatus {
        state.withLockedValue { state in
            RedisLinkStatus(
                isConnected: state.connection != nil, reconnects: state.reconnection.reconnects,
                failures: state.reconnection.failures, breaker: state.reconnection.breaker.state,
                lastPong: state.lastPong, lastError: state.lastError)
        }
    }

    /// The server of each connection from now on, the present one first; keeps the newest only.
    func servers() -> AsyncStream<RedisServer> {
        AsyncStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
            let id = state.withLockedValue { state in
                let id = state.nextWatcher
                state.nextWatcher += 1
                state.watchers[id] = continuation
                if let server = state.server { continuation.yield(server) }
                return id
            }
            continuation.onTermination = { _ in self.state.withLockedValue { $0.watchers[id] = nil } }
        }
    }

    /// Keeps the connection until the task is cancelled.
    func run() async throws {
        while true {
            try Task.checkCancellation()
            let wait = state.withLockedValue { state -> Duration? in
                if state.reconnection.attempt(at: self.clock.now) { return nil }
                return max(state.reconnection.breaker.wait(at: self.clock.now), .milliseconds(1))
            }
            if let wait {
                try await clock.sleep(for: wait)
                continue
            }
            let reason = await attempt()
            metrics.connected.set(false)
            metrics.losses.increment()
            let delay = random.withGenerator { generator in
                state.withLockedValue { state in
                    state.lastError = reason.code
                    return state.reconnection.failed(at: self.clock.now, using: &generator)
                }
            }
            try Task.checkCancellation()
            let status = status
            log.warning(
                "redis connection lost",
                metadata: [
                    Key.code: "\(reason.code.rawValue)", Key.error: "\(reason.message)",
                    Key.delay: "\(delay.wholeMilliseconds)", Key.count: "\(status.failures)",
                    Key.state: "\(status.breaker.rawValue)",
                ])
            try await clock.sleep(for: delay)
        }
    }

    /// One connection from its beginning to its end; the socket is gone when this returns.
    private func attempt() async -> RedisError {
        let deadline = clock.now.advanced(by: settings.connectTimeout)
        let connection: RedisConnection
        var receive: (@Sendable (RedisMessages) -> Void)?
        if let hub { receive = { hub.deliver($0) } }
        do throws(RedisError) {
            connection = try await RedisConnection.open(settings, on: group, receive: receive)
        } catch {
            return error
        }
        do {
            let runID = try await logIn(connection, by: deadline)
            connected(connection, runID: runID)
        } catch {
            connection.close(error as? RedisError ?? RedisError(.connectionLost, "\(error)"))
            return await connection.waitUntilClosed()
        }
        let reason = await watch(connection)
        state.withLockedValue { state in
            state.connection = nil
            state.server = nil
        }
        return reason
    }

    private func connected(_ connection: RedisConnection, runID: String) {
        let (server, watchers) = state.withLockedValue { state in
            state.reconnection.connected(at: self.clock.now)
            state.connection = connection
            state.lastPong = self.clock.now
            let server = RedisServer(runID: runID, connection: state.reconnection.connects)
            state.server = server
            return (server, Array(state.watchers.values))
        }
        metrics.connected.set(true)
        metrics.connects.increment()
        for watcher in watchers { watcher.yield(server) }
        log.info("redis connected", metadata: [Key.count: "\(server.connection)"])
    }

    /// AUTH and SELECT come before everything, on both connections; a PONG shows that the server has loaded its data.
    private func logIn(_ connection: RedisConnection, by deadline: MachineInstant) async throws -> String {
        func send(_ command: [RedisArgument]) async throws -> RESPValue {
            let left = clock.now.duration(to: deadline)
            guard left > .zero else { throw RedisError(.connectTimedOut, "no login in time") }
            do {
                return try await connection.send(command, timeout: left)
            } catch let error as RedisError where error.code == .commandTimedOut {
                throw RedisError(.connectTimedOut, "no login in time")
            }
        }
        let endpoint = settings.endpoint
        if let password = endpoint.password {
            let user = endpoint.username.map { [RedisArgument.text($0)] } ?? []
            _ = try await send(["AUTH"] + user + [.text(password.value)])
        }
        if endpoint.database != 0 { _ = try await send(["SELECT", RedisArgument(endpoint.database)]) }
        _ = try await permitted { try await send(["CLIENT", "SETNAME", "\(self.name):\(self.role.rawValue)"]) }
        let info = try await permitted { try await send(["INFO", "server"]) }?.text ?? ""
        let rank = try await permitted { try await send(["ROLE"]) }?.array?.first?.text
        if let rank, rank != "master" { throw RedisError(.readOnly, "the server is a replica") }
        _ = try await send(["PING"])
        let line = info.split(whereSeparator: \.isNewline).first { $0.hasPrefix("run_id:") }
        let runID = line.map { String($0.dropFirst("run_id:".count)) } ?? ""
        try await endPredecessor(runID: runID, send)
        return runID
    }

    /// A connection that was half-open may live on at the server, which would feed it and carry out what it still holds
    /// (PITFALLS 5.6).
    private func endPredecessor(
        runID: String, _ send: ([RedisArgument]) async throws -> RESPValue
    ) async throws {
        let id = try await permitted { try await send(["CLIENT", "ID"]) }?.integer
        let last = state.withLockedValue { state in
            let last = state.client
            state.client = id.map { (runID, $0) }
            return last
        }
        // Another run gives the same numbers to others.
        guard let last, last.runID == runID, !runID.isEmpty else { return }
        _ = try await permitted { try await send(["CLIENT", "KILL", "ID", .integer(last.id)]) }
    }

    /// A login that may not ask is no reason to fail.
    private func permitted(_ body: () async throws -> RESPValue) async throws -> RESPValue? {
        do {
            return try await body()
        } catch let error as RedisError where error.code == .permissionDenied {
            return nil
        }
    }

    /// Waits for the end of a connection: closed, silent, or its subscriptions cannot be kept.
    private func watch(_ connection: RedisConnection) async -> RedisError {
        await withTaskGroup(of: RedisError.self) { tasks in
            tasks.addTask { await connection.waitUntilClosed() }
            tasks.addTask { await self.ping(connection) }
            if let hub { tasks.addTask { await hub.serve(connection) } }
            let first = await tasks.next()
            let reason = first ?? RedisError(.connectionLost, "the connection was closed")
            connection.close(reason)
            tasks.cancelAll()
            // Waited for, so that no attempt begins while the old socket is still open.
            for await _ in tasks {}
            return reason
        }
    }

    /// PING at the interval; a silence of `pongTimeout` after one is the end.
    private func ping(_ connection: RedisConnection) async -> RedisError {
        while true {
            let before = connection.bytesRead
            do {
                try await clock.sleep(for: settings.pingInterval)
                _ = try await connection.send(["PING"], timeout: settings.pongTimeout)
                state.withLockedValue { $0.lastPong = self.clock.now }
            } catch let error as RedisError where error.code == .commandTimedOut {
                // A PONG behind megabytes of messages is late, but the connection is not silent.
                if connection.bytesRead > before { continue }
                return RedisError(.pongTimedOut, "no PONG in time")
            } catch {
                return error as? RedisError ?? RedisError(.cancelled, "the connection was stopped")
            }
        }
    }
}
