import AsyncHTTPClient
import Foundation
import Hummingbird
import Logging
import NIOConcurrencyHelpers
import Runtime
import Servers
import TestKit
import Testing

/// Chosen executables as real processes, with a score feed and a webhook of the test's own.
final class SmallSuite: Sendable {
    let folder: TemporaryDirectory
    let world: SuiteWorld
    private let environment: [String: String]
    private let processes = NIOLockedValueBox<[String: ChildProcess]>([:])
    private let ports = NIOLockedValueBox<[String: Int]>([:])

    private init(_ environment: [String: String], _ world: SuiteWorld, _ folder: TemporaryDirectory) {
        self.environment = environment
        self.world = world
        self.folder = folder
    }

    /// Runs the body with a suite in which no process runs yet, and ends all that it started.
    static func with(
        redis: String, database: String, games: [String] = [], _ more: [String: String] = [:],
        _ body: @escaping @Sendable (SmallSuite) async throws -> Void
    ) async throws {
        try await SuiteWorld.serve(games: games) { world in
            let folder = try TemporaryDirectory("suite")
            let own = [
                "REDIS_URL": redis, "DATABASE_URL": database, "ALERT_LOG_PATH": "\(folder.path)/alerts.log",
                "CUSTOM_WEBHOOK_URL": "http://127.0.0.1:\(world.port)/hook", "SPORTS": "nba",
                "ESPN_BASE_URL": "http://127.0.0.1:\(world.port)/scores",
                "KALSHI_BASE_URL": "http://127.0.0.1:\(world.port)/kalshi",
                "KALSHI_WS_URL": "ws://127.0.0.1:\(world.port)/kalshi", "MAX_GAMES": "100",
                "DB_POOL_MAX_CONNECTIONS": "5", "DB_POOL_MIN_CONNECTIONS": "1", "SERVICE_TIMEOUT_SECS": "2",
                "SYSTEM_MONITOR_INTERVAL_SECS": "1", "REDIS_RECONNECT_BASE_DELAY_MS": "100",
                "REDIS_RECONNECT_MAX_DELAY_MS": "1000", "REDIS_BREAKER_COOLDOWN_MS": "1000",
                "LINESMAN_CONFIG": "\(folder.path)/linesman.toml",
            ]
            let suite = SmallSuite(own.merging(more) { $1 }, world, folder)
            try suite.configure("")
            do {
                try await body(suite)
            } catch {
                await suite.end()
                suite.showLogs()
                throw error
            }
            await suite.end()
            folder.remove()
        }
    }

    /// Writes the settings file of all.
    func configure(_ text: String) throws {
        try text.write(toFile: "\(folder.path)/linesman.toml", atomically: true, encoding: .utf8)
    }

    /// Starts a process under a name of its own, with an empty log.
    @discardableResult
    func spawn(_ executable: String, as name: String? = nil, _ more: [String: String] = [:]) throws -> ChildProcess {
        let name = name ?? executable
        // Not there before the first life.
        try? FileManager.default.removeItem(atPath: "\(folder.path)/\(name).log")
        let port = try FreePort.find()
        let own = ["STATUS_PORT": "\(port)", "DB_JOURNAL_PATH": "\(folder.path)/journal-\(name)"]
        let process = try ChildProcess.spawn(
            Executable.path(executable),
            environment: Executable.environment(
                temporary: folder.path, environment.merging(own) { $1 }.merging(more) { $1 }),
            directory: folder.path, output: .file("\(folder.path)/\(name).log"))
        processes.withLockedValue { $0[name] = process }
        ports.withLockedValue { $0[name] = port }
        return process
    }

    /// An orchestrator under its instance's name.
    @discardableResult
    func spawnOrchestrator(_ instance: String, _ more: [String: String] = [:]) throws -> ChildProcess {
        try spawn(
            "orchestrator", as: "orchestrator-\(instance)", ["SERVICE_INSTANCE": instance].merging(more) { $1 })
    }

    @discardableResult
    func spawnShard(_ name: String, _ more: [String: String] = [:]) throws -> ChildProcess {
        try spawn("game-shard", as: name, ["SHARD_ID": name].merging(more) { $1 })
    }

    func process(_ name: String) throws -> ChildProcess {
        try #require(processes.withLockedValue { $0[name] }, "\(name) was never started")
    }

