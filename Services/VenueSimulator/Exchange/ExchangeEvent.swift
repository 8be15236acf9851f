import Domain

/// What the exchange tells the world, in the order in which it happened.
enum ExchangeEvent: Hashable, Sendable {
    /// A change of the bids for one outcome, in 1/100 contracts; an own order's change names it.
    case delta(MarketID, Outcome, Price, Int64, clientOrder: String?)
    case trade(SimulatedTrade)
    case fill(SimulatedFill)
    /// The best prices or the volume of a market may have changed.
    case ticker(MarketID)
    case lifecycle(MarketID, MarketPhase)
}

/// Where a market stands, in the words of the venue.
///
/// Legal order: `active -> closed -> finalized`.
enum MarketPhase: String, Hashable, Sendable {
    case active
    case closed
    case finalized
}

/// A trade that everyone sees.
struct SimulatedTrade: Hashable, Sendable {
    let id: String
    let market: MarketID
    let yesPrice: Price
    let quantity: Quantity
    /// Whether the taker bought YES (or sold NO, which is the same).
    let takerBoughtYes: Bool
    let at: VenueInstant
}

/// A trade of our account; shares its id with the public trade.
struct SimulatedFill: Hashable, Sendable {
    let tradeID: String
    let orderID: String
    let clientOrderID: String
    let market: MarketID
    let side: BookSide
    let yesPrice: Price
    let quantity: Quantity
    let fee: Money
    let isTaker: Bool
    /// Signed, in 1/100 contracts, after this fill.
    let positionAfter: Int64
    let at: VenueInstant
}

/// The side of an order on the YES scale (WIRE 1.6): a bid buys YES, an ask sells YES or, which is the same, buys NO.
enum BookSide: String, Hashable, Sendable, CaseIterable {
    case bid
    case ask

    var action: Action { self == .bid ? .buy : .sell }
    var opposite: BookSide { self == .bid ? .ask : .bid }
}
