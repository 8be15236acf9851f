import Domain
import Resilience

/// What the engine counts since its start.
struct Counters: Sendable {
    var moves: [MoveReason: Int] = [:]
    var assignsSent = 0
    var revokesSent = 0
    var missing = 0
    var zombies = 0
    var refusals = 0
    var resyncs = 0
    var released = 0
    var abandoned = 0
    var failedCommits = 0
    var questions = 0
    var movesGivenUp = 0
    var oddities: [FleetOddity: Int] = [:]
}

/// The fleet at one moment, for people and for tests.
public struct FleetSnapshot: Hashable, Sendable, Codable {
    public struct ShardRow: Hashable, Sendable, Codable {
        public let shard: String
        /// `starting`, `healthy`, `degraded`, `unhealthy`, `stopping`, `dead`, or `unheard`.
        public let status: String
        public let incarnation: String?
        public let failedChecks: [String]
        /// Assigned to it.
        public let games: Int
        /// Shown by its last heartbeat.
        public let observed: Int
        public let capacity: Int
        public let free: Int
        public let zombies: Int
        public let heardMsAgo: Int64
        public let breaker: String
        /// An operator wants it empty.
        public let isDrained: Bool
    }

    public struct GameRow: Hashable, Sendable, Codable {
        public let game: String
        public let name: String
        public let sport: String
        public let status: String
        /// `unmapped`, `waiting`, `committing`, `commanded`, `watched`, `leaving`, `releasing` or `resting`.
        public let state: String
        public let shard: String?
        public let epoch: Int64?
        public let markets: [String]
        /// What discovery said when it found none.
        public let reason: String?
    }

    public struct ServiceRow: Hashable, Sendable, Codable {
        public let service: String
        public let instance: String
        public let status: String
        public let failedChecks: [String]
        public let heardMsAgo: Int64
    }

    public struct AlertRow: Hashable, Sendable, Codable {
        public let kind: String
        public let firingMs: Int64
    }

    public let isLeading: Bool
    public let term: Int64?
    public let busIsUp: Bool
    public let shards: [ShardRow]
    public let games: [GameRow]
    /// Games that no shard has room for.
    public let waiting: [String]
    public let services: [ServiceRow]
    public let alerts: [AlertRow]
    /// `true` while the last probe succeeded.
    public let dependencies: [String: Bool]
    public let discoveryCycles: Int
    public let counters: [String: Int]
}

extension OrchestratorEngine {
    public func snapshot(at now: MachineInstant) -> FleetSnapshot {
        FleetSnapshot(
            isLeading: isLeading, term: term, busIsUp: busIsUp,
            shards: shards.values.sorted { $0.id < $1.id }.map { row(of: $0, at: now) },
            games: games.values.sorted { $0.game.id < $1.game.id }.map(row(of:)),
            waiting: waiting.map(\.rawValue).sorted(),
            services: services.sorted { $0.key < $1.key }.map { name, service in
                FleetSnapshot.ServiceRow(
                    service: name.service, instance: name.instance,
                    status: service.isDead ? "dead" : service.status.rawValue, failedChecks: service.failedChecks,
                    heardMsAgo: now.since(service.lastHeard).wholeMilliseconds)
            },
            alerts: alerts.sorted { $0.key < $1.key }.map {
                FleetSnapshot.AlertRow(
                    kind: $0.value.kind.rawValue, firingMs: now.since($0.value.since).wholeMilliseconds)
            },
            dependencies: Dictionary(uniqueKeysWithValues: failures.map { ($0.key.rawValue, $0.value == 0) }),
            discoveryCycles: cycle, counters: counters.named)
    }

    private func row(of shard: Shard, at now: MachineInstant) -> FleetSnapshot.ShardRow {
        let status =
            if shard.isDead { "dead" } else if shard.incarnation == nil { "unheard" } else { shard.status.rawValue }
        return FleetSnapshot.ShardRow(
            shard: shard.id.rawValue, status: status, incarnation: shard.incarnation?.rawValue,
            failedChecks: shard.failedChecks, games: held[shard.id]?.count ?? 0, observed: shard.observed.count,
            capacity: shard.capacity, free: free(on: shard), zombies: shard.zombies.count,
            heardMsAgo: now.since(shard.lastHeard).wholeMilliseconds, breaker: shard.breaker.state.rawValue,
            isDrained: drained.contains(shard.id))
    }

    private func row(of game: WatchedGame) -> FleetSnapshot.GameRow {
        FleetSnapshot.GameRow(
            game: game.game.id.rawValue, name: "\(game.game.away.abbreviation) at \(game.game.home.abbreviation)",
            sport: game.game.sport.rawValue, status: game.status.rawValue, state: game.placement.name,
            shard: game.placement.seat?.shard.rawValue, epoch: (game.placement.seat?.epoch ?? game.epoch)?.number,
            markets: game.markets.map(\.id.rawValue), reason: game.answer)
    }
}

extension Counters {
    var named: [String: Int] {
        var named = [
            "assigns_sent": assignsSent, "revokes_sent": revokesSent, "missing": missing, "zombies": zombies,
            "refusals": refusals, "resyncs": resyncs, "released": released, "abandoned": abandoned,
            "failed_commits": failedCommits, "questions": questions, "moves_given_up": movesGivenUp,
        ]
        for oddity in FleetOddity.allCases { named["oddities_\(oddity.rawValue)"] = oddities[oddity] ?? 0 }
        for reason in MoveReason.allCases { named["moves_\(reason.rawValue)"] = moves[reason] ?? 0 }
        return named
    }
}
