/// Why a signal did not become an intent: one counter each (CHECKLIST R78).
///
/// In the order in which they are looked at (DOMAIN 2.7): a signal is counted under the first that applies.
public enum RefusalReason: String, Hashable, Sendable, Codable, CaseIterable {
    /// Past its expiry, older than the bound, or from a future that our clocks do not allow.
    case staleSignal = "stale_signal"
    case edgeBelowMinimum = "edge_below_minimum"
    /// An arbitrage that names one leg only is a bet (PITFALLS D47).
    case missingLeg = "missing_leg"
    case probabilityOutOfBounds = "probability_out_of_bounds"
    /// The same side of the game is held or reserved already.
    case duplicateSide = "duplicate_side"
    case coolDown = "cool_down"
    case ruleBlocked = "rule_blocked"
    case noMarket = "no_market"
    /// Nothing can be ordered at the venue: it has no gateway.
    case noGateway = "no_gateway"
    /// Nobody has found that both markets of an arbitrage pay on the same terms.
    case differentTerms = "different_terms"
    /// Kelly says nothing, or less than the smallest order.
    case sizeZero = "size_zero"
    case insufficientLiquidity = "insufficient_liquidity"
    case dailyLoss = "daily_loss"
    /// An open position has no fresh mark, so the loss of the day cannot be said.
    case unmarkedPosition = "unmarked_position"
    case gameExposure = "game_exposure"
    case sportExposure = "sport_exposure"
    case marketExposure = "market_exposure"
    case totalExposure = "total_exposure"
    /// The other side of the game is held or reserved.
    case opposingPosition = "opposing_position"
    case tooManyPositions = "too_many_positions"
    case orderValue = "order_value"
    case orderContracts = "order_contracts"
    case priceOutOfBounds = "price_out_of_bounds"
    case insufficientBalance = "insufficient_balance"
    /// An arbitrage that would earn less than is worth its risk, after fees.
    case profitBelowMinimum = "profit_below_minimum"
    /// The database's clock and ours are further apart than the bound: what expires when cannot be said.
    case databaseClock = "database_clock"
    case killSwitch = "kill_switch"
    /// The game is not assigned, or to another epoch than the signal's.
    case staleEpoch = "stale_epoch"
}
