/// A point in machine time: nanoseconds since an arbitrary origin, only meaningful within one process.
///
/// Leases, heartbeats, time-outs and backoff run on this type; trading rules run on venue time, which is another type
/// (DESIGN rule 12). Arithmetic saturates at the ends instead of trapping.
public struct MachineInstant: InstantProtocol, Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    public let nanoseconds: Int64

    public init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
    }

    /// The origin; the first instant of a manual clock.
    public static let origin = MachineInstant(nanoseconds: 0)

    public static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

    public func advanced(by duration: Duration) -> MachineInstant {
        let delta = duration.wholeNanoseconds
        let (sum, overflow) = nanoseconds.addingReportingOverflow(delta)
        return MachineInstant(nanoseconds: overflow ? (delta < 0 ? .min : .max) : sum)
    }

    public func duration(to other: MachineInstant) -> Duration {
        let (difference, overflow) = other.nanoseconds.subtractingReportingOverflow(nanoseconds)
        return .nanoseconds(overflow ? (other > self ? .max : .min) : difference)
    }

    /// How long ago `earlier` was; never negative.
    public func since(_ earlier: MachineInstant) -> Duration {
        max(.zero, earlier.duration(to: self))
    }

    public init(from decoder: any Decoder) throws {
        nanoseconds = try decoder.singleValueContainer().decode(Int64.self)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(nanoseconds)
    }

    public var description: String { "\(nanoseconds)ns" }
}

extension Duration {
    /// The length in nanoseconds, truncated, saturating at the ends of `Int64` (292 years).
    public var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, overflowed) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        return overflowed ? (seconds < 0 ? .min : .max) : sum
    }

    /// The length in microseconds, truncated.
    public var wholeMicroseconds: Int64 { wholeNanoseconds / 1_000 }

    /// The length in milliseconds, truncated.
    public var wholeMilliseconds: Int64 { wholeNanoseconds / 1_000_000 }

    /// The length in seconds, for showing and for metrics.
    public var inSeconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }

    /// The length in milliseconds, for showing and for metrics.
    public var inMilliseconds: Double { inSeconds * 1000 }
}
