import Domain

/// What is held or reserved in one market of a game.
public struct Holding: Hashable, Sendable {
    public let market: MarketID
    /// The team whose win pays: YES of its own market and NO of the other's are the same side.
    public let backs: HomeAway
    /// Whether it is a leg of an arbitrage that is not at its end, or that has bought pairs.
    public let isLeg: Bool

    public init(market: MarketID, backs: HomeAway, isLeg: Bool = false) {
        self.market = market
        self.backs = backs
        self.isLeg = isLeg
    }
}

/// A position of a game that was closed before its end.
public struct ClosedPosition: Hashable, Sendable {
    public let backs: HomeAway
    public let won: Bool
    public let at: VenueInstant

    public init(backs: HomeAway, won: Bool, at: VenueInstant) {
        self.backs = backs
        self.won = won
        self.at = at
    }
}

/// Everything that one decision depends on, read inside the transaction that will reserve (DESIGN rule 7).
///
/// Read before the transaction, or without its locks, it would let two signals spend the same headroom.
public struct PortfolioView: Hashable, Sendable {
    /// The account's money; open positions are paid for already.
    public var cash = Money.zero
    /// Held by reservations of every game.
    public var reserved = Money.zero
    /// What open positions have cost.
    public var openCost = Money.zero
    /// Open cost and reservations of the signal's game.
    public var gameExposure = Money.zero
    /// Open cost and reservations of the signal's sport.
    public var sportExposure = Money.zero
    /// Open cost and reservations by market, of the signal's markets.
    public var marketExposure: [MarketID: Money] = [:]
    /// Realised today, fees deducted; negative is a loss.
    public var dailyProfit = Money.zero
    /// What the open positions would add at their marks; nil when one of them has no fresh mark (`PortfolioMark`).
    public var markedProfit: Money? = .zero
    /// Open positions and held reservations of the signal's game: one entry for each.
    public var holdings: [Holding] = []
    /// Positions of the game closed within the last minute, which still count as positions.
    public var recentlyClosed = 0
    public var closed: [ClosedPosition] = []
    /// What the venue itself lets us spend; one that is not named has the account's.
    public var availableAt: [Venue: Money] = [:]
    /// The team that YES of the signal's market pays for; nil when there is no such open market.
    public var marketTeam: HomeAway?
    /// The same for each market of an arbitrage.
    public var marketTeams: [MarketID: HomeAway] = [:]
    /// Whether both markets of an arbitrage pay on the same terms: one event of one venue, or as a person has found.
    public var paySameTerms = false
    /// Whether the database's clock and ours are further apart than the bound.
    public var isClockOff = false
    public var killSwitch = KillSwitchState.unknown
    /// Of the game's assignment; nil when nobody may trade it.
    public var epoch: Epoch?

    public init() {}

    /// The bankroll that sizes are a share of: money at hand and money at work, at cost.
    public var bankroll: Money { cash + openCost }
    /// Everything that is held and reserved.
    public var totalExposure: Money { reserved + openCost }
    /// Profit and loss of the day, realised and marked; nil when it cannot be said.
    public var dayResult: Money? { markedProfit.map { dailyProfit + $0 } }
    /// What a new order may still spend.
    public var available: Money { cash - reserved }
}
