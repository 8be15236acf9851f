import Domain
import Runtime

/// What the signal-processor allows (DOMAIN 2.2); the engine's limits are made of it.
public struct SignalProcessorSettings: Sendable {
    public let host: HostSettings
    public let order: OrderLimitSettings
    public let minimumEdgePercent: Double
    public let minimumArbitrageEdgeCents: Double
    public let kellyFraction: Double
    public let positionPercent: Double
    public let minimumStake: Money
    public let minimumProbability: Double
    public let maximumProbability: Double
    public let allowsHedging: Bool
    public let entriesPerSide: Int
    public let positionsPerGame: Int
    public let trimsToLimits: Bool
    public let dailyLoss: Money
    /// Nil is no limit.
    public let gameExposure: Money?
    public let sportExposure: Money?
    public let marketExposure: Money?
    public let totalExposure: Money?
    public let minimumArbitrageProfit: Money
    public let maximumArbitrageLoss: Money
    /// Of every size, this many percent is really traded; 100 unless orders are real.
    public let sizePercent: Int
    public let dailyLossWarnPercent: Int
    public let dailyLossInterval: Duration
    /// How old a price may be that an open position is valued at, in venue time.
    public let markAge: Duration
    public let minimumLiquidity: Money
    public let liquidityPercent: Int
    public let winCoolDown: Duration
    public let lossCoolDown: Duration
    public let signalAge: Duration
    public let clockTolerance: Duration

    public init(_ reader: SettingsReader) {
        host = HostSettings(reader)
        order = OrderLimitSettings(reader)
        minimumEdgePercent = reader.number(
            "MIN_EDGE_PCT", default: 15, in: 0...100, "Net edge that a model's signal needs, in percent.")
        minimumArbitrageEdgeCents = reader.number(
            "MIN_ARBITRAGE_EDGE_CENTS", default: 1, in: 0...100, "Net profit that arbitrage needs, in cents a contract."
        )
        kellyFraction = reader.number(
            "KELLY_FRACTION", default: 0.25, in: 0.01...1, "Share of the Kelly stake that is staked.")
        positionPercent = reader.number(
            "MAX_POSITION_PCT", default: 10, in: 0.1...100, "Most of the bankroll in one position, in percent.")
        minimumStake = reader.dollars(
            "MIN_STAKE", default: .dollars(1), in: 0.01...1_000_000, "Fewer dollars are not worth an order.")
        minimumProbability = reader.number(
            "MIN_SELL_PROB", default: 0.05, in: 0...1, "No signal on a chance below this, 0 to 1.")
        maximumProbability = reader.number(
            "MAX_BUY_PROB", default: 0.95, in: 0...1, "No signal on a chance above this, 0 to 1.")
        allowsHedging = reader.flag("ALLOW_HEDGING", default: false, "Whether both sides of a game may be bought.")
        entriesPerSide = reader.integer(
            "MAX_ENTRIES_PER_SIDE", default: 1, in: 1...1_000, "Open entries on one side of a game.")
        positionsPerGame = reader.integer(
            "MAX_POSITIONS_PER_GAME", default: 2, in: 1...1_000, "Markets of one game with a position or an order.")
        trimsToLimits = reader.flag(
            "TRIM_TO_LIMITS", default: true, "Make a stake that breaks a limit smaller; false refuses the signal.")
        dailyLoss = reader.dollars(
            "MAX_DAILY_LOSS", default: .dollars(100), in: 0.01...100_000_000, "No entries after this loss on a day.")
        gameExposure = Self.limit(
            reader, "MAX_GAME_EXPOSURE", .dollars(50), "Most dollars at risk in one game; below 0 is no limit.")
        sportExposure = Self.limit(
            reader, "MAX_SPORT_EXPOSURE", .dollars(200), "Most dollars at risk in one sport; below 0 is no limit.")
        marketExposure = Self.limit(
            reader, "MAX_POSITION_PER_MARKET", .dollars(1_000),
            "Most dollars at risk in one market; below 0 is no limit.")
        totalExposure = Self.limit(
            reader, "MAX_TOTAL_EXPOSURE", .dollars(10_000), "Most dollars at risk in all; below 0 is no limit.")
        minimumArbitrageProfit = reader.dollars(
            "MIN_PROFIT_THRESHOLD", default: .cents(5), in: 0...1_000_000,
            "Dollars that an arbitrage must earn in all, after fees.")
        maximumArbitrageLoss = reader.dollars(
            "MAX_ARBITRAGE_LOSS", default: .dollars(5), in: 0...1_000_000,
            "Dollars that an arbitrage may lose when one leg is missed; reserved with it.")
        let fraction = reader.number(
            "LIVE_SIZE_FRACTION", default: 0.1, in: 0.01...1,
            "Share of every size that is traded with real money, 0.01 to 1; paper trades all of it.")
        sizePercent = host.trading.mode == .live ? Int((fraction * 100).rounded()) : 100
        dailyLossWarnPercent = reader.integer(
            "DAILY_LOSS_WARN_PCT", default: 80, in: 1...100, "Warn at this much of MAX_DAILY_LOSS, in percent.")
        dailyLossInterval = reader.seconds(
            "DAILY_LOSS_INTERVAL_SECS", default: .seconds(5), in: .milliseconds(50)...(.seconds(60)),
            "How often the day's profit and loss is looked at; all of MAX_DAILY_LOSS engages the kill switch.")
        markAge = reader.seconds(
            "MARK_MAX_AGE_SECS", default: .seconds(120), in: .seconds(1)...(.seconds(3_600)),
            "An open position without a price younger than this stops entries, in venue time.")
        minimumLiquidity = reader.dollars(
            "LIQUIDITY_MIN_THRESHOLD", default: .dollars(10), in: 0...1_000_000,
            "Fewer dollars resting at the price are not traded.")
        liquidityPercent = reader.integer(
            "LIQUIDITY_MAX_POSITION_PCT", default: 80, in: 1...100, "Most of what rests that is taken, in percent.")
        winCoolDown = reader.seconds(
            "WIN_COOLDOWN_SECONDS", default: .seconds(180), in: .zero...(.seconds(86_400)),
            "No new entry on a side this long after a win.")
        lossCoolDown = reader.seconds(
            "LOSS_COOLDOWN_SECONDS", default: .seconds(300), in: .zero...(.seconds(86_400)),
            "No new entry on a side this long after a loss.")
        signalAge = reader.seconds(
            "SIGNAL_MAX_AGE_SECS", default: .seconds(60), in: .milliseconds(100)...(.seconds(3_600)),
            "An older signal is stale before its own expiry, in venue time.")
        clockTolerance = reader.seconds(
            "CLOCK_TOLERANCE_SECS", default: .seconds(5), in: .zero...(.seconds(600)),
            "How far a signal may be ahead of our venue time.")
        checkRelations(reader)
    }