    func log(_ name: String) -> String {
        String(decoding: FileManager.default.contents(atPath: "\(folder.path)/\(name).log") ?? Data(), as: UTF8.self)
    }

    /// A file of the suite, empty when it is not there.
    func lines(_ file: String) -> [Substring] {
        String(decoding: FileManager.default.contents(atPath: "\(folder.path)/\(file)") ?? Data(), as: UTF8.self)
            .split(separator: "\n")
    }

    /// The alerts in a file, without the records that are evidence only.
    func alerts(in file: String) -> [Substring] { lines(file).filter { !$0.contains("\"file_only\":true") } }

    /// What a process answers on loopback; nil while it does not.
    func get(_ name: String, _ path: String) async throws -> (status: UInt, body: String)? {
        let port = try #require(ports.withLockedValue { $0[name] }, "\(name) was never started")
        let request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
        guard let response = try? await HTTPClient.shared.execute(request, timeout: .seconds(5)) else { return nil }
        return (response.status.code, String(buffer: try await response.body.collect(upTo: 8 << 20)))
    }

    func status(_ name: String) async throws -> SuiteView? {
        guard let answer = try await get(name, "/status") else { return nil }
        return try JSONDecoder().decode(SuiteView.self, from: Data(answer.body.utf8))
    }

    /// The text of `linesman status`.
    func shown(_ name: String) async throws -> String {
        let port = try #require(ports.withLockedValue { $0[name] }, "\(name) was never started")
        return try await ChildProcess.run(
            Executable.path("linesman"), ["status", "--url", "http://127.0.0.1:\(port)"],
            environment: Executable.environment(temporary: folder.path), timeout: .seconds(20)
        ).output
    }

    private func end() async {
        for process in processes.withLockedValue({ Array($0.values) }) {
            // A stopped process would not hear SIGTERM.
            process.signal(SIGCONT)
            _ = await process.kill9()
        }
    }

    private func showLogs() {
        for name in processes.withLockedValue({ $0.keys.sorted() }) {
            for line in log(name).split(separator: "\n").suffix(60) { LogOutput.standardError.line("\(name): \(line)") }
        }
    }
}

/// What these tests read of `/status`.
struct SuiteView: Decodable, Sendable {
    struct Fleet: Decodable, Sendable {
        struct Shard: Decodable, Sendable {
            let shard: String
            let status: String
            let incarnation: String?
            let observed: Int
        }

        struct Service: Decodable, Sendable {
            let service: String
            let instance: String
        }

        struct Game: Decodable, Sendable {
            let game: String
            let state: String
            let shard: String?
            let epoch: Int64?
        }

        let isLeading: Bool
        let term: Int64?
        let busIsUp: Bool
        let shards: [Shard]
        let games: [Game]
        let services: [Service]
    }

    struct Monitor: Decodable, Sendable {
        struct Check: Decodable, Sendable {
            let name: String
            let state: String
            let at: Int64
        }

        let isOn: Bool
        let lastCycleMs: Double?
        let checks: [Check]
    }

    let fleet: Fleet
    let monitor: Monitor
    let checks: [String: Bool]

    /// The state of each of the four.
    var states: [String: String] { Dictionary(uniqueKeysWithValues: monitor.checks.map { ($0.name, $0.state) }) }
    var isAllHealthy: Bool {
        monitor.checks.count == 4 && monitor.checks.allSatisfy { $0.state == "healthy" }
            && fleet.shards.allSatisfy { $0.status == "healthy" }
    }
}

/// What the suite sees of the outside: a score feed, and a webhook that takes everything, refuses, or hangs.
struct SuiteWorld: Sendable {
    enum Manner: Sendable { case takes, hangs, fails }

    struct Heard: Sendable {
        let kind: String
        let state: String
        let fingerprint: String
        let source: String
        let detail: [String: String]
    }

    private struct State {
        var manner = Manner.takes
        var requests = 0
        var heard: [Heard] = []
    }

    private let state: NIOLockedValueBox<State>
    let port: Int

    /// Requests to the webhook, taken or not.
    var requests: Int { state.withLockedValue { $0.requests } }
    /// Every alert that was taken, in order.
    var heard: [Heard] { state.withLockedValue { $0.heard } }
    func behave(_ manner: Manner) { state.withLockedValue { $0.manner = manner } }
    func count(_ kind: String, _ state: String) -> Int { heard.count { $0.kind == kind && $0.state == state } }

