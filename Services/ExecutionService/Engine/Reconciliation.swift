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

    public init(id: FillID, venueOrder: VenueOrderID, market: MarketID) {
        self.id = id
        self.venueOrder = venueOrder
        self.market = market
    }
}

/// All that a venue says of an account, each list paged to its end; a list that could not be is no snapshot.
public struct VenueSnapshot: Hashable, Sendable {
    public var orders: [VenueOrderState]
    public var fills: [VenueFillState]
    /// In 1/100 contract of YES.
    public var positions: [MarketID: Int64]
    public var balance: Money

    public init(
        orders: [VenueOrderState], fills: [VenueFillState], positions: [MarketID: Int64], balance: Money
    ) {
        self.orders = orders
        self.fills = fills
        self.positions = positions
        self.balance = balance
    }
}

/// What our books say of the same account, over the same time.
public struct OwnSnapshot: Hashable, Sendable {
    public var orders: [OrderRecord]
    public var fills: Set<FillID>
    public var positions: [MarketID: Int64]
    public var balance: Money

    public init(orders: [OrderRecord], fills: Set<FillID>, positions: [MarketID: Int64], balance: Money) {
        self.orders = orders
        self.fills = fills
        self.positions = positions
        self.balance = balance
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
        case .foreignOrder, .foreignFill, .missingFill, .position, .balance: false
        }
    }

    /// A bounded name, for metrics and the audit.
    public var code: String {
        switch self {
        case .unbookedFills: "unbooked_fills"
        case .absentOrder: "absent_order"
        case .openAtVenue: "open_at_venue"
        case .foreignOrder: "foreign_order"
        case .foreignFill: "foreign_fill"
        case .missingFill: "missing_fill"
        case .position: "position"
        case .balance: "balance"
        }
    }
}

/// Compares what we think we hold with what the venue says (CHECKLIST N12).
public enum Reconciliation {
    /// Everything in which the two differ; none means that trading may begin.
    ///
    /// What the venue could not be asked is not here: without its whole snapshot nothing is concluded and nothing is
    /// dropped (PITFALLS 8, row 26). `tolerance` is for balances only, whose rounding is the venue's own.
    public static func compare(
        _ own: OwnSnapshot, _ venue: VenueSnapshot, tolerance: Money = .cents(1)
    ) -> [Discrepancy] {
        var found: [Discrepancy] = []
        let ours = Dictionary(own.orders.map { ($0.request.id, $0) }, uniquingKeysWith: { first, _ in first })
        var seen: Set<OrderID> = []
        var names: Set<VenueOrderID> = Set(own.orders.compactMap(\.venueOrder))
        for order in venue.orders.sorted(by: { $0.venueOrder < $1.venueOrder }) {
            guard let key = order.key, let record = ours[key] else {
                if order.isOpen { found.append(.foreignOrder(order.venueOrder, order.market)) }
                continue
            }
            seen.insert(key)
            names.insert(order.venueOrder)
            if order.filled != record.filled {
                found.append(.unbookedFills(key, ours: record.filled, venues: order.filled))
            }
            if order.isOpen, record.state.isTerminal { found.append(.openAtVenue(key, order.venueOrder)) }
        }
        for order in own.orders.sorted(by: { $0.request.id < $1.request.id })
        where !order.state.isTerminal && order.state != .stored && !seen.contains(order.request.id) {
            found.append(.absentOrder(order.request.id))
        }
        let theirs = Set(venue.fills.map(\.id))
        for fill in venue.fills.sorted(by: { $0.id < $1.id })
        where !own.fills.contains(fill.id) && !names.contains(fill.venueOrder) {
            found.append(.foreignFill(fill.id, fill.venueOrder, fill.market))
        }
        for fill in own.fills.subtracting(theirs).sorted() { found.append(.missingFill(fill)) }
        found += differences(ours: own.positions, venues: venue.positions).map { .position($0) }
        let difference = own.balance - venue.balance
        if difference > tolerance || -difference > tolerance {
            found.append(.balance(ours: own.balance, venues: venue.balance))
        }
        return found
    }

    /// The markets that differ, sorted.
    ///
    /// One that is missing on a side counts as nothing held there.
    public static func differences(
        ours: [MarketID: Int64], venues: [MarketID: Int64]
    ) -> [PositionDifference] {
        Set(ours.keys).union(venues.keys).sorted().compactMap { market in
            let (mine, theirs) = (ours[market] ?? 0, venues[market] ?? 0)
            return mine == theirs ? nil : PositionDifference(market: market, ours: mine, venues: theirs)
        }
    }
}
