import Domain

/// What is learnt about an order, from whomever: the answer to its submission, a paging, a start-up.
public enum OrderNews: Hashable, Sendable {
    /// Marked in the database; the request is about to be written.
    case sent
    /// It never left, and never will.
    case notSent(reason: String)
    /// The venue has it. `rests` when what is not filled is still in the book.
    case accepted(VenueOrderID?, fills: [Fill], reported: Quantity, rests: Bool)
    /// The venue said no, and has nothing of it.
    case refused(reason: String)
    /// The request may or may not have arrived.
    case unanswered(reason: String)
    /// Non-acceptance is proven. `retries` when the intent goes on with another attempt.
    case provenAbsent(retries: Bool)
}

extension OrderRecord {
    /// What is to be booked of an order when nobody is at work on it any more: its process has died, or lost the answer
    /// to a commit; nil when it is looked for, or has ended.
    public var newsWhenAbandoned: OrderNews? {
        switch state {
        // Marked as sent before anything is written, so it was not.
        case .stored: .notSent(reason: "interrupted")
        case .sent: .unanswered(reason: "interrupted")
        case .unknown, .resting, .filled, .partiallyFilled, .cancelled, .rejected, .expired: nil
        }
    }
}

/// Everything that one piece of news changes, worked out on copies of the rows that it touches.
///
/// The shell reads the rows under their locks, hands them in, applies the news and writes what it finds changed, all
/// in one transaction. Invariants, whatever the news and however often it is repeated: fills are booked once by their
/// identifier; the cash change is what the position's realised, cost and fees say; the reservation only shrinks, is
/// closed once, and is closed when the order has ended; a position whose market is settled never opens again: a fill
/// that arrives afterwards is booked and paid out in one step.
public struct OrderBooking: Hashable, Sendable {
    public private(set) var order: OrderRecord
    public private(set) var reservation: ReservationRecord?
    public private(set) var position: Position
    public private(set) var intent: IntentState
    public private(set) var account = AccountChange()
    /// In the order of the news; to be stored.
    public private(set) var newFills: [Fill] = []
    public private(set) var alerts: [ExecutionAlert] = []
    /// Whether other orders of the same plan go on when this one ends: then the rest of the reservation stays, until
    /// the plan has finished.
    private let isPartOfPlan: Bool
    /// What YES was worth when the market was settled; nil while it is not.
    public let settledAt: Price?
    /// Whether the market was voided: what trades is paid back as it was bought.
    public let isRefunded: Bool
    private var known: Set<FillID>

    public init(
        order: OrderRecord, reservation: ReservationRecord?, position: Position, intent: IntentState,
        knownFills: Set<FillID>, settledAt: Price? = nil, isRefunded: Bool = false,
        isPartOfPlan: Bool = false
    ) {
        precondition(position.market == order.request.market, "\(position.market) for \(order.request.market)")
        self.order = order
        self.reservation = reservation
        self.position = position
        self.intent = intent
        self.settledAt = settledAt
        self.isRefunded = isRefunded
        self.isPartOfPlan = isPartOfPlan
        known = knownFills
    }

    public mutating func apply(_ news: OrderNews) {
        switch news {
        case .sent:
            move(to: .sent)
        case .notSent(let reason):
            // `expired` is the state of an order that was stored and whose moment passed; the reason says why.
            guard order.state == .stored else { return }
            end(as: .expired, reason: reason, intent: .expired)
        case .accepted(let venueOrder, let fills, let reported, let rests):
            accept(venueOrder, fills, reported: reported, rests: rests)
        case .refused(let reason):
            guard order.state == .sent || order.state == .unknown, order.filled.isZero else { return }
            end(as: .rejected, reason: reason, intent: .refused)
        case .unanswered(let reason):
            guard order.state == .sent || order.state == .resting else { return }
            move(to: .unknown)
            order.reason = reason
            alerts.append(.orderUnknown(order.request.id, reason: reason))
        case .provenAbsent(let retries):
            guard order.state == .unknown, order.filled.isZero, order.venueOrder == nil else { return }
            if retries {
                move(to: .rejected)
                order.reason = OrderRecord.notAccepted
            } else {
                end(as: .rejected, reason: OrderRecord.notAccepted, intent: .expired)
            }
        }
    }

    private mutating func accept(_ venueOrder: VenueOrderID?, _ fills: [Fill], reported: Quantity, rests: Bool) {
        guard order.state != .stored else { return }
        let hadEnded = order.state.isTerminal
        if order.venueOrder == nil { order.venueOrder = venueOrder }
        var isNew = false
        for fill in fills where fill.order == order.request.id && known.insert(fill.id).inserted {
            book(fill)
            isNew = true
        }
        if hadEnded {
            if isNew { alerts.append(.straggler(order.request.id)) }
            return
        }
        let asked = order.request.quantity
        if order.filled < reported {
            // It is there, and we have not seen all that it did: nothing is released until the fills are.
            move(to: .unknown)
            order.reason = OrderRecord.fillsIncomplete
        } else if order.filled >= asked {
            end(as: .filled, reason: nil, intent: .done)
        } else if rests {
            move(to: .resting)
        } else {
            end(as: order.filled.isZero ? .cancelled : .partiallyFilled, reason: nil, intent: .done)
        }
    }

    private mutating func book(_ fill: Fill) {
        let before = position
        position.apply(fill)
        if let settledAt { position.settle(at: settledAt) }
        if isRefunded { position.refund(fees: fill.fee) }
        account.add(from: before, to: position)
        // What is sold again frees nothing: the reservation shrinks by what was bought, and is freed at the end.
        if fill.action == .buy { reservation?.convert(fill.price * fill.quantity + fill.fee) }
        order.filled += fill.quantity
        newFills.append(fill)
        if order.filled > order.request.quantity {
            alerts.append(
                .overfilled(order.request.id, asked: order.request.quantity, filled: order.filled))
        }
    }

    private mutating func end(as state: OrderState, reason: String?, intent next: IntentState) {
        move(to: state)
        order.reason = reason
        if isPartOfPlan { return }
        if intent.permits(next) { intent = next }
        reservation?.close()
    }

    private mutating func move(to state: OrderState) {
        if order.state.permits(state) { order.state = state }
    }
}

/// The end of a market for a position: paid out once, at any value of YES from 0 to 1.
public struct SettlementBooking: Hashable, Sendable {
    public private(set) var position: Position
    public private(set) var account = AccountChange()

    public init(_ position: Position, at yesValue: Price) {
        let cost = position.cost
        self.position = position
        let gain = self.position.settle(at: yesValue)
        account.realised = gain
        account.cash = gain + cost
    }

    /// The market is void and its venue pays back what was paid, with these fees.
    public init(refunding position: Position, fees: Money) {
        self.position = position
        self.position.refund(fees: fees)
        account.add(from: position, to: self.position)
    }
}
