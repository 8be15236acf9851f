import Domain

/// What all our processes together may ask of a venue in one account, as one row that they share (PITFALLS 8, row 31).
///
/// A token bucket kept as the instant at which it is full again, in the database's own time, so that nobody has to
/// tick and no two clocks are compared. The row is read under its lock, asked, and written back. A part of the bucket
/// is kept for cancels: they go out when nothing else may.
public struct AccountBudget: Hashable, Sendable, Codable {
    public enum Request: String, Hashable, Sendable, Codable, CaseIterable {
        case order
        case cancel
    }

    public enum Answer: Hashable, Sendable {
        case granted
        case wait(Duration)
    }

    /// The venue's figures: Kalshi's basic tier writes 100 tokens a second, an order is 10, a cancel 2 (WIRE 1.7).
    public struct Limits: Hashable, Sendable, Codable {
        public let tokensPerSecond: Int64
        public let burst: Int64
        public let order: Int64
        public let cancel: Int64
        /// Tokens that only cancels may take.
        public let reserve: Int64
        /// The first pause after a refusal without a time; doubled each time up to `longestPause`.
        public let pause: Duration
        public let longestPause: Duration

        /// - Throws: `outOfRange` for a figure below one, `inconsistent` when an order would never be granted.
        public init(
            tokensPerSecond: Int64 = 100, burst: Int64 = 100, order: Int64 = 10, cancel: Int64 = 2,
            reserve: Int64 = 20, pause: Duration = .seconds(1), longestPause: Duration = .seconds(60)
        ) throws(DomainError) {
            for figure in [tokensPerSecond, burst, order, cancel] where !(1...1_000_000).contains(figure) {
                throw DomainError(.outOfRange, field: "budget", value: "\(figure)", expected: "1 to 1000000")
            }
            guard reserve >= 0, reserve + order <= burst, cancel <= burst, pause > .zero, longestPause >= pause else {
                throw DomainError(
                    .inconsistent, field: "budget.reserve", value: "\(reserve)",
                    expected: "at most the burst \(burst) less an order \(order), with a pause above 0")
            }
            self.tokensPerSecond = tokensPerSecond
            self.burst = burst
            self.order = order
            self.cancel = cancel
            self.reserve = reserve
            self.pause = pause
            self.longestPause = longestPause
        }
    }

    /// The longest that a venue's `Retry-After` is heeded, as with the alert sinks: more is a mistake, or will be said
    /// again at the next request.
    public static let longestAsked = Duration.seconds(3_600)

    /// In microseconds of the database's time.
    public private(set) var fullAt: Int64
    public private(set) var blockedUntil: Int64
    /// Refusals in a row.
    public private(set) var refusals: Int

    public init(fullAt: Int64 = 0, blockedUntil: Int64 = 0, refusals: Int = 0) {
        self.fullAt = fullAt
        self.blockedUntil = blockedUntil
        self.refusals = max(0, refusals)
    }

    /// Takes the tokens of a request, or says how long to wait and takes none.
    ///
    /// A venue that refused orders is left alone with orders; cancels go on, as slowly as an empty bucket lets them.
    public mutating func take(_ request: Request, _ limits: Limits, at now: Int64) -> Answer {
        if request == .order, blockedUntil > now { return .wait(.microseconds(blockedUntil - now)) }
        let (cost, kept) = request == .order ? (limits.order, limits.reserve) : (limits.cancel, 0)
        // A bucket that is full far in the future is one of a clock that was set back.
        let full = min(max(fullAt, now), now + time(for: limits.burst, limits))
        let wait = full + time(for: cost + kept, limits) - (now + time(for: limits.burst, limits))
        if wait > 0 { return .wait(.microseconds(wait)) }
        fullAt = full + time(for: cost, limits)
        return .granted
    }

    /// The venue said that it was too much: a 429, with or without a time, whatever its body looks like.
    public mutating func refused(retryAfter: Duration?, _ limits: Limits, at now: Int64) {
        refusals = min(refusals + 1, 30)
        let pause = Self.pause(
            afterRefusals: refusals, retryAfter: retryAfter, first: limits.pause, longest: limits.longestPause)
        let (seconds, attoseconds) = pause.components
        blockedUntil = max(blockedUntil, now + seconds * 1_000_000 + attoseconds / 1_000_000_000_000)
        fullAt = max(fullAt, now + time(for: limits.burst, limits))
    }

    /// How long a venue is left alone: as long as it said, else longer after each refusal in a row.
    static func pause(
        afterRefusals refusals: Int, retryAfter: Duration?, first: Duration, longest: Duration
    ) -> Duration {
        if let retryAfter { return min(max(retryAfter, first), longestAsked) }
        return min(first * Int(1 << min(max(refusals, 1) - 1, 20)), longest)
    }

    /// The venue took a request: the next refusal begins at the first pause again.
    public mutating func accepted() { refusals = 0 }

    /// Microseconds in which so many tokens come back, rounded up.
    private func time(for tokens: Int64, _ limits: Limits) -> Int64 {
        (tokens * 1_000_000 + limits.tokensPerSecond - 1) / limits.tokensPerSecond
    }
}
