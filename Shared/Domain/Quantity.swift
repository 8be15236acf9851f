/// A number of contracts in 1/100 contract, never negative.
public struct Quantity: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let hundredths: Int64

    /// - Throws: `outOfRange` below 0 or above 100,000,000 contracts.
    public init(hundredths: Int64, field: String = "quantity") throws(DomainError) {
        guard (0...Self.bound).contains(hundredths) else {
            throw DomainError(
                .outOfRange, field: field, value: FixedPoint.format(hundredths, scale: 2),
                expected: "0 to 100,000,000 contracts")
        }
        self.hundredths = hundredths
    }

    /// Parses contracts such as `"5.52"`.
    public init(contracts text: some StringProtocol, field: String = "quantity") throws(DomainError) {
        try self.init(hundredths: FixedPoint.parse(text, scale: 2, field: field), field: field)
    }

    private static let bound: Int64 = 10_000_000_000

    init(unchecked hundredths: Int64) { self.hundredths = hundredths }

    public static let zero = Quantity(unchecked: 0)

    /// Whole contracts, for settings and literals.
    public static func contracts(_ contracts: Int64) -> Quantity {
        precondition((0...100_000_000).contains(contracts), "contracts \(contracts)")
        return Quantity(unchecked: contracts * 100)
    }

    public var isZero: Bool { hundredths == 0 }

    public static func + (left: Quantity, right: Quantity) -> Quantity {
        Quantity(unchecked: left.hundredths + right.hundredths)
    }

    /// The difference, or zero when `right` is larger.
    public func subtracting(_ right: Quantity) -> Quantity {
        Quantity(unchecked: max(0, hundredths - right.hundredths))
    }

    public static func += (left: inout Quantity, right: Quantity) { left = left + right }

    /// Whole contracts only: the part after the point dropped.
    public var wholeContracts: Quantity { Quantity(unchecked: hundredths / 100 * 100) }

    public static func < (left: Quantity, right: Quantity) -> Bool { left.hundredths < right.hundredths }

    /// Contracts with two decimals, for example `5.52`.
    public var description: String { FixedPoint.format(hundredths, scale: 2) }
}

extension Quantity: Codable {
    public init(from decoder: any Decoder) throws {
        try self.init(hundredths: decoder.singleValueContainer().decode(Int64.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(hundredths)
    }
}

/// A chance from 0 to 1; never NaN.
public struct Probability: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    public let value: Double

    /// - Throws: `outOfRange` outside 0 to 1, NaN included.
    public init(_ value: Double, field: String = "probability") throws(DomainError) {
        guard value >= 0, value <= 1 else {
            throw DomainError(.outOfRange, field: field, value: "\(value)", expected: "0 to 1")
        }
        self.value = value
    }

    /// Puts any finite number into 0 to 1; NaN becomes one half, the value that never signals.
    public init(clamping value: Double) {
        self.value = value.isNaN ? 0.5 : min(max(value, 0), 1)
    }

    public var complement: Probability { Probability(clamping: 1 - value) }

    public static func < (left: Probability, right: Probability) -> Bool { left.value < right.value }

    public var description: String { FixedPoint.format(Int64((value * 10_000).rounded()), scale: 4) }

    public init(from decoder: any Decoder) throws {
        try self.init(decoder.singleValueContainer().decode(Double.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }
}
