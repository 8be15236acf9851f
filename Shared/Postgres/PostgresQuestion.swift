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
