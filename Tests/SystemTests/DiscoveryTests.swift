import Bus
import Domain
import Foundation
import Logging
import NIOConcurrencyHelpers
import Redis
import Runtime
import Servers
import TestKit
import Testing
import Wire

/// The real market-discovery against the real simulator, asked over a real bus.
@Suite(.processes) struct DiscoveryTests {
    private struct Ports: Decodable {
        let http: Int
    }

    // CHECKLIST R61, R62.
    @Test(.timeLimit(.minutes(2)))
    func `a request is answered with the game's markets, also behind a hundred messages of garbage`() async throws {
        try await withRedis { redis in
            try await withPostgres { database in
                let folder = try TemporaryDirectory("discovery-test")
                defer { folder.remove() }
                let venue = try spawn("venue-simulator", folder, ["SIMULATOR_READY_FILE": "\(folder.path)/venue.json"])
                try await eventually("the venue listens") {
                    FileManager.default.fileExists(atPath: "\(folder.path)/venue.json")
                }
                let data = try #require(FileManager.default.contents(atPath: "\(folder.path)/venue.json"))
                let port = try JSONDecoder().decode(Ports.self, from: data).http
                let environment = redis.environment.merging(database.environment) { $1 }.merging(
                    ["KALSHI_BASE_URL": "http://127.0.0.1:\(port)/trade-api/v2", "KALSHI_WS_URL": "ws://127.0.0.1:1/"]
                ) { $1 }
                let discovery = try spawn("market-discovery", folder, environment)
                try await ask(redis)
                let ends = [await discovery.terminate(), await venue.terminate()]
                #expect(ends == [.exited(0), .exited(0)])
            }
        }
    }

    private func spawn(
        _ name: String, _ folder: TemporaryDirectory, _ environment: [String: String]
    ) throws -> ChildProcess {
        let recordings = Executable.environment(temporary: folder.path)["LINESMAN_RECORDINGS"] ?? ""
        let own = ["SIMULATOR_RECORDING": "\(recordings)/tor-at-cle-2026-04-20.recording"]
        return try ChildProcess.spawn(
            Executable.path(name),
            environment: Executable.environment(temporary: folder.path, environment.merging(own) { $1 }),
            directory: folder.path, output: .file("\(folder.path)/\(name).log"))
    }

    private func ask(_ redis: TestRedis) async throws {
        let reader = SettingsReader(environment: redis.environment, file: nil)
        let settings = RedisSettings(reader)
        try reader.finish()
        let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let client = RedisClient(
            settings: settings, name: "asker", clock: .real, random: .system, log: log, metrics: MetricsRegistry())
        let bus = Bus(
            client: client, identity: BusIdentity(source: "test/asker", incarnation: "asker"), clock: .real, log: log,
            metrics: MetricsRegistry())
        // Both end by the cancellation below; their errors are that cancellation.
        let tasks = [Task { try? await client.run() }, Task { try? await bus.run() }]
        let results = try await bus.subscribe(to: Channels.discoveryResults)
        let answer = NIOLockedValueBox<DiscoveryResult?>(nil)
        // Ends with the subscription.
        let listener = Task {
            for await delivery in results {
                if case .message(let envelope, _) = delivery, envelope.body.request == "ask-1" {
                    answer.withLockedValue { $0 = envelope.body }
                }
            }
        }
        let game = try Game(
            id: "401869369", sport: .nba, home: Team(name: "Cleveland Cavaliers", abbreviation: "CLE"),
            away: Team(name: "Toronto Raptors", abbreviation: "TOR"),
            scheduledAt: VenueInstant(rfc3339: "2026-04-20T23:00Z"))
        for number in 0..<100 {
            _ = try await client.send(["PUBLISH", "discovery:requests", "{\"garbage\":\(number)"])
        }
        try await eventually(within: .seconds(60), "the markets of the game") {
            try await bus.publish(DiscoveryRequest(id: "ask-1", game: game), on: Channels.discoveryRequests)
            return answer.withLockedValue { $0 != nil }
        }
        let found = try #require(answer.withLockedValue { $0 })
        #expect(found.game == "401869369" && found.reason == nil)
        let markets = found.markets.map { "\($0.id) \($0.team)" }
        #expect(markets == ["KXNBAGAME-26APR20TORCLE-CLE home", "KXNBAGAME-26APR20TORCLE-TOR away"])
        // CHECKLIST R63.
        try await eventually("the answer is kept for a week, a moment after it was given") {
            try await client.send(["TTL", "discovery:game:401869369"]).integer ?? 0 > 600_000
        }
        listener.cancel()
        for task in tasks { task.cancel() }
    }
}
