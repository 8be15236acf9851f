import BusTestKit
import Domain
import Foundation
import NIOConcurrencyHelpers
import Postgres
import PostgresTestKit
import Redis
import Resilience
import Runtime
import Servers
import TestKit
import Wire

/// The whole suite as real processes, made to be hurt: a venue with many games, two shards that reach Redis through a
/// proxy each, and a Slack of its own.
public final class FaultyFleet: Sendable {
    /// What kind of trouble a shard gets into.
    public enum Fault: String, CaseIterable, Sendable {
        /// SIGKILL.
        case killed
        /// SIGSTOP: its connections stay open.
        case stopped
        /// Nothing passes between it and Redis, and nothing is closed; PostgreSQL and the venue it still reaches.
        case cutOff = "cut_off"
    }

    public static let shards: [ShardID] = ["shard-01", "shard-02"]
    static let others = ["orchestrator", "market-discovery", "signal-processor", "execution-service"]

    public let redis: PrivateRedis
    public let postgres: PrivatePostgres
    public let database: PostgresPool
    public let watch: FleetWatch
    public let sink: SlackSink
    public let station: BusStation
    public let games: Int
    public let clock = MachineClock.real
    let folder: TemporaryDirectory
    private let executables: String
    private let proxies: [ShardID: FaultProxy]
    private let environment: [String: String]
    private let processes: NIOLockedValueBox<[String: ChildProcess]>

    /// The synced file that alerts are written to first.
    public var alertFile: String { "\(folder.path)/alerts.log" }

    /// Starts everything, waits until every game is watched and seen, runs `body`, and takes everything down.
    ///
    /// `executables` is the folder of the suite's programs. Each shard may hold all of the `games`. `more` are settings
    /// beside those of a rehearsal; the logs stay if they are to be kept.
    public static func run<R: Sendable>(
        executables: String, games: Int = 20, _ more: [String: String] = [:], isKept: Bool = false,
        _ body: @escaping @Sendable (FaultyFleet) async throws -> R
    ) async throws -> R {
        let folder = try TemporaryDirectory("fleet", isKept: isKept)
        defer { if !isKept { folder.remove() } }
        async let startingRedis = PrivateRedis.start(in: folder.path, appendOnly: true)
        async let startingPostgres = PrivatePostgres.start(in: folder.path, databases: ["linesman"])
        let (redis, postgres) = (try await startingRedis, try await startingPostgres)
        let sink = try await SlackSink.start()
        let watch = FleetWatch()
        let pool = try makePool(postgres.url(database: "linesman"), application: "rehearsal")
        let result: Result<R, any Error>
        do {
            result = .success(
                try await BusStation.run(settings(redis.url), source: "rehearsal/1") { station in
                    let fleet = try await FaultyFleet(
                        folder, redis, postgres, pool, watch, sink, station, executables: executables, games: games,
                        more)
                    return try await fleet.play(body)
                })
        } catch {
            result = .failure(error)
        }
        await pool.close(grace: .seconds(1))
        await sink.stop()
        await postgres.stop(.fast)
        await redis.stop()
        return try result.get()
    }

    private func play<R: Sendable>(_ body: @escaping @Sendable (FaultyFleet) async throws -> R) async throws -> R {
        let listening = Task { try await watch.run(on: station.bus) }
        defer { listening.cancel() }
        let result: Result<R, any Error>
        do {
            for name in Self.others { try start(name) }
            for shard in Self.shards { try start(shard) }
            try await untilReady(within: .seconds(120))
            result = .success(try await body(self))
        } catch {
            result = .failure(error)
        }
        await stop()
        return try result.get()
    }

    private init(
        _ folder: TemporaryDirectory, _ redis: PrivateRedis, _ postgres: PrivatePostgres, _ database: PostgresPool,
        _ watch: FleetWatch, _ sink: SlackSink, _ station: BusStation, executables: String, games: Int,
        _ more: [String: String]
    ) async throws {
        self.folder = folder
        self.redis = redis
        self.postgres = postgres
        self.database = database
        self.watch = watch
        self.sink = sink
        self.station = station
        self.executables = executables
        self.games = games
        let venue = try await Venue.start(in: folder.path, executables: executables, games: games)
        processes = NIOLockedValueBox(["venue-simulator": venue.process])
        var proxies: [ShardID: FaultProxy] = [:]
        for shard in Self.shards { proxies[shard] = try await FaultProxy.start(to: redis.port) }
        self.proxies = proxies
        environment = Self.environment(
            folder.path, redis: redis.url, database: postgres.url(database: "linesman"), venue: venue, slack: sink.url,
            games: games, statusPort: try FreePort.find()
        ).merging(more) { $1 }
    }

