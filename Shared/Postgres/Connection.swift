import CLibPQ
import Glibc
import Resilience

/// One session with the server, on the database loop, in libpq's pipeline mode.
///
/// Legal states: usable -> broken (the socket is gone or must not be trusted) -> closed; usable -> closed.
@DatabaseLoop
final class Connection: LoopListener {
    /// How long a cancelled statement may take to end before the connection is closed.
    nonisolated static let cancelGrace = Duration.seconds(1)
    /// Statements prepared at once; the least recently used makes room.
    nonisolated static let statementLimit = 256
    /// Operations sent at once; further ones wait unsent.
    nonisolated static let depth = 64

    let id: Int
    /// The server's process for this session.
    let backend: Int32
    /// When it has lived long enough.
    let expiresAt: MachineInstant
    /// False once the socket is lost or must not be trusted.
    private(set) var isUsable = true
    /// Whether the server has forgotten a statement that was prepared here: the next one may be gone too.
    private var isForgotten = false
    /// Whether its operations belong to several callers, who must not be cancelled for each other.
    var isShared = false
    /// Told when the session ends while nothing is under way.
    var whenEnded: ((Connection) -> Void)?
    /// Told when the server has no room to store anything, or cannot read what it has stored.
    var whenStorageFails: ((ServerFailure) -> Void)?

    let handle: ConnectionHandle
    let socket: Int32
    let canceller: any Canceller
    private let isEncrypted: Bool
    var isClosed = false
    private var isFlushed = true
    /// Whether the last operation's Sync, and with it most of what was sent, waits for the end of the loop's turn.
    private var isUnsynchronised = false
    /// When the loop will call at the latest.
    private var wakesAt = LoopInstant.never
    /// When something was last sent.
    private var askedAt = LoopInstant.now
    @exclusivity(unchecked) private var sent: [Operation] = []
    @exclusivity(unchecked) private var queued: [Operation] = []
    @exclusivity(unchecked) private var statements = StatementCache(limit: Connection.statementLimit)
    private var controls: Set<String> = []
    @exclusivity(unchecked) private var parameters = Parameters()
    /// Set from a cancel request until its statement has ended.
    private var giveUp: LoopInstant?
    private var isCancelling = false
    /// A COPY has the connection for itself.
    var copy: LoopWait?

    init(handle: ConnectionHandle, id: Int, expiresAt: MachineInstant, canceller: any Canceller) {
        self.handle = handle
        self.id = id
        self.expiresAt = expiresAt
        self.canceller = canceller
        socket = PQsocket(handle.pointer)
        backend = PQbackendPID(handle.pointer)
        isEncrypted = PQsslInUse(handle.pointer) == 1
        LoopExecutor.shared.watch(socket, for: .read, isFresh: true, self)
    }

    /// Whether no transaction is open and nothing under way.
    var isAtRest: Bool {
        isUsable && !isForgotten && isIdle && PQtransactionStatus(handle.pointer) == PQTRANS_IDLE
    }

    var isInTransaction: Bool {
        let status = PQtransactionStatus(handle.pointer)
        return status == PQTRANS_INTRANS || status == PQTRANS_INERROR
    }

    var isIdle: Bool { sent.isEmpty && queued.isEmpty && copy == nil }

    /// The statement under way, for the acquire time-out's message.
    var current: String? { (sent.first ?? queued.first)?.context() }

    /// Looks, without waiting, whether the server has ended an idle connection.
    ///
    /// An idle session is told nothing but its end, so anything to be read means that it is over. Right after an answer
    /// it is not asked for: the loop would be told as well.
    func isStillThere(at now: LoopInstant = .now) -> Bool {
        guard isUsable else { return false }
        if now.nanoseconds < askedAt.nanoseconds + 10_000_000 { return true }
        isUsable = isSilent()
        return isUsable
    }

