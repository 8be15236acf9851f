import Resilience

/// For how long a venue that refused a read as one too many is left alone with all of them (decision 0046).
public struct ReadPause: Hashable, Sendable {
    /// The pauses after refusals without a time: doubled each time, from the first to the longest.
    static let first = Duration.seconds(1)
    static let longest = Duration.seconds(60)

    private var until: MachineInstant?
    /// Refusals in a row.
    private var refusals = 0

    public init() {}

    /// What is left of it; nil while the venue may be read.
    public func left(at now: MachineInstant) -> Duration? {
        until.flatMap { now < $0 ? now.duration(to: $0) : nil }
    }

    public mutating func refused(retryAfter: Duration?, at now: MachineInstant) {
        // What was on its way when another was refused is no refusal of its own.
        if left(at: now) == nil { refusals = min(refusals + 1, 30) }
        let pause = AccountBudget.pause(
            afterRefusals: refusals, retryAfter: retryAfter, first: Self.first, longest: Self.longest)
        until = max(until ?? now, now.advanced(by: pause))
    }

    /// The venue answered: the next refusal begins at the first pause again.
    public mutating func answered(at now: MachineInstant) {
        if left(at: now) == nil { refusals = 0 }
    }
}
