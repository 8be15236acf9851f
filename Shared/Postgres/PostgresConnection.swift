/// A connection that one task keeps for many statements, each a transaction of its own; `PostgresPool.withConnection`
/// lends it.
///
/// It saves what lending costs for each statement. It belongs to the scope's own task and cannot be handed to another:
/// the scope is told of a cancellation once, not each statement. When the session is lost, the next statement gets
/// another one, and what was certainly not done is tried again like a statement of the pool: nothing may be left in the
/// session, such as a setting or a temporary table.
public final class PostgresConnection {
    private let call: StatementCall
    private let timeout: Int64

    init(_ call: StatementCall, timeout: Duration) {
        self.call = call
        self.timeout = timeout.loopNanoseconds
    }

    public nonisolated(nonsending) func query(_ sql: SQL, timeout: Duration? = nil) async throws -> [Row] {
        try await perform(Few(sql), timeout).last?.rows ?? []
    }

    @discardableResult
    public nonisolated(nonsending) func execute(_ sql: SQL, timeout: Duration? = nil) async throws -> Int {
        try await perform(Few(sql), timeout).last?.affected ?? 0
    }

    /// Runs several statements in one round trip as one transaction: all of them, or none.
    @discardableResult
    public nonisolated(nonsending) func batch(
        _ statements: [SQL], timeout: Duration? = nil
    ) async throws -> [PostgresAnswer] {
        try await perform(Few(statements), timeout).map { PostgresAnswer(result: $0) }
    }

    private nonisolated(nonsending) func perform(
        _ statements: consuming Few<SQL>, _ timeout: Duration?
    ) async throws -> Few<StatementResult> {
        call.take(statements, timeout: timeout?.loopNanoseconds ?? self.timeout)
        return try await call.waitUncancelled { LoopExecutor.shared.execute(call) }
    }
}

extension PostgresPool {
    /// Lends one connection to `body` for as many statements as it runs.
    ///
    /// The name appears in the acquire time-out's list of holders and in the report of who holds for too long. The
    /// connection is lent with the first statement; each statement has its own time-out.
    public nonisolated(nonsending) func withConnection<R>(
        _ name: String, _ body: nonisolated(nonsending) (PostgresConnection) async throws -> R
    ) async throws -> R {
        let call = StatementCall(keptBy: name, on: core)
        let connection = PostgresConnection(call, timeout: settings.queryTimeout)
        defer { LoopExecutor.shared.execute { call.end() } }
        return try await withTaskCancellationHandler {
            try await body(connection)
        } onCancel: {
            LoopExecutor.shared.execute { call.cancel() }
        }
    }
}
