import Domain

/// How far a fill can be relied on (PITFALLS 8, row 14).
///
/// Legal transitions: `provisional -> confirmed | reversed`. Venues that settle elsewhere call a fill matched before it
/// is certain; it is booked at once, because it may be real, and taken back when it was not.
public enum FillStanding: String, Hashable, Sendable, Codable, CaseIterable {
    case provisional
    case confirmed
    case reversed

    public func permits(_ next: FillStanding) -> Bool { self == .provisional && next != .provisional }
}

/// A fill that its venue may still take back.
public struct ProvisionalFill: Hashable, Sendable {
    public let id: FillID
    public let order: OrderID
    public let market: MarketID

    public init(id: FillID, order: OrderID, market: MarketID) {
        self.id = id
        self.order = order
        self.market = market
    }
}

/// Takes fills back as if they had never been: order, position, account and what was paid out since.
///
/// The position is made again from the fills that stay, so that the cost and the profit of what was closed in between
/// are right to the unit. The reservation stays closed: what it was held for has been tried.
public struct ReversalBooking: Hashable, Sendable {
    public private(set) var order: OrderRecord
    public let position: Position
    public private(set) var account = AccountChange()
    /// Those of the market that stay, in the order in which they were booked.
    public let remaining: [Fill]
    public let reversed: [Fill]

    /// Nil when there is nothing to take back, so that a repetition changes nothing.
    ///
    /// - Parameters:
    ///   - order: whose fills they are.
    ///   - position: as it is stored.
    ///   - fills: every fill of the market that is booked and was not taken back before, in the order of booking.
    ///   - identifiers: the fills to take back; those of other orders and unknown ones are ignored.
    ///   - settledAt: what YES was worth when the market was settled; nil while it is not.
    ///   - isRefunded: whether the market was voided without a value: then what stays was paid back as well.
    public init?(
        order: OrderRecord, position: Position, fills: [Fill], reversing identifiers: Set<FillID>,
        settledAt: Price? = nil, isRefunded: Bool = false
    ) {
        let isReversed: (Fill) -> Bool = { $0.order == order.request.id && identifiers.contains($0.id) }
        reversed = fills.filter(isReversed)
        remaining = fills.filter { !isReversed($0) }
        if reversed.isEmpty { return nil }
        self.order = order
        self.position = Position.rebuilt(
            position.market, from: remaining, settledAt: settledAt, isRefunded: isRefunded)
        account.add(from: position, to: self.position)
        // Not what it had less what is gone: a row holds no more than was asked for, also of an order that was filled
        // anew before its venue told us what it took back.
        let stays = remaining.lazy.filter { $0.order == order.request.id }.reduce(Quantity.zero) { $0 + $1.quantity }
        self.order.filled = min(stays, order.request.quantity)
        self.order.reason = "fill_reversed"
        // The one way back out of an end: what was said of it was not true.
        if order.state.isTerminal {
            self.order.state =
                self.order.filled.isZero
                ? .cancelled : self.order.filled < order.request.quantity ? .partiallyFilled : order.state
        }
    }

    public var alert: ExecutionAlert {
        .reversed(order.request.id, position.market, fills: reversed.map(\.id), cash: account.cash)
    }
}