    private func checkRelations(_ reader: SettingsReader) {
        reader.require(
            minimumProbability < maximumProbability, ["MIN_SELL_PROB", "MAX_BUY_PROB"],
            "the lower probability must be below the upper")
        if let gameExposure, let sportExposure {
            reader.require(
                gameExposure <= sportExposure, ["MAX_GAME_EXPOSURE", "MAX_SPORT_EXPOSURE"],
                "a game's limit must not be above its sport's")
        }
        if let sportExposure, let totalExposure {
            reader.require(
                sportExposure <= totalExposure, ["MAX_SPORT_EXPOSURE", "MAX_TOTAL_EXPOSURE"],
                "a sport's limit must not be above the total")
        }
        if let marketExposure, let totalExposure {
            reader.require(
                marketExposure <= totalExposure, ["MAX_POSITION_PER_MARKET", "MAX_TOTAL_EXPOSURE"],
                "a market's limit must not be above the total")
        }
        if let gameExposure {
            reader.require(
                minimumStake <= gameExposure, ["MIN_STAKE", "MAX_GAME_EXPOSURE"], "no stake would fit into a game")
        }
        reader.require(
            minimumStake <= order.orderValue, ["MIN_STAKE", "MAX_ORDER_SIZE"], "no stake would fit into an order")
    }

    private static func limit(_ reader: SettingsReader, _ key: String, _ standard: Money, _ help: String) -> Money? {
        let amount = reader.dollars(key, default: standard, in: -1...100_000_000, help)
        return amount < .zero ? nil : amount
    }
}
