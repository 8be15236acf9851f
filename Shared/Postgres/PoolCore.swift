import Logging
import NIOConcurrencyHelpers
import Resilience
import Runtime

/// The shell of the pool's engine: the connections, who waits, and the timers; lives on the database loop.
@DatabaseLoop
final class PoolCore {
    /// Somebody who wants a connection, and is told once.
    final class Ticket {
        let holder: PoolEngine.Holder
        fileprivate let deadline: MachineInstant
        fileprivate var whenServed: ((Result<Connection, PostgresError>) -> Void)?
        fileprivate var waiter: Int?

        fileprivate init(
            holder: PoolEngine.Holder, deadline: MachineInstant,
            whenServed: @escaping (Result<Connection, PostgresError>) -> Void
        ) {
            self.holder = holder
            self.deadline = deadline
            self.whenServed = whenServed
        }

        fileprivate func finish(_ outcome: Result<Connection, PostgresError>) {
            let told = whenServed
            whenServed = nil
            told?(outcome)
        }
    }

    let settings: PostgresSettings
    let clock: MachineClock
    let random: RandomSource
    private let application: String
    private let log: Logger
    private let metrics: PoolMetrics
    /// Written on the loop only, read from anywhere.
    nonisolated let published = NIOLockedValueBox(PoolStatistics())
    /// When a statement failed last since the server could not store, and the server's words.
    nonisolated let storageFault = NIOLockedValueBox<(at: MachineInstant, message: String)?>(nil)

