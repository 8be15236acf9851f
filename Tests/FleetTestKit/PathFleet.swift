import Domain
import Foundation
import NIOConcurrencyHelpers
import Postgres
import PostgresTestKit
import Recording
import Redis
import Resilience
import Runtime
import Servers
import TestKit

/// The suite as real processes on durable servers, with a venue whose markets never rest: for measuring how long it
/// takes from a price to the order that answers it.
public final class PathFleet: Sendable {
    /// A process that nobody ended has ended.
    public struct ProcessEnded: Error, CustomStringConvertible {
        public let description: String
    }

    /// What the venue plays.
    public struct Load: Sendable {
        /// Games, each with two markets.
        public var games = BusyGame.games
        /// How far each is behind the one before.
        public var apart = BusyGame.apart
        /// Of one game; one a second is worth an order.
        public var changesPerSecond = BusyGame.changesPerSecond

        public init() {}

        /// So many games, spread over the second in which each has its order.
        public init(games: Int, changesPerSecond: Int) {
            self.games = games
            self.changesPerSecond = changesPerSecond
            apart = .milliseconds(1_000 / games + 1)
        }
    }

    private static let services = [
        "orchestrator", "market-discovery", "game-shard", "signal-processor", "execution-service",
    ]
    /// As in docker-compose (DESIGN section 7).
    private static let connections = [
        "orchestrator": 5, "market-discovery": 3, "game-shard": 1, "signal-processor": 10, "execution-service": 10,
    ]

    public let redis: PrivateRedis
    public let postgres: PrivatePostgres
    public let database: PostgresPool
    public let clock = MachineClock.real
    let venue: Venue
    private let folder: TemporaryDirectory
    private let executables: String
    private let load: Load
    private let environment: [String: String]
    private let processes: NIOLockedValueBox<[String: ChildProcess]>

    /// Where the logs are.
    public var path: String { folder.path }

    /// Starts everything, waits until orders reach the venue, runs `body`, and takes everything down, also when the
    /// task is cancelled.
    ///
    /// `executables` is the folder of the suite's programs; the venue plays `load` for `length` from its start. `more`
    /// are settings beside those of a measurement; the logs stay if they are to be kept.
    public static func run<R: Sendable>(
        executables: String, lasting length: Duration, _ load: Load = Load(), _ more: [String: String] = [:],
        isKept: Bool = false,
        _ body: @escaping @Sendable (PathFleet) async throws -> R
    ) async throws -> R {
        let folder = try TemporaryDirectory("path", isKept: isKept)
        defer { if !isKept { folder.remove() } }
        let redis = try await PrivateRedis.start(in: folder.path, appendOnly: true)
        let result: Result<R, any Error>
        do {
            // As production commits: every commit waits for the disk.
            let postgres = try await PrivatePostgres.start(
                in: folder.path, fsync: true, databases: ["linesman", "bare"],
                settings: ["track_commit_timestamp": "on"])
            result = await run(folder, redis, postgres, executables, length, load, more, body)
            await uncancelled { await postgres.stop(.fast) }
        } catch {
            result = .failure(error)
        }
        await uncancelled { await redis.stop() }
        return try result.get()
    }

    private static func run<R: Sendable>(
        _ folder: TemporaryDirectory, _ redis: PrivateRedis, _ postgres: PrivatePostgres, _ executables: String,
        _ length: Duration, _ load: Load, _ more: [String: String],
        _ body: @escaping @Sendable (PathFleet) async throws -> R
    ) async -> Result<R, any Error> {
        do {
            let pool = try makePool(postgres.url(database: "linesman"), application: "measurement")
            let fleet = try await PathFleet(folder, redis, postgres, pool, executables, length, load, more)
            let result: Result<R, any Error>
            do {
                for name in services { try fleet.start(name) }
                try await fleet.untilOrdersFlow()
                result = .success(try await body(fleet))
            } catch {
                result = .failure(error)
            }
            await uncancelled {
                await fleet.stop()
                await pool.close(grace: .seconds(1))
            }
            return result
        } catch {
            return .failure(error)
        }
    }

    /// Runs it to its end, whoever wants to stop.
    private static func uncancelled(_ body: @escaping @Sendable () async -> Void) async {
        await Task(operation: body).value
    }

    private init(
        _ folder: TemporaryDirectory, _ redis: PrivateRedis, _ postgres: PrivatePostgres, _ database: PostgresPool,
        _ executables: String, _ length: Duration, _ load: Load, _ more: [String: String]
    ) async throws {
        self.folder = folder
        self.redis = redis
        self.postgres = postgres
        self.database = database
        self.executables = executables
        self.load = load
        venue = try await Venue.start(
            in: folder.path, executables: executables,
            [
                "SIMULATOR_GAMES": "\(load.games)",
                "SIMULATOR_GAMES_APART_MS": "\(load.apart.wholeMilliseconds)",
            ]
        ) { try BusyGame.recording(from: $0, lasting: length, changesPerSecond: load.changesPerSecond) }
        processes = NIOLockedValueBox(["venue-simulator": venue.process])
        environment = Self.environment(
            folder.path, redis: redis.url, database: postgres.url(database: "linesman"), venue: venue,
            statusPort: try FreePort.find(), games: load.games
        ).merging(more) { $1 }
    }

