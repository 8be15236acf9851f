import Domain

/// An order as it is stored.
public struct OrderRecord: Hashable, Sendable {
    public let request: OrderRequest
    public let intent: IntentID
    /// The first is 1.
    public let attempt: Int
    public internal(set) var venueOrder: VenueOrderID?
    public internal(set) var state: OrderState
    public internal(set) var filled: Quantity
    public internal(set) var reason: String?

    public init(
        request: OrderRequest, intent: IntentID, attempt: Int, venueOrder: VenueOrderID? = nil,
        state: OrderState = .stored, filled: Quantity = .zero, reason: String? = nil
    ) {
        self.request = request
        self.intent = intent
        self.attempt = attempt
        self.venueOrder = venueOrder
        self.state = state
        self.filled = filled
        self.reason = reason
    }

    /// The reason of an order whose non-acceptance was proven.
    public static let notAccepted = "not_accepted"
    /// The reason of an order that the venue has, and of whose fills it has not told all.
    public static let fillsIncomplete = "fills_incomplete"

    /// Whether it is certain that nothing came or will come of it, so that another attempt may be made.
    public var isProvenAbsent: Bool { wasCalledAbsent && filled.isZero }
    /// Whether it was taken for proven, also if it has traded since.
    public var wasCalledAbsent: Bool { state == .rejected && reason == Self.notAccepted }

    /// What an operator must hear of as long as it stands so, whoever wrote it down; nil when nothing.
    public var alert: ExecutionAlert? {
        guard state == .unknown, reason != Self.fillsIncomplete else { return nil }
        return .orderUnknown(request.id, reason: reason ?? "")
    }
}

/// Exposure held before an order is sent, as it is stored.
///
/// Legal transitions: `held -> committed | released`, once. Invariant: `0 <= released <= amount`, and the whole amount
/// once closed; so what still counts is `amount − released`, whatever the state.
public struct ReservationRecord: Hashable, Sendable {
    public enum State: String, Hashable, Sendable, Codable, CaseIterable {
        case held
        /// Closed with a fill: a part or all of it has become a position.
        case committed
        /// Closed without one.
        case released
    }

    public let id: ReservationID
    public let amount: Money
    public private(set) var released: Money
    public private(set) var state: State

    public init(id: ReservationID, amount: Money, released: Money = .zero, state: State = .held) {
        precondition(.zero <= released && released <= amount, "released \(released) of \(amount)")
        self.id = id
        self.amount = amount
        self.released = released
        self.state = state
    }

    public var held: Money { amount - released }

    /// A fill turned a part into a position; never more than is left.
    mutating func convert(_ cost: Money) {
        guard state == .held else { return }
        released = min(amount, released + max(.zero, cost))
    }

    /// Frees the rest; only the first close does anything.
    public mutating func close() {
        guard state == .held else { return }
        state = released > .zero ? .committed : .released
        released = amount
    }
}

/// An intent that ends without a venue's answer: before its first order, or between two attempts.
public struct IntentClosing: Hashable, Sendable {
    public private(set) var intent: IntentState
    public private(set) var reservation: ReservationRecord?

    /// Nil when the intent has ended already, or may not end this way: then nothing is released either.
    public init?(_ intent: IntentState, _ reservation: ReservationRecord?, as end: IntentState) {
        guard end.isTerminal, intent.permits(end) else { return nil }
        self.intent = end
        self.reservation = reservation
        self.reservation?.close()
    }
}

/// What a booking changes in the account.
public struct AccountChange: Hashable, Sendable {
    public internal(set) var cash = Money.zero
    /// Before fees.
    public internal(set) var realised = Money.zero
    public internal(set) var fees = Money.zero

    public init() {}

    /// What a position's change brought or took: cash is what is realised, less what is open at cost, less fees.
    mutating func add(from before: Position, to after: Position) {
        realised += after.realised - before.realised
        fees += after.fees - before.fees
        cash += (after.realised - before.realised) - (after.cost - before.cost) - (after.fees - before.fees)
    }
}

/// What an operator must hear of.
public enum ExecutionAlert: Hashable, Sendable {
    /// The answer was lost: the order keeps its reservation until it is known.
    case orderUnknown(OrderID, reason: String)
    /// An order that had ended traded after all; its fills are booked.
    case straggler(OrderID)
    /// The venue gave more than was asked for; booked as it is.
    case overfilled(OrderID, asked: Quantity, filled: Quantity)
    /// The venue took back what it had called a trade; the books are as if it had not been.
    case reversed(OrderID, MarketID, fills: [FillID], cash: Money)
}
