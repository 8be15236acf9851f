#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// Wall time, for showing and for records; nothing waits or orders by it.
public struct WallClock: Sendable {
    private let read: @Sendable () -> Int64

    /// - `microseconds`: gives microseconds since 1970-01-01T00:00:00Z.
    public init(_ microseconds: @escaping @Sendable () -> Int64) {
        read = microseconds
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    public var microseconds: Int64 { read() }

    public static let real = WallClock {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    }

    public static func fixed(_ microseconds: Int64) -> WallClock { WallClock { microseconds } }

    /// RFC 3339 in UTC with microseconds.
    public static func text(_ microseconds: Int64) -> String {
        var seconds = time_t(microseconds / 1_000_000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let date = "\(padded(parts.tm_year + 1900, 4))-\(padded(parts.tm_mon + 1, 2))-\(padded(parts.tm_mday, 2))"
        let time = "\(padded(parts.tm_hour, 2)):\(padded(parts.tm_min, 2)):\(padded(parts.tm_sec, 2))"
        return "\(date)T\(time).\(padded(Int32(microseconds % 1_000_000), 6))Z"
    }

    private static func padded(_ number: Int32, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
