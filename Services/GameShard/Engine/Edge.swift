import Domain

/// What a bet is worth after fees, and the best one of a game (CHECKLIST R75).
public struct Edge: Hashable, Sendable {
    public let market: Market
    public let outcome: Outcome
    /// The model's chance of that outcome.
    public let probability: Probability
    /// The ask, and what rests there.
    public let ask: BookLevel
    /// In 1/100 of a percentage point of a dollar, net of the fee, rounded down.
    public let basisPoints: Int

    /// The team that the bet is on: YES on one team is NO on the other.
    public var backed: HomeAway { outcome == .yes ? market.team : market.team.opposite }

    public var kind: SignalKind { outcome == .yes ? .modelEdgeYes : .modelEdgeNo }

    /// Of buying `outcome` at the best ask; nil when nobody sells it.
    ///
    /// The venue rounds its fee once per order, so the fee of one contract is that of `reference` divided by it.
    static func buying(
        _ outcome: Outcome, of market: Market, in book: OrderBook, home: Probability, reference: Quantity
    ) -> Edge? {
        guard let ask = book.bestAsk(outcome) else { return nil }
        let team = outcome == .yes ? market.team : market.team.opposite
        let probability = team == .home ? home : home.complement
        let fee = FeeSchedule.taker(at: market.venue).fee(reference, at: ask.price)
        let value = Int64((probability.value * 1_000_000).rounded())
        let cost = ask.price.tenThousandths * 100
        let net = value - cost - (fee.microdollars * 100 + reference.hundredths - 1) / reference.hundredths
        return Edge(
            market: market, outcome: outcome, probability: probability, ask: ask,
            basisPoints: Int(net >= 0 ? net / 100 : -((-net + 99) / 100)))
    }
}
