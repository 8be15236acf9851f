import Resilience

/// Statements outside of a transaction on their way: a connection is lent, they run, it is given back.
///
/// What was certainly not done is tried again within the one deadline (CHECKLIST R29, R31).
@DatabaseLoop
final class StatementCall {
    private let core: PoolCore
    private let statements: [SQL]
    private let deadline: LoopInstant
    private let reply: Reply<[ResultSet]>
    private var attempt = 1
    private var ticket: PoolCore.Ticket?
    private weak var connection: Connection?
    private weak var operation: Operation?

    static func start(_ statements: [SQL], timeout: Duration, on core: PoolCore, _ reply: Reply<[ResultSet]>) {
        let deadline = LoopInstant.now.advanced(by: timeout)
        let call = StatementCall(core: core, statements: statements, deadline: deadline, reply: reply)
        reply.whenCancelled = { call.cancel() }
        call.acquire(timeout: timeout)
    }

    private init(core: PoolCore, statements: [SQL], deadline: LoopInstant, reply: Reply<[ResultSet]>) {
        self.core = core
        self.statements = statements
        self.deadline = deadline
        self.reply = reply
    }

    private func acquire(timeout: Duration) {
        let holder = statements.first.map { PoolEngine.Holder.statement($0) } ?? .named("nothing")
        if reply.isCancelled {
            return reply(.failure(PostgresError(.cancelled, "the task was cancelled", context: holder.text)))
        }
        ticket = core.acquire(holder, timeout: timeout) { [self] outcome in
            switch outcome {
            case .success(let connection): run(on: connection)
            case .failure(let error): reply(.failure(error))
            }
        }
    }

    private func run(on connection: Connection) {
        let operation = Operation(
            .batch(Batch(statements: statements)), phase: .autocommit, deadline: deadline
        ) { [self] outcome in
            core.release(connection)
            finish(outcome)
        }
        self.connection = connection
        self.operation = operation
        connection.submit(operation)
        if reply.isCancelled { cancel() }
    }

    private func finish(_ outcome: Result<[ResultSet], PostgresError>) {
        guard case .failure(let error) = outcome, error.permitsRetry, !reply.isCancelled else {
            return reply(outcome)
        }
        let failed = attempt
        let delay = core.random.withGenerator { RetryPolicy.database.delay(afterAttempt: failed, using: &$0) }
        guard let delay, LoopInstant.now.advanced(by: delay) < deadline else { return reply(outcome) }
        attempt += 1
        core.countRetry()
        // Awaited by nobody: it ends with its sleep and goes on.
        Task { @DatabaseLoop in
            try? await core.clock.sleep(for: delay)  // nobody cancels it
            acquire(timeout: deadline.since(.now))
        }
    }

    private func cancel() {
        if let ticket { core.cancel(ticket) }
        if let connection, let operation { connection.abort(operation, .taskCancelled) }
    }
}
