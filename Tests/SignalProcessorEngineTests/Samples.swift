import Domain
import SignalProcessorEngine

/// 2026-04-21T00:00:00Z, in the middle of a game.
let tipOff = VenueInstant.epoch.advanced(by: .seconds(1_776_729_600))
let names = IntentNames(intent: "intent-1", reservation: "reservation-1")

func makeSignal(
    _ id: SignalID = "signal-1", game: GameID = "game-1", market: MarketID = "GAME-1-HOME",
    kind: SignalKind = .modelEdgeYes,
    outcome: Outcome = .yes, probability: Double = 0.6, cents: Int64 = 50, available: Int64 = 1_000,
    edge: Int = 1_800, sport: Sport = .nba, epoch: Epoch = .first, created: VenueInstant = tipOff,
    life: Duration = .seconds(60)
) throws -> Signal {
    try Signal(
        id: id, kind: kind, game: game, sport: sport, market: market, venue: .kalshi, epoch: epoch,
        shard: "shard-01", outcome: outcome, probability: Probability(probability), price: .cents(cents),
        available: .contracts(available), edgeBasisPoints: edge, play: nil, createdAt: created,
        expiresAt: created.advanced(by: life))
}

/// Limits wide enough that only what a test sets can refuse.
func wideLimits() -> TradingLimits {
    var limits = TradingLimits()
    limits.gameExposure = .dollars(10_000)
    limits.sportExposure = .dollars(10_000)
    limits.orderValue = .dollars(10_000)
    limits.orderContracts = 100_000
    return limits
}

/// A thousand dollars, nothing held, everything permitted.
func freshPortfolio() -> PortfolioView {
    var view = PortfolioView()
    view.cash = .dollars(1_000)
    view.marketTeam = .home
    view.killSwitch = .released
    view.epoch = .first
    return view
}
