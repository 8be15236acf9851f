import NIOConcurrencyHelpers

/// An isolation level of SQL.
public enum TransactionIsolation: String, Sendable, CaseIterable {
    case readCommitted = "READ COMMITTED"
    case repeatableRead = "REPEATABLE READ"
    case serializable = "SERIALIZABLE"
}

/// What can run statements: the pool, each for itself, or an open transaction.
public protocol PostgresQuerying: Sendable {
    /// Runs one statement and gives its rows. A time-out of nil stands for the default; what surrounds the call, such
    /// as the transaction's deadline, always bounds it.
    nonisolated(nonsending) func query(_ sql: SQL, timeout: Duration?) async throws -> [Row]
    /// Runs one statement and tells how many rows were inserted, changed or deleted.
    @discardableResult
    nonisolated(nonsending) func execute(_ sql: SQL, timeout: Duration?) async throws -> Int
    /// Runs several statements in one round trip, in order, until one fails; none may use an earlier one's answer.
    @discardableResult
    nonisolated(nonsending) func batch(_ statements: [SQL], timeout: Duration?) async throws -> [PostgresAnswer]
}

/// What one statement of a batch answered.
public struct PostgresAnswer: Sendable {
    let result: StatementResult

    public var rows: [Row] { result.rows }
    /// Rows that were inserted, changed or deleted.
    public var affected: Int { result.affected }
}

extension PostgresQuerying {
    public nonisolated(nonsending) func query(_ sql: SQL) async throws -> [Row] { try await query(sql, timeout: nil) }
    @discardableResult
    public nonisolated(nonsending) func execute(_ sql: SQL) async throws -> Int {
        try await execute(sql, timeout: nil)
    }
    @discardableResult
    public nonisolated(nonsending) func batch(_ statements: [SQL]) async throws -> [PostgresAnswer] {
        try await batch(statements, timeout: nil)
    }
    /// The first row, if there is one.
    public nonisolated(nonsending) func first(_ sql: SQL, timeout: Duration? = nil) async throws -> Row? {
        try await query(sql, timeout: timeout).first
    }
}

/// An open transaction; ends with the scope that `PostgresPool.transaction` gave it to.
///
/// Legal states: waiting for its first statement -> open -> committed | rolled back | lost. BEGIN travels with the
/// first statement, and what was given to `enqueue` with the next one or with COMMIT, so a transaction costs one round
/// trip per answer that somebody waits for, and one for its end. Statements run in the order in which they are given,
/// also those that are given at once.
public final class PostgresTransaction: PostgresQuerying {
    /// Most statements that wait for the next round trip.
    public static let queueLimit = 1000

    private struct Queue {
        var statements: [SQL] = []
        var isOver = false
    }

    public let name: String
    private let connection: Connection
    private let core: PoolCore
    private let isolation: TransactionIsolation
    private let deadline: LoopInstant
    private let queue = NIOLockedValueBox(Queue())
    @DatabaseLoop private var isOpen = true
    @DatabaseLoop private var hasBegun = false
    /// The first failure; what fails after it in an aborted transaction only says so.
    @DatabaseLoop private var failure: PostgresError?
    /// What was sent ahead of a call, and is under way.
    @DatabaseLoop private var aheads: [Operation] = []
    /// Why one of them failed, which the next call says.
    @DatabaseLoop private var failureAhead: PostgresError?

    init(
        name: String, connection: Connection, core: PoolCore, isolation: TransactionIsolation, deadline: LoopInstant
    ) {
        self.name = name
        self.connection = connection
        self.core = core
        self.isolation = isolation
        self.deadline = deadline
    }

    public nonisolated(nonsending) func query(_ sql: SQL, timeout: Duration?) async throws -> [Row] {
        try await perform(Few(sql), timeout).last?.rows ?? []
    }

    @discardableResult
    public nonisolated(nonsending) func execute(_ sql: SQL, timeout: Duration?) async throws -> Int {
        try await perform(Few(sql), timeout).last?.affected ?? 0
    }

    @discardableResult
    public nonisolated(nonsending) func batch(_ statements: [SQL], timeout: Duration?) async throws -> [PostgresAnswer]
    {
        try await perform(Few(statements), timeout).suffix(statements.count).map { PostgresAnswer(result: $0) }
    }

