import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Runtime
import Servers
import TestKit
import Testing

/// The real orchestrator, market-discovery and shard, and a game that appears in a running score feed.
@Suite(.processes) struct AssignmentTests {
    private struct Ports: Decodable {
        let http: Int
        let ws: Int
    }

    // CHECKLIST R54: within a discovery cycle and two seconds.
    @Test(.timeLimit(.minutes(3)))
    func `a game that appears in the feed is assigned to a shard under its first epoch`() async throws {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                let folder = try TemporaryDirectory("assign-test")
                defer { folder.remove() }
                let ready = "\(folder.path)/venue.json"
                let venue = try spawn("venue-simulator", folder, ["SIMULATOR_READY_FILE": ready])
                try await eventually("the venue listens") { FileManager.default.fileExists(atPath: ready) }
                let ports = try JSONDecoder().decode(
                    Ports.self, from: try #require(FileManager.default.contents(atPath: ready)))
                let control = "http://127.0.0.1:\(ports.http)/control/faults"
                try await request(control, .POST, #"{"kind":"scoreFeedDown"}"#)
                let environment = settings(ports, redis, database)
                var processes = [venue]
                for service in ["orchestrator", "market-discovery", "game-shard"] {
                    processes.append(try spawn(service, folder, environment))
                }
                try await eventually(within: .seconds(60), "the feed was asked and is away") {
                    let log = FileManager.default.contents(atPath: "\(folder.path)/orchestrator.log") ?? Data()
                    return String(decoding: log, as: UTF8.self).contains("scoreboard not read")
                }
                let before = try await database.run(sql: "SELECT count(*) FROM assignments")
                #expect(before.contains("0"))
                try await request(control, .DELETE, nil)
                try await eventually(within: .seconds(4), "the game is assigned") {
                    try await database.run(sql: "SELECT shard, epoch, state FROM assignments").contains("shard-01")
                }
                let row = try await database.run(sql: "SELECT shard || '/' || epoch || '/' || state FROM assignments")
                #expect(row.contains("shard-01/1/assigned"))
                var ends: [ChildProcess.ExitStatus] = []
                for process in processes.reversed() { ends.append(await process.terminate()) }
                #expect(ends.filter { $0 != .exited(0) } == [])
            }
        }
    }

    private func settings(_ ports: Ports, _ redis: PrivateRedis, _ database: TestDatabase) -> [String: String] {
        [
            "REDIS_URL": redis.url, "DATABASE_URL": database.url, "REPLAY_SPEED": "1", "DISCOVERY_INTERVAL_SECS": "2",
            "SPORTS": "nba", "STATUS_PORT": "0", "DB_POOL_MAX_CONNECTIONS": "5", "DB_POOL_MIN_CONNECTIONS": "1",
            "KALSHI_BASE_URL": "http://127.0.0.1:\(ports.http)/trade-api/v2",
            "KALSHI_WS_URL": "ws://127.0.0.1:\(ports.ws)/trade-api/ws/v2",
            "ESPN_BASE_URL": "http://127.0.0.1:\(ports.http)/apis/site/v2/sports",
        ]
    }

    private func spawn(
        _ name: String, _ folder: TemporaryDirectory, _ environment: [String: String]
    ) throws -> ChildProcess {
        let recordings = Executable.environment(temporary: folder.path)["LINESMAN_RECORDINGS"] ?? ""
        let own = [
            "SIMULATOR_RECORDING": "\(recordings)/tor-at-cle-2026-04-20.recording",
            "ALERT_LOG_PATH": "\(folder.path)/alerts.log",
        ]
        return try ChildProcess.spawn(
            Executable.path(name),
            environment: Executable.environment(temporary: folder.path, environment.merging(own) { $1 }),
            directory: folder.path, output: .file("\(folder.path)/\(name).log"))
    }

    private func request(_ url: String, _ method: HTTPMethod, _ body: String?) async throws {
        var request = HTTPClientRequest(url: url)
        request.method = method
        if let body { request.body = .bytes(ByteBuffer(string: body)) }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
        #expect((200..<300).contains(response.status.code), "\(response.status)")
    }
}
