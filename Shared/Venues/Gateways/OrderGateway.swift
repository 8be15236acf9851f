import Domain

/// What a venue said of an order that it took.
public struct OrderReceipt: Hashable, Sendable {
    public let order: OrderID
    public let venueOrder: VenueOrderID
    public let filled: Quantity
    /// What did not trade; of an immediate order it is gone.
    public let remaining: Quantity
    /// Of the outcome that was ordered; nil without a fill, or when the venue did not say.
    public let averagePrice: Price?
    /// As far as the receipt tells; the fills are exact.
    public let fees: Money?
    public let at: VenueInstant
}

/// What became of sending an order.
public enum SubmitOutcome: Hashable, Sendable {
    case accepted(OrderReceipt)
    /// The venue said no: the order is certainly not there.
    case refused(VenueError)
    /// It may be there or not; only `find` and `fills` can tell (DESIGN rule 6).
    case unknown(VenueError)
}

/// What became of taking an order back.
public enum CancelOutcome: Hashable, Sendable {
    case cancelled(stillOpen: Quantity)
    /// Filled, cancelled or never there: nothing of it rests.
    case gone
    case unknown(VenueError)
}

/// An order as a venue keeps it.
public struct VenueOrder: Hashable, Sendable {
    public enum State: String, Hashable, Sendable, CaseIterable {
        case resting
        /// Nothing of it rests; `filled` says how much of it traded.
        case done
    }

    public let order: OrderID
    public let venueOrder: VenueOrderID
    public let market: MarketID
    public let state: State
    public let filled: Quantity
    public let remaining: Quantity
}

/// Whether a venue knows an order.
public enum FindOutcome: Hashable, Sendable {
    case found(VenueOrder)
    /// Every page was read and it is on none.
    case absent
    case unknown(VenueError)
}

/// An order in the account, whoever made it.
public struct AccountOrder: Hashable, Sendable {
    public let venueOrder: VenueOrderID
    /// Our own key; nil for an order without one.
    public let order: OrderID?
    public let market: MarketID
    public let filled: Quantity
    public let isOpen: Bool
}

/// A trade in the account, whoever made it.
public struct AccountFill: Hashable, Sendable {
    public let id: FillID
    public let venueOrder: VenueOrderID
    public let market: MarketID
    public let quantity: Quantity
    public let yesPrice: Price
    /// Buying NO being selling YES; nil when the venue did not say.
    public let bought: Outcome?
    /// Nil when the venue did not say, and something may have been charged.
    public let fee: Money?
    public let at: VenueInstant
}

/// All that a venue says of an account, every list read to its end.
public struct VenueAccount: Hashable, Sendable {
    public let orders: [AccountOrder]
    public let fills: [AccountFill]
    /// Without those that are flat.
    public let positions: [VenuePosition]
    public let balance: Money
}

/// What the account was paid for markets; what could not be read is told, and the rest stands.
public struct AccountSettlements: Hashable, Sendable {
    public let items: [KalshiSettlement]
    public let unread: VenueError?

    public init(items: [KalshiSettlement] = [], unread: VenueError? = nil) {
        self.items = items
        self.unread = unread
    }
}

/// A market as the one who settles needs it.
public struct VenueMarket: Hashable, Sendable {
    public let market: MarketID
    public let status: MarketStatus
    /// What one YES contract pays; there once settled.
    public let yesValue: Price?
    public let closeAt: VenueInstant?
}

/// Sends orders to a venue and reads what became of them; live and paper look the same from here.
public protocol OrderGateway: Sendable {
    /// Sends once, never twice; what the last look forbids is refused as `withheld`.
    func submit(_ order: OrderRequest, deadline: Duration, lastLook: LastLook) async -> SubmitOutcome
    func cancel(_ order: VenueOrderID, deadline: Duration) async -> CancelOutcome
    /// Looks for an order by our own key, through every page of the market's orders and fills.
    ///
    /// A fill whose order is not listed may be of ours: then nothing is known.
    func find(_ order: OrderID, market: MarketID) async -> FindOutcome
    /// The fills of one order, oldest first; ids are unique and stay the same.
    func fills(of order: OrderRequest, venueOrder: VenueOrderID) async throws(VenueError) -> [Fill]
    /// Everything the venue says of the account; orders and fills from one second on, open orders and positions all.
    ///
    /// Read one after the other, not at one instant. One item that cannot be read is an error: the rest is no whole.
    func account(since: VenueInstant?) async throws(VenueError) -> VenueAccount
    /// What the account was paid for markets, from one second on, whoever traded there.
    func settlements(since: VenueInstant) async throws(VenueError) -> AccountSettlements
    func positions() async throws(VenueError) -> [VenuePosition]
    func balance() async throws(VenueError) -> Money
    func market(_ market: MarketID) async throws(VenueError) -> VenueMarket
}

extension OrderGateway {
    /// Sends once, whatever has changed meanwhile.
    public func submit(_ order: OrderRequest, deadline: Duration) async -> SubmitOutcome {
        await submit(order, deadline: deadline, lastLook: .none)
    }
}
