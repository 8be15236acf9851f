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
    /// Since when it reports something failing; nil once it was well for long enough.
    var unwellSince: MachineInstant?
    /// Since when nothing failed any more; nil while something does.
    var wellSince: MachineInstant?
    var isKnownDegraded = false
    var isDead = false
    /// Consecutive heartbeats that showed a game which is not this shard's.
    var zombies: [GameID: Int] = [:]
    /// Epochs beyond ours that it shows, and how many rereads had been done when it first did.
    var claims: [GameID: Int] = [:]
    /// It refused a game since its last heartbeat.
    var hasRefused = false
    /// Opens when it does not take up what it is given (CHECKLIST R48).
    var breaker: CircuitBreaker
    var resync: Resync?
    /// How fast it is given games that could also stay where they are.
    var pace: RateLimiter

    /// More games than any shard can hold; a larger capacity is not believed.
    static let largestCapacity = 100_000

    /// Giving all games again after a restart.
    struct Resync: Sendable {
        let since: MachineInstant
        /// Until then it may read them from PostgreSQL by itself.
        var due: MachineInstant
        var resent = 0
    }

    init(_ id: ShardID, at now: MachineInstant, _ policy: OrchestratorPolicy) {
        self.id = id
        lastHeard = now
        breaker = CircuitBreaker(
            failureThreshold: policy.breakerFailures, cooldown: policy.breakerCooldown, probes: 1,
            successThreshold: policy.breakerSuccesses)
        pace = RateLimiter(perSecond: Double(policy.gamesPerSecond), burst: 1)
    }

    /// Whether it could do its work for more games.
    var isWell: Bool {
        !isDead && incarnation != nil && status == .healthy && unwellSince == nil
    }

    /// Whether it does its work: what fails counts only once it has lasted, as for `isDegraded`.
    func isServing(at now: MachineInstant, degradedAfter: Duration, judgingSince: MachineInstant) -> Bool {
        guard !isDead, incarnation != nil else { return false }
        guard status != .starting, status != .stopping else { return false }
        return !isDegraded(at: now, after: degradedAfter, judgingSince: judgingSince)
    }

    /// Lastingly unwell; it stays so until it was well for a while, so that nothing flaps.
    ///
    /// What failed before `judgingSince` may be an outage for all, of which the shard says the end only with its next
    /// look: it counts from then on (decision 0059).
    func isDegraded(at now: MachineInstant, after hysteresis: Duration, judgingSince: MachineInstant) -> Bool {
        guard let unwellSince else { return false }
        return isKnownDegraded || wellSince == nil && now.since(max(unwellSince, judgingSince)) >= hysteresis
    }

    /// The first instant at which its lease cannot run any more.
    func leaseOver(lease: Duration, at now: MachineInstant) -> MachineInstant {
        lastGrant.map { max(now, $0.advanced(by: lease)) } ?? now
    }

    /// Takes a newer heartbeat's word.
    mutating func take(_ heartbeat: ShardHeartbeat, at now: MachineInstant, recoverAfter: Duration) {
        kind = heartbeat.kind
        incarnation = heartbeat.incarnation
        startedAt = heartbeat.startedAt
        beat = heartbeat.beat
        status = heartbeat.status
        failedChecks = heartbeat.failedChecks.sorted()
        capacity = min(max(0, heartbeat.capacity), Self.largestCapacity)
        observed = heartbeat.games
        lastHeard = max(now, lastHeard)
        hasRefused = false
        isDead = false
        if status == .degraded || status == .unhealthy || !failedChecks.isEmpty {
            unwellSince = unwellSince ?? now
            wellSince = nil
        } else {
            let since = wellSince ?? now
            wellSince = since
            if !isKnownDegraded || now.since(since) >= recoverAfter { unwellSince = nil }
        }
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
    /// The life before; nil until there was one.
    var former: Incarnation?
    var status: ReportedStatus
    var failedChecks: [String]
    var lastHeard: MachineInstant
    var isDead = false
}
