/// How often one operation is tried, and how long to wait between the attempts (the first attempt is 1).
public struct RetryPolicy: Hashable, Sendable {
    /// Attempts in all, at least 1.
    public let attempts: Int
    /// The wait after attempt 1, 2, …; the last one repeats.
    public let delays: [Duration]
    /// The spread as a share of the delay, 0 to 1.
    public let jitter: Double

    public init(attempts: Int, delays: [Duration], jitter: Double = 0) {
        precondition(attempts >= 1, "attempts must be at least 1, got \(attempts)")
        precondition(attempts == 1 || !delays.isEmpty, "a policy that retries needs a delay")
        precondition(delays.allSatisfy { $0 >= .zero }, "delays must not be negative, got \(delays)")
        precondition((0...1).contains(jitter), "jitter must lie in 0...1, got \(jitter)")
        self.attempts = attempts
        self.delays = delays
        self.jitter = jitter
    }

    /// PostgreSQL: again after 100, 200 and 400 ms with jitter, so 4 attempts in all (CHECKLIST R29).
    public static let database = RetryPolicy(
        attempts: 4, delays: [.milliseconds(100), .milliseconds(200), .milliseconds(400)], jitter: 0.1)
    /// Publishing: 3 attempts, 50/100 ms (CHECKLIST R7).
    public static let publish = RetryPolicy(attempts: 3, delays: [.milliseconds(50), .milliseconds(100)])

    /// The wait before the attempt after `attempt`; nil when that was the last.
    public func delay(afterAttempt attempt: Int, using random: inout some RandomNumberGenerator) -> Duration? {
        precondition(attempt >= 1, "the first attempt is 1, got \(attempt)")
        guard attempt < attempts else { return nil }
        let delay = delays[min(attempt, delays.count) - 1]
        guard jitter > 0 else { return delay }
        let spread = Double.random(in: -jitter...jitter, using: &random)
        return .nanoseconds(Int64(Double(delay.wholeNanoseconds) * (1 + spread)))
    }
}
