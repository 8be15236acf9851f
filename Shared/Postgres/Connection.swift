import CLibPQ
import Glibc
import NIOPosix
import Resilience

/// One session with the server, on the database loop; it runs one statement at a time.
///
/// Legal states: usable -> broken (the socket is gone or must not be trusted) -> closed; usable -> closed.
@DatabaseLoop
final class Connection {
    /// What is to be run.
    struct Request {
        enum Body {
            /// One statement with bound values, prepared once per connection.
            case statement(SQL)
            /// Text without values, possibly several statements.
            case script(String)
        }

        var body: Body
        var phase: Phase
        var context: String
        var deadline: LoopInstant
        /// False for what must happen although the task is cancelled: COMMIT and ROLLBACK.
        var isCancellable = true
    }

    /// Why a running statement is being ended.
    private enum Abort {
        case deadline
        case taskCancelled
    }

    private struct StatementKey: Hashable {
        var text: String
        var types: [UInt32]
    }

    /// How long a cancelled statement may take to end before the connection is closed.
    static let cancelGrace = Duration.seconds(1)
    private static let statementLimit = 256

    let id: Int
    /// The server's process for this session.
    let backend: Int32
    /// When it has lived long enough.
    let expiresAt: MachineInstant
    var idleSince: MachineInstant
    /// False once the socket is lost or a result is outstanding that nobody will read.
    private(set) var isUsable = true
    /// The statement under way, for the acquire time-out's message.
    private(set) var current: String?

    private let handle: ConnectionHandle
    private let socket: Int32
    private var isClosed = false
    private var statements: [StatementKey: String] = [:]
    private var run = 0
    private var abort: Abort?
    private var isCancelling = false

    init(handle: ConnectionHandle, id: Int, openedAt: MachineInstant, expiresAt: MachineInstant) {
        self.handle = handle
        self.id = id
        self.expiresAt = expiresAt
        idleSince = openedAt
        socket = PQsocket(handle.pointer)
        backend = PQbackendPID(handle.pointer)
    }

    /// Whether no transaction is open and no statement under way.
    var isAtRest: Bool { isUsable && current == nil && PQtransactionStatus(handle.pointer) == PQTRANS_IDLE }

