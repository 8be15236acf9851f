import Domain

/// A market as Kalshi lists it.
public struct KalshiMarket: Hashable, Sendable {
    public let ticker: MarketID
    public let eventTicker: String
    public let title: String
    /// What YES stands for, for a game the winner's city.
    public let yesSubtitle: String
    /// As the venue writes it.
    public let rawStatus: String
    public let status: MarketStatus
    /// What one YES contract pays, once settled: 0, 1 or between.
    public let yesValue: Price?
    public let closeAt: VenueInstant?
    public let expectedExpirationAt: VenueInstant?
    public let priceStep: PriceStep
    /// A lagging summary; the order book is the truth (WIRE 1.4).
    public let yesBid: Price?
    public let yesAsk: Price?
}

/// One page of a list; what could not be decoded is left out and told.
public struct KalshiPage<Item: Sendable>: Sendable {
    public let items: [Item]
    /// Nil behind the last page.
    public let cursor: String?
    public let refused: [VenueError]
}

/// The venue's answer to a new order (WIRE 1.6, V2).
public struct KalshiOrderReceipt: Hashable, Sendable {
    public let order: VenueOrderID
    public let clientOrder: String
    public let filled: Quantity
    public let remaining: Quantity
    /// On the YES scale, like the price that was sent.
    public let averageYesPrice: Price?
    /// Per contract.
    public let averageFee: Money?
    public let at: VenueInstant?
}

/// An order as the venue keeps it.
public struct KalshiOrder: Hashable, Sendable {
    public enum Status: String, Hashable, Sendable, CaseIterable {
        case resting
        case cancelled = "canceled"
        case executed
    }

    public let id: VenueOrderID
    /// Empty for an order without one.
    public let clientOrder: String
    public let market: MarketID
    public let status: Status
    public let filled: Quantity
    public let remaining: Quantity
    public let fees: Money
    public let createdAt: VenueInstant?
}

/// A part of one of our orders that traded, as the venue keeps it.
public struct KalshiFill: Hashable, Sendable {
    public let id: String
    public let order: VenueOrderID
    /// Empty when the venue did not say whose order it was.
    public let clientOrder: String
    public let market: MarketID
    public let yesPrice: Price
    public let quantity: Quantity
    /// Nil in old answers, which did not say.
    public let fee: Money?
    /// What was bought, buying NO being selling YES; nil when the venue did not say.
    public let bought: Outcome?
    public let isTaker: Bool
    public let at: VenueInstant
}

/// What the venue has paid the account for a market.
public struct KalshiSettlement: Hashable, Sendable {
    public let market: MarketID
    /// What one YES contract paid; nil when the market was void and trades were paid back.
    public let yesValue: Price?
    public let isVoid: Bool
    /// Held when it was settled.
    public let yes: Quantity
    public let no: Quantity
    public let paid: Money
    public let at: VenueInstant
}

/// What we hold of one market, as the venue counts it.
public struct VenuePosition: Hashable, Sendable {
    public let market: MarketID
    /// In 1/100 contracts: positive holds YES, negative holds NO.
    public let netHundredths: Int64

    public init(market: MarketID, netHundredths: Int64) {
        self.market = market
        self.netHundredths = netHundredths
    }
}

/// Whether the exchange takes orders.
public struct KalshiExchangeStatus: Hashable, Sendable {
    public let isExchangeActive: Bool
    public let isTradingActive: Bool
}
