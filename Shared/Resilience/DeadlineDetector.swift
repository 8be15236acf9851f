/// A failure detector: who was not heard from for longer than the timeout.
///
/// It judges nobody before `excuse(until:)` has passed: a judge that was deaf itself must not sentence (DESIGN section
/// 5). Who was never heard is unknown, not overdue.
public struct DeadlineDetector<ID: Hashable & Comparable & Sendable>: Sendable {
    /// Legal transitions: `unknown -> live`, `live -> overdue`, `overdue -> live`; `forget` leads to `unknown`.
    public enum Verdict: Hashable, Sendable {
        case unknown
        case live
        /// Overdue since the instant.
        case overdue(since: MachineInstant)
    }

    public let timeout: Duration
    private var lastHeard: [ID: MachineInstant] = [:]
    private var excusedUntil: MachineInstant?

    public init(timeout: Duration) {
        precondition(timeout > .zero, "timeout must be positive, got \(timeout)")
        self.timeout = timeout
    }

    /// Records a sign of life; an older one than the last is ignored.
    public mutating func heard(_ id: ID, at now: MachineInstant) {
        lastHeard[id] = max(now, lastHeard[id] ?? now)
    }

    public mutating func forget(_ id: ID) {
        lastHeard[id] = nil
    }

    /// Postpones every judgement to `instant`; never brings one forward.
    public mutating func excuse(until instant: MachineInstant) {
        excusedUntil = max(instant, excusedUntil ?? instant)
    }

    /// When `id` becomes overdue unless heard again.
    public func deadline(of id: ID) -> MachineInstant? {
        guard let last = lastHeard[id] else { return nil }
        let due = last.advanced(by: timeout)
        return max(due, excusedUntil ?? due)
    }

    public func verdict(of id: ID, at now: MachineInstant) -> Verdict {
        guard let due = deadline(of: id) else { return .unknown }
        return now >= due ? .overdue(since: due) : .live
    }

    /// Everybody overdue, in order.
    public func overdue(at now: MachineInstant) -> [ID] {
        lastHeard.keys.filter { id in deadline(of: id).map { now >= $0 } ?? false }.sorted()
    }

    /// Everybody who was ever heard and not forgotten, in order.
    public var known: [ID] { lastHeard.keys.sorted() }
}
