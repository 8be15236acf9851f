import Domain
import Resilience

/// Decides which shard watches which game.
///
/// It compares what is wanted (PostgreSQL, the scoreboards) with what is (heartbeats) and says what must be done: an
/// assignment is stored before its shard is told, a game is given away only when its old owner cannot emit any more,
/// and the epoch of a game only grows (DESIGN section 5).
public struct OrchestratorEngine: Sendable {
    public let policy: OrchestratorPolicy

    /// The term under which we lead; nil while standing by.
    public internal(set) var term: Int64?
    var ledSince: MachineInstant?
    /// The newest term that is over; a late answer must not begin it again.
    var endedTerm: Int64 = 0
    /// We led, and have not seen that another does: without a database nobody leads, and we are the one to say so.
    var ledLast = false
    var games: [GameID: WatchedGame] = [:]
    var shards: [ShardID: Shard] = [:]
    var services: [Service.Name: Service] = [:]
    var revokes: [ShardID: [GameID: Revoke]] = [:]
    var batches: [Int: Batch] = [:]
    /// How many games of each shard get another owner in these batches.
    var givenAway: [ShardID: Int] = [:]
    var detector: DeadlineDetector<ShardID>
    var busIsUp = true
    /// Since when our own subscriptions are live again; nil while they never failed.
    public private(set) var hearingSince: MachineInstant?
    /// Since when our own subscriptions are lost; nil while they are not.
    public private(set) var deafSince: MachineInstant?
    var tickingSince: MachineInstant?
    var failures: [Dependency: Int] = [:]
    var alerts: [String: Firing] = [:]
    /// Since when games wait although shards serve; nil while none does.
    var stuckSince: MachineInstant?
    /// Shards that an operator wants empty, whether they were ever heard or not.
    var drained: Set<ShardID> = []
    /// Shards that came while we led, since when, and are not yet given their share.
    var joined: [ShardID: MachineInstant] = [:]
    /// How many games each is still moved, once that is decided.
    var shares: [ShardID: Int] = [:]
    /// Crypto shards that may have been there before us: what wants them comes home, and nothing else moves.
    var homes: Set<ShardID> = []
    /// Who is heard first before this was there before us.
    var joinsCountFrom = MachineInstant.origin
    var resyncing: Set<ShardID> = []
    var rereads = 0
    var cycle = 0
    var commandsMade = 0
    var batchesMade = 0
    var lastTick: MachineInstant?
    var rereadAsked: MachineInstant?
    var counters = Counters()

    // Indices over `games`, kept by `place`.
    var held: [ShardID: Set<GameID>] = [:]
    var unsettled: Set<GameID> = []
    var waiting: Set<GameID> = []
    var leaving: Set<GameID> = []

    struct Firing: Sendable {
        let kind: AlertKind
        let since: MachineInstant
    }

    /// How many shards, and how many other services, are known at most: a process that makes up names must not fill our
    /// memory.
    public static let largestFleet = 10_000

    public init(policy: OrchestratorPolicy = OrchestratorPolicy()) {
        self.policy = policy
        detector = DeadlineDetector(timeout: policy.shardTimeout)
    }

    public var isLeading: Bool { term != nil }

    /// Since when what is said of the fleet can be judged: since we lead, and hear.
    var judgingSince: MachineInstant { max(ledSince ?? .origin, hearingSince ?? .origin) }

    /// Whether our own subscriptions are live, as far as we were told.
    public var hears: Bool { busIsUp }

    public mutating func handle(_ event: Event, at now: MachineInstant) -> [Effect] {
        var effects: [Effect] = []
        switch event {
        case .rehydrated(let desired, let drained, let term): rehydrate(desired, drained, term: term, at: now)
        case .leadershipLost: standDown()
        case .anotherLeads: handOverAlerts(into: &effects)
        case .heartbeat(let heartbeat): hear(heartbeat, at: now, into: &effects)
        case .serviceHeartbeat(let heartbeat): hear(heartbeat, at: now, into: &effects)
        case .acknowledged(let answer): take(answer, at: now, into: &effects)
        case .scoreboard(let shown, let venueNow): look(at: shown, venueNow, at: now, into: &effects)
        case .discovered(let game, let markets, let reason): map(game, to: markets, reason, at: now, into: &effects)
        case .committed(let batch, let pregame): settle(batch, pregame, at: now, into: &effects)
        case .commitFailed(let batch, let stored): abandon(batch, stored, at: now, into: &effects)
        case .released(let game): forget(game, at: now, into: &effects)
        case .releaseFailed(let game): games[game]?.notBefore = now.advanced(by: policy.commitRetryAfter)
        case .bus(let isUp): bus(isUp: isUp, at: now)
        case .dependency(let dependency, let isHealthy): judge(dependency, isHealthy, at: now, into: &effects)
        case .operatorOrder(let order, let request): obey(order, request, at: now, into: &effects)
        case .odd(let oddity): note(oddity, into: &effects)
        case .tick: tick(at: now, into: &effects)
        }
        return effects
    }

    /// Looks at everything that time alone may have changed.
    private mutating func tick(at now: MachineInstant, into effects: inout [Effect]) {
        if let lastTick, now.since(lastTick) > policy.heartbeatInterval {
            // We were stopped or starved: what arrived meanwhile is still unread.
            detector.excuse(until: now.advanced(by: policy.heartbeatInterval))
        }
        lastTick = now
        tickingSince = tickingSince ?? now
        for dependency in Dependency.allCases { tell(of: dependency, at: now, into: &effects) }
        judgeServices(at: now, into: &effects)
        guard isLeading else { return }
        judgeShards(at: now, into: &effects)
        advanceUnsettled(at: now, into: &effects)
        resendRevokes(at: now, into: &effects)
        placeWaiting(at: now, into: &effects)
        moveInPace(at: now, into: &effects)
        judgeFleet(at: now, into: &effects)
    }

    private mutating func bus(isUp: Bool, at now: MachineInstant) {
        busIsUp = isUp
        deafSince = isUp ? nil : deafSince ?? now
        // Who was deaf must not sentence: everybody gets the chance to be heard again.
        guard isUp else { return }
        hearingSince = now
        detector.excuse(until: now.advanced(by: policy.lease + policy.heartbeatInterval))
    }

    /// Moves a game to a placement and keeps the indices.
    mutating func place(_ id: GameID, _ placement: Placement) {
        guard var game = games[id] else { return }
        if let old = game.placement.seat { held[old.shard]?.remove(id) }
        if let new = placement.seat { held[new.shard, default: []].insert(id) }
        game.placement = placement
        games[id] = game
        if placement.isSettled { unsettled.remove(id) } else { unsettled.insert(id) }
        if placement.isWaiting { waiting.insert(id) } else { waiting.remove(id) }
        if placement.isLeaving { leaving.insert(id) } else { leaving.remove(id) }
    }

    /// Drops a game from the wanted ones.
    mutating func drop(_ id: GameID) {
        if let seat = games[id]?.placement.seat { held[seat.shard]?.remove(id) }
        games[id] = nil
        unsettled.remove(id)
        waiting.remove(id)
        leaving.remove(id)
    }

    /// Counts what nobody should say, and says so the first time.
    mutating func note(_ oddity: FleetOddity, into effects: inout [Effect]) {
        let count = (counters.oddities[oddity] ?? 0) + 1
        counters.oddities[oddity] = count
        if count == 1 { effects.append(.report(oddity)) }
    }

    mutating func nextCommandID() -> CommandID {
        commandsMade += 1
        return CommandID(stringLiteral: "t\(term ?? 0)c\(commandsMade)")
    }
}