    @exclusivity(unchecked) private var engine: PoolEngine
    private var connections = Numbered<Connection>()
    private var waiting: [Int: Ticket] = [:]
    private var nextWaiter = 0
    private var alarm: (at: MachineInstant, task: Task<Void, Never>)?
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
        engine = PoolEngine(settings, at: clock.now)
    }

    // MARK: Lending

    /// Lends a connection that is idle and beyond doubt, if there is one and nobody waits.
    func lendAtOnce(_ holder: PoolEngine.Holder, at instant: LoopInstant) -> Connection? {
        let now = clock.now
        guard let id = engine.lendAtOnce(holder, at: now) else { return nil }
        guard let connection = connections[id], connection.isStillThere(at: instant) else {
            carryOut(engine.giveBack(id, isSound: false, at: now))
            return nil
        }
        publishSizes()
        return connection
    }

    /// Lends a connection to `holder`, or says why not, at the latest when `timeout` has passed.
    @discardableResult
    func acquire(
        _ holder: PoolEngine.Holder, timeout: Duration,
        whenServed: @escaping (Result<Connection, PostgresError>) -> Void
    ) -> Ticket {
        let now = clock.now
        let deadline = now.advanced(by: min(timeout, settings.acquireTimeout))
        let ticket = Ticket(holder: holder, deadline: deadline, whenServed: whenServed)
        ask(for: ticket, isAgain: false, at: now)
        return ticket
    }

    private func ask(for ticket: Ticket, isAgain: Bool, at now: MachineInstant) {
        nextWaiter += 1
        let waiter = nextWaiter
        ticket.waiter = waiter
        waiting[waiter] = ticket
        let left = now.duration(to: ticket.deadline)
        let (answer, effects) = engine.ask(waiter, ticket.holder, timeout: left, isAgain: isAgain, at: now)
        carryOut(effects)
        switch answer {
        case .lent(let id, let mustValidate): lend(id, to: waiter, mustValidate: mustValidate)
        case .refused(let refusal): fail(waiter, refusal)
        case .waits: break
        }
    }

    /// Leaves the queue, if it is still in there.
    func cancel(_ ticket: Ticket) {
        guard let waiter = ticket.waiter, waiting.removeValue(forKey: waiter) != nil else { return }
        engine.leave(waiter)
        publish()
        ticket.finish(
            .failure(PostgresError(.cancelled, "the task was cancelled", context: ticket.holder.text)))
    }

    private func lend(_ id: Int, to waiter: Int, mustValidate: Bool) {
        guard let ticket = waiting.removeValue(forKey: waiter), let connection = connections[id] else {
            return carryOut(engine.giveBack(id, isSound: true, answered: false, at: clock.now))
        }
        ticket.waiter = nil
        guard connection.isStillThere() else { return replace(connection, for: ticket) }
        guard mustValidate else { return ticket.finish(.success(connection)) }
        validate(connection) { [self] answers in
            if answers { return ticket.finish(.success(connection)) }
            carryOut(engine.doubted(id, at: clock.now))
            replace(connection, for: ticket)
        }
    }

    /// Asks for another one; the time that is left is the same.
    private func replace(_ connection: Connection, for ticket: Ticket) {
        let now = clock.now
        carryOut(engine.giveBack(connection.id, isSound: false, at: now))
        ask(for: ticket, isAgain: true, at: now)
    }

    private func fail(_ waiter: Int, _ refusal: PoolEngine.Refusal) {
        guard let ticket = waiting.removeValue(forKey: waiter) else { return }
        ticket.waiter = nil
        ticket.finish(.failure(error(refusal, ticket.holder)))
    }

    /// Whether the server answers at all.
    private func validate(_ connection: Connection, _ told: @escaping (Bool) -> Void) {
        let question = Operation(
            .batch(Batch(statements: Few("SELECT 1"))), phase: .harmless, name: "validation",
            deadline: LoopInstant.now.advanced(by: .seconds(1))
        ) { outcome in
            if case .success = outcome { told(true) } else { told(false) }
        }
        connection.submit(question)
    }

    /// Takes a connection back; keeps it only when nothing is open on it and its time is not up.
    func release(_ connection: Connection) {
        let effects = engine.giveBack(connection.id, isSound: connection.isAtRest, at: clock.now)
        if effects.isEmpty { publishSizes() } else { carryOut(effects) }
    }

    // MARK: Carrying out

    private func carryOut(_ effects: [PoolEngine.Effect]) {
        publish()
        for effect in effects { carryOut(effect) }
        setAlarm()
    }

    private func carryOut(_ effect: PoolEngine.Effect) {
        switch effect {
        case .open(let id):
            open(id)
        case .close(let id):
            guard let connection = connections.removeValue(forKey: id) else { return }
            connection.close()
            counts.closed += 1
            publish()
        case .lend(let id, let waiter, let mustValidate):
            lend(id, to: waiter, mustValidate: mustValidate)
        case .fail(let waiter, let refusal):
            fail(waiter, refusal)
        case .probe(let id):
            probe(id)
        case .reportLeak(let id):
            reportLeak(id)
        }
    }

    private func error(_ refusal: PoolEngine.Refusal, _ holder: PoolEngine.Holder) -> PostgresError {
        let last = engine.lastFailure
        switch refusal {
        case .closed:
            return PostgresError(.closed, "the pool is closed", context: holder.text)
        case .unavailable:
            return PostgresError(
                .unavailable, "no connection: \(last?.message ?? "unknown")", context: holder.text,
                sqlState: last?.sqlState)
        case .permanent:
            return PostgresError(
                .permanent, last?.message ?? "unknown", context: holder.text, sqlState: last?.sqlState)
        case .timedOut(let after):
            counts.acquireTimeouts += 1
            metrics.acquireTimeouts.increment()
            publish()
            return PostgresError(.acquireTimeout, acquireProblem(after: after), context: holder.text)
        }
    }

    /// Names who holds what, the oldest first.
    private func acquireProblem(after timeout: Duration) -> String {
        let now = clock.now
        let oldest = engine.leases.sorted { ($0.value.since, $0.key) < ($1.value.since, $1.key) }
        let holders = oldest.prefix(5).map { id, lease in
            let holder = lease.holder.text
            let age = "\(holder) for \(now.since(lease.since).wholeMilliseconds) ms"
            guard let current = connections[id]?.current else { return "\(age), between" }
            return current == holder ? age : "\(age) in \(current)"
        }
        var text = "no connection within \(timeout.wholeMilliseconds) ms; "
        text += "\(engine.leases.count) of \(settings.maxConnections) lent"
        if !holders.isEmpty { text += ": " + holders.joined(separator: "; ") }
        if oldest.count > holders.count { text += "; and \(oldest.count - holders.count) more" }
        if let last = engine.lastFailure { text += "; last connect failed: \(last.message)" }
        return text
    }

    /// One task sleeps until the engine's next wake; an earlier one replaces it.
    private func setAlarm() {
        guard let next = engine.nextWake else { return }
        if let alarm, alarm.at <= next { return }
        alarm?.task.cancel()
        // Awaited by nobody: it ends with its sleep, or is cancelled by an earlier one and by `close`.
        let task = Task { @DatabaseLoop [clock] in
            guard (try? await clock.sleep(until: next)) != nil else { return }  // cancelled: replaced
            alarm = nil
            carryOut(engine.timeHasCome(at: clock.now))
        }
        alarm = (next, task)
    }

    // MARK: Opening

    private func open(_ id: Int) {
        // Awaited by nobody: it ends within the connect time-out and reports the outcome to the engine.
        Task { @DatabaseLoop in
            do {
                let share = random.withGenerator { Double.random(in: 0.9...1, using: &$0) }
                let expiresAt = clock.now.advanced(by: settings.maxLifetime * share)
                let connection = try await Connection.open(
                    settings.parameters(application: application), id: id, timeout: settings.connectTimeout,
                    expiresAt: expiresAt)
                opened(connection)
            } catch let error as PostgresError {
                openingFailed(error)
            } catch {
                openingFailed(PostgresError(.reconnect, "\(error)", context: "connecting"))
            }
        }
    }

    private func opened(_ connection: Connection) {
        if engine.lastFailure != nil {
            log.info("database connection established", metadata: ["target": "\(settings.target)"])
        }
        counts.opened += 1
        metrics.opened.increment()
        connections[connection.id] = connection
        // Not weak, which would make every use of the pool dearer: it ends with the connection.
        connection.whenEnded = { [self] connection in
            carryOut(engine.ended(connection.id, at: clock.now))
        }
        connection.whenStorageFails = { [self] failure in
            metrics.storageFaults.increment()
            let now = clock.now
            storageFault.withLockedValue { $0 = (now, failure.message) }
        }
        carryOut(engine.opened(connection.id, expiresAt: connection.expiresAt, at: clock.now))
    }

    private func openingFailed(_ error: PostgresError) {
        counts.failedConnects += 1
        metrics.failedConnects.increment()
        log.warning(
            "database connection failed",
            metadata: ["target": "\(settings.target)", "code": "\(error.code)", "error": "\(error.message)"])
        let now = clock.now
        carryOut(random.withGenerator { engine.openingFailed(error, at: now, using: &$0) })
    }

    // MARK: Keeping

    func keepMinimum(_ keeps: Bool) { carryOut(engine.keepMinimum(keeps, at: clock.now)) }

    /// Closes what is idle for too long or has lived long enough, probes what is silent, reports who holds for too
    /// long, and tops up to the minimum.
    func maintain() { carryOut(engine.maintain(at: clock.now)) }

    private func probe(_ id: Int) {
        guard let connection = connections[id] else { return }
        metrics.probes.increment()
        validate(connection) { [self] answers in
            if !answers { carryOut(engine.doubted(id, at: clock.now)) }
            carryOut(engine.probed(id, isSound: answers && connection.isAtRest, at: clock.now))
        }
    }

    private func reportLeak(_ id: Int) {
        guard let lease = engine.leases[id] else { return }
        counts.leaksReported += 1
        metrics.leaksReported.increment()
        publish()
        log.warning(
            "database connection held for long",
            metadata: [
                "holder": "\(lease.holder.text)", "statement": "\(connections[id]?.current ?? "none")",
                "age_ms": "\(clock.now.since(lease.since).wholeMilliseconds)",
            ])
    }

    /// Ends everything: waiters at once, idle connections at once, lent ones after `grace`.
    func close(grace: Duration) async {
        carryOut(engine.close())
        alarm?.task.cancel()
        let deadline = clock.now.advanced(by: grace)
        while !engine.leases.isEmpty, clock.now < deadline {
            guard (try? await clock.sleep(for: .milliseconds(10))) != nil else { break }  // cancelled: no more grace
        }
        for (id, lease) in engine.leases.sorted(by: { $0.key < $1.key }) {
            log.warning("database connection closed under its holder", metadata: ["holder": "\(lease.holder.text)"])
            connections[id]?.close()
        }
    }

    func countRetry() {
        counts.retries += 1
        metrics.retries.increment()
        publish()
    }

    /// What became of a call that was run again.
    func countRetried(_ succeeded: Bool) {
        if succeeded {
            counts.recovered += 1
            metrics.recovered.increment()
        } else {
            counts.givenUp += 1
            metrics.givenUp.increment()
        }
        publish()
    }

    /// What every lease changes.
    private func publishSizes() {
        counts.idle = engine.idleCount
        counts.active = engine.leases.count
        counts.waiting = engine.waitingCount
        metrics.set(idle: counts.idle, active: counts.active, waiting: counts.waiting)
        published.withLockedValue { [idle = counts.idle, active = counts.active, waiting = counts.waiting] published in
            published.idle = idle
            published.active = active
            published.waiting = waiting
            published.size = idle + active
        }
    }

    private func publish() {
        publishSizes()
        counts.size = counts.idle + counts.active
        counts.breaker = engine.breaker.state
        counts.lastFailure = engine.lastFailure?.message
        published.withLockedValue { $0 = counts }
    }
}
