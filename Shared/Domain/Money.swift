/// An amount in millionths of a dollar; negative is owed.
///
/// Price (1/10000 dollar) times quantity (1/100 contract) is exact in this unit (DESIGN rule 10).
public struct Money: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let microdollars: Int64

    /// - Throws: `overflow` beyond ±1,000,000,000 dollars, which no account of ours holds.
    public init(microdollars: Int64) throws(DomainError) {
        guard (-Self.bound...Self.bound).contains(microdollars) else {
            throw DomainError(
                .overflow, field: "money", value: "\(microdollars)", expected: "within ±1,000,000,000 dollars")
        }
        self.microdollars = microdollars
    }

    /// Parses dollars such as `"0.054600"`.
    public init(dollars text: some StringProtocol, field: String = "dollars") throws(DomainError) {
        try self.init(microdollars: FixedPoint.parse(text, scale: 6, field: field))
    }

    private static let bound: Int64 = 1_000_000_000_000_000

    init(unchecked microdollars: Int64) { self.microdollars = microdollars }

    public static let zero = Money(unchecked: 0)
    /// One whole dollar, what a winning contract pays.
    public static let dollar = Money(unchecked: 1_000_000)

    /// Whole dollars, for settings and literals.
    public static func dollars(_ dollars: Int64) -> Money {
        precondition(abs(dollars) <= 1_000_000_000, "dollars \(dollars)")
        return Money(unchecked: dollars * 1_000_000)
    }

    public static func cents(_ cents: Int64) -> Money {
        precondition(abs(cents) <= 100_000_000_000, "cents \(cents)")
        return Money(unchecked: cents * 10_000)
    }

    public static func + (left: Money, right: Money) -> Money {
        Money(unchecked: left.microdollars + right.microdollars)
    }
    public static func - (left: Money, right: Money) -> Money {
        Money(unchecked: left.microdollars - right.microdollars)
    }
    public static prefix func - (money: Money) -> Money { Money(unchecked: -money.microdollars) }
    public static func += (left: inout Money, right: Money) { left = left + right }
    public static func -= (left: inout Money, right: Money) { left = left - right }
    public static func < (left: Money, right: Money) -> Bool { left.microdollars < right.microdollars }

    /// This amount times `numerator / denominator`, rounded toward zero.
    public func scaled(_ numerator: Int64, over denominator: Int64) -> Money {
        precondition(denominator > 0, "denominator \(denominator)")
        return Money(unchecked: Int64(Int128(microdollars) * Int128(numerator) / Int128(denominator)))
    }

    /// For statistics and sizing formulas only, never for accounting.
    public var approximateDollars: Double { Double(microdollars) / 1_000_000 }

    /// Dollars with six decimals, for example `-12.034500`.
    public var description: String { FixedPoint.format(microdollars, scale: 6) }

    /// Dollars and cents for people, rounded half away from zero: `-12.03`.
    public var rounded: String {
        let half: Int64 = microdollars < 0 ? -5_000 : 5_000
        return FixedPoint.format((microdollars + half) / 10_000, scale: 2)
    }
}

extension Money: Codable {
    public init(from decoder: any Decoder) throws {
        try self.init(microdollars: decoder.singleValueContainer().decode(Int64.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(microdollars)
    }
}
