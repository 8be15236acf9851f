import AsyncHTTPClient
import Domain
import Foundation
import NIOConcurrencyHelpers
import NIOCore
import Runtime
import Servers
import TestKit
import Wire

/// Real orchestrators over real servers and the simulated score feed; shards and discovery are the test's.
struct OrchestratorRig {
    private struct Ports: Decodable {
        let http: Int
    }

    /// The recorded game that the score feed shows.
    static let game: GameID = "401869369"

    let folder: TemporaryDirectory
    let redis: PrivateRedis
    let database: TestDatabase
    let peer: BusPeer
    private let environment: [String: String]
    private let venue: ChildProcess

    static func run(
        _ more: [String: String] = [:], _ body: (OrchestratorRig) async throws -> Void
    ) async throws {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                let rig = try await OrchestratorRig(redis, database, more)
                do {
                    try await body(rig)
                } catch {
                    await rig.end()
                    throw error
                }
                await rig.end()
            }
        }
    }

    private init(_ redis: PrivateRedis, _ database: TestDatabase, _ more: [String: String]) async throws {
        let folder = try TemporaryDirectory("orchestrators")
        self.folder = folder
        self.redis = redis
        self.database = database
        let recordings = Executable.environment(temporary: folder.path)["LINESMAN_RECORDINGS"] ?? ""
        let ready = "\(folder.path)/venue.json"
        venue = try ChildProcess.spawn(
            Executable.path("venue-simulator"),
            environment: Executable.environment(
                temporary: folder.path,
                [
                    "SIMULATOR_READY_FILE": ready,
                    "SIMULATOR_RECORDING": "\(recordings)/tor-at-cle-2026-04-20.recording",
                ]), directory: folder.path, output: .file("\(folder.path)/venue-simulator.log"))
        try await eventually(within: .seconds(30), "the venue listens") {
            FileManager.default.fileExists(atPath: ready)
        }
        let port = try JSONDecoder().decode(
            Ports.self, from: FileManager.default.contents(atPath: ready) ?? Data()
        ).http
        environment = [
            "REDIS_URL": redis.url, "DATABASE_URL": database.url, "REPLAY_SPEED": "1", "SPORTS": "nba",
            "DISCOVERY_INTERVAL_SECS": "0.5", "HEARTBEAT_INTERVAL_SECS": "0.1", "STATUS_PORT": "0",
            "DB_POOL_MAX_CONNECTIONS": "5", "DB_POOL_MIN_CONNECTIONS": "1",
            "ALERT_LOG_PATH": "\(folder.path)/alerts.log", "REDIS_RECONNECT_BASE_DELAY_MS": "100",
            "REDIS_RECONNECT_MAX_DELAY_MS": "1000", "KALSHI_BASE_URL": "http://127.0.0.1:\(port)/trade-api/v2",
            "KALSHI_WS_URL": "ws://127.0.0.1:1/", "ESPN_BASE_URL": "http://127.0.0.1:\(port)/apis/site/v2/sports",
        ].merging(more) { $1 }
        peer = try BusPeer(redis.url)
    }

    private func end() async {
        await peer.stop()
        await venue.terminate()
        folder.remove()
    }

    /// Starts an executable of the suite; `terminate` it before the body ends.
    func spawn(_ executable: String, named name: String? = nil, _ more: [String: String] = [:]) throws -> ChildProcess {
        try ChildProcess.spawn(
            Executable.path(executable),
            environment: Executable.environment(temporary: folder.path, environment.merging(more) { $1 }),
            directory: folder.path, output: .file("\(folder.path)/\(name ?? executable).log"))
    }

    func log(_ name: String) -> String {
        String(decoding: FileManager.default.contents(atPath: "\(folder.path)/\(name).log") ?? Data(), as: UTF8.self)
    }

    /// Runs the operator's command.
    func linesman(
        _ arguments: [String], _ more: [String: String] = [:]
    ) async throws -> (code: ChildProcess.ExitStatus, output: String) {
        let (status, output) = try await ChildProcess.run(
            Executable.path("linesman"), arguments,
            environment: Executable.environment(temporary: folder.path, more), timeout: .seconds(60))
        return (status, output)
    }

    /// Answers questions for markets as market-discovery would, but for the first `ignoring`.
    func answerQuestions(ignoring: Int = 0) async throws -> Inbox<DiscoveryRequest> {
        let asked = try await peer.listen(to: Channels.discoveryRequests)
        let heard = NIOLockedValueBox(0)
        peer.follow(try await peer.bus.subscribe(to: Channels.discoveryRequests)) { [peer] question in
            let count = heard.withLockedValue { heard in
                heard += 1
                return heard
            }
            guard count > ignoring, let market = try? Self.market(of: question.game.id) else { return }
            // What is lost is asked again.
            _ = try? await peer.bus.publish(
                DiscoveryResult(request: question.id, game: question.game.id, markets: [market], reason: nil),
                on: Channels.discoveryResults)
        }
        return asked
    }

    static func market(of game: GameID) throws -> Market {
        try Market(
            id: "KXNBAGAME-26APR20TORCLE-CLE", venue: .kalshi, game: game, eventTicker: "KXNBAGAME-26APR20TORCLE",
            title: "Toronto at Cleveland Winner?", team: .home)
    }

    /// What these tests read of `/status`; nil while nothing answers.
    static func status(_ port: Int) async throws -> Status? {
        guard let (code, body) = try? await send(port, "/status") else { return nil }
        return code == 200 ? try JSONDecoder().decode(Status.self, from: Data(body.utf8)) : nil
    }

    static func send(
        _ port: Int, _ path: String, post: String? = nil, token: String? = nil, host: String = "127.0.0.1"
    ) async throws -> (code: Int, body: String) {
        var request = HTTPClientRequest(url: "http://\(host):\(port)\(path)")
        if let post {
            request.method = .POST
            request.body = .bytes(ByteBuffer(string: post))
        }
        if let token { request.headers.add(name: "authorization", value: "Bearer \(token)") }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
        return (Int(response.status.code), String(buffer: try await response.body.collect(upTo: 8 << 20)))
    }

    struct Status: Decodable {
        struct Fleet: Decodable {
            let isLeading: Bool
            let term: Int64?
            let discoveryCycles: Int
            let counters: [String: Int]
            let shards: [Shard]
            let games: [Game]
        }

        struct Shard: Decodable {
            let shard: String
            let status: String
            let isDrained: Bool
            let games: Int
        }

        struct Game: Decodable {
            let game: String
            let state: String
            let shard: String?
            let epoch: Int64?
        }

        let fleet: Fleet

        func shard(_ id: ShardID) -> Shard? { fleet.shards.first { $0.shard == id.rawValue } }

        /// Who watches the recorded game, settled.
        var owner: String? { fleet.games.first { $0.game == "401869369" && $0.state == "watched" }?.shard }
    }
}
