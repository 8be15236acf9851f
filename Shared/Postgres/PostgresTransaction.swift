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
    func query(_ sql: SQL, timeout: Duration?) async throws -> [Row]
    /// Runs one statement and tells how many rows were inserted, changed or deleted.
    @discardableResult
    func execute(_ sql: SQL, timeout: Duration?) async throws -> Int
}

extension PostgresQuerying {
    public func query(_ sql: SQL) async throws -> [Row] { try await query(sql, timeout: nil) }
    @discardableResult
    public func execute(_ sql: SQL) async throws -> Int { try await execute(sql, timeout: nil) }
    /// The first row, if there is one.
    public func first(_ sql: SQL, timeout: Duration? = nil) async throws -> Row? {
        try await query(sql, timeout: timeout).first
    }
}

/// An open transaction; ends with the scope that `PostgresPool.transaction` gave it to.
///
/// Legal states: open -> committed | rolled back | lost. Statements run one after another.
public final class PostgresTransaction: PostgresQuerying {
    public let name: String
    private let connection: Connection
    private let core: PoolCore
    private let deadline: LoopInstant
    @DatabaseLoop private var isOpen = false

    init(name: String, connection: Connection, core: PoolCore, deadline: LoopInstant) {
        self.name = name
        self.connection = connection
        self.core = core
        self.deadline = deadline
    }

    public func query(_ sql: SQL, timeout: Duration?) async throws -> [Row] {
        try await perform(.statement(sql), sql.summary, timeout).rows
    }

    @discardableResult
    public func execute(_ sql: SQL, timeout: Duration?) async throws -> Int {
        try await perform(.statement(sql), sql.summary, timeout).affected
    }

    /// Runs several trusted statements without values; the server parses them each time.
    public func script(_ text: String, timeout: Duration? = nil) async throws {
        _ = try await perform(.script(text), SQL(raw: text).summary, timeout)
    }

    @DatabaseLoop
    private func perform(
        _ body: Connection.Request.Body, _ summary: String, _ timeout: Duration?
    ) async throws -> ResultSet {
        guard isOpen else { throw PostgresError(.closed, "the transaction has ended", context: "\(name): \(summary)") }
        var until = deadline
        if let timeout { until = min(until, LoopInstant.now.advanced(by: timeout)) }
        return try await connection.perform(
            Connection.Request(body: body, phase: .transaction, context: "\(name): \(summary)", deadline: until))
    }

    // MARK: Its life, driven by the pool

    @DatabaseLoop
    func begin(_ isolation: TransactionIsolation) async throws {
        do {
            _ = try await connection.perform(
                Connection.Request(
                    body: .script("BEGIN ISOLATION LEVEL \(isolation.rawValue)"), phase: .harmless,
                    context: "\(name): BEGIN", deadline: deadline))
            isOpen = true
        } catch {
            await rollBack()
            throw error
        }
    }

    /// Commits and gives the connection back; after an error nothing is open any more.
    @DatabaseLoop
    func commit() async throws {
        guard isOpen else { return }
        if Task.isCancelled {
            await rollBack()
            throw PostgresError(.cancelled, "the task was cancelled", context: "\(name): COMMIT")
        }
        guard LoopInstant.now < deadline else {
            await rollBack()
            throw PostgresError(.deadlineExceeded, "the deadline passed before the commit", context: "\(name): COMMIT")
        }
        isOpen = false
        defer { core.release(connection) }
        let result = try await connection.perform(
            Connection.Request(
                body: .script("COMMIT"), phase: .commit, context: "\(name): COMMIT",
                deadline: max(deadline, LoopInstant.now.advanced(by: .seconds(1))), isCancellable: false))
        // The server answers COMMIT in a failed transaction with ROLLBACK and calls it a success.
        guard result.commandTag == "COMMIT" else {
            throw PostgresError(
                .permanent, "rolled back: a statement had failed and its error was not passed on",
                context: "\(name): COMMIT", sqlState: "25P02")
        }
    }

    /// Rolls back, also in a cancelled task, and gives the connection back; a connection that cannot is closed.
    @DatabaseLoop
    func rollBack() async {
        isOpen = false
        defer { core.release(connection) }
        guard connection.isUsable, !connection.isAtRest else { return }
        do {
            _ = try await connection.perform(
                Connection.Request(
                    body: .script("ROLLBACK"), phase: .harmless, context: "\(name): ROLLBACK",
                    deadline: LoopInstant.now.advanced(by: .seconds(1)), isCancellable: false))
        } catch {
            // The scope's own error is the one to report; the server rolls back when the connection ends.
            connection.close()
        }
    }
}
