/// What a venue charges for taking liquidity: the only fee formula of the suite (CHECKLIST N16).
///
/// Both venues charge `rate × contracts × price × (1 − price)`; they differ in the rate and in what the amount is
/// rounded up to, once per order.
public struct FeeSchedule: Hashable, Sendable, Codable {
    /// Parts per million: Kalshi's general 7 % is 70,000.
    public let ratePerMillion: Int64
    /// What the fee of an order is rounded up to, in 1/1000000 dollar.
    public let roundingMicrodollars: Int64

    /// - Throws: `outOfRange` for a rate above 100 % or a rounding step of zero or above one dollar.
    public init(ratePerMillion: Int64, roundingMicrodollars: Int64) throws(DomainError) {
        guard (0...1_000_000).contains(ratePerMillion) else {
            throw DomainError(.outOfRange, field: "fee.rate", value: "\(ratePerMillion)", expected: "0 to 1000000 ppm")
        }
        guard (1...1_000_000).contains(roundingMicrodollars) else {
            throw DomainError(
                .outOfRange, field: "fee.rounding", value: "\(roundingMicrodollars)", expected: "1 to 1000000")
        }
        self.ratePerMillion = ratePerMillion
        self.roundingMicrodollars = roundingMicrodollars
    }

    private init(_ ratePerMillion: Int64, _ roundingMicrodollars: Int64) {
        self.ratePerMillion = ratePerMillion
        self.roundingMicrodollars = roundingMicrodollars
    }

    /// Taker 7 %, rounded up to 1/100 cent: what both recorded fills were charged (WIRE 1.7).
    public static let kalshi = FeeSchedule(70_000, 100)
    /// The documented older rule, rounded up to the whole cent.
    public static let kalshiWholeCent = FeeSchedule(70_000, 10_000)
    /// Polymarket's sports category, taker 3 % (PITFALLS 8, row 19), to the unit of the account.
    public static let polymarketSports = FeeSchedule(30_000, 1)
    public static let none = FeeSchedule(0, 1)

    public static func taker(at venue: Venue) -> FeeSchedule { venue == .kalshi ? .kalshi : .polymarketSports }

    /// The fee of an order that trades `quantity` at one price.
    public func fee(_ quantity: Quantity, at price: Price) -> Money {
        round(exact(quantity, at: price))
    }

    /// The fees of the parts of one order, rounded once over the whole: each part is charged what it adds.
    public func fees(for parts: [BookLevel]) -> [Money] {
        var sum: Int128 = 0
        var charged = Money.zero
        return parts.map { part in
            sum += exact(part.quantity, at: part.price)
            let total = round(sum)
            defer { charged = total }
            return total - charged
        }
    }

    /// In 1e-16 dollar: 1/1000000 (rate) × 1/100 (contract) × 1/10000 × 1/10000.
    private func exact(_ quantity: Quantity, at price: Price) -> Int128 {
        Int128(ratePerMillion) * Int128(quantity.hundredths) * Int128(price.tenThousandths)
            * Int128(price.complement.tenThousandths)
    }

    private func round(_ exact: Int128) -> Money {
        let step = Int128(roundingMicrodollars) * 10_000_000_000
        return Money(unchecked: Int64((exact + step - 1) / step) * roundingMicrodollars)
    }
}