    /// Sends a statement with the next round trip of the transaction, latest with COMMIT; nobody waits for its answer.
    ///
    /// When it fails, the call that carries it throws, the scope's end included: nothing is committed without it.
    public func enqueue(_ sql: SQL) throws(PostgresError) {
        let problem = queue.withLockedValue { queue -> PostgresError.Code? in
            if queue.isOver { return .closed }
            if queue.statements.count >= Self.queueLimit { return .permanent }
            queue.statements.append(sql)
            return nil
        }
        guard let problem else { return }
        let words = problem == .closed ? "the transaction has ended" : "more than \(Self.queueLimit) statements wait"
        throw PostgresError(problem, words, context: "\(name): \(sql.summary)")
    }

    /// Sends what waits at once, although nothing is to be answered yet: the server works on it while the caller puts
    /// together what comes next.
    ///
    /// When it fails, the next call throws, the scope's end included.
    public func push() {
        LoopExecutor.shared.execute {
            let queued = self.takeQueue()
            if !queued.isEmpty { self.sendAhead(Few(queued)) { _ in } }
        }
    }

    /// Asks ahead of the next call, as `push` sends: for a lock that a transaction begins with and may wait for.
    ///
    /// The answer is there when the next call has returned.
    public func ahead<Answer>(_ question: PostgresQuestion<Answer>) -> PostgresAnswerAhead<Answer> {
        let answer = PostgresAnswerAhead(question, in: name)
        LoopExecutor.shared.execute { self.sendAhead(Few(self.takeQueue() + [question.sql])) { answer.take($0) } }
        return answer
    }

    /// Runs several trusted statements without values; the server parses them each time.
    public nonisolated(nonsending) func script(_ text: String, timeout: Duration? = nil) async throws {
        // BEGIN and what is queued go first: a script travels alone.
        _ = try await perform(Few(), timeout)
        _ = try await onLoop { reply in
            self.run(.script(text), SQL(raw: text), timeout, reply)
        }
    }

    /// What a COPY works with.
    @DatabaseLoop
    func copySession(_ context: String, _ timeout: Duration?) throws -> (Connection, LoopInstant) {
        guard isOpen else { throw PostgresError(.closed, "the transaction has ended", context: context) }
        return (connection, until(timeout))
    }

    /// Keeps the failure that aborted the transaction, if it is the first.
    @DatabaseLoop
    func copyFailed(_ error: any Error) {
        if failure == nil { failure = error as? PostgresError }
    }

    private nonisolated(nonsending) func perform(
        _ statements: Few<SQL>, _ timeout: Duration?
    ) async throws -> Few<StatementResult> {
        try await onLoop { reply in
            let queued = self.takeQueue()
            let batch = Batch(opens: self.begin(), statements: queued.isEmpty ? statements : Few(queued + statements))
            self.run(.batch(batch), statements.first ?? queued.first, timeout, reply)
        }
    }

    @DatabaseLoop
    private func run(_ body: Operation.Body, _ sql: SQL?, _ timeout: Duration?, _ reply: Reply<Few<StatementResult>>) {
        func refuse(_ code: PostgresError.Code, _ message: String) {
            reply(.failure(PostgresError(code, message, context: "\(name): \(sql?.summary ?? "BEGIN")")))
        }
        guard isOpen else { return refuse(.closed, "the transaction has ended") }
        guard !reply.isCancelled else { return refuse(.cancelled, "the task was cancelled") }
        if let failureAhead { return reply(.failure(failureAhead)) }
        let operation = Operation(body, phase: .transaction, name: name, deadline: until(timeout)) { outcome in
            // What failed ahead of it is why it failed.
            reply(outcome.mapError { self.failureAhead ?? self.explained($0) })
        }
        reply.whenCancelled = { [self] in
            abortAheads()
            connection.abort(operation, .taskCancelled)
        }
        connection.submit(operation)
    }

    @DatabaseLoop
    private func sendAhead(
        _ statements: Few<SQL>, told: @escaping @DatabaseLoop (Result<Few<StatementResult>, PostgresError>) -> Void
    ) {
        // After its end, or after a failure: the next call says so.
        guard isOpen, failureAhead == nil else { return }
        let batch = Batch(opens: begin(), statements: statements)
        let operation = Operation(.batch(batch), phase: .transaction, name: name, deadline: deadline)
        operation.whenFinished = { [self] outcome in
            aheads.removeAll { $0 === operation }
            if case .failure(let error) = outcome, failureAhead == nil { failureAhead = explained(error) }
            told(outcome)
        }
        aheads.append(operation)
        connection.submit(operation)
        connection.sendAhead()
    }

    /// What is awaited stands behind them.
    @DatabaseLoop
    private func abortAheads() {
        for operation in aheads { connection.abort(operation, .taskCancelled) }
    }

