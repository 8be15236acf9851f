import Domain
import NIOConcurrencyHelpers
import Runtime

/// Venue time as this process knows it (DESIGN rule 12, decision 0011).
///
/// Live it is the wall clock moved by the offset to the venue. In a replay it is a watermark: the largest venue time
/// that a frame, a response or a message has shown; it never runs by itself, so a decision falls on the same instant
/// at any speed.
public final class VenueClock: Sendable {
    private enum Mode: Sendable {
        case live(WallClock, offsetMicroseconds: Int64)
        case replay(VenueInstant)
    }

    private let mode: NIOLockedValueBox<Mode>

    private init(_ mode: Mode) { self.mode = NIOLockedValueBox(mode) }

    public static func live(_ wall: WallClock) -> VenueClock { VenueClock(.live(wall, offsetMicroseconds: 0)) }
    public static func replay() -> VenueClock { VenueClock(.replay(.epoch)) }

    public var isReplay: Bool {
        mode.withLockedValue { mode in
            if case .replay = mode { true } else { false }
        }
    }

    public var now: VenueInstant {
        mode.withLockedValue { mode in
            switch mode {
            case .live(let wall, let offset):
                VenueInstant.epoch.advanced(by: .microseconds(wall.microseconds + offset))
            case .replay(let watermark): watermark
            }
        }
    }

    /// What a clock that is in step with ours may be ahead.
    public static let tolerance = Duration.seconds(5)

    /// Whether an instant is of a clock that is not in step with ours; in a replay whatever is shown moves the time.
    public func isAhead(_ instant: VenueInstant) -> Bool { !isReplay && now.advanced(by: Self.tolerance) < instant }

    /// Takes note of a venue time that was shown to us; only a replay's watermark moves, and only forward.
    public func observe(_ instant: VenueInstant) {
        mode.withLockedValue { mode in
            if case .replay(let watermark) = mode, instant > watermark { mode = .replay(instant) }
        }
    }

    /// As `observe`, for a header.
    ///
    /// A value that is no venue time is ignored, because the watermark only needs good ones.
    public func observe(microseconds: Int64) {
        guard let instant = try? VenueInstant(microseconds: microseconds) else { return }
        observe(instant)
    }

    /// Sets how far the venue is ahead of our wall clock; of no effect in a replay.
    public func setOffset(microseconds: Int64) {
        mode.withLockedValue { mode in
            if case .live(let wall, _) = mode { mode = .live(wall, offsetMicroseconds: microseconds) }
        }
    }
}
