/// A wish that passed every check and holds a reservation: what the execution-service works from.
public struct ApprovedIntent: Hashable, Sendable, Codable, Identifiable {
    public let id: IntentID
    public let signal: SignalID
    public let reservation: ReservationID
    public let game: GameID
    public let sport: Sport
    public let market: MarketID
    public let venue: Venue
    public let epoch: Epoch
    public let outcome: Outcome
    public let action: Action
    public let limit: Price
    public let quantity: Quantity
    /// In venue time; the database also keeps a bound in its own time.
    public let expiresAt: VenueInstant

    /// - Throws: `outOfRange` for a limit that is not tradable or nothing to trade.
    public init(
        id: IntentID, signal: SignalID, reservation: ReservationID, game: GameID, sport: Sport, market: MarketID,
        venue: Venue, epoch: Epoch, outcome: Outcome, action: Action, limit: Price, quantity: Quantity,
        expiresAt: VenueInstant
    ) throws(DomainError) {
        guard limit.isTradable else {
            throw DomainError(
                .outOfRange, field: "intent.limit", value: "\(limit)", expected: "strictly between 0 and 1 dollar")
        }
        guard !quantity.isZero else {
            throw DomainError(.outOfRange, field: "intent.quantity", value: "0", expected: "more than 0")
        }
        self.id = id
        self.signal = signal
        self.reservation = reservation
        self.game = game
        self.sport = sport
        self.market = market
        self.venue = venue
        self.epoch = epoch
        self.outcome = outcome
        self.action = action
        self.limit = limit
        self.quantity = quantity
        self.expiresAt = expiresAt
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try self.init(
            id: container.decode(IntentID.self, forKey: .id),
            signal: container.decode(SignalID.self, forKey: .signal),
            reservation: container.decode(ReservationID.self, forKey: .reservation),
            game: container.decode(GameID.self, forKey: .game),
            sport: container.decode(Sport.self, forKey: .sport),
            market: container.decode(MarketID.self, forKey: .market),
            venue: container.decode(Venue.self, forKey: .venue),
            epoch: container.decode(Epoch.self, forKey: .epoch),
            outcome: container.decode(Outcome.self, forKey: .outcome),
            action: container.decode(Action.self, forKey: .action),
            limit: container.decode(Price.self, forKey: .limit),
            quantity: container.decode(Quantity.self, forKey: .quantity),
            expiresAt: container.decode(VenueInstant.self, forKey: .expiresAt))
    }
}

/// How long an order may rest.
public enum TimeInForce: String, Hashable, Sendable, Codable, CaseIterable {
    case immediateOrCancel = "immediate_or_cancel"
    case fillOrKill = "fill_or_kill"
    case goodTillCancelled = "good_till_canceled"
}

/// What is sent to a venue.
public struct OrderRequest: Hashable, Sendable {
    public let id: OrderID
    public let market: MarketID
    public let outcome: Outcome
    public let action: Action
    public let limit: Price
    public let quantity: Quantity
    public let timeInForce: TimeInForce

    public init(
        id: OrderID, market: MarketID, outcome: Outcome, action: Action, limit: Price, quantity: Quantity,
        timeInForce: TimeInForce
    ) throws(DomainError) {
        guard limit.isTradable else {
            throw DomainError(
                .outOfRange, field: "order.limit", value: "\(limit)", expected: "strictly between 0 and 1 dollar")
        }
        guard !quantity.isZero else {
            throw DomainError(.outOfRange, field: "order.quantity", value: "0", expected: "more than 0")
        }
        self.id = id
        self.market = market
        self.outcome = outcome
        self.action = action
        self.limit = limit
        self.quantity = quantity
        self.timeInForce = timeInForce
    }
}

/// Where an order stands.
///
/// Legal transitions: `stored -> sent | expired`; `sent -> resting | filled | partiallyFilled | cancelled | rejected |
/// unknown`; `resting -> filled | partiallyFilled | cancelled | expired | unknown`; `unknown -> ` any of what `sent`
/// may become, after proof. `partiallyFilled` is the end of an immediate order whose rest was cancelled; together with
/// `filled`, `cancelled`, `rejected` and `expired` it is terminal.
public enum OrderState: String, Hashable, Sendable, Codable, CaseIterable {
    case stored
    case sent
    case unknown
    case resting
    case filled
    case partiallyFilled = "partially_filled"
    case cancelled
    case rejected
    case expired

    public var isTerminal: Bool {
        switch self {
        case .filled, .partiallyFilled, .cancelled, .rejected, .expired: true
        case .stored, .sent, .unknown, .resting: false
        }
    }

    public func permits(_ next: OrderState) -> Bool {
        switch self {
        case .stored: next == .sent || next == .expired || next == .unknown
        case .sent, .unknown: next != .stored && next != .sent && next != self
        case .resting:
            next == .filled || next == .partiallyFilled || next == .cancelled || next == .expired
                || next == .unknown
        case .filled, .partiallyFilled, .cancelled, .rejected, .expired: false
        }
    }
}

/// A part of an order that traded.
public struct Fill: Hashable, Sendable, Codable, Identifiable {
    public let id: FillID
    public let order: OrderID
    public let market: MarketID
    public let outcome: Outcome
    public let action: Action
    /// Of `outcome`, not of YES.
    public let price: Price
    public let quantity: Quantity
    public let fee: Money
    public let at: VenueInstant

    /// - Throws: `outOfRange` for an empty fill, a price that is not tradable, or a negative fee.
    public init(
        id: FillID, order: OrderID, market: MarketID, outcome: Outcome, action: Action, price: Price,
        quantity: Quantity, fee: Money, at: VenueInstant
    ) throws(DomainError) {
        guard price.isTradable else {
            throw DomainError(
                .outOfRange, field: "fill.price", value: "\(price)", expected: "strictly between 0 and 1 dollar")
        }
        guard !quantity.isZero else {
            throw DomainError(.outOfRange, field: "fill.quantity", value: "0", expected: "more than 0")
        }
        guard fee >= .zero else {
            throw DomainError(.outOfRange, field: "fill.fee", value: "\(fee)", expected: "0 or more")
        }
        self.id = id
        self.order = order
        self.market = market
        self.outcome = outcome
        self.action = action
        self.price = price
        self.quantity = quantity
        self.fee = fee
        self.at = at
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try self.init(
            id: container.decode(FillID.self, forKey: .id),
            order: container.decode(OrderID.self, forKey: .order),
            market: container.decode(MarketID.self, forKey: .market),
            outcome: container.decode(Outcome.self, forKey: .outcome),
            action: container.decode(Action.self, forKey: .action),
            price: container.decode(Price.self, forKey: .price),
            quantity: container.decode(Quantity.self, forKey: .quantity),
            fee: container.decode(Money.self, forKey: .fee),
            at: container.decode(VenueInstant.self, forKey: .at))
    }
}
