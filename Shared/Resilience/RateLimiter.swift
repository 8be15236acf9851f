/// A token bucket: `burst` at once, then one per `interval`, in exact integers.
///
/// Kept as the instant at which the bucket would be full again, so nothing has to tick.
public struct RateLimiter: Hashable, Sendable {
    public let burst: Int
    /// The time in which one token comes back.
    public let interval: Duration
    private var fullAt: MachineInstant?

    public init(burst: Int, interval: Duration) {
        precondition(burst >= 1, "burst must be at least 1, got \(burst)")
        precondition(interval > .zero, "interval must be positive, got \(interval)")
        self.burst = burst
        self.interval = interval
    }

    /// A bucket that refills `rate` tokens per second.
    public init(perSecond rate: Double, burst: Int) {
        precondition(rate > 0 && rate.isFinite, "rate must be positive, got \(rate)")
        self.init(burst: burst, interval: .nanoseconds(max(1, Int64(1e9 / rate))))
    }

    /// Takes tokens if they are there; takes none otherwise.
    public mutating func take(_ tokens: Int = 1, at now: MachineInstant) -> Bool {
        precondition(tokens >= 0, "tokens must not be negative, got \(tokens)")
        guard wait(for: tokens, at: now) == .zero else { return false }
        fullAt = max(fullAt ?? now, now).advanced(by: interval * tokens)
        return true
    }

    /// How long until `tokens` are there; more than `burst` never are, and give the wait for a full bucket.
    public func wait(for tokens: Int = 1, at now: MachineInstant) -> Duration {
        let spent = now.duration(to: max(fullAt ?? now, now))
        if tokens > burst { return max(spent, interval) }
        return max(.zero, spent + interval * tokens - interval * burst)
    }

    /// Whole tokens there now.
    public func available(at now: MachineInstant) -> Int {
        let spent = now.duration(to: max(fullAt ?? now, now)).wholeNanoseconds
        let each = interval.wholeNanoseconds
        return max(0, burst - Int((spent + each - 1) / each))
    }
}

/// At most `limit` within any window of `window`, exactly (orders per minute and per hour, CHECKLIST R85).
///
/// Remembers at most `limit` instants.
public struct SlidingWindowLimiter: Hashable, Sendable {
    public let limit: Int
    public let window: Duration
    private var taken: [MachineInstant] = []

    public init(limit: Int, window: Duration) {
        precondition(limit >= 0, "limit must not be negative, got \(limit)")
        precondition(window > .zero, "window must be positive, got \(window)")
        self.limit = limit
        self.window = window
    }

    public mutating func take(at now: MachineInstant) -> Bool {
        taken.removeAll { now.since($0) >= window }
        guard taken.count < limit else { return false }
        taken.append(now)
        return true
    }

    /// How many more may be taken now.
    public func available(at now: MachineInstant) -> Int {
        limit - taken.count { now.since($0) < window }
    }
}
