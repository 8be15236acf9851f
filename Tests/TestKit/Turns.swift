import Testing

/// Lets a few of many run at once, whoever has waited longest first: a machine with two cores bears a few suites of
/// processes, not thirty.
public actor Turns {
    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    /// - Parameter limit: How many run at once, at least 1.
    public init(limit: Int) {
        precondition(limit > 0, "somebody must have a turn")
        free = limit
    }

    /// Runs the body when it is its turn.
    public func one<Value: Sendable>(
        _ body: @Sendable () async throws -> Value
    ) async rethrows -> Value {
        await take()
        defer { give() }
        return try await body()
    }

    private func take() async {
        if free > 0 {
            free -= 1
            return
        }
        await withCheckedContinuation { waiting.append($0) }
    }

    /// Hands the turn to who has waited longest.
    private func give() {
        if waiting.isEmpty {
            free += 1
        } else {
            waiting.removeFirst().resume()
        }
    }
}

/// Gives each test function of a suite its turn; what it waits is not part of its time limit.
public struct TakingTurns: SuiteTrait, TestTrait, TestScoping {
    public let turns: Turns
    public var isRecursive: Bool { true }

    public init(_ turns: Turns) { self.turns = turns }

    public func scopeProvider(for test: Test, testCase: Test.Case?) -> Self? {
        test.isSuite || testCase != nil ? nil : self
    }

    public func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        try await turns.one(function)
    }
}
