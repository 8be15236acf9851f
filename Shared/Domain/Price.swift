/// What one contract costs, in 1/10000 dollar, from 0 to 1 dollar.
///
/// 0 and 1 occur as settlement values and as the empty side of a ticker; an order needs a price strictly between.
public struct Price: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// 0 to 10,000.
    public let tenThousandths: Int64

    /// - Throws: `outOfRange` outside 0 to 10,000.
    public init(tenThousandths: Int64, field: String = "price") throws(DomainError) {
        guard (0...10_000).contains(tenThousandths) else {
            throw DomainError(
                .outOfRange, field: field, value: FixedPoint.format(tenThousandths, scale: 4),
                expected: "0.0000 to 1.0000")
        }
        self.tenThousandths = tenThousandths
    }

    /// Parses dollars such as `"0.5300"`.
    public init(dollars text: some StringProtocol, field: String = "price") throws(DomainError) {
        try self.init(tenThousandths: FixedPoint.parse(text, scale: 4, field: field), field: field)
    }

    init(unchecked value: Int64) { tenThousandths = value }

    public static let zero = Price(unchecked: 0)
    public static let one = Price(unchecked: 10_000)

    /// Whole cents, for settings and literals.
    public static func cents(_ cents: Int64) -> Price {
        precondition((0...100).contains(cents), "cents \(cents)")
        return Price(unchecked: cents * 100)
    }

    /// The price of the other outcome: one dollar less this.
    public var complement: Price { Price(unchecked: 10_000 - tenThousandths) }

    /// Strictly between 0 and 1 dollar.
    public var isTradable: Bool { tenThousandths > 0 && tenThousandths < 10_000 }

    public func isMultiple(of step: PriceStep) -> Bool { step.permits(self) }

    /// The chance that this price implies, 0 to 1.
    public var probability: Double { Double(tenThousandths) / 10_000 }

    public static func < (left: Price, right: Price) -> Bool { left.tenThousandths < right.tenThousandths }

    /// Exact: 1/10000 dollar times 1/100 contract is 1/1000000 dollar.
    public static func * (price: Price, quantity: Quantity) -> Money {
        Money(unchecked: price.tenThousandths * quantity.hundredths)
    }

    /// Dollars with four decimals, for example `0.5300`.
    public var description: String { FixedPoint.format(tenThousandths, scale: 4) }
}

extension Price: Codable {
    public init(from decoder: any Decoder) throws {
        try self.init(tenThousandths: decoder.singleValueContainer().decode(Int64.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(tenThousandths)
    }
}

/// Which prices a market accepts (WIRE 1.3, `price_level_structure`; Polymarket names its tick in dollars).
public enum PriceStep: String, Hashable, Sendable, Codable, CaseIterable {
    /// Whole cents.
    case linearCent = "linear_cent"
    /// Tenths of a cent below 0.10 and above 0.90, whole cents between.
    case taperedDeciCent = "tapered_deci_cent"
    /// Tenths of a cent.
    case deciCent = "deci_cent"
    /// Tens of cents: Polymarket's coarsest.
    case tenCent = "ten_cent"
    /// Hundredths of a cent: Polymarket's finest.
    case centiCent = "centi_cent"

    public func permits(_ price: Price) -> Bool {
        price.isTradable && price.tenThousandths % size(at: price) == 0
    }

    /// The distance between neighbouring prices at `price`, in 1/10000 dollar.
    public func size(at price: Price) -> Int64 {
        switch self {
        case .linearCent: 100
        case .deciCent: 10
        case .tenCent: 1_000
        case .centiCent: 1
        case .taperedDeciCent: (price.tenThousandths < 1_000 || price.tenThousandths > 9_000) ? 10 : 100
        }
    }
}
