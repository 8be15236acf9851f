/// Waiting longer each time: base, base × multiplier, … up to the cap, each spread by jitter (CHECKLIST R2, R3, W3).
///
/// The exponent starts over only after a connection that held for `resetAfter`, so that a peer which accepts and drops
/// at once is still backed off from (CHECKLIST W8, N27).
public struct Backoff: Hashable, Sendable {
    public let base: Duration
    /// The longest delay before jitter.
    public let cap: Duration
    public let multiplier: Double
    /// The spread as a share of the delay, 0 to 1; applied at the cap as well, so delays lie in cap × (1 ± jitter).
    public let jitter: Double
    /// Whether jitter only shortens a delay: delays then lie in delay × [1 - jitter, 1], never above the cap.
    public let jitterOnlyShortens: Bool
    /// How long a connection must hold before the delays start from the base again.
    public let resetAfter: Duration

    /// How many delays were handed out since the last reset.
    public private(set) var attempts = 0
    private var connectedAt: MachineInstant?

    public init(
        base: Duration = .seconds(1), cap: Duration = .seconds(60), multiplier: Double = 2, jitter: Double = 0.1,
        jitterOnlyShortens: Bool = false, resetAfter: Duration = .seconds(60)
    ) {
        precondition(base > .zero, "backoff base must be positive, got \(base)")
        precondition(cap >= base, "backoff cap \(cap) must not be below its base \(base)")
        precondition(multiplier >= 1 && multiplier.isFinite, "backoff multiplier must be at least 1, got \(multiplier)")
        precondition((0...1).contains(jitter), "backoff jitter must lie in 0...1, got \(jitter)")
        precondition(resetAfter >= .zero, "backoff reset must not be negative, got \(resetAfter)")
        self.base = base
        self.cap = cap
        self.multiplier = multiplier
        self.jitter = jitter
        self.jitterOnlyShortens = jitterOnlyShortens
        self.resetAfter = resetAfter
    }

    /// The delay before the next attempt, without jitter.
    public var upcoming: Duration {
        var delay = Double(base.wholeNanoseconds)
        let limit = Double(cap.wholeNanoseconds)
        for _ in 0..<attempts where delay < limit { delay *= multiplier }
        return delay >= limit ? cap : .nanoseconds(Int64(delay))
    }

    /// The delay to wait now; the one after it is longer.
    public mutating func next(using random: inout some RandomNumberGenerator) -> Duration {
        let delay = upcoming
        // Past the cap the exponent need not grow; `multiplier` 1 never reaches it.
        if delay < cap, attempts < 10_000 { attempts += 1 }
        guard jitter > 0 else { return delay }
        let spread = Double.random(in: jitterOnlyShortens ? -jitter...0 : -jitter...jitter, using: &random)
        return .nanoseconds(Int64(Double(delay.wholeNanoseconds) * (1 + spread)))
    }

    /// Starts again from the base.
    public mutating func reset() {
        attempts = 0
    }

    /// Notes a connection; by itself it shortens nothing.
    public mutating func connected(at now: MachineInstant) {
        connectedAt = now
    }

    /// Notes the end of a connection; starts again from the base if it held for `resetAfter`.
    public mutating func disconnected(at now: MachineInstant) {
        guard let since = connectedAt else { return }
        connectedAt = nil
        if now.since(since) >= resetAfter { reset() }
    }
}
