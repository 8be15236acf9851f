/// Decimal text to integers and back, never through floating point.
///
/// Venues send prices as `"0.5300"` and counts as `"5.52"` (WIRE 1.3); up to six decimals are accepted.
public enum FixedPoint {
    /// Parses a decimal such as `-12.0350` into a whole number of `10^-scale` units.
    ///
    /// - Parameters:
    ///   - text: digits with at most one point and an optional leading minus; no exponent, no spaces.
    ///   - scale: decimals that one unit stands for, 0 to 6.
    ///   - field: named in the error.
    /// - Returns: the number of units, negative with a minus.
    /// - Throws: `malformed` for anything that is not such a number, `offStep` for decimals finer than the scale,
    ///   `overflow` for more than 15 digits before the point.
    public static func parse(
        _ text: some StringProtocol, scale: Int, field: String
    ) throws(DomainError) -> Int64 {
        precondition((0...6).contains(scale), "scale \(scale)")
        let expected = "a decimal with at most \(scale) decimals"
        func refuse(_ code: DomainError.Code) -> DomainError {
            DomainError(code, field: field, value: String(text), expected: expected)
        }
        var isNegative = false
        var sawPoint = false
        var digits = 0
        var decimals = 0
        var value: Int64 = 0
        for (position, byte) in text.utf8.enumerated() {
            switch byte {
            case UInt8(ascii: "-") where position == 0:
                isNegative = true
            case UInt8(ascii: ".") where !sawPoint && digits > 0:
                sawPoint = true
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                let digit = Int64(byte - UInt8(ascii: "0"))
                if sawPoint {
                    decimals += 1
                    if decimals > 6 { throw refuse(.malformed) }
                    if decimals > scale {
                        if digit != 0 { throw refuse(.offStep) }
                        continue
                    }
                } else {
                    digits += 1
                    if digits > 12 { throw refuse(.overflow) }
                }
                value = value * 10 + digit
            default:
                throw refuse(.malformed)
            }
        }
        if digits == 0 || (sawPoint && decimals == 0) { throw refuse(.malformed) }
        for _ in min(decimals, scale)..<scale { value *= 10 }
        return isNegative ? -value : value
    }

    /// Formats units of `10^-scale` with exactly `scale` decimals.
    public static func format(_ units: Int64, scale: Int) -> String {
        precondition((0...6).contains(scale), "scale \(scale)")
        guard scale > 0 else { return String(units) }
        let digits = String(units.magnitude)
        let padded = String(repeating: "0", count: max(0, scale + 1 - digits.count)) + digits
        return (units < 0 ? "-" : "") + padded.dropLast(scale) + "." + padded.suffix(scale)
    }
}
