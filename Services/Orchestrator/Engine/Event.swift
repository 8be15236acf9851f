import Domain

/// What happened, as far as the orchestrator can know.
public enum Event: Sendable {
    /// The desired state as PostgreSQL holds it, read under `term`: leadership was gained, or a reread was asked for.
    ///
    /// `drained` are the shards that operators want empty, heard or not; under a term that is led already our own word
    /// stands, for an order may still be on its way to PostgreSQL.
    case rehydrated([DesiredGame], drained: Set<ShardID> = [], term: Int64)
    case leadershipLost
    /// Somebody else leads: what only a leader judges is no longer ours to tell.
    case anotherLeads
    case heartbeat(ShardHeartbeat)
    case serviceHeartbeat(ServiceHeartbeat)
    case acknowledged(Acknowledgement)
    /// One look at the scoreboards: a discovery cycle. `at` is venue time.
    case scoreboard([ScoreboardGame], at: VenueInstant)
    /// The answer to a question about markets; empty when there are none (yet).
    case discovered(GameID, [Market], reason: String?)
    /// A batch is stored; `pregame` holds what earlier owners have seen of the market before the start.
    case committed(batch: Int, pregame: [GameID: Probability])
    /// A batch is not stored, or nobody knows.
    ///
    /// `stored` are the last owners that PostgreSQL has of its games, asked afterwards; nil when it did not answer, and
    /// then nothing more is stored for these games before a reread.
    case commitFailed(batch: Int, stored: [GameID: Seat]?)
    case released(GameID)
    case releaseFailed(GameID)
    /// The orchestrator's own subscriptions were lost or are live again, or missed something (lost, then live).
    case bus(isUp: Bool)
    case dependency(Dependency, isHealthy: Bool)
    /// An operator wants something; the answer repeats the request.
    case operatorOrder(OperatorOrder, request: CommandID)
    /// Something was said that cannot be told otherwise: it is only counted.
    case odd(FleetOddity)
    /// Every 100 ms.
    case tick
}

/// A game as PostgreSQL has it.
public struct DesiredGame: Hashable, Sendable {
    public let game: Game
    public let status: GameStatus
    public let markets: [Market]
    /// Nil when nobody owns it.
    public let shard: ShardID?
    /// The highest epoch ever used; nil when it never had an owner.
    public let epoch: Epoch?
    public let pregame: Probability?
    public var wants: ShardKind { ShardKind(game.sport) }

    public init(
        game: Game, status: GameStatus, markets: [Market], shard: ShardID?, epoch: Epoch?, pregame: Probability? = nil
    ) {
        self.game = game
        self.status = status
        self.markets = markets
        self.shard = shard
        self.epoch = epoch
        self.pregame = pregame
    }
}

/// What a shard can watch, and what a game wants (CHECKLIST R53).
///
/// Sports want a sports shard and nothing else. What wants a crypto shard is watched by a sports shard while no crypto
/// shard has room.
public enum ShardKind: String, Hashable, Sendable, Codable, CaseIterable {
    case sports
    case crypto

    /// What a game of the sport wants.
    public init(_ sport: Sport) { self = sport == .crypto ? .crypto : .sports }
}

/// How a process says that it is doing.
public enum ReportedStatus: String, Hashable, Sendable, Codable, CaseIterable {
    case starting
    case healthy
    case degraded
    case unhealthy
    /// It drains: take its games away at once.
    case stopping
}

/// A shard says that it is here, how it is, and what it watches.
public struct ShardHeartbeat: Hashable, Sendable {
    public let shard: ShardID
    public let kind: ShardKind
    public let incarnation: Incarnation
    /// Wall time in microseconds; tells an older incarnation from a newer one.
    public let startedAt: Int64
    /// Counts from 1 within the incarnation.
    public let beat: Int64
    public let status: ReportedStatus
    public let failedChecks: [String]
    public let games: [GameID: Epoch]
    public let capacity: Int

    public init(
        shard: ShardID, kind: ShardKind = .sports, incarnation: Incarnation, startedAt: Int64, beat: Int64,
        status: ReportedStatus, failedChecks: [String] = [], games: [GameID: Epoch], capacity: Int
    ) {
        self.shard = shard
        self.kind = kind
        self.incarnation = incarnation
        self.startedAt = startedAt
        self.beat = beat
        self.status = status
        self.failedChecks = failedChecks
        self.games = games
        self.capacity = capacity
    }
}

/// A heartbeat of a service that watches no games.
public struct ServiceHeartbeat: Hashable, Sendable {
    public let service: String
    public let instance: String
    public let incarnation: Incarnation
    public let status: ReportedStatus
    public let failedChecks: [String]

    public init(
        service: String, instance: String, incarnation: Incarnation, status: ReportedStatus, failedChecks: [String] = []
    ) {
        self.service = service
        self.instance = instance
        self.incarnation = incarnation
        self.status = status
        self.failedChecks = failedChecks
    }
}

/// A shard's answer to a command.
public struct Acknowledgement: Hashable, Sendable {
    public enum Verdict: String, Hashable, Sendable, CaseIterable {
        case accepted
        /// The shard knows a newer epoch, or this one has ended there.
        case stale
        /// It holds as many games as it may (`MAX_GAMES`).
        case atCapacity
        case draining
        /// Its markets contradict those of another game, or the shard is of the wrong kind.
        case malformed
    }

    public let command: CommandID
    public let shard: ShardID
    public let game: GameID
    public let verdict: Verdict

    public init(command: CommandID, shard: ShardID, game: GameID, verdict: Verdict) {
        self.command = command
        self.shard = shard
        self.game = game
        self.verdict = verdict
    }
}

/// A game on a scoreboard.
public struct ScoreboardGame: Hashable, Sendable {
    public let game: Game
    public let status: GameStatus
    /// Nil before the start.
    public let score: Score?
    /// What is known of its markets by whoever shows it; discovery is asked about games of sports only.
    public let markets: [Market]
    public var wants: ShardKind { ShardKind(game.sport) }

    public init(game: Game, status: GameStatus, score: Score? = nil, markets: [Market] = []) {
        self.game = game
        self.status = status
        self.score = score
        self.markets = markets
    }
}

/// What a scoreboard says of the score; a final one is what the game is remembered by.
public struct Score: Hashable, Sendable {
    public let home: Int
    public let away: Int

    public init(home: Int, away: Int) {
        self.home = home
        self.away = away
    }
}

/// What the orchestrator itself cannot work without.
public enum Dependency: String, Hashable, Sendable, Codable, CaseIterable {
    case redis
    case postgres
}
