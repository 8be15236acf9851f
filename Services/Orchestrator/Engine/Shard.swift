import Domain
import Resilience

/// What is known of one shard: only what it said, and when.
struct Shard: Sendable {
    let id: ShardID
    var kind = ShardKind.sports
    /// Nil until it was heard: PostgreSQL knows it as an owner.
    var incarnation: Incarnation?
    var startedAt: Int64 = 0
    var beat: Int64 = 0
    var status = ReportedStatus.starting
    var failedChecks: [String] = []
    var capacity = 0
    /// The games of the last heartbeat.
    var observed: [GameID: Epoch] = [:]
    var lastHeard: MachineInstant
    /// When the last grant was sent to it; a game is given away one lease after.
    var lastGrant: MachineInstant?
    /// Since when it reports something failing; nil while well.
    var unwellSince: MachineInstant?
    var isKnownDegraded = false
    var isDead = false
    /// Consecutive heartbeats that showed a game which is not this shard's.
    var zombies: [GameID: Int] = [:]
    /// Opens when it does not take up what it is given (CHECKLIST R48).
    var breaker = CircuitBreaker(failureThreshold: 3, cooldown: .seconds(30), probes: 1, successThreshold: 2)
    var resync: Resync?

    /// Resending all games after a restart.
    struct Resync: Sendable {
        let since: MachineInstant
        let games: Int
    }

    init(_ id: ShardID, at now: MachineInstant) {
        self.id = id
        lastHeard = now
    }

    /// Whether new games may go here.
    var isWell: Bool {
        !isDead && incarnation != nil && status == .healthy && unwellSince == nil
    }

    /// Whether it does its work: a failing check counts only once it has lasted.
    func isServing(at now: MachineInstant, degradedAfter: Duration) -> Bool {
        guard !isDead, incarnation != nil else { return false }
        guard status == .healthy || status == .degraded else { return false }
        return !isDegraded(at: now, after: degradedAfter)
    }

    func isDegraded(at now: MachineInstant, after hysteresis: Duration) -> Bool {
        unwellSince.map { now.since($0) >= hysteresis } ?? false
    }

    /// The first instant at which its lease cannot run any more.
    func leaseOver(lease: Duration, at now: MachineInstant) -> MachineInstant {
        lastGrant.map { max(now, $0.advanced(by: lease)) } ?? now
    }

    /// Takes a newer heartbeat's word.
    mutating func take(_ heartbeat: ShardHeartbeat, at now: MachineInstant) {
        kind = heartbeat.kind
        incarnation = heartbeat.incarnation
        startedAt = heartbeat.startedAt
        beat = heartbeat.beat
        status = heartbeat.status
        failedChecks = heartbeat.failedChecks.sorted()
        capacity = max(0, heartbeat.capacity)
        observed = heartbeat.games
        lastHeard = max(now, lastHeard)
        let isUnwell = status == .degraded || status == .unhealthy || !failedChecks.isEmpty
        unwellSince = isUnwell ? (unwellSince ?? now) : nil
    }
}

/// What is known of one service that is not a shard.
struct Service: Sendable {
    struct Name: Hashable, Comparable, Sendable {
        let service: String
        let instance: String

        static func < (left: Self, right: Self) -> Bool {
            (left.service, left.instance) < (right.service, right.instance)
        }
    }

    var incarnation: Incarnation
    var status: ReportedStatus
    var failedChecks: [String]
    var lastHeard: MachineInstant
    var isDead = false
}
