/// Which side of a trade pays: the one that takes what rests, or the one that had rested.
public enum TradeRole: String, Hashable, Sendable, Codable, CaseIterable {
    case maker
    case taker
}

/// The category of a Polymarket market, which decides its taker rate.
public enum PolymarketCategory: String, Hashable, Sendable, Codable, CaseIterable {
    case crypto
    case sports
    case finance
    case politics
    case mentions
    case tech
    case economics
    case culture
    case weather
    case geopolitics
    case other

    /// Parts per million of `contracts × price × (1 − price)`.
    ///
    /// Sports as in PITFALLS 8, row 19; the others from the venue's published table. A market that names its own rate
    /// (`fee_rate_bps`, WIRE 2) is charged that one: `FeeSchedule.polymarket(ratePerMillion:)`.
    public var ratePerMillion: Int64 {
        switch self {
        case .crypto: 70_000
        case .sports: 30_000
        case .finance, .politics, .mentions, .tech: 40_000
        case .economics, .culture, .weather, .other: 50_000
        case .geopolitics: 0
        }
    }
}

/// What a venue charges: the only fee formula of the suite (CHECKLIST N16).
///
/// Both venues charge `rate × contracts × price × (1 − price)` to the taker. They differ in the rate and in what the
/// amount of an order is rounded up to: Kalshi rounds an order of whole contracts to the cent, as documented and as
/// every recorded fee of such orders is, and one of a fractional count to 1/100 cent, as recorded (WIRE 1.7).
public struct FeeSchedule: Hashable, Sendable, Codable {
    /// Parts per million: Kalshi's general 7 % is 70,000.
    public let ratePerMillion: Int64
    /// For a maker; Kalshi's is mostly none (WIRE 1.7).
    public let makerRatePerMillion: Int64
    /// What the fee of an order of whole contracts is rounded up to, in 1/1000000 dollar.
    public let roundingMicrodollars: Int64
    /// What the fee of an order with a fraction of a contract is rounded up to, in 1/1000000 dollar.
    public let fractionRoundingMicrodollars: Int64

    /// - Throws: `outOfRange` for a rate above 100 % or a rounding step of zero or above one dollar.
    public init(
        ratePerMillion: Int64, makerRatePerMillion: Int64 = 0, roundingMicrodollars: Int64,
        fractionRoundingMicrodollars: Int64? = nil
    ) throws(DomainError) {
        for rate in [ratePerMillion, makerRatePerMillion] where !(0...1_000_000).contains(rate) {
            throw DomainError(.outOfRange, field: "fee.rate", value: "\(rate)", expected: "0 to 1000000 ppm")
        }
        let fraction = fractionRoundingMicrodollars ?? roundingMicrodollars
        for step in [roundingMicrodollars, fraction] where !(1...1_000_000).contains(step) {
            throw DomainError(.outOfRange, field: "fee.rounding", value: "\(step)", expected: "1 to 1000000")
        }
        self.ratePerMillion = ratePerMillion
        self.makerRatePerMillion = makerRatePerMillion
        self.roundingMicrodollars = roundingMicrodollars
        self.fractionRoundingMicrodollars = fraction
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try self.init(
            ratePerMillion: container.decode(Int64.self, forKey: .ratePerMillion),
            makerRatePerMillion: container.decodeIfPresent(Int64.self, forKey: .makerRatePerMillion) ?? 0,
            roundingMicrodollars: container.decode(Int64.self, forKey: .roundingMicrodollars),
            fractionRoundingMicrodollars: container.decodeIfPresent(
                Int64.self, forKey: .fractionRoundingMicrodollars))
    }

    private init(unchecked ratePerMillion: Int64, _ rounding: Int64, fraction: Int64) {
        self.ratePerMillion = ratePerMillion
        makerRatePerMillion = 0
        roundingMicrodollars = rounding
        fractionRoundingMicrodollars = fraction
    }

    /// Taker 7 %: whole contracts to the cent, fractions to 1/100 cent, once per order (WIRE 1.7).
    public static let kalshi = FeeSchedule(unchecked: 70_000, 10_000, fraction: 100)
    /// Polymarket's sports category, taker 3 %.
    public static let polymarketSports = polymarket(.sports)
    public static let none = FeeSchedule(unchecked: 0, 1, fraction: 1)

    /// Rounded up to 1/100000 dollar, the smallest fee that Polymarket charges.
    public static func polymarket(_ category: PolymarketCategory) -> FeeSchedule {
        FeeSchedule(unchecked: category.ratePerMillion, 10, fraction: 10)
    }

    /// A Polymarket market that names its own rate.
    public static func polymarket(ratePerMillion: Int64) throws(DomainError) -> FeeSchedule {
        try FeeSchedule(ratePerMillion: ratePerMillion, roundingMicrodollars: 10)
    }

    /// The schedule of a venue's sports markets.
    public static func taker(at venue: Venue) -> FeeSchedule { venue == .kalshi ? .kalshi : .polymarketSports }

    /// The fee of an order that trades `quantity` at one price.
    public func fee(_ quantity: Quantity, at price: Price, as role: TradeRole = .taker) -> Money {
        round(exact(quantity, at: price, as: role), whole: quantity.hundredths % 100 == 0)
    }

    /// The fees of the parts of one order, in the order in which they traded.
    ///
    /// Each is charged what it adds to the rounded fee of the whole; nothing is given back, so where a fraction of a
    /// contract follows whole ones, whose fee was rounded further up, it may cost nothing.
    public func fees(for parts: [BookLevel], as role: TradeRole = .taker) -> [Money] {
        var sum: Int128 = 0
        var traded: Int64 = 0
        var charged = Money.zero
        return parts.map { part in
            sum += exact(part.quantity, at: part.price, as: role)
            traded += part.quantity.hundredths
            let total = max(charged, round(sum, whole: traded % 100 == 0))
            defer { charged = total }
            return total - charged
        }
    }

    /// In 1e-16 dollar: 1/1000000 (rate) × 1/100 (contract) × 1/10000 × 1/10000.
    private func exact(_ quantity: Quantity, at price: Price, as role: TradeRole) -> Int128 {
        Int128(role == .taker ? ratePerMillion : makerRatePerMillion) * Int128(quantity.hundredths)
            * Int128(price.tenThousandths) * Int128(price.complement.tenThousandths)
    }

    private func round(_ exact: Int128, whole: Bool) -> Money {
        let rounding = whole ? roundingMicrodollars : fractionRoundingMicrodollars
        let step = Int128(rounding) * 10_000_000_000
        return Money(unchecked: Int64((exact + step - 1) / step) * rounding)
    }
}
