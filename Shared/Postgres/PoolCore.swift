import Logging
import NIOConcurrencyHelpers
import Resilience
import Runtime

/// How many connections there are and what happened to them (CHECKLIST R33).
public struct PoolStatistics: Hashable, Sendable {
    /// Open connections: idle and active.
    public var size = 0
    public var idle = 0
    public var active = 0
    /// Callers waiting for a connection.
    public var waiting = 0
    public var opened = 0
    public var closed = 0
    public var failedConnects = 0
    public var acquireTimeouts = 0
    public var retries = 0
    public var breaker = CircuitBreaker.State.closed
    /// The reason of the last failed connect; nil once one succeeded.
    public var lastFailure: String?

    public init() {}
}

/// The connections, who has them, and who waits; lives on the database loop.
@DatabaseLoop
final class PoolCore {
    private struct Lease {
        var connection: Connection
        var holder: String
        var since: MachineInstant
    }

    private struct Waiter {
        var id: Int
        var holder: String
        var continuation: CheckedContinuation<Connection, any Error>
        var timer: Task<Void, Never>
    }

    let settings: PostgresSettings
    let clock: MachineClock
    private let application: String
    private let random: RandomSource
    private let log: Logger
    private let metrics: PoolMetrics
    /// Written on the loop only, read from anywhere.
    nonisolated let published = NIOLockedValueBox(PoolStatistics())

    private var idle: [Connection] = []
    private var leases: [Int: Lease] = [:]
    private var waiters: [Waiter] = []
    private var opening = 0
    private var backoff: Backoff
    private var breaker: CircuitBreaker
    private var nextAttempt: MachineInstant
    private var lastFailure: PostgresError?
    private var wakeUp: Task<Void, Never>?
    private var nextID = 0
    private var isClosing = false
    /// While `run` runs, the minimum is kept open.
    private var keepsMinimum = false
    private var counts = PoolStatistics()

    nonisolated init(
        settings: PostgresSettings, application: String, clock: MachineClock, random: RandomSource, log: Logger,
        metrics: PoolMetrics
    ) {
        self.settings = settings
        self.application = application
        self.clock = clock
        self.random = random
        self.log = log
        self.metrics = metrics
        backoff = Backoff(base: settings.connectBackoffBase, cap: settings.connectBackoffCap, jitter: 0.2)
        breaker = CircuitBreaker(failureThreshold: settings.breakerFailures, cooldown: settings.breakerCooldown)
        nextAttempt = clock.now
    }

    // MARK: Lending

    /// Lends a connection to `holder`, at the latest when `timeout` has passed.
    func acquire(_ holder: String, timeout: Duration) async throws -> Connection {
        let timeout = min(timeout, settings.acquireTimeout)
        while true {
            guard !isClosing else { throw PostgresError(.closed, "the pool is closed", context: holder) }
            if Task.isCancelled { throw PostgresError(.cancelled, "the task was cancelled", context: holder) }
            guard waiters.isEmpty, let connection = takeIdle() else { break }
            lend(connection, to: holder)
            if clock.now.since(connection.idleSince) < settings.validateAfterIdle { return connection }
            if await isValid(connection) { return connection }
            release(connection)
        }
        if leases.isEmpty, breaker.state == .open, breaker.wait(at: clock.now) > .zero {
            throw PostgresError(
                .unavailable, "no connection: \(lastFailure?.message ?? "unknown")", context: holder,
                sqlState: lastFailure?.sqlState)
        }
        return try await wait(holder, timeout: timeout)
    }

    /// Takes a connection back; keeps it only when nothing is open on it and its time is not up.
    func release(_ connection: Connection) {
        guard leases.removeValue(forKey: connection.id) != nil else { return }
        if isClosing || !connection.isAtRest || clock.now >= connection.expiresAt {
            discard(connection)
        } else {
            connection.idleSince = clock.now
            idle.append(connection)
        }
        serve()
    }

    private func takeIdle() -> Connection? {
        while let connection = idle.popLast() {
            if clock.now < connection.expiresAt, connection.isStillThere() { return connection }
            discard(connection)
        }
        return nil
    }

    private func lend(_ connection: Connection, to holder: String) {
        leases[connection.id] = Lease(connection: connection, holder: holder, since: clock.now)
        publish()
    }