    /// Looks, without waiting, whether the server has ended an idle connection.
    ///
    /// An idle session is told nothing but its end, so anything to be read means that it is over.
    func isStillThere() -> Bool {
        guard isUsable else { return false }
        var byte: UInt8 = 0
        let count = recv(socket, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        isUsable = count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return isUsable
    }

    /// Frees the session; with a statement under way its socket is shut instead, and the statement ends as lost.
    func close() {
        isUsable = false
        guard current == nil else {
            shutdown(socket, Int32(SHUT_RDWR))
            LoopExecutor.shared.interrupt(socket)
            return
        }
        guard !isClosed else { return }
        isClosed = true
        LoopExecutor.shared.forget(socket)
        PQfinish(handle.pointer)
    }

    // MARK: Running a statement

    /// Runs one statement to its end and reports its last result.
    func perform(_ request: Request) async throws -> ResultSet {
        guard current == nil else {
            throw PostgresError(
                .permanent, "a statement is under way on this connection: \(current ?? "")", context: request.context)
        }
        guard isUsable else { throw PostgresError(.reconnect, "the connection was lost", context: request.context) }
        if LoopInstant.now >= request.deadline {
            throw PostgresError(.deadlineExceeded, "the deadline had passed before it began", context: request.context)
        }
        if request.isCancellable, Task.isCancelled {
            throw PostgresError(.cancelled, "the task was cancelled", context: request.context)
        }
        current = request.context
        run += 1
        abort = nil
        let run = run
        defer { current = nil }
        guard request.isCancellable else { return try await execute(request) }
        return try await withTaskCancellationHandler {
            try await execute(request)
        } onCancel: {
            // Awaited by nobody: it sets a mark and wakes the statement, or finds it ended.
            Task { @DatabaseLoop in self.taskCancelled(run: run) }
        }
    }

    private func taskCancelled(run: Int) {
        guard self.run == run, current != nil, abort == nil else { return }
        abort = .taskCancelled
        LoopExecutor.shared.interrupt(socket)
    }

    private func execute(_ request: Request) async throws -> ResultSet {
        switch request.body {
        case .script(let text):
            guard PQsendQuery(handle.pointer, text) == 1 else { throw unsent(request) }
        case .statement(let sql):
            let parameters = try Parameters(sql.values, context: request.context)
            if let name = try await prepared(sql, parameters, request) {
                let isSent = parameters.withPointers { count, _, values, lengths, formats in
                    PQsendQueryPrepared(handle.pointer, name, count, values, lengths, formats, 0)
                }
                guard isSent == 1 else { throw unsent(request) }
            } else {
                let isSent = parameters.withPointers { count, types, values, lengths, formats in
                    PQsendQueryParams(handle.pointer, sql.text, count, types, values, lengths, formats, 0)
                }
                guard isSent == 1 else { throw unsent(request) }
            }
        }
        return try await finish(request, phase: request.phase)
    }

    /// The statement's name on this connection, prepared now if it is new; nil when there are too many already.
    private func prepared(_ sql: SQL, _ parameters: Parameters, _ request: Request) async throws -> String? {
        let key = StatementKey(text: sql.text, types: parameters.types)
        if let name = statements[key] { return name }
        guard statements.count < Self.statementLimit else { return nil }
        let name = "s\(statements.count + 1)"
        let isSent = parameters.types.withUnsafeBufferPointer { types in
            PQsendPrepare(handle.pointer, name, sql.text, Int32(types.count), types.baseAddress)
        }
        guard isSent == 1 else { throw unsent(request) }
        _ = try await finish(request, phase: request.phase == .transaction ? .transaction : .harmless)
        statements[key] = name
        return name
    }

    /// libpq refused to send: nothing has reached the server.
    private func unsent(_ request: Request) -> PostgresError {
        isUsable = false
        return PostgresError(.reconnect, handle.message, context: request.context, sqlState: "08006")
    }

    private func finish(_ request: Request, phase: Phase) async throws -> ResultSet {
        let outcome = await drain(until: request.deadline)
        if isCancelling { await settleCancel() }
        guard let failure = outcome.failure else {
            guard let result = outcome.result else {
                isUsable = false
                throw PostgresError(.reconnect, "the server answered nothing", context: request.context)
            }
            return result
        }
        // Its plan or the statement itself is gone on the server; a new connection prepares anew.
        if failure.sqlState == "0A000" || failure.sqlState == "26000" { isUsable = false }
        var error = PostgresError(
            Classifier.code(sqlState: failure.sqlState, phase: phase, isCompleted: outcome.isCompleted),
            failure.message, context: request.context, sqlState: failure.sqlState, detail: failure.detail,
            constraint: failure.constraint)
        if abort == .deadline, error.code == .cancelled || error.code == .reconnect {
            error.code = .deadlineExceeded
            error.message = "no answer within the deadline; \(error.message)"
        } else if abort == .taskCancelled, error.code == .reconnect {
            error.code = .cancelled
        }
        throw error
    }

    // MARK: The wire

    private struct Outcome {
        var result: ResultSet?
        var failure: ServerFailure?
        /// Whether the server reported a statement done.
        var isCompleted = false
    }

    /// Reads results until libpq has no more, consuming while it flushes, or both sides could fill up and stop.
    private func drain(until deadline: LoopInstant) async -> Outcome {
        var outcome = Outcome()
        var giveUp: LoopInstant?
        while true {
            let unflushed = PQflush(handle.pointer)
            if PQisBusy(handle.pointer) == 0 || PQstatus(handle.pointer) != CONNECTION_OK {
                guard let result = PQgetResult(handle.pointer) else { break }
                take(result, into: &outcome)
                continue
            }
            if abort != nil, giveUp == nil { giveUp = sendCancel() }
            switch await LoopExecutor.shared.wait(
                for: unflushed == 1 ? [.read, .write] : .read, on: socket, until: giveUp ?? deadline)
            {
            case .ready:
                PQconsumeInput(handle.pointer)
            case .interrupted:
                // Cancelled, or shut by `close`: the loop's next turn sees which.
                if !isUsable { PQconsumeInput(handle.pointer) }
            case .deadline where giveUp == nil:
                abort = abort ?? .deadline
            case .deadline:
                return abandoned(outcome)
            }
        }
        if PQstatus(handle.pointer) != CONNECTION_OK { isUsable = false }
        return outcome
    }

    /// The server did not even answer the cancel request: the connection is given up.
    private func abandoned(_ outcome: Outcome) -> Outcome {
        isUsable = false
        var outcome = outcome
        outcome.failure = ServerFailure(message: "the cancel request was not answered, the connection is closed")
        return outcome
    }

    private func take(_ result: OpaquePointer, into outcome: inout Outcome) {
        switch PQresultStatus(result) {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY:
            outcome.isCompleted = true
            outcome.result = ResultSet(result)
        case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
            PQclear(result)
            isUsable = false
            outcome.failure = ServerFailure(message: "COPY is not supported here")
            shutdown(socket, Int32(SHUT_RDWR))
        default:
            let failure = ServerFailure(result)
            PQclear(result)
            // The server's own word explains more than the lost connection that follows it.
            if outcome.failure?.sqlState == nil { outcome.failure = failure }
        }
    }

    // MARK: Cancelling

    /// Asks the server to end the statement, off this thread, since `PQcancel` blocks.
    ///
    /// - Returns: when to give the connection up.
    private func sendCancel() -> LoopInstant {
        if let request = CancelRequest(handle) {
            isCancelling = true
            // Awaited by `settleCancel`, and by `drain` until the grace has passed.
            Task { @DatabaseLoop in
                try? await NIOThreadPool.singleton.runIfActive { request.send() }  // lost: the grace ends it
                self.isCancelling = false
                if !self.isClosed { LoopExecutor.shared.interrupt(self.socket) }
            }
        }
        return LoopInstant.now.advanced(by: Self.cancelGrace)
    }

    /// Waits until the cancel request has been delivered, so that it cannot hit the next statement.
    private func settleCancel() async {
        let deadline = LoopInstant.now.advanced(by: Self.cancelGrace)
        while isCancelling, isUsable {
            if case .deadline = await LoopExecutor.shared.wait(for: [], on: socket, until: deadline) {
                isUsable = false
            }
        }
    }
}