    /// 25P02: the transaction is aborted, by the failure that is already known.
    @DatabaseLoop
    private func explained(_ error: PostgresError) -> PostgresError {
        guard var first = failure else {
            failure = error
            return error
        }
        guard error.sqlState == "25P02" else { return error }
        first.context = error.context
        return first
    }

    @DatabaseLoop
    private func until(_ timeout: Duration?) -> LoopInstant {
        guard let timeout else { return deadline }
        return min(deadline, LoopInstant.now.advanced(by: timeout))
    }

    @DatabaseLoop
    private func begin() -> Batch.Control? {
        if hasBegun { return nil }
        hasBegun = true
        return .begin(isolation)
    }

    private func takeQueue(isLast: Bool = false) -> [SQL] {
        queue.withLockedValue { queue in
            defer { queue.statements = [] }
            if isLast { queue.isOver = true }
            return queue.statements
        }
    }

    // MARK: Its end, driven by the pool

    /// Commits and gives the connection back; after an error nothing is open any more.
    nonisolated(nonsending) func commit() async throws {
        let isCancelled = Task.isCancelled
        try await onLoop { (reply: Reply<Void>) in
            self.commit(isCancelled: isCancelled || reply.isCancelled, reply)
        }
    }

    @DatabaseLoop
    private func commit(isCancelled: Bool, _ reply: Reply<Void>) {
        let statements = takeQueue(isLast: true)
        let now = LoopInstant.now
        if isCancelled {
            return rollBack(because: .cancelled, "the task was cancelled", reply)
        }
        if !hasBegun, statements.isEmpty {
            end()
            return reply(.success(()))
        }
        if now >= deadline {
            return rollBack(because: .deadlineExceeded, "the deadline passed before the commit", reply)
        }
        if let failureAhead { return rollBack { reply(.failure(failureAhead)) } }
        let batch = Batch(opens: begin(), statements: Few(statements), closes: .commit)
        isOpen = false
        let operation = Operation(
            .batch(batch), phase: .commit, name: name,
            deadline: statements.isEmpty ? max(deadline, now.advanced(by: .seconds(1))) : deadline
        ) { [self] outcome in
            switch outcome {
            case .success(let results):
                if failureAhead == nil, case .full(let answer) = results.last, answer.commandTag == "COMMIT" {
                    end()
                    return reply(.success(()))
                }
                // The server answers COMMIT in a failed transaction with ROLLBACK and calls it a success.
                end()
                if let failureAhead { return reply(.failure(failureAhead)) }
                let cause = failure.map { ": \($0.message)" } ?? ""
                reply(
                    .failure(
                        PostgresError(
                            .permanent, "rolled back: a statement had failed and its error was not passed on\(cause)",
                            context: "\(name): COMMIT", sqlState: "25P02")))
            case .failure(let error):
                rollBack { reply(.failure(self.failureAhead ?? self.explained(error))) }
            }
        }
        // The bare COMMIT is short, and nothing is won by cancelling it.
        if !statements.isEmpty || !aheads.isEmpty {
            reply.whenCancelled = { [self] in
                abortAheads()
                connection.abort(operation, .taskCancelled)
            }
        }
        connection.submit(operation)
    }

    @DatabaseLoop
    private func rollBack(because code: PostgresError.Code, _ message: String, _ reply: Reply<Void>) {
        let error = PostgresError(code, message, context: "\(name): COMMIT")
        rollBack { reply(.failure(error)) }
    }

    /// Rolls back, also in a cancelled task, and gives the connection back; a connection that cannot is closed.
    nonisolated(nonsending) func rollBack() async {
        // It replies with success only.
        try? await onLoop { (reply: Reply<Void>) in self.rollBack { reply(.success(())) } }
    }

    @DatabaseLoop
    private func rollBack(_ whenDone: @escaping () -> Void) {
        isOpen = false
        abortAheads()
        guard hasBegun, connection.isUsable, !connection.isAtRest else {
            end()
            return whenDone()
        }
        let operation = Operation(
            .batch(Batch(closes: .rollback)), phase: .harmless, name: name,
            deadline: LoopInstant.now.advanced(by: .seconds(1))
        ) { [self] outcome in
            // The scope's own error is the one to report; the server rolls back when the connection ends.
            if case .failure = outcome { connection.close() }
            end()
            whenDone()
        }
        connection.submit(operation)
    }

    @DatabaseLoop
    private func end() {
        isOpen = false
        queue.withLockedValue { queue in
            queue.isOver = true
            queue.statements = []
        }
        core.release(connection)
    }
}
