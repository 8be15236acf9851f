/// What went wrong with the database, classified once by SQLSTATE and by what was under way.
public struct PostgresError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Bounded, so it can label a metric.
    public enum Code: String, Hashable, Sendable, CaseIterable {
        /// Serialisation failure or deadlock (40001, 40P01): the whole transaction may run again.
        case retryTransaction
        /// Too many clients or a lock not given (53300, 55P03): nothing was done; wait, do not hammer.
        case wait
        /// The connection was lost or refused before anything could be committed (08xxx, 57P01 to 57P03).
        case reconnect
        /// Ended by a cancel request or the server's own time-out (57014), or by the task's cancellation.
        case cancelled
        /// The call's deadline passed; the statement was cancelled and did not commit.
        case deadlineExceeded
        /// The connection was lost after COMMIT, or a writing statement outside a transaction, was sent: it may have
        /// happened. Read back by key, never simply repeat.
        case unknownCommit
        /// No connection became free within the acquire time-out; the message names who holds them.
        case acquireTimeout
        /// The breaker is open: the database was unreachable a moment ago.
        case unavailable
        /// The pool or the transaction has ended.
        case closed
        /// A column is missing or does not hold what was asked of it.
        case decoding
        /// A value cannot be bound.
        case encoding
        /// The schema's history is not the one this build knows.
        case migration
        /// Everything else; repeating it gives the same answer.
        case permanent
    }

    public var code: Code
    /// The server's five-character state; nil when the error did not come from the server.
    public var sqlState: String?
    public var message: String
    public var detail: String?
    /// The violated constraint, when there is one.
    public var constraint: String?
    /// What was being done: the transaction's name, the statement.
    public var context: String

    public init(
        _ code: Code, _ message: String, context: String, sqlState: String? = nil, detail: String? = nil,
        constraint: String? = nil
    ) {
        self.code = code
        self.sqlState = sqlState
        self.message = message
        self.detail = detail
        self.constraint = constraint
        self.context = context
    }

    /// Whether the whole transaction may run again: nothing of it was committed.
    public var permitsRetry: Bool {
        switch code {
        case .retryTransaction, .wait, .reconnect: true
        default: false
        }
    }

    /// 23505: a row with this key is there already.
    public var isUniqueViolation: Bool { sqlState == "23505" }
    /// 23503: what the row refers to is not there.
    public var isForeignKeyViolation: Bool { sqlState == "23503" }
    /// 23514: a CHECK or a guard refused the row.
    public var isCheckViolation: Bool { sqlState == "23514" }

    public var description: String {
        var text = "\(code.rawValue)"
        if let sqlState { text += " (\(sqlState))" }
        text += " in \(context): \(message)"
        if let detail { text += " (\(detail))" }
        if let advice { text += "; \(advice)" }
        return text
    }
}

/// What was under way when a statement failed: decides what a lost connection means.
enum Phase: Sendable {
    /// Nothing that could commit: BEGIN, ROLLBACK, PREPARE, validation, or a SELECT outside a transaction.
    case harmless
    /// A statement inside an open transaction.
    case transaction
    /// A writing statement outside a transaction: it commits by itself.
    case autocommit
    /// COMMIT, with the statements that travel with it.
    case commit
}

/// The one place where a failure gets its code (DESIGN rule 15).
enum Classifier {
    /// No room on its disk, a disk that fails, and files that cannot be read for what they should be.
    static let storageFaults: Set<String> = ["53100", "58030", "XX001", "XX002"]

    /// The code of a failure; the state is nil when the connection was lost without a word from the server.
    ///
    /// `isCompleted` says whether the server had reported every statement done before it failed: then only the end of
    /// the transaction was left.
    static func code(sqlState: String?, phase: Phase, isCompleted: Bool = false) -> PostgresError.Code {
        guard let sqlState else { return lost(phase, isCompleted: true) }
        switch sqlState {
        case "40001", "40P01": return .retryTransaction
        case "40003": return .unknownCommit
        case "53300", "55P03": return .wait
        case "57014": return .cancelled
        case "57P01", "57P02", "57P03", "57P05", "25P03": return lost(phase, isCompleted: isCompleted)
        case _ where sqlState.hasPrefix("08"): return lost(phase, isCompleted: isCompleted)
        default: return .permanent
        }
    }

    private static func lost(_ phase: Phase, isCompleted: Bool) -> PostgresError.Code {
        switch phase {
        case .harmless, .transaction: .reconnect
        // The server says "done" before it commits: without that word nothing was committed.
        case .autocommit, .commit: isCompleted ? .unknownCommit : .reconnect
        }
    }
}

extension PostgresError {
    /// Whether the server could not do it now, whatever it was asked: a disk that is full, memory or time that ran out,
    /// an operator, a fault of its own.
    ///
    /// The same may succeed when that has passed.
    public var blamesServer: Bool {
        guard code == .permanent || code == .cancelled, let sqlState else { return false }
        return ["53", "57", "58", "XX"].contains { sqlState.hasPrefix($0) }
    }

    /// Whether the same statement may succeed later.
    public var mayPass: Bool { code != .permanent || blamesServer }

    /// Whether the same row would be refused for ever: its data, or a constraint; not the database's own state, such as
    /// a disk that is full.
    public var blamesRow: Bool {
        switch code {
        case .encoding, .decoding: true
        case .permanent: sqlState.map { $0.hasPrefix("22") || $0.hasPrefix("23") } ?? false
        default: false
        }
    }
}
