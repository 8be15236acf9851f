/// What we hold of one market, and what it has cost and earned: the only position arithmetic of the suite.
///
/// Everything is kept on the YES scale, as the venue nets it: buying NO at `q` is selling YES at `1 − q`, so holding
/// both outcomes is impossible and a pair that closes pays its dollar at once. Invariant: what went out and what came
/// in add up to the unit: `cash == realised − cost of what is open − fees`.
public struct Position: Hashable, Sendable, Codable {
    public let market: MarketID
    /// In 1/100 contract: positive holds YES, negative holds NO.
    public private(set) var netHundredths: Int64
    /// What the open contracts cost, in the outcome held; never negative.
    public private(set) var cost: Money
    /// Profit or loss of what was closed, before fees.
    public private(set) var realised: Money
    public private(set) var fees: Money

    public init(market: MarketID) {
        self.market = market
        netHundredths = 0
        cost = .zero
        realised = .zero
        fees = .zero
    }

    /// A position as it was stored.
    ///
    /// - Throws: `inconsistent` for a negative cost, a cost without contracts or above the dollar that each pays, or
    ///   negative fees; `outOfRange` for more contracts than a `Quantity` holds.
    public init(
        market: MarketID, netHundredths: Int64, cost: Money, realised: Money, fees: Money
    ) throws(DomainError) {
        guard cost >= .zero, netHundredths != 0 || cost == .zero, fees >= .zero else {
            throw DomainError(
                .inconsistent, field: "position.cost", value: "\(cost)", expected: "0 or more, and 0 when flat")
        }
        let held = try Quantity(hundredths: Int64(clamping: netHundredths.magnitude), field: "position.net")
        guard cost <= Price.one * held else {
            throw DomainError(
                .inconsistent, field: "position.cost", value: "\(cost)", expected: "at most \(Price.one * held)")
        }
        self.market = market
        self.netHundredths = netHundredths
        self.cost = cost
        self.realised = realised
        self.fees = fees
    }

    public var isFlat: Bool { netHundredths == 0 }
    public var outcome: Outcome? { netHundredths == 0 ? nil : (netHundredths > 0 ? .yes : .no) }
    public var quantity: Quantity { Quantity(unchecked: abs(netHundredths)) }

    /// Books a fill; returns what it realised before fees.
    @discardableResult
    public mutating func apply(_ fill: Fill) -> Money {
        precondition(fill.market == market, "fill of \(fill.market) booked onto \(market)")
        fees += fill.fee
        let takesYes = (fill.outcome == .yes) == (fill.action == .buy)
        let yesPrice = fill.outcome == .yes ? fill.price : fill.price.complement
        return trade(takesYes ? fill.quantity.hundredths : -fill.quantity.hundredths, atYesPrice: yesPrice)
    }

    /// Pays out at the settlement value of YES, anything from 0 to 1; returns what it realised.
    @discardableResult
    public mutating func settle(at yesValue: Price) -> Money {
        guard netHundredths != 0 else { return .zero }
        let value = netHundredths > 0 ? yesValue : yesValue.complement
        let gain = value * quantity - cost
        netHundredths = 0
        cost = .zero
        realised += gain
        return gain
    }

    /// The market is void: what is open is paid back as it was bought, and so are these fees.
    public mutating func refund(fees refunded: Money) {
        netHundredths = 0
        cost = .zero
        fees -= min(fees, max(.zero, refunded))
    }

    /// What closing now at these values of YES would add to what is realised.
    public func unrealised(atYesValue value: Price) -> Money {
        guard netHundredths != 0 else { return .zero }
        return (netHundredths > 0 ? value : value.complement) * quantity - cost
    }

    /// Whether an order can only make this position smaller, whatever of it fills (DESIGN rule 7: exits stay allowed).
    ///
    /// A sale of what is held, or a purchase of the other outcome, of no more than is held; a larger one would open
    /// the other side.
    public func isReduced(by outcome: Outcome, _ action: Action, _ quantity: Quantity) -> Bool {
        guard !quantity.isZero, quantity <= self.quantity else { return false }
        let takesYes = (outcome == .yes) == (action == .buy)
        return takesYes ? netHundredths < 0 : netHundredths > 0
    }

    /// How much of it no arbitrage counts on.
    ///
    /// `counted` is what arbitrages hold of the market, in 1/100 contract of YES, below zero of NO.
    public func free(of counted: Int64) -> Quantity {
        Quantity(unchecked: max(0, abs(netHundredths) - max(0, netHundredths > 0 ? counted : -counted)))
    }

    /// The position that a market's fills make, in the order in which they were booked, paid out when it was settled.
    ///
    /// For what cannot be undone in place: a fill that its venue takes back (PITFALLS 8, row 14). Of a market that was
    /// void without a value, what is open in the end is paid back with its fees, from the fill that opened it.
    public static func rebuilt(
        _ market: MarketID, from fills: [Fill], settledAt yesValue: Price? = nil, isRefunded: Bool = false
    ) -> Position {
        var (position, fees) = (Position(market: market), Money.zero)
        for fill in fills {
            let side = position.netHundredths.signum()
            position.apply(fill)
            fees = position.netHundredths.signum() == side ? fees + fill.fee : fill.fee
        }
        if let yesValue { position.settle(at: yesValue) }
        if isRefunded, !position.isFlat { position.refund(fees: fees) }
        return position
    }

    private mutating func trade(_ change: Int64, atYesPrice yesPrice: Price) -> Money {
        var gain = Money.zero
        var opening = change
        if netHundredths != 0, (netHundredths > 0) != (change > 0) {
            let held = abs(netHundredths)
            let closing = min(held, abs(change))
            let closedCost = closing == held ? cost : cost.scaled(closing, over: held)
            let price = netHundredths > 0 ? yesPrice : yesPrice.complement
            gain = price * Quantity(unchecked: closing) - closedCost
            cost -= closedCost
            realised += gain
            netHundredths += change > 0 ? closing : -closing
            opening = change > 0 ? change - closing : change + closing
        }
        if opening != 0 {
            let price = opening > 0 ? yesPrice : yesPrice.complement
            cost += price * Quantity(unchecked: abs(opening))
            netHundredths += opening
        }
        return gain
    }
}

extension Position {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try self.init(
            market: container.decode(MarketID.self, forKey: .market),
            netHundredths: container.decode(Int64.self, forKey: .netHundredths),
            cost: container.decode(Money.self, forKey: .cost),
            realised: container.decode(Money.self, forKey: .realised),
            fees: container.decode(Money.self, forKey: .fees))
    }
}
