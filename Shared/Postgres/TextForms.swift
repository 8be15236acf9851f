/// An array as the server writes it: `{1,NULL,"a \"b\""}`.
enum ArrayText {
    /// The elements' texts, nil for NULL; nil as a whole for what is no array of one dimension.
    static func elements(_ text: String) -> [String?]? {
        var rest = text.unicodeScalars[...]
        guard rest.popFirst() == "{" else { return nil }
        if text == "{}" { return [] }
        var elements: [String?] = []
        while true {
            guard let element = element(&rest) else { return nil }
            elements.append(element.text)
            switch rest.popFirst() {
            case ",": continue
            case "}": return rest.isEmpty ? elements : nil
            default: return nil
            }
        }
    }

    private static func element(_ rest: inout Substring.UnicodeScalarView) -> (text: String?, isQuoted: Bool)? {
        var text = String.UnicodeScalarView()
        guard rest.first == "\"" else {
            while let next = rest.first, next != ",", next != "}" {
                // Another dimension, or quotes in the middle, is nothing we read.
                if next == "{" || next == "\"" { return nil }
                text.append(rest.removeFirst())
            }
            if text.isEmpty { return nil }
            return (String(text) == "NULL" ? nil : String(text), false)
        }
        rest.removeFirst()
        while let next = rest.popFirst() {
            if next == "\"" { return (String(text), true) }
            guard next == "\\" else {
                text.append(next)
                continue
            }
            guard let escaped = rest.popFirst() else { return nil }
            text.append(escaped)
        }
        return nil
    }
}

/// `bytea` as the server writes it: `\x0aff`.
enum Hexadecimal {
    static func bytes(_ digits: some RandomAccessCollection<UInt8>) -> [UInt8]? {
        guard digits.starts(with: [0x5C, 0x78]), digits.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 2 - 1)
        var high: UInt8?
        for digit in digits.dropFirst(2) {
            guard let value = value(digit) else { return nil }
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return bytes
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x61...0x66: digit - 0x61 + 10
        case 0x41...0x46: digit - 0x41 + 10
        default: nil
        }
    }
}

/// `timestamptz` in ISO style, as every session of the pool asks for: `2026-11-21 01:33:34.123456+00`.
enum Timestamp {
    /// 2000-01-01, from which the server counts, in microseconds since 1970.
    static let epoch: Int64 = 946_684_800_000_000
    /// From 4714-11-24 BC; the end lies beyond what microseconds since 1970 can say.
    static let range: PartialRangeFrom<Int64> = (-210_866_803_200_000_000)...

    static func microseconds(_ text: String) -> Int64? {
        var rest = Substring(text)
        func number(_ end: Character?) -> Int64? {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            guard !digits.isEmpty, let value = Int64(digits) else { return nil }
            rest = rest[digits.endIndex...]
            if let end {
                guard rest.first == end else { return nil }
                rest = rest.dropFirst()
            }
            return value
        }
        guard let year = number("-"), let month = number("-"), let day = number(" "), let hour = number(":"),
            let minute = number(":"), let second = number(nil)
        else { return nil }
        var micros: Int64 = 0
        if rest.first == "." {
            rest = rest.dropFirst()
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            guard (1...6).contains(digits.count), let value = Int64(digits) else { return nil }
            rest = rest[digits.endIndex...]
            micros = (digits.count..<6).reduce(value) { value, _ in value * 10 }
        }
        guard let sign = rest.first, sign == "+" || sign == "-" else { return nil }
        var offset: Int64 = 0
        var unit: Int64 = 3600
        for part in rest.dropFirst().split(separator: ":", omittingEmptySubsequences: false) {
            guard let value = Int64(part), unit > 0 else { return nil }
            offset += value * unit
            unit = unit == 3600 ? 60 : unit == 60 ? 1 : 0
        }
        if sign == "-" { offset = -offset }
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset
        return seconds * 1_000_000 + micros
    }

    /// Days since 1970 in the Gregorian calendar: years are counted from March, in eras of 400.
    static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }
}
