import NIOConcurrencyHelpers
import Resilience
import Runtime

/// Keeps the offset to a venue's clock, lends it to who signs, and holds orders back while it is too large.
///
/// A request is signed with its time, and what expires is judged by it: a machine whose clock is off by a minute would
/// be refused, or trade on what is long over.
public final class VenueClockWatch: Sendable {
    private let wall: WallClock
    private let clock: MachineClock
    private let bound: Duration
    private let offset = NIOLockedValueBox(ClockOffset())
    private let changed: @Sendable (Int64) -> Void

    /// Orders are refused while the clocks are certainly further apart than `bound`; `changed` hears of every new
    /// offset, in microseconds.
    public init(
        wall: WallClock, clock: MachineClock, bound: Duration, changed: @escaping @Sendable (Int64) -> Void = { _ in }
    ) {
        self.wall = wall
        self.clock = clock
        self.bound = bound
        self.changed = changed
    }

    /// Our wall clock moved by the offset.
    public var corrected: WallClock {
        WallClock { [self] in wall.microseconds + (offset.withLockedValue(\.least) ?? 0) }
    }

    public var measured: ClockOffset { offset.withLockedValue { $0 } }

    /// Our own time, to be read before a request.
    var microseconds: Int64 { wall.microseconds }

    func observe(date: Int64, sent: Int64) {
        let (received, now) = (wall.microseconds, clock.now)
        let (before, after) = offset.withLockedValue { offset in
            let before = offset.least
            offset.observe(date: date, sent: sent, received: received, at: now)
            return (before, offset.least)
        }
        if let after, after != before { changed(after) }
    }

    /// Throws `VenueError.clockOffset` while an order must not be sent.
    public func permitOrder() throws(VenueError) {
        guard let least = offset.withLockedValue(\.least) else {
            throw VenueError(
                .clockOffset, message: "the venue's clock was not read yet", provesNonAcceptance: true)
        }
        guard Duration.microseconds(abs(least)) <= bound else {
            let seconds = "\(abs(least) / 1_000_000).\(abs(least) / 100_000 % 10)"
            throw VenueError(
                .clockOffset,
                message: "this machine's clock is \(seconds) s \(least > 0 ? "behind" : "ahead of") the venue's: "
                    + "set it, by NTP for instance",
                provesNonAcceptance: true)
        }
    }
}
