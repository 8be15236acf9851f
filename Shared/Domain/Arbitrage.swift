/// One side of an arbitrage: an outcome that can be bought now.
public struct ArbitrageLeg: Hashable, Sendable, Codable {
    public let market: MarketID
    public let venue: Venue
    public let outcome: Outcome
    /// The team whose win pays this leg.
    public let backs: HomeAway
    /// The most to pay: the ask that was seen.
    public let price: Price
    /// What rests at that price or better.
    public let available: Quantity

    /// - Throws: `outOfRange` for a price that is not tradable or nothing to buy.
    public init(
        market: MarketID, venue: Venue, outcome: Outcome, backs: HomeAway, price: Price, available: Quantity
    ) throws(DomainError) {
        guard price.isTradable else {
            throw DomainError(
                .outOfRange, field: "leg.price", value: "\(price)", expected: "strictly between 0 and 1 dollar")
        }
        guard !available.isZero else {
            throw DomainError(.outOfRange, field: "leg.available", value: "0", expected: "more than 0")
        }
        self.market = market
        self.venue = venue
        self.outcome = outcome
        self.backs = backs
        self.price = price
        self.available = available
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try self.init(
            market: container.decode(MarketID.self, forKey: .market),
            venue: container.decode(Venue.self, forKey: .venue),
            outcome: container.decode(Outcome.self, forKey: .outcome),
            backs: container.decode(HomeAway.self, forKey: .backs),
            price: container.decode(Price.self, forKey: .price),
            available: container.decode(Quantity.self, forKey: .available))
    }

    public var fees: FeeSchedule { .taker(at: venue) }

    /// The price and the fee of so many.
    public func cost(of quantity: Quantity) -> Money { price * quantity + fees.fee(quantity, at: price) }
}

/// The advice to buy both sides of a game in equal shares, because together they cost less than the dollar they pay.
///
/// Equal shares, not equal dollars (PITFALLS 8, row 18): whoever wins, the same number of contracts pays.
public struct ArbitrageSignal: Hashable, Sendable, Codable, Identifiable {
    public let id: SignalID
    public let game: GameID
    public let sport: Sport
    public let epoch: Epoch
    public let shard: ShardID
    /// Two, one for each team, in a different market or outcome each.
    public let legs: [ArbitrageLeg]
    public let createdAt: VenueInstant
    public let expiresAt: VenueInstant

    /// - Throws: `inconsistent` when the legs do not back each team once, are the same contract, cost a dollar or more,
    ///   or, with the fees of all that can be had, more than they pay; or when the signal would expire before it was
    ///   made.
    public init(
        id: SignalID, game: GameID, sport: Sport, epoch: Epoch, shard: ShardID, legs: [ArbitrageLeg],
        createdAt: VenueInstant, expiresAt: VenueInstant
    ) throws(DomainError) {
        guard legs.count == 2, Set(legs.map(\.backs)) == [.home, .away],
            legs[0].market != legs[1].market || legs[0].outcome != legs[1].outcome
        else {
            throw DomainError(
                .inconsistent, field: "arbitrage.legs", value: "\(legs.map { "\($0.market) \($0.outcome)" })",
                expected: "two different contracts, one for each team")
        }
        let price = legs.reduce(0) { $0 + $1.price.tenThousandths }
        guard price < Price.one.tenThousandths else {
            throw DomainError(
                .inconsistent, field: "arbitrage.price", value: FixedPoint.format(price, scale: 4),
                expected: "together less than the dollar they pay")
        }
        let most = CountStep.whole.down(min(legs[0].available, legs[1].available))
        let profit = legs.reduce(Price.one * most) { $0 - $1.cost(of: most) }
        guard profit >= .zero else {
            throw DomainError(
                .inconsistent, field: "arbitrage.profit", value: "\(profit)", expected: "0 or more after both fees")
        }
        guard expiresAt > createdAt else {
            throw DomainError(
                .inconsistent, field: "arbitrage.expiresAt", value: "\(expiresAt)", expected: "later than \(createdAt)")
        }
        self.id = id
        self.game = game
        self.sport = sport
        self.epoch = epoch
        self.shard = shard
        self.legs = legs
        self.createdAt = createdAt
        self.expiresAt = expiresAt
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try self.init(
            id: container.decode(SignalID.self, forKey: .id),
            game: container.decode(GameID.self, forKey: .game),
            sport: container.decode(Sport.self, forKey: .sport),
            epoch: container.decode(Epoch.self, forKey: .epoch),
            shard: container.decode(ShardID.self, forKey: .shard),
            legs: container.decode([ArbitrageLeg].self, forKey: .legs),
            createdAt: container.decode(VenueInstant.self, forKey: .createdAt),
            expiresAt: container.decode(VenueInstant.self, forKey: .expiresAt))
    }

    public var kind: SignalKind {
        legs[0].market == legs[1].market ? .singleConditionArbitrage : .crossMarketArbitrage
    }

    /// What can be bought of both.
    public var available: Quantity { min(legs[0].available, legs[1].available) }

    /// What so many pairs earn at the legs' prices, whoever wins, after the fees of both venues and their rounding.
    public func profit(of quantity: Quantity) -> Money {
        legs.reduce(Price.one * quantity) { $0 - $1.cost(of: quantity) }
    }

    /// The profit of so many pairs for each contract of a pair, in 1/100 of a cent, rounded down.
    public func edgeBasisPoints(of quantity: Quantity) -> Int {
        guard !quantity.isZero else { return 0 }
        let (each, rest) = profit(of: quantity).microdollars.quotientAndRemainder(dividingBy: quantity.hundredths)
        return Int(each) - (rest < 0 ? 1 : 0)
    }
}

/// An arbitrage that passed every check and holds one reservation for all that it may cost.
public struct ApprovedPlan: Hashable, Sendable, Codable, Identifiable {
    public let id: IntentID
    public let signal: ArbitrageSignal
    public let reservation: ReservationID
    /// Pairs to buy.
    public let quantity: Quantity
    /// What a plan that goes wrong may lose at most; part of what is reserved.
    public let maximumLoss: Money

    /// - Throws: `outOfRange` for nothing to buy or a negative loss, `inconsistent` when it would not earn anything.
    public init(
        id: IntentID, signal: ArbitrageSignal, reservation: ReservationID, quantity: Quantity, maximumLoss: Money
    ) throws(DomainError) {
        guard !quantity.isZero else {
            throw DomainError(.outOfRange, field: "plan.quantity", value: "0", expected: "more than 0")
        }
        guard maximumLoss > .zero else {
            throw DomainError(.outOfRange, field: "plan.maximumLoss", value: "\(maximumLoss)", expected: "more than 0")
        }
        guard signal.profit(of: quantity) >= .zero else {
            throw DomainError(
                .inconsistent, field: "plan.profit", value: "\(signal.profit(of: quantity))",
                expected: "0 or more after fees")
        }
        self.id = id
        self.signal = signal
        self.reservation = reservation
        self.quantity = quantity
        self.maximumLoss = maximumLoss
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try self.init(
            id: container.decode(IntentID.self, forKey: .id),
            signal: container.decode(ArbitrageSignal.self, forKey: .signal),
            reservation: container.decode(ReservationID.self, forKey: .reservation),
            quantity: container.decode(Quantity.self, forKey: .quantity),
            maximumLoss: container.decode(Money.self, forKey: .maximumLoss))
    }

    /// The most that the plan can have spent at any moment.
    public var reserved: Money { signal.legs.reduce(maximumLoss) { $0 + $1.cost(of: quantity) } }
}