    // MARK: Processes

    func start(_ name: String, _ more: [String: String] = [:], as program: String? = nil) throws {
        let child = try ChildProcess.spawn(
            "\(executables)/\(program ?? name)", environment: environment.merging(more) { $1 }, directory: folder.path,
            output: .file("\(folder.path)/\(name).log"))
        processes.withLockedValue { $0[name] = child }
    }

    /// Starts a shard, for the first time or again.
    public func start(_ shard: ShardID) throws {
        guard let proxy = proxies[shard] else { return }
        try start(
            shard.rawValue, ["SHARD_ID": shard.rawValue, "REDIS_URL": proxy.url], as: "game-shard")
    }

    public func process(_ name: String) -> ChildProcess? { processes.withLockedValue { $0[name] } }

    /// Whether nothing has ended that nobody ended.
    public var isComplete: Bool { processes.withLockedValue { $0.values.allSatisfy(\.isRunning) } }

    /// Ends everything in good order, the venue last.
    private func stop() async {
        let all = processes.withLockedValue { $0 }
        await withTaskGroup(of: Void.self) { tasks in
            for (name, child) in all where name != "venue-simulator" { tasks.addTask { await child.terminate() } }
        }
        await all["venue-simulator"]?.terminate()
    }

    // MARK: Faults

    /// Makes the fault; it holds until `mend`.
    ///
    /// - Returns: when it was made.
    @discardableResult
    public func hurt(_ shard: ShardID, _ fault: Fault) async throws -> MachineInstant {
        switch fault {
        case .killed: process(shard.rawValue)?.signalGroup(SIGKILL)
        case .stopped: process(shard.rawValue)?.signal(SIGSTOP)
        case .cutOff: try await proxies[shard]?.stall()
        }
        return clock.now
    }

    public func mend(_ shard: ShardID, _ fault: Fault) async throws {
        switch fault {
        case .killed:
            _ = await process(shard.rawValue)?.wait()
            try start(shard)
        case .stopped: process(shard.rawValue)?.signal(SIGCONT)
        case .cutOff: try await proxies[shard]?.pass()
        }
    }

    // MARK: What is true

    /// Each game on exactly one shard that sees all of its books, as even as can be.
    public var isBalanced: Bool {
        let beats = watch.beats
        let now = clock.now
        var held: Set<GameID> = []
        for shard in Self.shards {
            guard let beat = beats[shard], beat.heartbeat.status == .healthy,
                beat.at.duration(to: now) < .seconds(1),
                abs(beat.heartbeat.games.count * Self.shards.count - games) < Self.shards.count,
                beat.heartbeat.games.allSatisfy({ $0.missingBooks == 0 })
            else { return false }
            held.formUnion(beat.heartbeat.games.map(\.game))
        }
        return held.count == games
    }

    public func untilReady(within limit: Duration) async throws {
        do {
            try await eventually(within: limit, "every game is watched by one of two shards") { isBalanced }
        } catch {
            let beats = watch.beats.values.map {
                "\($0.heartbeat.instance): \($0.heartbeat.status) \($0.heartbeat.games.count) games "
                    + "failed \($0.heartbeat.checks.filter { !$0.value }.keys.sorted())"
            }
            let ended = processes.withLockedValue { $0 }
                .compactMap { name, child in child.exitStatus.map { "\(name) ended with \($0)" } }
            throw NotInTime(description: "\(error); \(beats.sorted() + ended.sorted())")
        }
    }

    /// Rows of the assignment log so far.
    public func moves() async throws -> Int {
        try await database.first("SELECT count(*) AS n FROM assignment_log")?.int("n") ?? 0
    }

    /// Games that nobody is meant to watch.
    public func unowned() async throws -> Int {
        let owned = try await database.first(
            "SELECT count(*) AS n FROM assignments WHERE state = 'assigned' AND shard IS NOT NULL")
        return games - (try owned?.int("n") ?? 0)
    }
}
