import Domain

/// What must be done next; the shell obeys, in order.
public enum Effect: Hashable, Sendable {
    /// Store the batch in one transaction that checks the term; answer with `committed` or `commitFailed`.
    case commitAssignments(batch: Int, [AssignmentChange], term: Int64)
    case sendCommand(Command)
    /// Answer the heartbeat: the shard may go on for one lease from when it sent it.
    case grant(ShardID, Incarnation, beat: Int64, term: Int64)
    case requestMarkets(Game, request: CommandID)
    case upsertGame(Game, GameStatus, Score?)
    /// Store what discovery found for a game that has no owner yet: another leader need not ask again.
    case keepMarkets(Game, GameStatus, [Market])
    /// Store that nobody owns the game any more; answer with `released` or `releaseFailed`.
    case releaseGame(GameID, GameStatus, Score?, from: Seat?, term: Int64)
    /// A shard knows more than we do, or nobody knows whether a batch was stored: answer with `rehydrated`.
    case readDesiredState
    case raiseAlert(AlertKind, fingerprint: String, facts: [String: String])
    case recoverAlert(AlertKind, fingerprint: String, after: Duration)
    /// End the alert if it was told here, in this life or an earlier one: another leader tells it if it is still so.
    case handOverAlert(AlertKind, fingerprint: String)
    case notify(FleetChange)
    /// The first of its kind since the start; all are counted.
    case report(FleetOddity)
    case answerOperator(CommandID, OperatorAnswer)
}

/// Who watches a game, and under which epoch.
public struct Seat: Hashable, Sendable {
    public let shard: ShardID
    public let epoch: Epoch

    public init(shard: ShardID, epoch: Epoch) {
        self.shard = shard
        self.epoch = epoch
    }
}

/// Why a game gets an owner or another one (CHECKLIST R43).
public enum MoveReason: String, Hashable, Sendable, Codable, CaseIterable {
    case first
    case dead
    case degraded
    case drained
    /// Its shard did not take it up.
    case missing
    /// Its shard refused it.
    case refused
    /// PostgreSQL had it without an owner.
    case orphaned
    /// It plays again after it was put off.
    case resumed
    /// A shard joined and is given its share.
    case rebalanced
    /// An operator wanted it.
    case reassigned
}

/// A game's new owner, to be stored before anybody is told.
public struct AssignmentChange: Hashable, Sendable {
    public let game: Game
    public let status: GameStatus
    public let markets: [Market]
    public let from: ShardID?
    public let to: Seat
    public let reason: MoveReason

    public init(
        game: Game, status: GameStatus, markets: [Market], from: ShardID?, to: Seat, reason: MoveReason
    ) {
        self.game = game
        self.status = status
        self.markets = markets
        self.from = from
        self.to = to
        self.reason = reason
    }
}

/// An order to a shard; the same id when it is sent again, so the shard may take it twice.
public struct Command: Hashable, Sendable {
    public enum Order: Hashable, Sendable {
        case assign(Game, [Market], pregame: Probability?)
        case revoke(reason: String)
    }

    public let id: CommandID
    public let shard: ShardID
    public let game: GameID
    public let epoch: Epoch
    public let order: Order

    public init(id: CommandID, shard: ShardID, game: GameID, epoch: Epoch, order: Order) {
        self.id = id
        self.shard = shard
        self.game = game
        self.epoch = epoch
        self.order = order
    }

    public var isAssignment: Bool {
        if case .assign = order { true } else { false }
    }
}

/// What an operator must know; the raw values are the names that the seeds fixed (DESIGN section 6).
public enum AlertKind: String, Hashable, Sendable, Codable, CaseIterable {
    case allShardsUnhealthy = "AllShardsUnhealthy"
    case redisConnectivityIssue = "RedisConnectivityIssue"
    case databaseConnectivityIssue = "DatabaseConnectivityIssue"
    case noMarketDiscoveryServices = "NoMarketDiscoveryServices"
    case capacityExhausted = "CapacityExhausted"

    /// Whether only a leader can know it.
    public var isLeadersToTell: Bool {
        switch self {
        case .allShardsUnhealthy, .noMarketDiscoveryServices, .capacityExhausted: true
        case .redisConnectivityIssue, .databaseConnectivityIssue: false
        }
    }
}

/// A change in the fleet worth telling people.
public enum FleetChange: Hashable, Sendable {
    case shardDead(ShardID, games: [GameID])
    case shardRestarted(ShardID, from: Incarnation, to: Incarnation)
    case shardDegraded(ShardID, failedChecks: [String])
    case shardRecovered(ShardID)
    case resyncComplete(ShardID, games: Int, took: Duration)
    /// It does not take up what it is given, and gets no more for a while.
    case breakerOpened(ShardID, failures: Int)
    case breakerClosed(ShardID)
    case serviceDead(service: String, instance: String)
    case serviceRestarted(service: String, instance: String)
    case serviceRecovered(service: String, instance: String)
}

/// What nobody should say, and somebody did.
public enum FleetOddity: String, Hashable, Sendable, CaseIterable {
    /// An answer from a shard that was never heard.
    case unknownShard
    /// An answer to a command that is not waited for: late, sent twice, or never made.
    case unknownCommand
    /// A heartbeat older than the newest of its shard, or of an earlier life.
    case lateHeartbeat
    /// A shard shows a game under an epoch that PostgreSQL never had.
    case impossibleEpoch
    /// A shard shows more games than it says it can hold.
    case overfull
    /// A capacity below zero or beyond `Shard.largestCapacity`.
    case impossibleCapacity
    /// A heartbeat from where shards speak that names no shard, or says of no room.
    case namelessShard
    /// More names than any fleet has: `OrchestratorEngine.largestFleet` are known already, and this one is not heard.
    case crowd
    /// Markets for a game that is not wanted, or of another game.
    case unaskedMarkets
}
