import Domain
import Resilience

/// Finds two sides of one game that together cost less than the dollar they pay (CHECKLIST R76, H10, H23).
///
/// Fails closed: a side whose books are missing, stale, one-sided or crossed for a moment has no price. Equal shares,
/// the fees of both venues, and only markets that pay on the same terms. Both outcomes of one market are a pair like
/// any other (`single_condition_arb`); where a venue keeps one book for both, as Kalshi does and Polymarket by
/// mirroring, a pair that earns is a crossed book, and a crossed book has no price.
enum ArbitrageScan {
    /// The two legs that earn the most, or why there are none.
    static func legs(
        of books: [(market: Market, book: OrderBook)], rules: ShardRules
    ) -> Result<[ArbitrageLeg], NoSignal> {
        let sides = books.flatMap { market, book in Outcome.allCases.compactMap { leg($0, of: market, in: book) } }
        var best: (legs: [ArbitrageLeg], basisPoints: Int)?
        var areUnmatched = false
        for home in sides where home.leg.backs == .home {
            for away in sides where away.leg.backs == .away {
                let points = basisPoints([home.leg, away.leg], upTo: rules.referenceQuantity)
                guard points >= rules.minimumArbitrageBasisPoints else { continue }
                guard paySameTerms(home.market, away.market, rules) else {
                    areUnmatched = true
                    continue
                }
                if points > best?.basisPoints ?? .min { best = ([home.leg, away.leg], points) }
            }
        }
        if let best { return .success(best.legs) }
        return .failure(areUnmatched ? .unmatchedTerms : .noArbitrage)
    }

    private static func leg(
        _ outcome: Outcome, of market: Market, in book: OrderBook
    ) -> (leg: ArbitrageLeg, market: Market)? {
        guard let ask = book.bestAsk(outcome) else { return nil }
        let leg = try? ArbitrageLeg(  // refused only for an empty level, which a book never has
            market: market.id, venue: market.venue, outcome: outcome,
            backs: outcome == .yes ? market.team : market.team.opposite, price: ask.price, available: ask.quantity)
        return leg.map { ($0, market) }
    }

    /// What a pair earns after fees, of as many as can be had, in 1/100 of a cent, rounded down.
    private static func basisPoints(_ legs: [ArbitrageLeg], upTo most: Quantity) -> Int {
        let quantity = CountStep.whole.down(min(legs[0].available, legs[1].available, most))
        guard !quantity.isZero else { return .min }
        let profit = legs.reduce(Price.one * quantity) { $0 - $1.cost(of: quantity) }.microdollars
        return Int((profit - (profit < 0 ? quantity.hundredths - 1 : 0)) / quantity.hundredths)
    }

    /// One venue asks one question about a game under one event; across venues only what was compared counts.
    private static func paySameTerms(_ left: Market, _ right: Market, _ rules: ShardRules) -> Bool {
        if left.venue == right.venue { return left.eventTicker == right.eventTicker }
        return rules.sameTerms.contains(MarketPair(left.id, right.id))
    }
}

extension WatchedGame {
    /// The legs that may be advised now, or why there are none.
    func arbitrage(at now: VenueInstant, rules: ShardRules) -> Result<[ArbitrageLeg], NoSignal> {
        if let reason = closedGate(at: now, rules: rules) { return .failure(reason) }
        let (tradable, refusal) = tradableBooks(at: now)
        if tradable.isEmpty { return .failure(refusal ?? .noBook) }
        let found = ArbitrageScan.legs(of: tradable, rules: rules)
        if case .success = found, let last = arbitrageSignalledAt, last.duration(to: now) < rules.arbitrageDebounce {
            return .failure(.debounced)
        }
        return found
    }
}
