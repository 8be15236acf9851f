import Domain

/// The venue's units at the cursor of a scanner: dollars or cents, contracts as text or number, four kinds of time.
enum KalshiFields {
    static func invalid(_ field: StaticString, _ value: String, _ expected: String) -> DomainError {
        DomainError(.malformed, field: "\(field)", value: value, expected: expected)
    }

    static func text(_ scanner: inout JSONScanner, _ field: StaticString) throws -> String {
        guard try scanner.kind() == .string else { throw invalid(field, "not a string", "a string") }
        let slice = try scanner.string()
        return try scanner.text(slice)
    }

    static func integer(_ scanner: inout JSONScanner, _ field: StaticString) throws -> Int64? {
        switch try scanner.kind() {
        case .null:
            try scanner.null()
            return nil
        case .number:
            let slice = try scanner.number()
            guard let value = DecimalBytes.integer(scanner.raw(slice)) else {
                throw invalid(field, try scanner.text(slice), "a whole number")
            }
            return value
        default:
            throw invalid(field, "not a number", "a whole number")
        }
    }

    /// A slice that holds a decimal, be it written as a string or as a number.
    private static func decimal(_ scanner: inout JSONScanner, _ field: StaticString) throws -> JSONSlice {
        switch try scanner.kind() {
        case .string: return try scanner.string()
        case .number: return try scanner.number()
        default: throw invalid(field, "neither text nor number", "a decimal")
        }
    }

    static func dollars(_ scanner: inout JSONScanner, _ field: StaticString) throws -> Price {
        let slice = try decimal(&scanner, field)
        if let units = DecimalBytes.units(scanner.raw(slice), scale: 4), units >= 0, units <= 10_000 {
            return try Price(tenThousandths: units)
        }
        return try Price(dollars: scanner.text(slice), field: "\(field)")
    }

    static func cents(_ scanner: inout JSONScanner, _ field: StaticString) throws -> Price {
        guard let cents = try integer(&scanner, field), (0...100).contains(cents) else {
            throw invalid(field, "out of range", "0 to 100 cents")
        }
        return .cents(cents)
    }

    /// In 1/100 contracts, signed.
    static func contracts(_ scanner: inout JSONScanner, _ field: StaticString) throws -> Int64 {
        let slice = try decimal(&scanner, field)
        if let units = DecimalBytes.units(scanner.raw(slice), scale: 2) { return units }
        return try FixedPoint.parse(scanner.text(slice), scale: 2, field: "\(field)")
    }

    static func outcome(_ scanner: inout JSONScanner, _ field: StaticString) throws -> Outcome {
        guard try scanner.kind() == .string else { throw invalid(field, "not a string", "yes or no") }
        let slice = try scanner.string()
        if scanner.matches(slice, "yes") { return .yes }
        if scanner.matches(slice, "no") { return .no }
        throw invalid(field, try scanner.text(slice), "yes or no")
    }

    static func milliseconds(_ scanner: inout JSONScanner, _ field: StaticString) throws -> VenueInstant {
        guard let milliseconds = try integer(&scanner, field), (0...253_402_300_799_999).contains(milliseconds) else {
            throw invalid(field, "out of range", "milliseconds since 1970")
        }
        return try VenueInstant(microseconds: milliseconds * 1_000)
    }

    /// Whole seconds since 1970, or RFC 3339.
    static func time(_ scanner: inout JSONScanner, _ field: StaticString) throws -> VenueInstant {
        if try scanner.kind() == .string {
            return try VenueInstant(rfc3339: text(&scanner, field), field: "\(field)")
        }
        guard let seconds = try integer(&scanner, field), (0...253_402_300_799).contains(seconds) else {
            throw invalid(field, "out of range", "seconds since 1970")
        }
        return try VenueInstant(microseconds: seconds * 1_000_000)
    }

    /// `[[price, count], …]`; an empty level is left out.
    static func levels(
        _ scanner: inout JSONScanner, inCents: Bool, _ field: StaticString
    ) throws -> [BookLevel] {
        if try scanner.kind() == .null {
            try scanner.null()
            return []
        }
        var levels: [BookLevel] = []
        var isFirst = true
        try scanner.beginArray()
        while try scanner.nextElement(&isFirst) {
            var isFirstPart = true
            try scanner.beginArray()
            guard try scanner.nextElement(&isFirstPart) else { throw invalid(field, "[]", "a price and a count") }
            let price = inCents ? try cents(&scanner, field) : try dollars(&scanner, field)
            guard try scanner.nextElement(&isFirstPart) else { throw invalid(field, "[price]", "a price and a count") }
            let count = try contracts(&scanner, field)
            guard try !scanner.nextElement(&isFirstPart) else { throw invalid(field, "three", "a price and a count") }
            let quantity = try Quantity(hundredths: count, field: "\(field)")
            if !quantity.isZero { levels.append(try BookLevel(price: price, quantity: quantity)) }
        }
        return levels
    }
}