    private func isValid(_ connection: Connection) async -> Bool {
        let request = Connection.Request(
            body: .script("SELECT 1"), phase: .harmless, context: "validation",
            deadline: LoopInstant.now.advanced(by: .seconds(1)), isCancellable: false)
        do {
            _ = try await connection.perform(request)
            return true
        } catch {
            connection.close()
            return false
        }
    }

    private func discard(_ connection: Connection) {
        connection.close()
        counts.closed += 1
        publish()
    }

    // MARK: Waiting

    private func wait(_ holder: String, timeout: Duration) async throws -> Connection {
        nextID += 1
        let id = nextID
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                // Awaited by nobody: ended when the waiter is served, else it fails the waiter.
                let timer = Task { @DatabaseLoop [clock] in
                    guard (try? await clock.sleep(for: timeout)) != nil else { return }  // served or cancelled
                    self.acquireTimedOut(id, after: timeout)
                }
                waiters.append(Waiter(id: id, holder: holder, continuation: continuation, timer: timer))
                publish()
                serve()
            }
        } onCancel: {
            // Awaited by nobody: it fails the waiter, or finds it served.
            Task { @DatabaseLoop in
                self.fail(id, PostgresError(.cancelled, "the task was cancelled", context: holder))
            }
        }
    }

    private func acquireTimedOut(_ id: Int, after timeout: Duration) {
        guard let waiter = waiters.first(where: { $0.id == id }) else { return }
        counts.acquireTimeouts += 1
        metrics.acquireTimeouts.increment()
        fail(id, PostgresError(.acquireTimeout, acquireProblem(after: timeout), context: waiter.holder))
    }

    /// Names who holds what, the oldest first.
    private func acquireProblem(after timeout: Duration) -> String {
        let now = clock.now
        let oldest = leases.values.sorted { ($0.since, $0.connection.id) < ($1.since, $1.connection.id) }
        let holders = oldest.prefix(5).map { lease in
            let age = "\(lease.holder) for \(now.since(lease.since).wholeMilliseconds) ms"
            return lease.connection.current.map { $0 == lease.holder ? age : "\(age) in \($0)" } ?? "\(age), between"
        }
        var text = "no connection within \(timeout.wholeMilliseconds) ms; "
        text += "\(leases.count) of \(settings.maxConnections) lent"
        if !holders.isEmpty { text += ": " + holders.joined(separator: "; ") }
        if oldest.count > holders.count { text += "; and \(oldest.count - holders.count) more" }
        if let lastFailure { text += "; last connect failed: \(lastFailure.message)" }
        return text
    }

    private func fail(_ id: Int, _ error: PostgresError) {
        guard let index = waiters.firstIndex(where: { $0.id == id }) else { return }
        let waiter = waiters.remove(at: index)
        waiter.timer.cancel()
        waiter.continuation.resume(throwing: error)
        publish()
    }

    private func failAll(_ code: PostgresError.Code, _ message: String, sqlState: String? = nil) {
        for waiter in waiters {
            fail(waiter.id, PostgresError(code, message, context: waiter.holder, sqlState: sqlState))
        }
    }

    // MARK: Opening

    /// Gives idle connections to waiters and opens what is missing.
    private func serve() {
        while let waiter = waiters.first, let connection = takeIdle() {
            waiters.removeFirst()
            waiter.timer.cancel()
            lend(connection, to: waiter.holder)
            waiter.continuation.resume(returning: connection)
        }
        publish()
        guard !isClosing else { return }
        let size = idle.count + leases.count
        let missing = max(waiters.count, keepsMinimum ? settings.minConnections - size : 0) - opening
        // While the server is failing, one attempt at a time finds out.
        let room = lastFailure == nil ? settings.maxConnections - size - opening : opening == 0 ? 1 : 0
        for _ in 0..<max(0, min(missing, room, settings.maxConnections - size - opening)) {
            let now = clock.now
            guard now >= nextAttempt, breaker.permits(at: now) else {
                // The shortest wait keeps a half-open breaker, which tells no time, from being asked in a circle.
                wake(at: max(nextAttempt, now.advanced(by: max(breaker.wait(at: now), .milliseconds(10)))))
                return
            }
            open()
        }
    }

    private func wake(at instant: MachineInstant) {
        guard wakeUp == nil else { return }
        // Awaited by nobody: it ends with the wait, or is cancelled by `close`.
        wakeUp = Task { @DatabaseLoop [clock] in
            try? await clock.sleep(until: instant)  // cancelled: the pool is closing and `serve` does nothing
            self.wakeUp = nil
            self.serve()
        }
    }

    private func open() {
        opening += 1
        nextID += 1
        let id = nextID
        // Awaited by nobody: it ends within the connect time-out and reports the outcome to the pool.
        Task { @DatabaseLoop in
            do {
                let now = clock.now
                let share = random.withGenerator { Double.random(in: 0.9...1, using: &$0) }
                let connection = try await Connection.open(
                    settings.parameters(application: application), id: id, timeout: settings.connectTimeout,
                    now: now, expiresAt: now.advanced(by: settings.maxLifetime * share))
                opened(connection)
            } catch let error as PostgresError {
                openingFailed(error)
            } catch {
                openingFailed(PostgresError(.reconnect, "\(error)", context: "connecting"))
            }
        }
    }

    private func opened(_ connection: Connection) {
        opening -= 1
        breaker.succeed(at: clock.now)
        backoff.reset()
        if lastFailure != nil {
            log.info("database connection established", metadata: ["target": "\(settings.target)"])
        }
        lastFailure = nil
        counts.opened += 1
        metrics.opened.increment()
        if isClosing {
            discard(connection)
        } else {
            idle.append(connection)
        }
        serve()
    }

    private func openingFailed(_ error: PostgresError) {
        opening -= 1
        let now = clock.now
        breaker.fail(at: now)
        lastFailure = error
        counts.failedConnects += 1
        metrics.failedConnects.increment()
        nextAttempt = now.advanced(by: random.withGenerator { backoff.next(using: &$0) })
        log.warning(
            "database connection failed",
            metadata: ["target": "\(settings.target)", "code": "\(error.code)", "error": "\(error.message)"])
        if error.code == .permanent {
            failAll(.permanent, error.message, sqlState: error.sqlState)
        } else if breaker.state == .open, leases.isEmpty {
            failAll(.unavailable, "no connection: \(error.message)", sqlState: error.sqlState)
        }
        serve()
    }

    // MARK: Keeping

    func keepMinimum(_ keeps: Bool) {
        keepsMinimum = keeps
        serve()
    }

    /// Closes what is idle for too long or has lived long enough, and tops up to the minimum.
    func maintain() {
        let now = clock.now
        var spare = idle.count + leases.count - settings.minConnections
        var kept: [Connection] = []
        // The front has been idle longest.
        for connection in idle {
            let isSpare = spare > 0 && now.since(connection.idleSince) >= settings.idleTimeout
            if isSpare || now >= connection.expiresAt || !connection.isStillThere() {
                spare -= 1
                discard(connection)
            } else {
                kept.append(connection)
            }
        }
        idle = kept
        serve()
    }

    /// Ends everything: waiters at once, idle connections at once, lent ones after `grace`.
    func close(grace: Duration) async {
        isClosing = true
        keepsMinimum = false
        wakeUp?.cancel()
        failAll(.closed, "the pool is closing")
        for connection in idle { discard(connection) }
        idle = []
        publish()
        let deadline = clock.now.advanced(by: grace)
        while !leases.isEmpty, clock.now < deadline {
            guard (try? await clock.sleep(for: .milliseconds(10))) != nil else { break }  // cancelled: no more grace
        }
        for lease in leases.values.sorted(by: { $0.connection.id < $1.connection.id }) {
            log.warning("database connection closed under its holder", metadata: ["holder": "\(lease.holder)"])
            lease.connection.close()
        }
    }

    func countRetry() {
        counts.retries += 1
        metrics.retries.increment()
        publish()
    }

    private func publish() {
        counts.idle = idle.count
        counts.active = leases.count
        counts.size = idle.count + leases.count
        counts.waiting = waiters.count
        counts.breaker = breaker.state
        counts.lastFailure = lastFailure?.message
        metrics.set(counts)
        published.withLockedValue { $0 = counts }
    }
}
