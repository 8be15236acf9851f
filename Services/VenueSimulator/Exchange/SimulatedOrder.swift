import Domain

/// What a client asks for, as it was decoded and before it is checked against the exchange.
struct PlaceOrder: Hashable, Sendable {
    let market: MarketID
    let clientOrderID: String
    let side: BookSide
    /// Of YES, also for an ask.
    let price: Price
    let quantity: Quantity
    let timeInForce: TimeInForce
    var postOnly = false
    var reduceOnly = false
    /// When a resting order is cancelled by the exchange.
    var expiresAt: VenueInstant?
}

/// An order that the exchange has taken.
///
/// Legal transitions of the status: `resting -> executed | canceled`; an immediate order begins as one of the last two.
struct SimulatedOrder: Hashable, Sendable {
    enum Status: String, Hashable, Sendable, CaseIterable {
        case resting
        case executed
        case canceled
    }

    let id: String
    /// Grows with each order; orders rest and are listed by it.
    let number: Int
    let request: PlaceOrder
    let createdAt: VenueInstant
    var updatedAt: VenueInstant
    var status: Status
    var filled = Quantity.zero
    /// What was cancelled is neither filled nor remaining.
    var remaining: Quantity
    var takerFees = Money.zero
    var takerCost = Money.zero
    var makerCost = Money.zero
    /// Sum of YES price times quantity: the average price is this over `filled`.
    var value = Money.zero

    var averageYesPrice: Price? {
        guard !filled.isZero else { return nil }
        let hundredths = filled.hundredths
        return try? Price(tenThousandths: (value.microdollars * 2 + hundredths) / (hundredths * 2))  // 0 to 1 by parts
    }
}

/// Why the exchange refused, in the venue's words: a status, a code and a message for people.
struct OrderRefusal: Error, Hashable, Sendable {
    enum Code: String, Hashable, Sendable, CaseIterable {
        case invalidOrder = "invalid_order"
        case invalidPrice = "invalid_price"
        case insufficientBalance = "insufficient_balance"
        case marketNotFound = "market_not_found"
        case marketInactive = "MARKET_INACTIVE"
        case duplicate = "order_already_exists"
        case notFound = "not_found"
        case killed = "fill_or_kill_insufficient_resting_volume"
        case exchangeUnavailable = "exchange_unavailable"
    }

    let code: Code
    let details: String?

    init(_ code: Code, _ details: String? = nil) {
        self.code = code
        self.details = details
    }

    var status: Int {
        switch code {
        case .invalidOrder, .invalidPrice, .insufficientBalance, .marketInactive: 400
        case .marketNotFound, .notFound: 404
        case .duplicate, .killed: 409
        case .exchangeUnavailable: 503
        }
    }

    var message: String { code.rawValue.lowercased().replacing("_", with: " ") }
}
