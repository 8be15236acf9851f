/// What goes to the server in one piece and ends with one Sync.
///
/// Outside of a transaction that is a transaction of its own: all of it, or nothing.
struct Batch: Sendable {
    enum Control: Hashable, Sendable {
        case begin(TransactionIsolation)
        case commit
        case rollback

        var text: String {
            switch self {
            case .begin(let isolation): "BEGIN ISOLATION LEVEL \(isolation.rawValue)"
            case .commit: "COMMIT"
            case .rollback: "ROLLBACK"
            }
        }

        /// The statement's name on every connection.
        var name: String {
            switch self {
            case .begin(.readCommitted): "begin_rc"
            case .begin(.repeatableRead): "begin_rr"
            case .begin(.serializable): "begin_s"
            case .commit: "commit"
            case .rollback: "rollback"
            }
        }
    }

    var opens: Control?
    var statements = Few<SQL>()
    var closes: Control?
}

/// One conversation with the server: what is sent, how long it may take, and who waits for the answer.
///
/// Legal states: queued -> sent -> answered; from any of them -> failed. Answers that come after a failure are dropped.
@DatabaseLoop
final class Operation {
    enum Body {
        case batch(Batch)
        /// Text without values, possibly several statements, in the simple protocol.
        case script(String)
    }

    /// What the server's next answer belongs to.
    enum Step {
        case deallocate
        case prepare(StatementCache.Prepared)
        case prepareControl(Batch.Control)
        case control(Batch.Control)
        case statement(Int, StatementCache.Prepared)
    }

    /// Why it is being ended before its answer came.
    enum Abort {
        case deadline
        case taskCancelled
    }

    /// Empty for a script.
    ///
    /// Like `steps` and `results` without a check at run time that nobody else reads it meanwhile: only the loop's
    /// thread touches an operation.
    @exclusivity(unchecked) private(set) var batch: Batch
    let script: String?
    /// What a lost connection means for it.
    let phase: Phase
    /// The transaction's name, if there is one.
    let name: String?
    private(set) var deadline: LoopInstant

    @exclusivity(unchecked) var steps = Few<Step>()
    var stepIndex = 0
    var abort: Abort?
    var failure: ServerFailure?
    /// The step that failed.
    var failedStep: Int?
    /// Whether a statement failed because the server no longer has it as it was prepared.
    var isOutdated = false
    /// Whether a cancel request was on its way while this was under way.
    var isExposedToCancel = false
    @exclusivity(unchecked) private(set) var results = Few<StatementResult>()
    private(set) var isFinished = false

    /// Told once; set before it is submitted.
    var whenFinished: ((Result<Few<StatementResult>, PostgresError>) -> Void)?
    /// Told instead.
    private unowned(unsafe) let call: StatementCall?

    init(
        _ body: Body, phase: Phase, name: String? = nil, deadline: LoopInstant,
        whenFinished: ((Result<Few<StatementResult>, PostgresError>) -> Void)? = nil
    ) {
        switch body {
        case .batch(let batch): (self.batch, script) = (batch, nil)
        case .script(let text): (batch, script) = (Batch(), text)
        }
        self.phase = phase
        self.name = name
        self.deadline = deadline
        self.whenFinished = whenFinished
        call = nil
    }

    /// Statements of a call, which holds it until it has been told.
    init(_ statements: Few<SQL>, deadline: LoopInstant, of call: StatementCall) {
        batch = Batch(statements: statements)
        script = nil
        phase = .autocommit
        name = nil
        self.deadline = deadline
        self.call = call
    }

    /// Begins anew with other statements, after a success.
    func reuse(for statements: consuming Few<SQL>, deadline: LoopInstant) {
        precondition(isFinished && failure == nil, "an operation is used again before its success")
        batch.statements = statements
        self.deadline = deadline
        steps = Few()
        stepIndex = 0
        abort = nil
        isExposedToCancel = false
        isFinished = false
    }

    /// Whether every statement was answered, so that only the end of the transaction can have been under way.
    private var isCompleted: Bool {
        var end = steps.count
        if case .control(.commit) = steps.last { end -= 1 }
        return (failedStep ?? stepIndex) >= end
    }

    /// Whether this operation prepares the statement itself.
    func prepares(_ statement: StatementCache.Prepared) -> Bool {
        steps.contains { step in
            if case .prepare(let own) = step { own === statement } else { false }
        }
    }

    func add(_ result: StatementResult) { results.append(result) }

    /// Every statement was answered.
    func succeed() {
        guard !isFinished else { return }
        let results = results
        self.results = Few()
        guard let call else { return finish(.success(results)) }
        isFinished = true
        call.succeeded(results)
    }

    /// Once; what comes later is dropped.
    func finish(_ outcome: Result<Few<StatementResult>, PostgresError>) {
        guard !isFinished else { return }
        isFinished = true
        if let call { return call.finished(outcome) }
        let told = whenFinished
        whenFinished = nil
        told?(outcome)
    }

    /// Runs it where nobody can cancel it.
    func run(on connection: Connection) async throws -> Few<StatementResult> {
        try await withCheckedThrowingContinuation { continuation in
            whenFinished = { continuation.resume(with: $0.mapError { $0 }) }
            connection.submit(self)
        }
    }

    func fail(_ code: PostgresError.Code, _ message: String) {
        finish(.failure(PostgresError(code, message, context: context())))
    }

    // MARK: What it is called

    /// For errors and for who waits: the transaction's name and the statement.
    func context(step: Int? = nil) -> String {
        let text = statementText(step ?? stepIndex)
        return name.map { "\($0): \(text)" } ?? text
    }

    private func statementText(_ step: Int) -> String {
        if let script { return SQL(raw: script).summary }
        guard step < steps.count else {
            return batch.statements.first?.summary ?? batch.closes?.text ?? batch.opens?.text ?? "nothing"
        }
        switch steps[step] {
        case .statement(let index, _): return batch.statements[index].summary
        case .prepare(let statement): return SQL(raw: statement.text).summary
        case .control(let control), .prepareControl(let control): return control.text
        case .deallocate: return "DEALLOCATE"
        }
    }

    /// Whether nothing that was sent can have changed anything.
    var onlyReads: Bool {
        script == nil && batch.closes == nil && batch.statements.allSatisfy(\.onlyReads)
    }

    /// What its failure means.
    func error() -> PostgresError {
        let failure = failure ?? ServerFailure(message: "the server answered nothing")
        let phase = phase == .autocommit && onlyReads ? Phase.harmless : phase
        var error = PostgresError(
            Classifier.code(sqlState: failure.sqlState, phase: phase, isCompleted: isCompleted), failure.message,
            context: context(step: failedStep), sqlState: failure.sqlState, detail: failure.detail,
            constraint: failure.constraint)
        if isOutdated { error.code = .retryTransaction }
        switch (abort, error.code) {
        case (.deadline, .cancelled), (.deadline, .reconnect):
            error.code = .deadlineExceeded
            error.message = "no answer within the deadline; \(error.message)"
        case (.taskCancelled, .reconnect):
            error.code = .cancelled
        case (nil, .cancelled) where isExposedToCancel:
            // The request was meant for another statement on the connection; nothing of this one was done.
            error.code = .retryTransaction
        default: break
        }
        return error
    }
}
