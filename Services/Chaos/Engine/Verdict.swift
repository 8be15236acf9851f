import Resilience

/// What a control must find, or the check that it is for proves nothing.
public enum Finding: String, Hashable, Sendable, CaseIterable {
    /// Nothing recovers from the fault.
    case unsteady
    /// Journaled messages are lost.
    case lostMessages = "lost-messages"
    /// A stream was handed more gaps than one.
    case moreGaps = "more-gaps"
    /// Orders went on where none may.
    case orders
    /// None went on where they must.
    case standstill
}

/// What came of one round, in figures.
public struct Verdict: Hashable, Sendable {
    /// What kept a round from being steady, and for how long.
    public struct Wait: Hashable, Sendable {
        public let trouble: String
        /// From the start of the recovery until it was seen for the last time.
        public let until: Duration
    }

    public let scenario: String
    public let round: Int
    /// What it must find; nil for a round that must hold.
    public let control: Finding?
    /// From the fault until the suite knew.
    public var detected: Duration?
    /// From the fault or its undoing until all was steady.
    public var recovered: Duration?
    /// What the recovery waited for, longest first.
    public var waits: [Wait] = []
    /// From the fault until every alert that must be told was at the sink.
    public var delivered: Duration?
    /// That were stored meanwhile; where none was, nothing is shown of orders.
    public var orders = 0
    /// That the venue took while none was to leave, or while they had to go on.
    public var ordersMeanwhile = 0
    /// From the fault until every alert that must be told was in a file.
    public var filed: Duration?
    /// Games whose owner changed.
    public var moved = 0
    /// Rows that were committed and are not there any more, and orders of ours that the venue does not have.
    public var lost = 0
    /// Orders that the venue has and PostgreSQL does not know: sent twice; nil where no venue can be asked.
    public var duplicated: Int?
    /// Journaled messages that were heard meanwhile.
    public var messages = 0
    /// Of them those that never came, or were never taken in.
    public var messagesLost = 0
    /// Subscriptions of processes that lived through the fault.
    public var streams = 0
    /// Gaps that they were handed.
    public var gaps = 0
    public var alertsExpected: Int
    public var alertsReceived = 0
    /// What those said that nobody expected, by kind.
    var unexpected: [String: String] = [:]
    /// Kinds that nobody expected.
    public var falseAlerts: [String] { unexpected.keys.sorted() }
    /// What did not hold, each once; empty when all did.
    public var problems: [String] = []
    /// Whether the round came to its end: what could not be broken, or be undone, ends one before.
    var isWhole = false

    public init(_ scenario: String, round: Int, control: Finding? = nil, alertsExpected: Int) {
        self.scenario = scenario
        self.round = round
        self.control = control
        self.alertsExpected = alertsExpected
    }

    public var isControl: Bool { control != nil }

    /// A control passes when its check has failed, and for the reason that it was given.
    public var passed: Bool {
        switch control {
        case nil: problems.isEmpty
        case .unsteady: isWhole && recovered == nil
        case .lostMessages: isWhole && messagesLost > 0
        case .moreGaps: isWhole && gaps > streams && streams > 0
        case .orders: isWhole && ordersMeanwhile > 0
        // Said only when somebody has looked.
        case .standstill: isWhole && problems.contains("0 orders left meanwhile")
        }
    }

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
