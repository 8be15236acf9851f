import Resilience

/// What came of one round, in figures.
public struct Verdict: Hashable, Sendable {
    public let scenario: String
    public let round: Int
    /// Whether the fault was one that nothing recovers from, to see the check fail.
    public let isControl: Bool
    /// From the fault until the suite knew.
    public var detected: Duration?
    /// From the fault or its undoing until all was steady.
    public var recovered: Duration?
    /// From the fault until every alert that must be told was at the sink.
    public var delivered: Duration?
    /// That were stored meanwhile; where none was, nothing is shown of orders.
    public var orders = 0
    /// Games whose owner changed.
    public var moved = 0
    /// Rows that were committed and are not there any more, and orders of ours that the venue does not have.
    public var lost = 0
    /// Orders that the venue has and PostgreSQL does not know: sent twice.
    public var duplicated = 0
    public var alertsExpected: Int
    public var alertsReceived = 0
    /// Kinds that nobody expected.
    public var falseAlerts: [String] = []
    /// What did not hold, each once; empty when all did.
    public var problems: [String] = []

    public init(_ scenario: String, round: Int, isControl: Bool, alertsExpected: Int) {
        self.scenario = scenario
        self.round = round
        self.isControl = isControl
        self.alertsExpected = alertsExpected
    }

    /// A control passes when the check has failed, and for the recovery that could not be.
    public var passed: Bool { isControl ? recovered == nil && !problems.isEmpty : problems.isEmpty }

    mutating func note(_ problem: String) {
        if !problems.contains(problem) { problems.append(problem) }
    }
}

/// Percentiles of a scenario's rounds.
public struct Percentiles: Hashable, Sendable {
    public let median: Duration
    public let p99: Duration
    public let maximum: Duration

    /// Nil without a figure.
    public init?(_ durations: [Duration]) {
        let sorted = durations.sorted()
        guard let last = sorted.last else { return nil }
        median = sorted[(sorted.count - 1) / 2]
        // The smallest value that at least 99 % of all do not exceed.
        p99 = sorted[max(0, (sorted.count * 99 + 99) / 100 - 1)]
        maximum = last
    }
}
