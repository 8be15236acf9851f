import Domain

/// Reads the members of an object with typed errors that name the field; of several names the first present counts.
///
/// A member that is null or an empty string counts as absent: both are recorded (WIRE 1.3).
struct JSONFields {
    let value: JSONValue
    let context: String

    init(_ value: JSONValue, _ context: String) throws(VenueError) {
        guard case .object = value else {
            throw VenueError(.unreadableBody, detail: context, message: "an object was expected")
        }
        self.value = value
        self.context = context
    }

    func find(_ names: [String]) -> JSONValue? {
        for name in names {
            switch value[name] {
            case nil, .null, .string(""): continue
            case let found: return found
            }
        }
        return nil
    }

    func missing(_ names: [String]) -> VenueError {
        VenueError(.missingField, detail: "\(context).\(names.first ?? "")")
    }

    func invalid(_ names: [String], _ found: JSONValue) -> VenueError {
        VenueError(.invalidField, detail: "\(context).\(names.first ?? "")", message: "\(found)")
    }

    /// Text as it stands; a number is taken as its digits.
    func text(_ names: String...) throws(VenueError) -> String? {
        switch find(names) {
        case nil: return nil
        case .string(let text): return text
        case .number(let text): return text
        case .some(let other): throw invalid(names, other)
        }
    }

    func required(_ name: String) throws(VenueError) -> String {
        guard let text = try text(name) else { throw missing([name]) }
        return text
    }

    func flag(_ name: String) -> Bool? {
        guard case .boolean(let flag)? = value[name] else { return nil }
        return flag
    }

    /// A decimal in units of `10^-scale`, written as text or as a number.
    func decimal(_ names: [String], scale: Int) throws(VenueError) -> Int64? {
        let text: String
        switch find(names) {
        case nil: return nil
        case .string(let found), .number(let found): text = found
        case .some(let other): throw invalid(names, other)
        }
        guard let units = try? FixedPoint.parse(text, scale: scale, field: names[0]) else {
            throw invalid(names, .string(text))
        }
        return units
    }

    func domain<T>(_ name: String, _ make: () throws(DomainError) -> T) throws(VenueError) -> T {
        do {
            return try make()
        } catch {
            throw VenueError(.invalidField, detail: "\(context).\(name)", message: "\(error)")
        }
    }

    /// A price in dollars under the first names, or in cents under the last one.
    func price(_ dollars: [String], cents: String) throws(VenueError) -> Price? {
        if let units = try decimal(dollars, scale: 4) {
            return try domain(dollars[0]) { () throws(DomainError) in try Price(tenThousandths: units) }
        }
        guard let units = try decimal([cents], scale: 0) else { return nil }
        guard (0...100).contains(units) else { throw invalid([cents], .number("\(units)")) }
        return .cents(units)
    }

    /// Contracts: strings with decimals in the new era, whole numbers in the old one.
    func quantity(_ names: String...) throws(VenueError) -> Quantity? {
        guard let units = try decimal(names, scale: 2) else { return nil }
        return try domain(names[0]) { () throws(DomainError) in try Quantity(hundredths: units) }
    }

    func money(_ dollars: [String], cents: String? = nil) throws(VenueError) -> Money? {
        if let units = try decimal(dollars, scale: 6) {
            return try domain(dollars[0]) { () throws(DomainError) in try Money(microdollars: units) }
        }
        guard let cents, let units = try decimal([cents], scale: 0), abs(units) < 10_000_000_000 else { return nil }
        return .cents(units)
    }

    /// RFC 3339, or a number of seconds.
    func time(_ names: String...) throws(VenueError) -> VenueInstant? {
        switch find(names) {
        case nil: return nil
        case .string(let text):
            return try domain(names[0]) { () throws(DomainError) in try VenueInstant(rfc3339: text) }
        case .number(let text):
            guard let seconds = Int64(text), (0...253_402_300_799).contains(seconds) else {
                throw invalid(names, .number(text))
            }
            return try domain(names[0]) { () throws(DomainError) in
                try VenueInstant(microseconds: seconds * 1_000_000)
            }
        case .some(let other): throw invalid(names, other)
        }
    }

    func milliseconds(_ name: String) throws(VenueError) -> VenueInstant? {
        guard let text = try text(name) else { return nil }
        guard let milliseconds = Int64(text), (0...253_402_300_799_999).contains(milliseconds) else {
            throw invalid([name], .string(text))
        }
        return try domain(name) { () throws(DomainError) in try VenueInstant(microseconds: milliseconds * 1_000) }
    }
}