    private func isSilent() -> Bool {
        var byte: UInt8 = 0
        let count = recv(socket, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
    }

    /// Ends the session; what was under way ends as lost.
    func close() {
        isUsable = false
        guard !isClosed else { return }
        isClosed = true
        LoopExecutor.shared.forget(socket, self)
        LoopExecutor.shared.letSleep(self)
        if copy != nil { shutdown(socket, Int32(SHUT_RDWR)) }
        copy?.socketIsReady()
        failAll("the connection was closed")
        // libpq never waits here: the socket is non-blocking, so a half-open one gets no farewell.
        if copy == nil { PQfinish(handle.pointer) }
    }

    // MARK: Sending

    /// Takes an operation; its answer comes through the operation.
    func submit(_ operation: Operation, at now: LoopInstant = .now) {
        guard isUsable else { return operation.fail(.reconnect, "the connection was lost") }
        askedAt = now
        guard askedAt < operation.deadline else {
            return operation.fail(.deadlineExceeded, "the deadline had passed before it began")
        }
        if queued.isEmpty, maySend(operation) {
            send(operation)
        } else {
            queued.append(operation)
        }
        wake(at: operation.deadline)
    }

    /// Asks for a call at `instant`, unless there will be one before.
    private func wake(at instant: LoopInstant) {
        guard instant < wakesAt else { return }
        wakesAt = instant
        LoopExecutor.shared.wake(self, at: instant)
    }

    /// A script leaves pipeline mode and a cancel request may hit what comes next, so both want to be alone.
    private func maySend(_ operation: Operation) -> Bool {
        if isCancelling || copy != nil { return false }
        if sent.isEmpty { return true }
        if operation.script != nil || sent[0].script != nil { return false }
        return sent.count < Self.depth
    }

    func sendQueued() {
        while isUsable, let next = queued.first, maySend(next) {
            queued.removeFirst()
            send(next)
        }
    }

    private func send(_ operation: Operation) {
        if let text = operation.script { return send(script: text, operation) }
        let statements = operation.batch.statements
        for index in 0..<statements.count {
            guard let problem = Parameters.problem(in: statements[index].bound) else { continue }
            let summary = statements[index].summary
            let context = operation.name.map { "\($0): \(summary)" } ?? summary
            return operation.finish(.failure(PostgresError(.encoding, problem, context: context)))
        }
        guard synchronise(), send(statements, of: operation) else { return unsent(operation) }
        sent.append(operation)
        isUnsynchronised = true
        LoopExecutor.shared.beforeWaiting(self)
    }

    private func send(script text: String, _ operation: Operation) {
        guard PQexitPipelineMode(handle.pointer) == 1, PQsendQuery(handle.pointer, text) == 1 else {
            return unsent(operation)
        }
        sent.append(operation)
        flush()
    }

    /// Sends what waits: servers that are woken one right after the other cost less than each on its own.
    func loopWillWait() {
        guard isUsable, isUnsynchronised, let operation = sent.last else { return }
        guard synchronise() else { return unsent(operation) }
        flush()
    }

    /// Sends what was submitted although more will follow: the server works on it while that is put together.
    func sendAhead() {
        if isUsable, isUnsynchronised { flush() }
    }

    /// Ends what was sent last with a Sync, without which the next operation would belong to it.
    private func synchronise() -> Bool {
        guard isUnsynchronised else { return true }
        isUnsynchronised = false
        return PQpipelineSync(handle.pointer) == 1
    }

    private func send(_ statements: borrowing Few<SQL>, of operation: Operation) -> Bool {
        if let control = operation.batch.opens, !send(control, for: operation) { return false }
        for index in 0..<statements.count where !send(statements[index], index, for: operation) { return false }
        if let control = operation.batch.closes, !send(control, for: operation) { return false }
        return true
    }

    private func send(_ sql: SQL, _ index: Int, for operation: Operation) -> Bool {
        parameters.load(sql.bound)
        let statement: StatementCache.Prepared
        if let known = statements.useAgain(sql) {
            statement = known
        } else {
            let lookup = statements.use(sql)
            if lookup.isNew, !prepare(lookup, for: operation) { return false }
            statement = lookup.statement
        }
        operation.steps.append(.statement(index, statement))
        let isSent = parameters.withPointers { count, values, lengths, formats in
            PQsendQueryPrepared(handle.pointer, statement.terminatedName, count, values, lengths, formats, 0)
        }
        return isSent == 1
    }

    private func prepare(_ lookup: StatementCache.Lookup, for operation: Operation) -> Bool {
        for name in lookup.evicted {
            operation.steps.append(.deallocate)
            guard PQsendQueryParams(handle.pointer, "DEALLOCATE \(name)", 0, nil, nil, nil, nil, 0) == 1 else {
                return false
            }
        }
        operation.steps.append(.prepare(lookup.statement))
        let statement = lookup.statement
        return PQsendPrepare(
            handle.pointer, statement.name, statement.text, Int32(statement.types.count), statement.types) == 1
    }

    /// BEGIN, COMMIT and ROLLBACK are prepared once and never evicted: a failed transaction could not prepare them.
    private func send(_ control: Batch.Control, for operation: Operation) -> Bool {
        if !controls.contains(control.name) {
            operation.steps.append(.prepareControl(control))
            guard PQsendPrepare(handle.pointer, control.name, control.text, 0, nil) == 1 else { return false }
            controls.insert(control.name)
        }
        operation.steps.append(.control(control))
        return PQsendQueryPrepared(handle.pointer, control.name, 0, nil, nil, nil, 0) == 1
    }

    /// libpq refused to send: the Sync has not reached the server, so nothing of it was done.
    private func unsent(_ operation: Operation) {
        operation.fail(.reconnect, handle.message)
        lose()
    }

    private func flush() {
        let rest = PQflush(handle.pointer)
        if rest < 0 { return lose() }
        if (rest == 0) != isFlushed {
            isFlushed = rest == 0
            LoopExecutor.shared.watch(socket, for: isFlushed ? .read : [.read, .write], self)
        }
    }

    // MARK: Receiving

    func socketIsReady() {
        if let copy { return copy.socketIsReady() }
        if sent.isEmpty {
            // Nothing was asked, so this is the end of the session; level-triggered, it would be told for ever.
            guard !isSilent() else { return }
            isUsable = false
            LoopExecutor.shared.forget(socket, self)
            whenEnded?(self)
            return
        }
        // Both ways, or each side could wait for the other with full buffers.
        if !isFlushed { flush() }
        guard isUsable else { return }
        let isAlive = PQconsumeInput(handle.pointer) == 1
        // TLS hands out whole records: what libpq's buffer had no room for is not announced by the socket again.
        if isEncrypted { for _ in 0..<2 where PQisBusy(handle.pointer) == 1 { PQconsumeInput(handle.pointer) } }
        takeResults()
        if !isAlive || PQstatus(handle.pointer) != CONNECTION_OK { return lose() }
        sendQueued()
    }

    private func takeResults() {
        var endings = 0
        while let operation = sent.first, PQisBusy(handle.pointer) == 0 {
            guard let result = PQgetResult(handle.pointer) else {
                endings += 1
                if operation.script != nil {
                    guard PQenterPipelineMode(handle.pointer) == 1 else { return lose() }
                    complete(operation)
                } else if endings > 1 {
                    // Out of step with libpq: nothing it says can be assigned any more.
                    return lose()
                }
                continue
            }
            endings = 0
            take(result, for: operation)
        }
    }

    private func take(_ result: OpaquePointer, for operation: Operation) {
        switch PQresultStatus(result) {
        case PGRES_PIPELINE_SYNC:
            PQclear(result)
            complete(operation)
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY:
            answered(operation, result)
        case PGRES_PIPELINE_ABORTED:
            PQclear(result)
            skipped(operation)
        case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
            PQclear(result)
            operation.failure = ServerFailure(message: "COPY as a statement; use copy(into:)")
            shutdown(socket, Int32(SHUT_RDWR))
        default:
            let failure = ServerFailure(result)
            PQclear(result)
            failed(operation, failure)
        }
    }

    /// Takes the result over.
    private func answered(_ operation: Operation, _ result: OpaquePointer) {
        if operation.script != nil { return operation.add(.full(ResultSet(result))) }
        switch operation.stepIndex < operation.steps.count ? operation.steps[operation.stepIndex] : nil {
        case .statement where PQresultStatus(result) == PGRES_COMMAND_OK:
            operation.add(.changed(ResultSet.affected(result)))
            PQclear(result)
        case .statement, .control:
            operation.add(.full(ResultSet(result)))
        default:
            PQclear(result)
        }
        operation.stepIndex += 1
    }

    /// A step after one that failed, which the server has not looked at.
    private func skipped(_ operation: Operation) {
        forget(operation, step: operation.stepIndex)
        operation.stepIndex += 1
    }

    private func failed(_ operation: Operation, _ failure: ServerFailure) {
        // The server's own word explains more than the lost connection that follows it.
        guard operation.failure?.sqlState == nil else { return }
        operation.failure = failure
        operation.failedStep = operation.stepIndex
        if let state = failure.sqlState, Classifier.storageFaults.contains(state) { whenStorageFails?(failure) }
        if operation.script != nil { return }
        // Without a state it is libpq's word about a lost connection: the server has not answered this step.
        if failure.sqlState == nil { return }
        // At the Sync, when every step is answered: a deferred constraint, or the session's end.
        guard operation.stepIndex < operation.steps.count else { return }
        // The table has changed: prepared anew, it runs.
        if failure.sqlState == "0A000", case .statement(_, let statement) = operation.steps[operation.stepIndex],
            !operation.prepares(statement)
        {
            operation.isOutdated = true
            statements.drop(statement)
        }
        // Somebody deallocated it, and perhaps all of them.
        if failure.sqlState == "26000" {
            operation.isOutdated = true
            isForgotten = true
        }
        forget(operation, step: operation.stepIndex)
        operation.stepIndex += 1
    }

    /// What was to be prepared is not.
    private func forget(_ operation: Operation, step: Int) {
        guard step < operation.steps.count else { return }
        switch operation.steps[step] {
        case .prepare(let statement): statements.remove(statement)
        case .prepareControl(let control): controls.remove(control.name)
        case .deallocate, .control, .statement: break
        }
    }

    private func complete(_ operation: Operation) {
        if sent.count == 1 { sent.removeLast() } else { sent.removeFirst() }
        giveUp = nil
        if operation.failure == nil {
            operation.succeed()
        } else {
            operation.finish(.failure(operation.error()))
        }
        // The request may have come between two statements and have hit none.
        if let next = sent.first, next.abort != nil, !next.isFinished { requestCancel() }
    }

    // MARK: Ending early

    func timeHasCome(_ now: LoopInstant) {
        wakesAt = .never
        if let giveUp, now >= giveUp {
            // The server did not even answer the cancel request.
            return lose("the cancel request was not answered, the connection is closed")
        }
        for operation in queued where operation.deadline <= now {
            operation.fail(.deadlineExceeded, "the deadline passed before it was sent")
        }
        queued.removeAll(where: \.isFinished)
        for operation in sent where operation.deadline <= now && !operation.isFinished {
            abort(operation, .deadline)
        }
        let times = (sent + queued).filter { !$0.isFinished && $0.abort == nil }.map(\.deadline)
        if let next = ([giveUp].compactMap { $0 } + times).min() { wake(at: next) }
    }

    /// Ends an operation early: unsent it just leaves; under way, the server is asked to cancel it, and its answer
    /// decides.
    func abort(_ operation: Operation, _ reason: Operation.Abort) {
        guard !operation.isFinished, operation.abort == nil else { return }
        operation.abort = reason
        if let index = queued.firstIndex(where: { $0 === operation }) {
            queued.remove(at: index)
            let code: PostgresError.Code = reason == .deadline ? .deadlineExceeded : .cancelled
            return operation.fail(code, "it had not been sent")
        }
        guard let first = sent.first, sent.contains(where: { $0 === operation }) else { return }
        if isShared, first !== operation {
            // A cancel request would hit somebody else's statement: it goes on, and nobody waits for it.
            let isKnown = operation.onlyReads
            let code: PostgresError.Code =
                !isKnown ? .unknownCommit : reason == .deadline ? .deadlineExceeded : .cancelled
            return operation.fail(code, "given up behind other statements; it may still be executed")
        }
        requestCancel()
    }

    /// Nothing else is sent until the request has been delivered, so that it cannot hit the next statement.
    private func requestCancel() {
        guard giveUp == nil else { return }
        // What the server has not been told of cannot be cancelled.
        loopWillWait()
        let grace = LoopInstant.now.advanced(by: Self.cancelGrace)
        giveUp = grace
        wake(at: grace)
        for operation in sent { operation.isExposedToCancel = true }
        if isCancelling { return }
        isCancelling = true
        // Awaited by nobody: `giveUp` bounds it, and what is queued is sent after it.
        Task { @DatabaseLoop [canceller] in
            await canceller.cancel(backend)
            isCancelling = false
            sendQueued()
        }
    }

    /// The connection is gone or must not be trusted: everything under way ends.
    func lose(_ message: String? = nil) {
        guard isUsable || !sent.isEmpty else { return }
        isUsable = false
        LoopExecutor.shared.forget(socket, self)
        LoopExecutor.shared.letSleep(self)
        if message == nil, PQstatus(handle.pointer) != CONNECTION_OK { takeLastWords() }
        failAll(message ?? handle.message)
    }

    /// The server may have said why before the connection ended; without a socket nothing here waits.
    private func takeLastWords() {
        var endings = 0
        while let operation = sent.first, operation.failure == nil, endings < 2, PQisBusy(handle.pointer) == 0 {
            guard let result = PQgetResult(handle.pointer) else {
                endings += 1
                continue
            }
            endings = 0
            take(result, for: operation)
        }
    }

    private func failAll(_ message: String) {
        let (sent, queued) = (sent, queued)
        self.sent = []
        self.queued = []
        var isFirst = true
        for operation in sent where !operation.isFinished {
            // The server ends a session at one statement and never looks at those behind it.
            let said = operation.failure?.sqlState != nil
            if operation.failure == nil { operation.failure = ServerFailure(message: message) }
            operation.finish(.failure(operation.error()))
            if isFirst, said {
                for later in sent { later.fail(.reconnect, message) }
            }
            isFirst = false
        }
        for operation in queued { operation.fail(.reconnect, message) }
    }
}
