import Resilience

/// Statements outside of a transaction on their way: a connection is lent, they run, it is given back.
///
/// What was certainly not done is tried again within the one deadline (CHECKLIST R29, R31).
@DatabaseLoop
final class StatementCall: Reply<Few<ResultSet>>, LoopCall {
    private let core: PoolCore
    private let statements: Few<SQL>
    private let timeout: Duration
    private var deadline = LoopInstant.never
    private var attempt = 1
    private var ticket: PoolCore.Ticket?
    /// What is under way, and where; nil in between.
    private var operation: Operation?
    private var connection: Connection?

    nonisolated init(_ statements: Few<SQL>, timeout: Duration, on core: PoolCore) {
        self.core = core
        self.statements = statements
        self.timeout = timeout
    }

    func begin() {
        let now = LoopInstant.now
        deadline = now.advanced(by: timeout)
        acquire(timeout: timeout, at: now)
    }

    private func acquire(timeout: Duration, at now: LoopInstant) {
        let holder = statements.first.map { PoolEngine.Holder.statement($0) } ?? .named("nothing")
        if isCancelled {
            return self(.failure(PostgresError(.cancelled, "the task was cancelled", context: holder.text)))
        }
        if let connection = core.lendAtOnce(holder, at: now) { return run(on: connection, at: now) }
        ticket = core.acquire(holder, timeout: timeout) { [self] outcome in
            ticket = nil
            switch outcome {
            case .success(let connection): run(on: connection, at: .now)
            case .failure(let error): self(.failure(error))
            }
        }
    }

    private func run(on connection: Connection, at now: LoopInstant) {
        let operation = Operation(
            .batch(Batch(statements: statements)), phase: .autocommit, deadline: deadline
        ) { [self] outcome in
            self.operation = nil
            if let connection = self.connection.take() { core.release(connection) }
            finish(outcome)
        }
        self.connection = connection
        self.operation = operation
        connection.submit(operation, at: now)
        if isCancelled { stop() }
    }

    private func finish(_ outcome: Result<Few<ResultSet>, PostgresError>) {
        guard case .failure(let error) = outcome, error.permitsRetry, !isCancelled else {
            return self(outcome)
        }
        let failed = attempt
        let delay = core.random.withGenerator { RetryPolicy.database.delay(afterAttempt: failed, using: &$0) }
        guard let delay, LoopInstant.now.advanced(by: delay) < deadline else { return self(outcome) }
        attempt += 1
        core.countRetry()
        // Awaited by nobody: it ends with its sleep and goes on.
        Task { @DatabaseLoop in
            try? await core.clock.sleep(for: delay)  // nobody cancels it
            let now = LoopInstant.now
            acquire(timeout: deadline.since(now), at: now)
        }
    }

    override func stop() {
        if let ticket { core.cancel(ticket) }
        if let connection, let operation { connection.abort(operation, .taskCancelled) }
    }
}
