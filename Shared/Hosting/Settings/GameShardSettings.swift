import Postgres
import Resilience
import Runtime
import Venues

/// What a shard may be given: games of sports, or crypto slots.
public enum ShardTypeSetting: String, Sendable, CaseIterable {
    case sports
    case crypto
}

/// How a shard watches and when it signals (DOMAIN 2.2); the engine's rules are made of it.
public struct GameShardSettings: Sendable {
    public let host: HostSettings
    public let kalshi: KalshiSettings
    public let scoreboard: ScoreboardSettings
    public let type: ShardTypeSetting
    public let maximumGames: Int
    public let minimumEdgePercent: Double
    public let minimumArbitrageEdgeCents: Double
    public let minimumProbability: Double
    public let maximumProbability: Double
    /// Venue time, as all of these but the lease.
    public let debounce: Duration
    public let arbitrageDebounce: Duration
    public let arbitrageLife: Duration
    public let priceLimit: Duration
    public let stateLimit: Duration
    public let signalLife: Duration
    public let scoreConfirmation: Duration
    public let pollInterval: Duration
    /// Machine time, as the rest.
    public let lease: Duration
    /// Failed polls in a row of one sport, and how long it is left alone then.
    public let scoreFailures: Int
    public let scoreCooldown: Duration
    /// Where rows wait that are not needed to trade.
    public let journal: JournalSettings

    public init(_ reader: SettingsReader) {
        host = HostSettings(reader, instanceKey: "SHARD_ID", instanceDefault: "shard-01")
        kalshi = KalshiSettings(reader)
        scoreboard = ScoreboardSettings(reader)
        type = reader.choice(
            "SHARD_TYPE", default: ShardTypeSetting.sports, "What this shard may be given: games or crypto slots.")
        maximumGames = reader.integer("MAX_GAMES", default: 20, in: 1...10_000, "Most games on one shard.")
        minimumEdgePercent = reader.number(
            "MIN_EDGE_PCT", default: 15, in: 0...100, "Net edge that a model's signal needs, in percent.")
        minimumArbitrageEdgeCents = reader.number(
            "MIN_ARBITRAGE_EDGE_CENTS", default: 1, in: 0...100, "Net profit that arbitrage needs, in cents a contract."
        )
        minimumProbability = reader.number(
            "MIN_SELL_PROB", default: 0.05, in: 0...1, "No signal on a chance below this, 0 to 1.")
        maximumProbability = reader.number(
            "MAX_BUY_PROB", default: 0.95, in: 0...1, "No signal on a chance above this, 0 to 1.")
        debounce = reader.seconds(
            "SIGNAL_DEBOUNCE_SECS", default: .seconds(30), in: .zero...(.seconds(86_400)),
            "Between two signals for the same team and direction, in venue time.")
        arbitrageDebounce = reader.seconds(
            "ARBITRAGE_DEBOUNCE_SECS", default: .seconds(5), in: .zero...(.seconds(86_400)),
            "Between two arbitrages of the same game, in venue time.")
        arbitrageLife = reader.seconds(
            "ARBITRAGE_LIFE_SECS", default: .seconds(10), in: .milliseconds(100)...(.seconds(3_600)),
            "How long an arbitrage may be entered, in venue time.")
        priceLimit = reader.seconds(
            "PRICE_STALENESS_TTL", default: .seconds(30), in: .milliseconds(100)...(.seconds(3_600)),
            "A book that was not confirmed for longer is not traded on, in venue time.")
        stateLimit = reader.seconds(
            "GAME_STATE_STALENESS_TTL", default: .seconds(30), in: .milliseconds(100)...(.seconds(3_600)),
            "A score that the feed gave longer ago is not traded on, in venue time.")
        signalLife = reader.seconds(
            "SIGNAL_LIFE_SECS", default: .seconds(60), in: .milliseconds(100)...(.seconds(3_600)),
            "How long a signal may be acted on, in venue time.")
        scoreConfirmation = reader.seconds(
            "SCORE_CONFIRMATION_SECS", default: .seconds(5), in: .zero...(.seconds(600)),
            "How long a score that ran backwards or jumped must stand, in venue time.")
        pollInterval = reader.seconds(
            "POLL_INTERVAL", default: .milliseconds(500), in: .milliseconds(100)...(.seconds(60)),
            "Between two polls of a sport's scores, in venue time.")
        lease = reader.milliseconds(
            "SHARD_LEASE_MS", default: .seconds(2), in: .milliseconds(100)...(.seconds(600)),
            "How long a shard may go on after the heartbeat that was granted last.")
        scoreFailures = reader.integer(
            "ESPN_CB_FAILURE_THRESHOLD", default: 5, in: 1...1_000, "Failed polls in a row that open the breaker.")
        scoreCooldown = reader.seconds(
            "ESPN_CB_RECOVERY_TIMEOUT_SECS", default: .seconds(30), in: .milliseconds(10)...(.seconds(3_600)),
            "How long the breaker of the score feed stays open.")
        journal = JournalSettings(reader)
        checkRelations(reader)
    }

    private func checkRelations(_ reader: SettingsReader) {
        reader.require(
            minimumProbability < maximumProbability, ["MIN_SELL_PROB", "MAX_BUY_PROB"],
            "the lower probability must be below the upper")
        reader.require(
            host.heartbeatInterval < lease, ["HEARTBEAT_INTERVAL_SECS", "SHARD_LEASE_MS"],
            "a lease must outlast the heartbeat that renews it")
    }
}
