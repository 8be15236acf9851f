import Domain

/// Why a fill of an order that we do not know is not made Linesman's own.
public enum AdoptionRefusal: String, Hashable, Sendable, Codable, CaseIterable {
    case notKept = "not_kept"
    case adopted
    case accepted
    case ours
    case notForeign = "not_foreign"
    case marketUnknown = "market_unknown"
    case sideUnknown = "side_unknown"
    case orderOpen = "order_open"
    case planAtWork = "plan_at_work"
    case fillsMissing = "fills_missing"
    case contradictory
    case notTradable = "not_tradable"

    /// For people.
    public var explanation: String {
        switch self {
        case .notKept: "no fill of that name is kept as somebody else's"
        case .adopted: "it was adopted before"
        case .accepted: "it, or what is held of its market, was accepted as not Linesman's: it would count twice"
        case .ours: "its order or the fill itself is in our books already"
        case .notForeign:
            "the newest comparison does not call it foreign: the venue lists it no more, or an order of ours is open "
                + "in its market"
        case .marketUnknown: "its market is not among those that market-discovery has stored"
        case .sideUnknown: "the venue did not say which outcome was bought"
        case .orderOpen: "its order is still open at the venue: cancel it there, or let it end"
        case .planAtWork: "an arbitrage has an order under way in its market: try again when that has ended"
        case .fillsMissing: "the venue has traded more of its order than is kept of it yet: try again"
        case .contradictory: "the fills of its order are of different markets or sides"
        case .notTradable: "its price or its number of contracts is none that can be traded"
        }
    }
}

/// An order that we do not know, as its fills and the venue's lists tell of it.
public struct ForeignOrder: Hashable, Sendable {
    public let venueOrder: VenueOrderID
    /// All that are kept of it.
    public let fills: [VenueFillState]
    /// Nil when the venue lists its fills and not the order.
    public let listed: VenueOrderState?
    /// Every fill of it that the venue lists.
    public let listedFills: Set<FillID>

    public init(
        _ venueOrder: VenueOrderID, fills: [VenueFillState], listed: VenueOrderState?, listedFills: Set<FillID>
    ) {
        self.venueOrder = venueOrder
        self.fills = fills
        self.listed = listed
        self.listedFills = listedFills
    }
}

/// What an order that we do not know would be as one of ours: asked for at its worst price, and filled whole.
public struct Adoption: Hashable, Sendable {
    public enum Decision: Hashable, Sendable {
        case adopt(Adoption)
        case refuse(AdoptionRefusal)
    }

    public let venueOrder: VenueOrderID
    public let request: OrderRequest
    /// In the order in which they traded.
    public let fills: [Fill]
    /// Those of which the venue did not tell the fee.
    public let withComputedFees: Set<FillID>

    /// What was paid for it, with fees.
    public var value: Money { fills.reduce(.zero) { $0 + $1.price * $1.quantity + $1.fee } }

    /// Decides about an order as a whole, under an identifier of ours.
    ///
    /// A venue nets what is held, so it tells what was bought, selling YES being buying NO: every adopted order is a
    /// purchase, and the position's arithmetic closes what it closes. An order that is open, or of which the venue has
    /// traded more than is kept, waits: an order of ours that has ended never grows.
    public static func decide(_ order: ForeignOrder, as id: OrderID, fees schedule: FeeSchedule) -> Decision {
        let parts = order.fills.sorted { ($0.at, $0.id) < ($1.at, $1.id) }
        guard let first = parts.first else { return .refuse(.notKept) }
        guard let outcome = first.bought, parts.allSatisfy({ $0.bought != nil }) else { return .refuse(.sideUnknown) }
        guard parts.allSatisfy({ $0.bought == outcome && $0.market == first.market }) else {
            return .refuse(.contradictory)
        }
        if order.listed?.isOpen == true { return .refuse(.orderOpen) }
        let quantity = parts.reduce(Quantity.zero) { $0 + $1.quantity }
        let isWhole = order.listed.map { $0.filled == quantity } ?? true
        guard isWhole, order.listedFills.isSubset(of: parts.map(\.id)) else { return .refuse(.fillsMissing) }
        do {
            let levels = try parts.map { part throws(DomainError) in
                try BookLevel(
                    price: outcome == .yes ? part.yesPrice : part.yesPrice.complement, quantity: part.quantity)
            }
            let computed = schedule.fees(for: levels)
            let fills = try zip(parts, zip(levels, computed)).map { part, rest throws(DomainError) in
                try Fill(
                    id: part.id, order: id, market: part.market, outcome: outcome, action: .buy,
                    price: rest.0.price, quantity: part.quantity, fee: part.fee ?? rest.1, at: part.at)
            }
            let request = try OrderRequest(
                id: id, market: first.market, outcome: outcome, action: .buy,
                limit: levels.map(\.price).max() ?? levels[0].price, quantity: quantity,
                timeInForce: .immediateOrCancel)
            return .adopt(
                Adoption(
                    venueOrder: order.venueOrder, request: request, fills: fills,
                    withComputedFees: Set(parts.filter { $0.fee == nil }.map(\.id))))
        } catch {
            return .refuse(.notTradable)
        }
    }
}
