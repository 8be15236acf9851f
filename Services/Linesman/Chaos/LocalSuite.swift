import Domain
import Faults
import Foundation
import NIOConcurrencyHelpers
import Recording
import Resilience
import Runtime
import Servers

/// A suite of its own on private servers, with a simulated venue whose markets never rest, a second orchestrator where
/// one is wanted, a sink with Slack's manners and an outside watcher; made to be hurt.
///
/// Nothing of it outlives this process, so a driver that is killed leaves nothing broken behind.
final class LocalSuite: Sendable {
    /// How a process of the suite is started, each time.
    private struct Member: Sendable {
        let program: String
        var environment: [String: String]
    }

    static let shards = ["shard-01", "shard-02"]
    /// The game goes on for so long; a report of many rounds starts a suite for each scenario.
    private static let length = Duration.seconds(3 * 3_600)

    let folder: TemporaryDirectory
    let redis: PrivateRedis
    let postgres: PrivatePostgres
    let venue: VenuePorts
    let sink: SlackSink
    /// Is called once a second while an orchestrator lives.
    let watcher: SlackSink
    /// Between each shard or orchestrator and the servers: Redis, PostgreSQL.
    let links: [String: (redis: FaultProxy, postgres: FaultProxy)]
    /// Of every orchestrator, by its name.
    let statusPorts: [String: Int]
    /// Where PostgreSQL keeps its data when that is a small file system of its own.
    let disk: SmallDisk?
    let clock: MachineClock
    private let members: [String: Member]
    private let children = NIOLockedValueBox<[String: ChildProcess]>([:])
    /// Processes that were ended on purpose, or whose end was told, by their numbers.
    private let mourned = NIOLockedValueBox<Set<Int32>>([])

    // MARK: - Life

    private static let prefix = "linesman-rehearsal"

    /// Starts everything and waits for nothing but the servers; a round's precondition waits for the suite.
    static func start(
        hasStandby: Bool = true, games: Int = 4, clock: MachineClock = .real
    ) async throws -> LocalSuite {
        TemporaryDirectory.removeAbandoned(prefix)
        let folder = try TemporaryDirectory(prefix)
        let disk = await SmallDisk.mount(below: folder.path)
        var stops: [@Sendable () async -> Void] = []
        do {
            async let startingRedis = result { try await PrivateRedis.start(in: folder.path, appendOnly: true) }
            async let startingPostgres = result {
                try await PrivatePostgres.start(
                    in: disk?.path ?? folder.path, databases: ["linesman"],
                    settings: ["max_wal_size": "64MB", "min_wal_size": "32MB"])
            }
            let started = (redis: await startingRedis, postgres: await startingPostgres)
            // What has started is ended again when the rest could not be.
            if case .success(let redis) = started.redis { stops.append { await redis.stop() } }
            if case .success(let postgres) = started.postgres { stops.append { await postgres.stop(.fast) } }
            let (redis, postgres) = (try started.redis.get(), try started.postgres.get())
            let orchestrators = ["orchestrator"] + (hasStandby ? ["orchestrator-standby"] : [])
            var links: [String: (redis: FaultProxy, postgres: FaultProxy)] = [:]
            for name in shards + orchestrators {
                links[name] = (
                    redis: try await FaultProxy.start(to: redis.port),
                    postgres: try await FaultProxy.start(to: postgres.port)
                )
            }
            let (venue, ports) = try await startVenue(in: folder.path, games: games, clock: clock)
            stops.append { await venue.terminate() }
            let suite = try LocalSuite(
                folder, disk, redis, postgres, ports, links, try await SlackSink.start(),
                watcher: try await SlackSink.start { _ in .webhook },
                orchestrators: orchestrators, clock: clock)
            suite.children.withLockedValue { $0["venue-simulator"] = venue }
            for name in suite.names { try suite.spawn(name) }
            return suite
        } catch {
            // Cancelled or not.
            await Task { [stops] in
                for stop in stops { await stop() }
                await disk?.unmount()
            }.value
            folder.remove()
            throw error
        }
    }

    private static func result<Value: Sendable>(
        _ body: () async throws -> Value
    ) async -> Result<Value, any Error> {
        do { return .success(try await body()) } catch { return .failure(error) }
    }

