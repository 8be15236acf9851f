/// A point in venue time: microseconds since 1970-01-01T00:00:00Z.
///
/// Trading rules (staleness, debounce, signal life, expiry) run on this type; leases, heartbeats and time-outs run
/// on machine time, which is another type, so that the two cannot be compared by accident (DESIGN rule 12).
public struct VenueInstant: InstantProtocol, Hashable, Sendable, Codable, CustomStringConvertible {
    public let microseconds: Int64

    /// - Throws: `outOfRange` outside the years 1970 to 9999.
    public init(microseconds: Int64) throws(DomainError) {
        guard (0...253_402_300_799_999_999).contains(microseconds) else {
            throw DomainError(
                .outOfRange, field: "venueTime", value: "\(microseconds)",
                expected: "microseconds since 1970, before the year 10000")
        }
        self.microseconds = microseconds
    }

    private init(clamping microseconds: Int64) {
        self.microseconds = min(max(microseconds, 0), 253_402_300_799_999_999)
    }

    public static let epoch = VenueInstant(clamping: 0)

    public static func < (left: Self, right: Self) -> Bool { left.microseconds < right.microseconds }

    /// Moves by a duration, truncated to microseconds and clamped to the valid range.
    public func advanced(by duration: Duration) -> VenueInstant {
        let (seconds, attoseconds) = duration.components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        if overflow { return VenueInstant(clamping: seconds < 0 ? 0 : .max) }
        let delta = scaled + attoseconds / 1_000_000_000_000
        let (sum, overflowed) = microseconds.addingReportingOverflow(delta)
        return VenueInstant(clamping: overflowed ? (delta < 0 ? 0 : .max) : sum)
    }

    public func duration(to other: VenueInstant) -> Duration {
        .microseconds(other.microseconds - microseconds)
    }

    public init(from decoder: any Decoder) throws {
        try self.init(microseconds: decoder.singleValueContainer().decode(Int64.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(microseconds)
    }

    /// RFC 3339 in UTC with microseconds, for example `2026-04-20T23:13:19.000000Z`.
    public var description: String {
        let civil = CivilDate(daysSince1970: microseconds / 86_400_000_000)
        let rest = microseconds % 86_400_000_000
        let seconds = rest / 1_000_000
        return "\(civil)T\(pad(seconds / 3600, 2)):\(pad(seconds / 60 % 60, 2)):\(pad(seconds % 60, 2))"
            + ".\(pad(rest % 1_000_000, 6))Z"
    }
}

extension VenueInstant {
    /// Parses RFC 3339 in UTC, with or without seconds and a fraction: `2025-12-08T00:30Z` (the scoreboard's form),
    /// `2026-04-20 23:13:19`, `2026-08-27T13:56:23.996443Z`, `…+00:00`.
    ///
    /// - Throws: `malformed` for anything else, a zone other than UTC included.
    public init(rfc3339 text: some StringProtocol, field: String = "time") throws(DomainError) {
        let refused = DomainError(
            .malformed, field: field, value: String(text), expected: "a UTC time such as 2026-04-20T23:13:19Z")
        var body = Substring(text)
        for zone in ["Z", "+00:00", "+00"] where body.hasSuffix(zone) {
            body = body.dropLast(zone.count)
            break
        }
        let halves = body.split(whereSeparator: { $0 == "T" || $0 == " " })
        guard halves.count == 2 else { throw refused }
        let date = halves[0].split(separator: "-", omittingEmptySubsequences: false).map { Int64($0) }
        let clock = halves[1].split(separator: ":", omittingEmptySubsequences: false)
        guard date.count == 3, let year = date[0], let month = date[1], let day = date[2],
            (1970...9999).contains(year), (1...12).contains(month), (1...31).contains(day),
            (2...3).contains(clock.count),
            let hour = Int64(clock[0]), (0...23).contains(hour),
            let minute = Int64(clock[1]), (0...59).contains(minute)
        else { throw refused }
        let civil = CivilDate(year: year, month: month, day: day)
        guard CivilDate(daysSince1970: civil.daysSince1970) == civil else { throw refused }
        var seconds: Int64 = 0
        if clock.count == 3 {
            guard let parsed = try? FixedPoint.parse(clock[2], scale: 6, field: field),
                (0..<61_000_000).contains(parsed)
            else { throw refused }
            seconds = parsed
        }
        try self.init(
            microseconds: civil.daysSince1970 * 86_400_000_000 + (hour * 3600 + minute * 60) * 1_000_000 + seconds)
    }

    /// The UTC day, for example `2026-04-20`.
    public var utcDay: CivilDate { CivilDate(daysSince1970: microseconds / 86_400_000_000) }
}

/// A day of the Gregorian calendar.
public struct CivilDate: Hashable, Sendable, CustomStringConvertible {
    public let year: Int64
    public let month: Int64
    public let day: Int64

    init(year: Int64, month: Int64, day: Int64) {
        self.year = year
        self.month = month
        self.day = day
    }

    /// The day that is `daysSince1970` days after 1 January 1970 (the well-known era arithmetic, exact).
    public init(daysSince1970 days: Int64) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    public var daysSince1970: Int64 {
        let marchYear = month <= 2 ? year - 1 : year
        let era = (marchYear >= 0 ? marchYear : marchYear - 399) / 400
        let yearOfEra = marchYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    public var description: String { "\(pad(year, 4))-\(pad(month, 2))-\(pad(day, 2))" }
}

private func pad(_ number: Int64, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}