    /// Serves while the body runs.
    static func serve(
        games: [String], _ body: @escaping @Sendable (SuiteWorld) async throws -> Void
    ) async throws {
        let state = NIOLockedValueBox(State())
        let started = Promise<Int>()
        let board = scoreboard(games)
        let responder = CallbackResponder { (request: Request, _: BasicRequestContext) in
            if request.uri.path.contains("basketball") { return response(board) }
            guard request.uri.path == "/hook" else { return Response(status: .notFound) }
            let text = String(buffer: try await request.body.collect(upTo: 4 << 20))
            let manner = state.withLockedValue { state in
                state.requests += 1
                if state.manner == .takes { state.heard += heard(in: text) }
                return state.manner
            }
            switch manner {
            case .takes: return Response(status: .ok)
            case .fails: return Response(status: .internalServerError)
            case .hangs:
                // A client that gives up, or dies, cancels this.
                try await MachineClock.real.sleep(for: .seconds(600))
                return Response(status: .ok)
            }
        }
        let application = Application(
            responder: responder, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in started.fulfil(channel.localAddress?.port ?? 0) },
            logger: Logger(label: "world") { _ in SwiftLogNoOpLogHandler() })
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await application.run() }
            tasks.addTask { try await body(SuiteWorld(state: state, port: await started.value())) }
            defer { tasks.cancelAll() }
            try await tasks.next()
        }
    }

    private static func heard(in text: String) -> [Heard] {
        let json = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        return (json?["alerts"] as? [[String: Any]] ?? []).map { alert in
            Heard(
                kind: alert["kind"] as? String ?? "", state: alert["state"] as? String ?? "",
                fingerprint: alert["fingerprint"] as? String ?? "", source: alert["source"] as? String ?? "",
                detail: alert["detail"] as? [String: String] ?? [:])
        }
    }

    private static func response(_ text: String) -> Response {
        Response(
            status: .ok, headers: [.contentType: "application/json"],
            body: .init(byteBuffer: ByteBuffer(string: text)))
    }

    /// Every game is live for ever.
    private static func scoreboard(_ games: [String]) -> String {
        let events = games.map { game in
            """
            {"id":"\(game)","date":"2026-04-20T23:00Z",
             "status":{"period":1,"displayClock":"10:00","type":{"name":"STATUS_IN_PROGRESS","state":"in"}},
             "competitions":[{"competitors":[
               {"homeAway":"home","score":"1","team":{"id":"1","displayName":"Cleveland","abbreviation":"CLE"}},
               {"homeAway":"away","score":"2","team":{"id":"2","displayName":"Toronto","abbreviation":"TOR"}}]}]}
            """
        }
        return "{\"events\":[\(events.joined(separator: ","))]}"
    }
}

/// Games that are in the database before the suite starts.
enum SeededGames {
    static func names(_ count: Int) -> [String] { (1...count).map { "seeded-\($0)" } }

    /// Migrates by a service's start, then stores the games; each of `shards` in turn owns one under its first epoch.
    static func store(
        _ games: [String], ownedBy shards: [String], in database: TestDatabase, of suite: SmallSuite
    ) async throws {
        let service = try suite.spawn("signal-processor", as: "migrator")
        try await eventually(within: .seconds(60), "the schema is there") {
            (try? await database.run(sql: "SELECT count(*) FROM outbox_dead_letters")) != nil
        }
        _ = await service.terminate()
        var script = ""
        for (index, game) in games.enumerated() {
            script += """
                INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation,
                    scheduled_at, status)
                VALUES ('\(game)', 'nba', 'Cleveland', 'CLE', 'Toronto', 'TOR', 1776726000000000, 'live');

                """
            guard !shards.isEmpty else { continue }
            script += """
                INSERT INTO assignments (game_id, shard, epoch, state)
                VALUES ('\(game)', '\(shards[index % shards.count])', 1, 'assigned');

                """
        }
        try await database.run(sql: script)
    }

    /// Who owns what, and what became of it since: `GAME SHARD EPOCH STATE`, then the length of the log.
    static func owners(_ database: TestDatabase) async throws -> String {
        try await database.run(
            sql: """
                SELECT game_id || ' ' || shard || ' ' || epoch || ' ' || state FROM assignments ORDER BY game_id;
                SELECT 'moves ' || count(*) FROM assignment_log
                """)
    }
}

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif
