/// Whether a value was confirmed recently enough to act on; age counts from the last confirmation, not the last change.
///
/// Generic over the kind of time: trading rules use venue time, connections machine time (DESIGN rule 12).
/// Never confirmed is stale (fail closed, DESIGN rule 8).
public struct Staleness<I: InstantProtocol & Sendable>: Sendable where I.Duration == Duration {
    public let limit: Duration
    public private(set) var confirmedAt: I?

    public init(limit: Duration) {
        precondition(limit > .zero, "staleness limit must be positive, got \(limit)")
        self.limit = limit
    }

    /// Records a confirmation; an older one than the last is ignored.
    public mutating func confirm(at now: I) {
        confirmedAt = max(now, confirmedAt ?? now)
    }

    /// Makes it stale until confirmed again: the source was lost.
    public mutating func invalidate() {
        confirmedAt = nil
    }

    /// Time since the last confirmation; nil when never confirmed.
    public func age(at now: I) -> Duration? {
        confirmedAt.map { max(.zero, $0.duration(to: now)) }
    }

    /// Stale when older than the limit; exactly at the limit is still fresh.
    public func isStale(at now: I) -> Bool {
        guard let age = age(at: now) else { return true }
        return age > limit
    }
}