    /// Settings of the shell that runs the rehearsal must not reach into it.
    static var ownEnvironment: [String: String] {
        let all = ProcessInfo.processInfo.environment
        return Dictionary(
            uniqueKeysWithValues: ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH"].compactMap { key in
                all[key].map { (key, $0) }
            })
    }

    private static func startVenue(
        in folder: String, games: Int, clock: MachineClock
    ) async throws -> (ChildProcess, VenuePorts) {
        let (ready, recording) = ("\(folder)/venue.json", "\(folder)/busy.recording")
        // Whole seconds, which the venue's clock and the suite's are compared by.
        let start = VenueInstant.epoch.advanced(by: .seconds(WallClock.real.microseconds / 1_000_000))
        let game = try BusyGame.recording(
            from: start, lasting: length, changesPerSecond: 5, bargainEvery: .seconds(2))
        try game.text.write(toFile: recording, atomically: true, encoding: .utf8)
        let venue = try ChildProcess.spawn(
            try Executables.path(of: "venue-simulator"),
            environment: ownEnvironment.merging([
                "SIMULATOR_RECORDING": recording, "SIMULATOR_SPEED": "1", "SIMULATOR_GAMES": "\(games)",
                "SIMULATOR_GAMES_APART_MS": "430", "SIMULATOR_READY_FILE": ready, "SIMULATOR_BALANCE": "10000000",
            ]) { $1 }, directory: folder, output: .file("\(folder)/venue-simulator.log"))
        for _ in 0..<1_200 {
            if let data = FileManager.default.contents(atPath: ready) {
                let ports = try JSONDecoder().decode(VenuePorts.self, from: data)
                try await LocalHTTP().post("\(ports.controlURL)/start")
                return (venue, ports)
            }
            try await clock.sleep(for: .milliseconds(100))
        }
        throw ChaosFailure("the venue simulator was not ready within two minutes")
    }

    private init(
        _ folder: TemporaryDirectory, _ disk: SmallDisk?, _ redis: PrivateRedis, _ postgres: PrivatePostgres,
        _ venue: VenuePorts, _ links: [String: (redis: FaultProxy, postgres: FaultProxy)], _ sink: SlackSink,
        watcher: SlackSink, orchestrators: [String], clock: MachineClock
    ) throws {
        (self.folder, self.disk, self.redis, self.postgres) = (folder, disk, redis, postgres)
        (self.venue, self.links, self.sink, self.watcher) = (venue, links, sink, watcher)
        self.clock = clock
        let file = "\(folder.path)/linesman.toml"
        let watched = [("ALERT_DEADMAN_URL", watcher.url), ("ALERT_DEADMAN_INTERVAL_SECS", "1")]
        let lines = (Self.settings(folder.path, venue, sink) + watched).map { "\($0) = \(DemoProfile.literal($1))" }
        try (lines.joined(separator: "\n") + "\n").write(toFile: file, atomically: true, encoding: .utf8)
        let ports = Dictionary(uniqueKeysWithValues: try orchestrators.map { ($0, try FreePort.find()) })
        statusPorts = ports
        let common = Self.ownEnvironment.merging([
            "LINESMAN_CONFIG": file, "REDIS_URL": redis.url, "DATABASE_URL": postgres.url(database: "linesman"),
        ]) { $1 }
        let linked = links.mapValues { own in
            [
                "REDIS_URL": "redis://127.0.0.1:\(own.redis.port)/0",
                "DATABASE_URL": postgres.url(database: "linesman")
                    .replacing(":\(postgres.port)/", with: ":\(own.postgres.port)/"),
            ]
        }
        var members: [String: Member] = [:]
        for (name, port) in ports {
            members[name] = Member(
                program: try Executables.path(of: "orchestrator"),
                environment: common.merging(linked[name] ?? [:]) { $1 }
                    .merging(["STATUS_PORT": "\(port)", "SERVICE_INSTANCE": name]) { $1 })
        }
        for name in ["market-discovery", "signal-processor", "execution-service"] {
            members[name] = Member(program: try Executables.path(of: name), environment: common)
        }
        members["execution-service"]?.environment.merge(try FalseClock.environment(in: folder.path)) { $1 }
        for name in Self.shards {
            members[name] = Member(
                program: try Executables.path(of: "game-shard"),
                environment: common.merging(linked[name] ?? [:]) { $1 }.merging(["SHARD_ID": name]) { $1 })
        }
        self.members = members
    }

    /// Connections and monitoring as docker-compose.yml has them; limits that some orders a second do not reach.
    ///
    /// An alert of each round is news, and each loss of the venue the first: of a cause that returns every quarter of a
    /// minute the fourth alert would be held, and the venue left alone for twice as long each time.
    private static func settings(_ folder: String, _ venue: VenuePorts, _ sink: SlackSink) -> [(String, String)] {
        [
            ("REDIS_RECONNECT_BASE_DELAY_MS", "100"), ("REDIS_RECONNECT_MAX_DELAY_MS", "1000"),
            ("REDIS_RECONNECT_JITTER_PCT", "0.5"), ("REDIS_RECONNECT_JITTER_ONLY_SHORTENS", "true"),
            ("REDIS_RECONNECT_RESET_SECS", "10"), ("REDIS_BREAKER_COOLDOWN_MS", "1000"),
            ("SYSTEM_MONITOR_INTERVAL_SECS", "5"), ("DISCOVERY_INTERVAL_SECS", "1"),
            ("DB_POOL_MAX_CONNECTIONS", "5"), ("DB_POOL_MIN_CONNECTIONS", "1"), ("SPORTS", "nba"),
            ("ALERT_RATE_LIMIT_SECS", "5"), ("VENUE_BACKOFF_RESET_SECS", "2"),
            ("ALERT_LOG_PATH", "\(folder)/critical_alerts.log"),
            ("DB_JOURNAL_PATH", "\(folder)/journal"),
            ("KILL_SWITCH_FILE", "\(folder)/kill-switch"), ("SLACK_WEBHOOK_URL", sink.url),
            ("KALSHI_BASE_URL", venue.restURL), ("KALSHI_WS_URL", venue.webSocketURL),
            ("ESPN_BASE_URL", venue.scoresURL), ("PAPER_VENUE_URL", venue.restURL),
            ("SIGNAL_DEBOUNCE_SECS", "0.5"), ("MAX_ENTRIES_PER_SIDE", "1000"), ("MAX_GAME_EXPOSURE", "-1"),
            ("MAX_SPORT_EXPOSURE", "-1"), ("MAX_TOTAL_EXPOSURE", "-1"), ("MAX_DAILY_LOSS", "100000000"),
            ("INITIAL_BANKROLL", "10000000"), ("MAX_ORDER_SIZE", "2"), ("MAX_ORDERS_PER_MINUTE", "100000"),
            ("MAX_ORDERS_PER_HOUR", "1000000"), ("MAX_ORDERS_PER_DAY", "10000000"),
        ]
    }

    /// Takes everything down, also when whoever asks was cancelled.
    func stop() async { await Task { await takeDown() }.value }

    private func takeDown() async {
        let all = children.withLockedValue { $0 }
        for child in all.values { child.signal(SIGCONT) }
        await withTaskGroup(of: Void.self) { tasks in
            for child in all.values { tasks.addTask { await child.terminate() } }
        }
        postgres.resume()
        redis.resume()
        await postgres.stop(.fast)
        await redis.stop()
        await sink.stop()
        await watcher.stop()
        await disk?.unmount()
        folder.remove()
    }

    // MARK: - Processes

    /// Those of the suite.
    var names: [String] { members.keys.sorted() }

    func child(_ name: String) throws -> ChildProcess {
        guard let child = children.withLockedValue({ $0[name] }) else {
            throw ChaosFailure("nothing is called \(name)")
        }
        return child
    }

    /// Starts it unless it runs.
    ///
    /// - Parameters:
    ///   - name: as in `names`.
    ///   - twin: a name for a second process of it.
    /// - Throws: when it is not of the suite, or cannot be started.
    func spawn(_ name: String, as twin: String? = nil) throws {
        guard let member = members[name] else { throw ChaosFailure("nothing is called \(name)") }
        let key = twin ?? name
        guard children.withLockedValue({ $0[key]?.isRunning }) != true else { return }
        let child = try ChildProcess.spawn(
            member.program, environment: member.environment, directory: folder.path,
            output: .file("\(folder.path)/\(key).log"))
        children.withLockedValue { $0[key] = child }
    }
    /// Ends one on purpose.
    func end(_ name: String, _ how: @Sendable (ChildProcess) async throws -> Void) async throws {
        let child = try child(name)
        mourned.withLockedValue { _ = $0.insert(child.processID) }
        try await how(child)
    }

    /// Who has ended by itself since the last time, how, and with which last words.
    func obituaries() -> [String] {
        let all = children.withLockedValue { $0 }
        return all.sorted { $0.key < $1.key }.compactMap { name, child in
            guard let status = child.exitStatus,
                mourned.withLockedValue({ $0.insert(child.processID).inserted })
            else { return nil }
            return "\(name) ended by itself (\(status)): \(Self.lastWords("\(folder.path)/\(name).log"))"
        }
    }

    private static func lastWords(_ log: String) -> String {
        guard let data = FileManager.default.contents(atPath: log) else { return "it has no log" }
        let lines = String(decoding: data.suffix(4_096), as: UTF8.self).split(separator: "\n")
        return String(lines.suffix(3).joined(separator: " / ").suffix(600))
    }
}
