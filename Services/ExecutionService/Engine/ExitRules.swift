import Domain

/// Why a position is sold.
public enum ExitReason: String, Hashable, Sendable, Codable, CaseIterable {
    case takeProfit = "take_profit"
    case stopLoss = "stop_loss"

    public var priority: OrderPriority { self == .stopLoss ? .stopLoss : .takeProfit }
}

/// Whether a position is kept or sold.
public enum ExitDecision: Hashable, Sendable {
    /// Sell all of it that no arbitrage counts on, at no less than `limit`.
    case sell(Outcome, Quantity, limit: Price, ExitReason)
    case keep(KeepReason)

    public enum KeepReason: String, Hashable, Sendable, CaseIterable {
        case flat
        /// All of it belongs to pairs of arbitrages: whoever sells it leaves the other leg alone.
        case hedged
        /// Held too short a time: the price that it was bought at is still the news.
        case tooYoung = "too_young"
        case noBook = "no_book"
        case staleBook = "stale_book"
        case wideSpread = "wide_spread"
        /// Almost certain to win: settlement costs no fee.
        case settlement
        case withinBounds = "within_bounds"
    }
}

/// Simple exits (DOMAIN 2.6): everything in the price of the outcome that is held, so that NO is judged by NO's price
/// (PITFALLS D49).
public struct ExitRules: Hashable, Sendable {
    /// Above the average price paid, in 1/10000 dollar.
    public var takeProfit: Int64 = 300
    /// Below it, by sport.
    public var stopLoss: [Sport: Int64] = [
        .nba: 300, .ncaab: 300, .nfl: 500, .ncaaf: 500, .nhl: 700, .mlb: 600, .mls: 700, .soccer: 700, .tennis: 400,
        .mma: 800,
    ]
    /// For a sport that is not named.
    public var otherStopLoss: Int64 = 500
    public var holdAbove = Price.cents(85)
    /// In parts of ten thousand of the bid.
    public var slippage: Int64 = 50
    public var minimumHold = Duration.seconds(10)
    /// In 1/10000 dollar.
    public var widestSpread: Int64 = 5_000
    public var bookLimit = Duration.seconds(30)

    public init() {}

    /// - Parameters:
    ///   - position: what is held of the market.
    ///   - counted: what arbitrages hold of it, in 1/100 contract of YES, below zero of NO.
    ///   - sport: of the game.
    ///   - openedAt: of the first fill since it was flat.
    ///   - book: the market's, with the time of its last confirmation; nil when there is none.
    ///   - step: of the market.
    ///   - now: venue time.
    /// - Returns: what to do with all of it that no arbitrage counts on.
    public func decide(
        _ position: Position, counted: Int64 = 0, sport: Sport, openedAt: VenueInstant,
        book: (OrderBook, confirmedAt: VenueInstant)?, step: PriceStep, at now: VenueInstant
    ) -> ExitDecision {
        guard let outcome = position.outcome else { return .keep(.flat) }
        let free = position.free(of: counted)
        if free.isZero { return .keep(.hedged) }
        if openedAt.duration(to: now) < minimumHold { return .keep(.tooYoung) }
        guard let (levels, confirmedAt) = book, !levels.isCrossed, let bid = levels.bestBid(outcome)?.price else {
            return .keep(.noBook)
        }
        if confirmedAt.duration(to: now) > bookLimit { return .keep(.staleBook) }
        guard let ask = levels.bestAsk(outcome)?.price, ask.tenThousandths - bid.tenThousandths <= widestSpread else {
            return .keep(.wideSpread)
        }
        // Times the quantity on both sides, so that nothing is divided.
        let paid = position.cost.microdollars
        let worth = (bid * position.quantity).microdollars
        let each = position.quantity.hundredths
        let reason: ExitReason
        if worth - paid <= -(stopLoss[sport] ?? otherStopLoss) * each {
            reason = .stopLoss
        } else if bid > holdAbove {
            return .keep(.settlement)
        } else if worth - paid >= takeProfit * each {
            reason = .takeProfit
        } else {
            return .keep(.withinBounds)
        }
        let least = bid.tenThousandths - (bid.tenThousandths * slippage + 9_999) / 10_000
        let limit = (try? Price(tenThousandths: max(1, least))).flatMap { step.down($0) } ?? bid
        return .sell(outcome, free, limit: limit, reason)
    }
}
