import Domain

/// What a `Retry-After` header says: seconds, or a date (RFC 9110, 10.2.3).
enum RetryAfter {
    /// No venue is believed to ask for more than a day.
    static let longest = Duration.seconds(86_400)

    /// How long to wait; nil when it makes no sense.
    ///
    /// A date is compared with the answer's own `Date`, so that no two clocks are: `now` only stands in without one.
    /// One that has passed is no wait.
    static func read(_ text: String, date: String?, now: VenueInstant) -> Duration? {
        let text = text.trimmed
        if !text.isEmpty, text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) {
            // More digits than fit are a long time all the same.
            return min(longest, .seconds(Int64(text) ?? longest.components.seconds))
        }
        guard let until = instant(text) else { return nil }
        let from = date.flatMap { instant($0.trimmed) } ?? now
        return min(longest, max(.zero, from.duration(to: until)))
    }

    /// `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that a sender may use.
    private static func instant(_ text: String) -> VenueInstant? {
        let parts = text.split(separator: " ")
        guard parts.count == 6, parts[0].hasSuffix(","), parts[5] == "GMT", parts[1].count == 2,
            let month = months.firstIndex(of: String(parts[2]))
        else { return nil }
        let number = month < 9 ? "0\(month + 1)" : "\(month + 1)"
        return try? VenueInstant(rfc3339: "\(parts[3])-\(number)-\(parts[1])T\(parts[4])Z")  // refused is none
    }

    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
}

extension String {
    fileprivate var trimmed: String {
        var part = self[...]
        while part.first?.isWhitespace ?? false { part.removeFirst() }
        while part.last?.isWhitespace ?? false { part.removeLast() }
        return String(part)
    }
}
