import Resilience

/// How far a venue's clock is ahead of ours, as the `Date` of its answers tells.
///
/// A `Date` names a whole second, and the venue's clock stood within it at some moment between our sending and our
/// receiving. So each answer bounds the offset from both sides, and what all of them allow is the offset: a second
/// wide after one answer, narrower with each that falls elsewhere in its second.
public struct ClockOffset: Hashable, Sendable {
    /// How far two clocks may run apart, in microseconds per second: what NTP corrects at most (RFC 5905).
    static let drift: Int64 = 500

    /// In microseconds, the venue's time less ours; nil until something was measured.
    public private(set) var range: ClosedRange<Int64>?
    /// How often an answer contradicted those before it: one of the clocks was set.
    public private(set) var steps = 0
    private var measuredAt = MachineInstant.origin

    public init() {}

    /// The smallest offset that fits, 0 when the clocks may be equal; in microseconds.
    public var least: Int64? {
        range.map { min(max(0, $0.lowerBound), $0.upperBound) }
    }

    /// Takes an answer's `Date` in seconds, and our wall clock before the request and after the answer in microseconds.
    ///
    /// A wall clock that went back meanwhile measures nothing.
    public mutating func observe(date: Int64, sent: Int64, received: Int64, at now: MachineInstant) {
        guard received >= sent, (0...253_402_300_799).contains(date) else { return }
        let latest = date * 1_000_000
        let seen = (latest - received)...(latest + 1_000_000 - sent)
        defer { measuredAt = now }
        guard let known = range else { return range = seen }
        let slack = max(0, now.since(measuredAt).wholeNanoseconds) / 1_000 * Self.drift / 1_000_000 + Self.drift
        let widened = (known.lowerBound - slack)...(known.upperBound + slack)
        if widened.overlaps(seen) {
            range = widened.clamped(to: seen)
        } else {
            range = seen
            steps += 1
        }
    }
}
