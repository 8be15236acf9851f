import Domain
import Resilience
import Runtime
import Servers

/// Any part of the suite, or a server that it needs, and how it fails.
public enum FleetTrouble: Hashable, Sendable {
    case shard(ShardID, FaultyFleet.Fault)
    /// One that is not a shard, by its name, killed.
    case service(String)
    /// Redis killed.
    case redis
    /// PostgreSQL stopped at once, as by a crash.
    case postgres

    /// Everything that can be made.
    public static let all: [FleetTrouble] =
        FaultyFleet.shards.flatMap { shard in FaultyFleet.Fault.allCases.map { .shard(shard, $0) } }
        + FaultyFleet.others.map { .service($0) } + [.redis, .postgres]

    public var name: String {
        switch self {
        case .shard(let shard, let fault): "\(shard) \(fault.rawValue)"
        case .service(let name): "\(name) killed"
        case .redis: "Redis killed"
        case .postgres: "PostgreSQL crashed"
        }
    }
}

extension FaultyFleet {
    /// Makes the trouble; it holds until `mend`.
    public func hurt(_ trouble: FleetTrouble) async throws {
        switch trouble {
        case .shard(let shard, let fault): try await hurt(shard, fault)
        case .service(let name): process(name)?.signalGroup(SIGKILL)
        case .redis: await redis.kill()
        case .postgres: await postgres.stop(.immediate)
        }
    }

    /// What a supervisor, a healed link or a started server does; the suite has to do the rest by itself.
    public func mend(_ trouble: FleetTrouble) async throws {
        switch trouble {
        case .shard(let shard, let fault): try await mend(shard, fault)
        case .service(let name):
            _ = await process(name)?.wait()
            try start(name)
        case .redis: try await redis.startAgain()
        case .postgres: try await postgres.startAgain()
        }
    }

    /// Every game on a shard that sees its books, and every service heard and well.
    public var isWhole: Bool {
        let now = clock.now
        let shards = watch.beats.values.filter {
            $0.heartbeat.status == .healthy && $0.at.duration(to: now) < .seconds(1)
        }
        let seen = shards.flatMap { $0.heartbeat.games.filter { $0.missingBooks == 0 }.map(\.game) }
        let services = watch.services
        return Set(seen).count == games
            && Self.others.allSatisfy { name in
                services[name].map {
                    $0.heartbeat.status == .healthy && $0.at.duration(to: now) < .milliseconds(1_500)
                } ?? false
            }
    }

    /// What became of the signals of the last half minute, for whoever wonders why none is approved.
    public func recentVerdicts() async throws -> [String: Int] {
        let rows = try await database.query(
            "SELECT verdict, count(*) AS n FROM signals WHERE received_at > now() - interval '30 s' GROUP BY 1")
        return try Dictionary(uniqueKeysWithValues: rows.map { (try $0.text("verdict"), try $0.int("n")) })
    }

    /// Signals that were approved so far; throws while PostgreSQL is away.
    public func approvals() async throws -> Int {
        try await database.first("SELECT count(*) AS n FROM signals WHERE verdict = 'approved'")?.int("n") ?? 0
    }
}

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif
