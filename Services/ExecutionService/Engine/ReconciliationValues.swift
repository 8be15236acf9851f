import Domain

/// A market in which our books and the venue's do not say the same.
public struct PositionDifference: Hashable, Sendable {
    public let market: MarketID
    /// In 1/100 contract: positive is YES.
    public let ours: Int64
    public let venues: Int64

    public init(market: MarketID, ours: Int64, venues: Int64) {
        self.market = market
        self.ours = ours
        self.venues = venues
    }
}

/// An order as the venue tells it.
public struct VenueOrderState: Hashable, Sendable {
    public let venueOrder: VenueOrderID
    /// The client order id that it carries; nil when it has none, as one that was placed by hand.
    public let key: OrderID?
    public let market: MarketID
    public let filled: Quantity
    public let isOpen: Bool

    public init(venueOrder: VenueOrderID, key: OrderID?, market: MarketID, filled: Quantity, isOpen: Bool) {
        self.venueOrder = venueOrder
        self.key = key
        self.market = market
        self.filled = filled
        self.isOpen = isOpen
    }
}

/// A fill as the venue tells it.
public struct VenueFillState: Hashable, Sendable {
    public let id: FillID
    public let venueOrder: VenueOrderID
    public let market: MarketID
    public let quantity: Quantity
    public let yesPrice: Price
    /// What was bought, buying NO being selling YES; nil when the venue did not say.
    public let bought: Outcome?
    /// Nil when the venue did not say.
    public let fee: Money?
    public let at: VenueInstant

    public init(
        id: FillID, venueOrder: VenueOrderID, market: MarketID, quantity: Quantity, yesPrice: Price, bought: Outcome?,
        fee: Money? = nil, at: VenueInstant
    ) {
        self.id = id
        self.venueOrder = venueOrder
        self.market = market
        self.quantity = quantity
        self.yesPrice = yesPrice
        self.bought = bought
        self.fee = fee
        self.at = at
    }
}

/// All that a venue says of an account, each list paged to its end; a list that could not be is no snapshot.
public struct VenueSnapshot: Hashable, Sendable {
    public var orders: [VenueOrderState]
    public var fills: [VenueFillState]
    /// In 1/100 contract of YES.
    public var positions: [MarketID: Int64]
    /// Nil where the venue keeps no money for us.
    public var balance: Money?

    public init(
        orders: [VenueOrderState], fills: [VenueFillState], positions: [MarketID: Int64], balance: Money?
    ) {
        self.orders = orders
        self.fills = fills
        self.positions = positions
        self.balance = balance
    }
}

/// What the venue says that it has paid the account for a market.
public struct VenueSettlement: Hashable, Sendable {
    public let market: MarketID
    /// What one YES contract paid; nil when the market was void and trades were paid back.
    public let yesValue: Price?
    public let isVoid: Bool
    /// Held when it was settled.
    public let yes: Quantity
    public let no: Quantity
    public let paid: Money
    public let at: VenueInstant

    public init(
        market: MarketID, yesValue: Price?, isVoid: Bool, yes: Quantity, no: Quantity, paid: Money, at: VenueInstant
    ) {
        self.market = market
        self.yesValue = yesValue
        self.isVoid = isVoid
        self.yes = yes
        self.no = no
        self.paid = paid
        self.at = at
    }
}

/// What our books say of the same account, over the same time.
public struct OwnSnapshot: Hashable, Sendable {
    /// Those that the venue named, and all that have not ended.
    public var orders: [OrderRecord]
    /// Every fill of ours among those that the venue named.
    public var fills: Set<FillID>
    /// The fills of ours that the venue's list must hold.
    public var expectedFills: Set<FillID>
    public var positions: [MarketID: Int64]
    public var balance: Money
    /// The fills of ours that the venue may still take back.
    public var provisional: [ProvisionalFill]

    public init(
        orders: [OrderRecord], fills: Set<FillID>, expectedFills: Set<FillID>? = nil, positions: [MarketID: Int64],
        balance: Money, provisional: [ProvisionalFill] = []
    ) {
        self.provisional = provisional
        self.orders = orders
        self.fills = fills
        self.expectedFills = expectedFills ?? fills
        self.positions = positions
        self.balance = balance
    }
}

/// What differs rightly, because a person has said so.
public struct Accepted: Hashable, Sendable {
    /// `Discrepancy.name`s.
    public var names: Set<String>
    /// Contracts in the account that are not ours, in 1/100 contract of YES.
    public var positions: [MarketID: Int64]
    /// What the venue's balance is above our own books; nil before the first comparison, which sets it.
    public var balance: Money?

