import Domain

/// Which series of the venue holds "who wins" for a sport (DOMAIN 2.9).
public enum KalshiSeries {
    /// For example `KXNBAGAME`; nil for sports whose games the venue does not list that way.
    public static func game(_ sport: Sport) -> String? {
        switch sport {
        case .nfl: "KXNFLGAME"
        case .nba: "KXNBAGAME"
        case .nhl: "KXNHLGAME"
        case .mlb: "KXMLBGAME"
        case .ncaaf: "KXNCAAFGAME"
        case .ncaab: "KXNCAAMBGAME"
        case .mls: "KXMLSGAME"
        case .soccer, .tennis, .mma, .crypto: nil
        }
    }
}

/// An event ticker taken apart: `KXNBAGAME-25DEC07ORLNYK` is a series, a US Eastern day, and both teams, away first.
public struct EventTicker: Hashable, Sendable {
    public let series: String
    /// The day in US Eastern time; the score feed writes UTC (WIRE 3).
    public let day: CivilDate
    /// Both codes without a separator, for example `ORLNYK`.
    public let teams: String

    /// Nil for anything of another form; baseball's start time after the day (`26APR201905…`) is skipped.
    public init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count >= 2, !parts[0].isEmpty, parts[1].utf8.count >= 9 else { return nil }
        let body = parts[1]
        let year = body.prefix(2)
        let month = body.dropFirst(2).prefix(3)
        let dayOfMonth = body.dropFirst(5).prefix(2)
        guard let year = Int64(year), let day = Int64(dayOfMonth),
            let monthIndex = Self.months.firstIndex(of: String(month)),
            let date = CivilDate.valid(year: 2000 + year, month: Int64(monthIndex) + 1, day: day)
        else { return nil }
        var teams = body.dropFirst(7)
        if teams.prefix(4).count == 4, teams.prefix(4).allSatisfy({ $0.isASCII && $0.isNumber }) {
            teams = teams.dropFirst(4)
        }
        guard !teams.isEmpty else { return nil }
        series = String(parts[0])
        self.day = date
        self.teams = String(teams)
    }

    private static let months = [
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ]
}

extension CivilDate {
    /// Nil for a day that is not in the calendar.
    ///
    /// A search over one year's days, since dates are made from day numbers.
    static func valid(year: Int64, month: Int64, day: Int64) -> CivilDate? {
        guard (1970...9999).contains(year), (1...12).contains(month), (1...31).contains(day) else { return nil }
        let before: [Int64] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let past = year - 1
        let leapDays = past / 4 - past / 100 + past / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400)
        let number =
            (year - 1970) * 365 + leapDays + before[Int(month) - 1] + (isLeap && month > 2 ? 1 : 0) + day - 1
        let date = CivilDate(daysSince1970: number)
        return date.year == year && date.month == month && date.day == day ? date : nil
    }
}

/// The wall clock of the US east coast, by the rule in force since 2007.
public enum USEastern {
    /// The Eastern day of an instant: a game at 00:30 UTC is played on the evening before.
    public static func day(of instant: VenueInstant) -> CivilDate {
        instant.advanced(by: .seconds(offset(at: instant))).utcDay
    }

    /// Seconds to add to UTC: −4 h from 2:00 on the second Sunday of March to 2:00 on the first Sunday of November,
    /// else −5 h.
    static func offset(at instant: VenueInstant) -> Int64 {
        let year = instant.utcDay.year
        guard let march = sunday(2, of: 3, in: year), let november = sunday(1, of: 11, in: year) else { return -18_000 }
        let seconds = instant.microseconds / 1_000_000
        let isSummer = seconds >= march * 86_400 + 7 * 3600 && seconds < november * 86_400 + 6 * 3600
        return isSummer ? -14_400 : -18_000
    }

    /// The day number of the nth Sunday of a month.
    private static func sunday(_ nth: Int64, of month: Int64, in year: Int64) -> Int64? {
        guard let first = CivilDate.valid(year: year, month: month, day: 1)?.daysSince1970 else { return nil }
        // 1 January 1970 was a Thursday, so day number 3 was a Sunday.
        let untilSunday = ((3 - first) % 7 + 7) % 7
        return first + untilSunday + (nth - 1) * 7
    }
}
