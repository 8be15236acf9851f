import Resilience

/// Statements outside of a transaction on their way: a connection is lent, they run, it is given back.
///
/// What was certainly not done is tried again within the one deadline (CHECKLIST R29, R31). A call that keeps its
/// connection takes the next statements when it has answered the last ones, until it is ended.
@DatabaseLoop
final class StatementCall: Reply<Few<StatementResult>>, LoopCall {
    private let core: PoolCore
    /// Who keeps the connection; nil for a call of one use, which its statement stands for.
    private let keeper: String?
    // The caller's until it hands the call to the loop, then the loop's.
    @exclusivity(unchecked) private nonisolated(unsafe) var statements: Few<SQL>
    private nonisolated(unsafe) var timeout: Int64
    private var deadline = LoopInstant.never
    private var attempt = 1
    private var ticket: PoolCore.Ticket?
    /// What is under way, or was last; nil after a failure.
    private var operation: Operation?
    private var isUnderWay = false
    private var connection: Connection?

    nonisolated init(_ statements: Few<SQL>, timeout: Duration, on core: PoolCore) {
        self.core = core
        self.statements = statements
        self.timeout = timeout.loopNanoseconds
        keeper = nil
    }

    /// A call that keeps its connection under this name.
    nonisolated init(keptBy keeper: String, on core: PoolCore) {
        self.core = core
        self.keeper = keeper
        statements = Few()
        timeout = 0
    }

    /// Takes the next statements, before it is handed to the loop again; only after it has answered.
    nonisolated func take(_ statements: consuming Few<SQL>, timeout: Int64) {
        self.statements = statements
        self.timeout = timeout
    }

    func begin() {
        let now = LoopInstant.now
        deadline = now.advanced(by: timeout)
        attempt = 1
        acquire(at: now)
    }

    private func acquire(at now: LoopInstant) {
        if isCancelled {
            let context = statements.first?.summary ?? "nothing"
            return self(.failure(PostgresError(.cancelled, "the task was cancelled", context: context)))
        }
        if let connection {
            if connection.isStillThere(at: now) { return run(on: connection, at: now) }
            giveBack()
        }
        let holder: PoolEngine.Holder =
            keeper.map { .named($0) } ?? statements.first.map { .statement($0) } ?? .named("nothing")
        if let connection = core.lendAtOnce(holder, at: now) { return run(on: connection, at: now) }
        ticket = core.acquire(holder, timeout: deadline.since(now)) { [self] outcome in
            ticket = nil
            switch outcome {
            case .success(let connection): run(on: connection, at: .now)
            case .failure(let error): self(.failure(error))
            }
        }
    }

    private func run(on connection: Connection, at now: LoopInstant) {
        let operation: Operation
        if let last = self.operation {
            operation = last
            operation.reuse(for: takeStatements(), deadline: deadline)
        } else {
            operation = Operation(takeStatements(), deadline: deadline, of: self)
            self.operation = operation
        }
        self.connection = connection
        isUnderWay = true
        connection.submit(operation, at: now)
        if isCancelled { stop() }
    }

    /// The operation has them from now on.
    private func takeStatements() -> Few<SQL> {
        var taken = Few<SQL>()
        swap(&taken, &statements)
        return taken
    }

    /// Told by the operation.
    func succeeded(_ results: Few<StatementResult>) {
        isUnderWay = false
        if keeper == nil { giveBack() }
        if attempt > 1 { core.countRetried(true) }
        succeed(results)
    }

    /// Told by the operation.
    func finished(_ outcome: Result<Few<StatementResult>, PostgresError>) {
        isUnderWay = false
        // Perhaps for another attempt.
        if let operation { statements = operation.batch.statements }
        operation = nil
        // A connection that is kept is exchanged for one beyond doubt.
        giveBack()
        guard case .failure(let error) = outcome, error.permitsRetry, !isCancelled else {
            if attempt > 1, case .success = outcome { core.countRetried(true) }
            return self(outcome)
        }
        let failed = attempt
        let delay = core.random.withGenerator { RetryPolicy.database.delay(afterAttempt: failed, using: &$0) }
        guard let delay, LoopInstant.now.advanced(by: delay) < deadline else {
            core.countRetried(false)
            return self(outcome)
        }
        attempt += 1
        core.countRetry()
        // Awaited by nobody: it ends with its sleep and goes on.
        Task { @DatabaseLoop in
            try? await core.clock.sleep(for: delay)  // nobody cancels it
            acquire(at: .now)
        }
    }

    private func giveBack() {
        if let connection = connection.take() { core.release(connection) }
    }

    /// Ends a call that keeps its connection: nothing is under way.
    func end() { giveBack() }

    override func stop() {
        if let ticket { core.cancel(ticket) }
        if let connection, let operation, isUnderWay { connection.abort(operation, .taskCancelled) }
    }
}