    public init(names: Set<String> = [], positions: [MarketID: Int64] = [:], balance: Money? = .zero) {
        self.names = names
        self.positions = positions
        self.balance = balance
    }

    /// The venue's positions without the contracts that are not ours.
    ///
    /// A market in which neither holds anything any more has paid them out too.
    func adjusted(_ venues: [MarketID: Int64], ours: [MarketID: Int64]) -> [MarketID: Int64] {
        var venues = venues
        for (market, amount) in positions where venues[market] ?? 0 != 0 || ours[market] ?? 0 != 0 {
            venues[market, default: 0] -= amount
        }
        return venues
    }
}

/// One thing in which the venue and our books differ.
public enum Discrepancy: Hashable, Sendable {
    /// The venue has traded more of an order of ours: book its fills.
    case unbookedFills(OrderID, ours: Quantity, venues: Quantity)
    /// An open order of ours of which the venue knows nothing: the proof of non-acceptance decides.
    case absentOrder(OrderID)
    /// An order that has ended in our books and is open there: cancel it.
    case openAtVenue(OrderID, VenueOrderID)
    /// The venue has traded less of an order than we booked.
    case fillsTakenBack(OrderID, ours: Quantity, venues: Quantity)
    /// A second order of the venue under a key of ours.
    case duplicateOrder(OrderID, VenueOrderID)
    /// An open order that carries no key of ours.
    case foreignOrder(VenueOrderID, MarketID)
    /// A fill of an order that we do not know: kept, alerted, and part of the position that is compared.
    case foreignFill(FillID, VenueOrderID, MarketID)
    /// A fill of ours that the venue does not have: it was taken back.
    case missingFill(FillID)
    case position(PositionDifference)
    case balance(ours: Money, venues: Money)

    /// Whether our own machinery mends it without a person; the rest halts new orders.
    public var isMended: Bool {
        switch self {
        case .unbookedFills, .absentOrder, .openAtVenue: true
        case .fillsTakenBack, .duplicateOrder, .foreignOrder, .foreignFill, .missingFill, .position, .balance: false
        }
    }

    /// A bounded name, for metrics and the audit.
    public var code: String {
        switch self {
        case .unbookedFills: "unbooked_fills"
        case .absentOrder: "absent_order"
        case .openAtVenue: "open_at_venue"
        case .fillsTakenBack: "fills_taken_back"
        case .duplicateOrder: "duplicate_order"
        case .foreignOrder: "foreign_order"
        case .foreignFill: "foreign_fill"
        case .missingFill: "missing_fill"
        case .position: "position"
        case .balance: "balance"
        }
    }

    /// What it is about: an order, a fill or a market; empty for the balance.
    public var subject: String {
        switch self {
        case .unbookedFills(let order, _, _), .fillsTakenBack(let order, _, _), .absentOrder(let order):
            order.rawValue
        case .openAtVenue(_, let order), .duplicateOrder(_, let order), .foreignOrder(let order, _): order.rawValue
        case .foreignFill(let fill, _, _), .missingFill(let fill): fill.rawValue
        case .position(let difference): difference.market.rawValue
        case .balance: ""
        }
    }

    /// The same for the same thing, whatever the figures.
    public var name: String { "\(code):\(subject)" }

    /// Whether the venue may only have paid out what it did not tell us of.
    func mayBePayment(of unread: Set<MarketID>) -> Bool {
        switch self {
        case .position(let difference): unread.contains(difference.market)
        case .balance: !unread.isEmpty
        default: false
        }
    }

    /// Whether the venue may only have taken back fills of which it has not told us yet what became of them.
    func mayBeReversal(of fills: [ProvisionalFill]) -> Bool {
        switch self {
        case .missingFill(let fill): fills.contains { $0.id == fill }
        case .fillsTakenBack(let order, _, _): fills.contains { $0.order == order }
        case .position(let difference): fills.contains { $0.market == difference.market }
        case .balance: !fills.isEmpty
        default: false
        }
    }

    /// The market of what is not an order of ours.
    var foreignMarket: MarketID? {
        switch self {
        case .foreignOrder(_, let market), .foreignFill(_, _, let market): market
        case .position(let difference): difference.market
        default: nil
        }
    }

    /// The order of ours that it is about.
    public var order: OrderID? {
        switch self {
        case .unbookedFills(let order, _, _), .fillsTakenBack(let order, _, _), .absentOrder(let order),
            .openAtVenue(let order, _), .duplicateOrder(let order, _):
            order
        case .foreignOrder, .foreignFill, .missingFill, .position, .balance: nil
        }
    }
}
