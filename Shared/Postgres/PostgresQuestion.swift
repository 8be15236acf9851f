import NIOConcurrencyHelpers

/// A statement and what its rows say, apart from when it is sent.
///
/// Questions that are asked together cost one round trip, however many there are.
public struct PostgresQuestion<Answer: Sendable>: Sendable {
    public let sql: SQL
    private let read: @Sendable ([Row]) throws -> Answer

    public init(_ sql: SQL, read: @escaping @Sendable ([Row]) throws -> Answer) {
        self.sql = sql
        self.read = read
    }

    /// A question whose answer is read of the first row, if there is one.
    public static func first(_ sql: SQL, read: @escaping @Sendable (Row?) throws -> Answer) -> PostgresQuestion {
        PostgresQuestion(sql) { try read($0.first) }
    }

    /// A question whose answer has an element for each row.
    public static func each<Element>(
        _ sql: SQL, read: @escaping @Sendable (Row) throws -> Element
    ) -> PostgresQuestion where Answer == [Element] {
        PostgresQuestion(sql) { try $0.map(read) }
    }

    func answer(_ answer: PostgresAnswer) throws -> Answer { try read(answer.rows) }
    func answer(_ rows: [Row]) throws -> Answer { try read(rows) }
}

/// The answer to a question that was asked ahead of a call; it is there when that call has returned.
public final class PostgresAnswerAhead<Answer: Sendable>: Sendable {
    private let question: PostgresQuestion<Answer>
    private let transaction: String
    private let outcome = NIOLockedValueBox<Result<[Row], PostgresError>?>(nil)

    init(_ question: PostgresQuestion<Answer>, in transaction: String) {
        self.question = question
        self.transaction = transaction
    }

    func take(_ result: Result<Few<StatementResult>, PostgresError>) {
        outcome.withLockedValue { $0 = result.map { $0.last?.rows ?? [] } }
    }

    /// - Throws: why it failed, or that nothing was called since.
    public func callAsFunction() throws -> Answer {
        guard let outcome = outcome.withLockedValue({ $0 }) else {
            throw PostgresError(
                .closed, "nothing was called since it was asked", context: "\(transaction): \(question.sql.summary)")
        }
        return try question.answer(outcome.get())
    }
}

extension PostgresQuerying {
    /// Asks in the order given, in one round trip: each statement sees what those before it have locked and changed.
    public nonisolated(nonsending) func ask<each Answer>(
        _ question: repeat PostgresQuestion<each Answer>, timeout: Duration? = nil
    ) async throws -> (repeat each Answer) {
        var statements: [SQL] = []
        repeat statements.append((each question).sql)
        var answers = try await batch(statements, timeout: timeout)[...]
        return (repeat try (each question).answer(answers.removeFirst()))
    }
}
