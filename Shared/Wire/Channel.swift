import Domain

/// What may happen to a message on its way (DESIGN rule 3).
public enum ChannelClass: Hashable, Sendable {
    /// May be missed; the next one replaces it.
    case hint
    /// Kept in a journal of about `keeping` messages and replayed after a gap.
    case journaled(keeping: Int)
    /// Committed in PostgreSQL first, then announced through the outbox on a journal of about `keeping` messages.
    case truth(keeping: Int)

    /// How many messages the journal keeps; nil for hints.
    public var journalLength: Int? {
        switch self {
        case .hint: nil
        case .journaled(let keeping), .truth(let keeping): keeping
        }
    }
}

/// A named way from publishers to subscribers that carries one type of message.
public struct Channel<Message: WireMessage>: Hashable, Sendable, CustomStringConvertible {
    public let name: String
    public let kind: ChannelClass

    public init(_ name: String, _ kind: ChannelClass) {
        self.name = name
        self.kind = kind
    }

    public var description: String { name }
}

/// Many hint channels at once, by a glob such as `shard:*:heartbeat`.
public struct ChannelPattern<Message: WireMessage>: Hashable, Sendable, CustomStringConvertible {
    public let glob: String

    public init(_ glob: String) { self.glob = glob }

    public var description: String { glob }
}

/// Every channel of the suite, with the names that the seeds fixed (DOMAIN 1.1).
public enum Channels {
    public static func heartbeat(_ shard: ShardID) -> Channel<Heartbeat> { .init("shard:\(shard):heartbeat", .hint) }
    public static let shardHeartbeats = ChannelPattern<Heartbeat>("shard:*:heartbeat")
    /// Heartbeats of every service that is not a shard.
    public static let heartbeats = Channel<Heartbeat>("health:heartbeats", .hint)

    public static func commands(_ shard: ShardID) -> Channel<ShardCommand> {
        .init("shard:\(shard):command", .journaled(keeping: 1_000))
    }
    public static let acknowledgements = Channel<CommandAcknowledgement>(
        "shard:acknowledgements", .journaled(keeping: 10_000))
    public static func grants(_ shard: ShardID) -> Channel<LeaseGrant> { .init("shard:\(shard):grant", .hint) }

    /// Every change of a game's owner, after it was stored.
    public static let marketAssignments = Channel<MarketAssignment>(
        "orchestrator:market_assignments", .journaled(keeping: 10_000))
    public static let startupRequests = Channel<StartupStateRequest>("orchestrator:startup_state_request", .hint)
    public static func startupAnswers(_ asker: StartupStateRequest.Asker) -> Channel<StartupState> {
        .init("orchestrator:startup_state_response:\(asker.rawValue)", .hint)
    }

    public static let discoveryRequests = Channel<DiscoveryRequest>("discovery:requests", .journaled(keeping: 1_000))
    public static let discoveryResults = Channel<DiscoveryResult>("discovery:results", .journaled(keeping: 1_000))

    public static func gameState(_ game: GameID) -> Channel<GameStateUpdate> { .init("game:\(game):state", .hint) }
    public static let gameStates = ChannelPattern<GameStateUpdate>("game:*:state")
    public static func price(_ game: GameID) -> Channel<PriceUpdate> { .init("game:\(game):price", .hint) }
    public static let prices = ChannelPattern<PriceUpdate>("game:*:price")
    public static let gamesEnded = Channel<GameEnded>("games:ended", .journaled(keeping: 1_000))

    public static let signals = Channel<SignalMessage>("signals:new", .journaled(keeping: 10_000))
    public static let arbitrages = Channel<ArbitrageMessage>("arbitrage:new", .journaled(keeping: 10_000))
    public static let intents = Channel<IntentMessage>("execution:requests", .truth(keeping: 10_000))
    /// Ahead of `intents`, so that nobody waits for the relay; who misses it is told there.
    public static let intentHints = Channel<IntentHint>("execution:hints", .hint)
    public static let plans = Channel<PlanMessage>("execution:plans", .truth(keeping: 10_000))
    public static let planResults = Channel<PlanResult>("execution:plan_results", .truth(keeping: 10_000))
    public static let orders = Channel<OrderUpdate>("execution:results", .truth(keeping: 10_000))
    public static let positions = Channel<PositionUpdate>("positions:updates", .truth(keeping: 10_000))
    public static let killSwitch = Channel<KillSwitchChange>("trading:kill_switch", .truth(keeping: 100))
    public static let rules = Channel<RulesChanged>("feedback:rules", .journaled(keeping: 100))

    public static let alerts = Channel<SystemAlert>("system:alerts", .journaled(keeping: 1_000))
    public static let alertAcknowledgements = Channel<AlertAcknowledgement>("system:alerts:acknowledged", .hint)
    public static let notifications = Channel<ServiceNotification>("notifications:service_health", .hint)
}