    /// The defaults, but for addresses and for limits that 20 orders a second would run into.
    ///
    /// A game signals when a bargain begins and not again while it lasts; stakes are small, so that exposure in all
    /// stays below its bound.
    private static func environment(
        _ folder: String, redis: String, database: String, venue: Venue, statusPort: Int, games: Int
    ) -> [String: String] {
        var environment = FaultyFleet.reconnection.merging([
            "TMPDIR": folder, "DB_JOURNAL_PATH": "\(folder)/journal", "REDIS_URL": redis, "DATABASE_URL": database,
            "SPORTS": "nba", "STATUS_PORT": "\(statusPort)", "DB_POOL_MIN_CONNECTIONS": "1",
            "KALSHI_BASE_URL": venue.rest, "PAPER_VENUE_URL": venue.rest, "KALSHI_WS_URL": venue.webSocket,
            "ESPN_BASE_URL": venue.scores, "ALERT_LOG_PATH": "\(folder)/alerts.log",
            "KILL_SWITCH_FILE": "\(folder)/kill-switch", "MAX_GAMES": "\(games)",
            "DISCOVERY_INTERVAL_SECS": "2", "SIGNAL_DEBOUNCE_SECS": "0.5", "MAX_ENTRIES_PER_SIDE": "1000",
            "MAX_GAME_EXPOSURE": "-1", "MAX_SPORT_EXPOSURE": "-1", "MAX_DAILY_LOSS": "100000000",
            "INITIAL_BANKROLL": "10000000", "MAX_ORDER_SIZE": "2", "MAX_ORDERS_PER_MINUTE": "100000",
            "MAX_ORDERS_PER_HOUR": "1000000", "MAX_ORDERS_PER_DAY": "10000000",
        ]) { $1 }
        for key in ["PATH", "HOME", "LD_LIBRARY_PATH"] { environment[key] = ProcessInfo.processInfo.environment[key] }
        return environment
    }

    // MARK: Processes

    private func start(_ name: String) throws {
        var environment = environment
        environment["DB_POOL_MAX_CONNECTIONS"] = Self.connections[name].map { "\($0)" }
        let child = try ChildProcess.spawn(
            "\(executables)/\(name)", environment: environment, directory: folder.path,
            output: .file("\(folder.path)/\(name).log"))
        processes.withLockedValue { $0[name] = child }
    }

    /// Ends everything in good order, the venue last.
    private func stop() async {
        let all = processes.withLockedValue { $0 }
        await withTaskGroup(of: Void.self) { tasks in
            for (name, child) in all where name != "venue-simulator" { tasks.addTask { await child.terminate() } }
        }
        await all["venue-simulator"]?.terminate()
    }

    /// Every program of the suite and of its servers by its name; those of PostgreSQL are children of its first.
    public var processIDs: [String: Int32] {
        processes.withLockedValue { $0 }.mapValues(\.processID)
            .merging(["redis-server": redis.processID, "postgres": postgres.processID]) { $1 }
    }

    /// Looks whether everything still runs.
    ///
    /// - Throws: `ProcessEnded` with the name, the status and the last words of what does not.
    public func check() throws {
        guard redis.isRunning else { throw ProcessEnded(description: "redis-server has ended") }
        guard postgres.isRunning else { throw ProcessEnded(description: "postgres has ended") }
        for (name, child) in processes.withLockedValue({ $0 }).sorted(by: { $0.key < $1.key }) {
            guard let status = child.exitStatus else { continue }
            // The log is a hint only; the error stands without it.
            let log = (try? String(contentsOfFile: "\(folder.path)/\(name).log", encoding: .utf8)) ?? ""
            throw ProcessEnded(description: "\(name) has ended with \(status): \(log.suffix(500))")
        }
    }

    /// Waits, and throws as soon as something has ended.
    public func stay(_ length: Duration) async throws {
        let end = clock.now.advanced(by: length)
        while clock.now < end {
            try check()
            try await clock.sleep(for: min(.milliseconds(200), clock.now.duration(to: end)))
        }
    }

    private func untilOrdersFlow() async throws {
        let end = clock.now.advanced(by: .seconds(120))
        while true {
            // The table is there once the first service has brought the schema up to date.
            let count = try? await database.first("SELECT count(*) AS n FROM orders")?.int("n")
            if let count, count >= load.games { return }
            guard clock.now < end else {
                throw NotInTime(description: "no orders after 120 s: \(try await verdicts())")
            }
            try await stay(.milliseconds(200))
        }
    }

    private func verdicts() async throws -> String {
        let rows = try await database.query("SELECT verdict, count(*) AS n FROM signals GROUP BY 1 ORDER BY 1")
        return try rows.map { "\(try $0.text("verdict")) \(try $0.int("n"))" }.joined(separator: ", ")
    }
}
