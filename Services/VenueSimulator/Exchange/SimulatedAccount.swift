import Domain

/// What the account was paid for a market.
struct SimulatedSettlement: Hashable, Sendable {
    let market: MarketID
    let yesValue: Price
    /// As it was held: positive is YES.
    let netHundredths: Int64
    let cost: Money
    let fees: Money
    let paid: Money
    let at: VenueInstant
}

/// The one account of the simulator: cash, what resting orders hold of it, and positions.
///
/// Invariant: cash changes only by what fills cost and return, their fees, settlement, and what a test plants.
struct SimulatedAccount: Sendable {
    let opening: Money
    private(set) var cash: Money
    private(set) var fees = Money.zero
    private(set) var settled = Money.zero
    private(set) var positions: [MarketID: Position] = [:]
    /// Of what was held, oldest first.
    private(set) var settlements: [SimulatedSettlement] = []

    init(opening: Money) {
        self.opening = opening
        cash = opening
    }

    func position(_ market: MarketID) -> Position { positions[market] ?? Position(market: market) }

    /// Books a fill and returns the signed position after it.
    mutating func book(_ fill: Fill) -> Int64 {
        var position = position(fill.market)
        let before = position.cost
        let realised = position.apply(fill)
        cash += realised - (position.cost - before) - fill.fee
        fees += fill.fee
        positions[fill.market] = position
        return position.netHundredths
    }

    mutating func settle(_ market: MarketID, at yesValue: Price, now: VenueInstant) {
        guard var position = positions[market] else { return }
        let (cost, net) = (position.cost, position.netHundredths)
        let paid = cost + position.settle(at: yesValue)
        cash += paid
        settled += paid
        positions[market] = position
        guard net != 0 else { return }
        settlements.append(
            SimulatedSettlement(
                market: market, yesValue: yesValue, netHundredths: net, cost: cost, fees: position.fees, paid: paid,
                at: now))
    }

    /// Makes the account differ from every client's books, as a venue's correction or another client would: contracts
    /// that were never traded, and money from nowhere.
    ///
    /// - Throws: for more contracts than a position holds, and for cash below zero.
    mutating func plant(_ hundredths: Int64, in market: MarketID, cash more: Money) throws(DomainError) {
        guard cash + more >= .zero else {
            throw DomainError(.outOfRange, field: "cash", value: "\(cash + more)", expected: "0 or more")
        }
        let old = position(market)
        let (net, overflow) = old.netHundredths.addingReportingOverflow(hundredths)
        guard !overflow else {
            throw DomainError(.outOfRange, field: "contracts", value: "\(hundredths)", expected: "a position's size")
        }
        let held = try Quantity(hundredths: Int64(clamping: net.magnitude))
        positions[market] = try Position(
            market: market, netHundredths: net, cost: min(old.cost, Price.one * held), realised: old.realised,
            fees: old.fees)
        cash += more
    }

    /// The cash that a fill of the whole order at its limit would take; closing a position takes none.
    func cashNeeded(
        _ side: BookSide, _ price: Price, _ quantity: Quantity, in market: MarketID, fees: FeeSchedule
    ) -> Money {
        let net = position(market).netHundredths
        let held = side == .bid ? max(0, -net) : max(0, net)
        let opening = quantity.subtracting((try? Quantity(hundredths: held)) ?? .zero)
        let each = side == .bid ? price : price.complement
        return opening.isZero ? .zero : each * opening + fees.fee(opening, at: price)
    }

    /// Profit or loss so far: cash against the opening balance, open contracts at the given values of YES.
    func profit(valuedAt yesValue: (MarketID) -> Price?) -> Money {
        var value = cash - opening
        for (market, position) in positions.sorted(by: { $0.key < $1.key }) where !position.isFlat {
            value += position.cost
            if let yes = yesValue(market) { value += position.unrealised(atYesValue: yes) }
        }
        return value
    }
}
