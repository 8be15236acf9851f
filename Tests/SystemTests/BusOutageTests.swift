import Foundation
import Redis
import Runtime
import Servers
import TestKit
import Testing

/// Redis goes away and comes back under the real executables.
@Suite(.serialized, .processes) struct BusOutageTests {
    /// What the server counts: names of subscribed channels with their subscribers, and patterns.
    private struct Subscriptions: Hashable {
        var channels: [String: Int64] = [:]
        var patterns: Int64 = 0
    }

    private struct Count: Decodable {
        let total: Int
    }

    private func withClient<R: Sendable>(
        _ url: String, _ body: @escaping @Sendable (RedisClient) async throws -> R
    ) async throws -> R {
        let reader = SettingsReader(
            environment: [
                "REDIS_URL": url, "REDIS_RECONNECT_BASE_DELAY_MS": "50", "REDIS_RECONNECT_MAX_DELAY_MS": "200",
            ])
        let client = RedisClient(
            settings: RedisSettings(reader), name: "observer", clock: .real, random: .system,
            log: LogCapture().logger(), metrics: MetricsRegistry())
        return try await withThrowingTaskGroup(of: R?.self) { tasks in
            tasks.addTask {
                try? await client.run()  // ends by cancellation
                return nil
            }
            tasks.addTask {
                try await eventually(within: .seconds(60), "the observer is connected") { client.server != nil }
                return try await body(client)
            }
            defer { tasks.cancelAll() }
            while let result = try await tasks.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }

    private static func subscriptions(_ client: RedisClient) async throws -> Subscriptions {
        var found = Subscriptions()
        let names = try await client.send(["PUBSUB", "CHANNELS"]).array?.compactMap(\.text) ?? []
        let counts = try await client.send(["PUBSUB", "NUMSUB"] + names.map { .text($0) }).array ?? []
        for index in stride(from: 0, to: counts.count - 1, by: 2) {
            found.channels[counts[index].text ?? ""] = counts[index + 1].integer
        }
        found.patterns = try await client.send(["PUBSUB", "NUMPAT"]).integer ?? 0
        return found
    }

    // CHECKLIST R1, R6, R8, R11.
    @Test(.timeLimit(.minutes(5)))
    func `Redis goes away under all five services, which live on, say so, and hear everything again`() async throws {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                var starting = try RealFleet()
                try await starting.start(redis: redis.url, database: database.url)
                let fleet = starting
                try await eventually(within: .seconds(90), "all is well") {
                    try await fleet.status()?.isAllWell == true
                }
                let pids = fleet.processes.mapValues(\.processID)
                let before = try await withClient(redis.url) { try await Self.subscriptions($0) }
                #expect(before.channels.count >= 10 && before.patterns >= 2, "\(before)")
                for service in RealFleet.services { #expect(before.channels["bus:canary:\(name(service))"] == 1) }

                let cold = try #require(try await fleet.status()?.bus)
                #expect(Set(cold.map { "\($0.service)/\($0.instance)" }) == Set(RealFleet.services.map(name)))
                for bus in cold { #expect(bus.state == "live", "\(bus)") }
                let reconnects = Dictionary(uniqueKeysWithValues: cold.map { ($0.service, $0.reconnects) })

                await redis.kill()
                try await eventually(within: .seconds(60), "the orchestrator's status says so") {
                    let checks = try await fleet.status()?.checks
                    return checks?["redis"] == false
                }
                try await redis.startAgain()
                let after = try await withClient(redis.url) { client in
                    try await eventually(within: .seconds(60), "every subscription is back") {
                        try await Self.subscriptions(client) == before
                    }
                    return try await Self.subscriptions(client)
                }
                #expect(after == before)
                // Heartbeats of shards come by pattern, those of services by channel.
                try await eventually(within: .seconds(60), "all is well again") {
                    try await fleet.status()?.isAllWell == true
                }
                // One restart, two connections each; a starved machine may lose one more.
                try await eventually(within: .seconds(60), "each heartbeat has counted its reconnects") {
                    let buses = try await fleet.status()?.bus ?? []
                    return buses.count == cold.count
                        && buses.allSatisfy {
                            $0.state == "live" && $0.reconnects >= reconnects[$0.service, default: 0] + 2
                        }
                }
                #expect(fleet.processes.mapValues(\.processID) == pids)
                #expect(fleet.areAllRunning)
                let ends = await fleet.stop()
                #expect(ends.values.allSatisfy { $0 == .exited(0) }, "\(ends)")
            }
        }
    }

    private func name(_ service: String) -> String {
        service == "game-shard" ? "game-shard/shard-01" : "\(service)/1"
    }

    // CHECKLIST R10.
    @Test(.timeLimit(.minutes(6)))
    func `without Redis at the start every service waits, and runs when it comes`() async throws {
        try await withPostgres { database in
            let folder = try TemporaryDirectory("late-redis")
            defer { folder.remove() }
            let port = try FreePort.find()
            var starting = try RealFleet()
            try await starting.start(redis: "redis://127.0.0.1:\(port)", database: database.url)
            let fleet = starting
            try await eventually(within: .seconds(60), "every service misses it") {
                RealFleet.services.allSatisfy { fleet.log($0).contains("dependency not available") }
            }
            let redis = try await PrivateRedis.start(in: folder.path, port: port)
            try await eventually(within: .seconds(60), "all is well") { try await fleet.status()?.isAllWell == true }
            #expect(fleet.areAllRunning)
            let ends = await fleet.stop()
            await redis.kill()
            #expect(ends.values.allSatisfy { $0 == .exited(0) }, "\(ends)")
        }
    }

    // CHECKLIST R10: 60 s by default, scaled here.
    @Test(.timeLimit(.minutes(2)), arguments: RealFleet.services)
    func `without Redis at all a service gives up, and says what it missed`(service: String) async throws {
        try await withPostgres { database in
            let folder = try TemporaryDirectory("no-redis")
            defer { folder.remove() }
            let settings = ["REDIS_URL": "redis://127.0.0.1:1", "DATABASE_URL": database.url, "BOOT_TIMEOUT_SECS": "2"]
            let (status, output) = try await ChildProcess.run(
                Executable.path(service), environment: Executable.environment(temporary: folder.path, settings),
                directory: folder.path, timeout: .seconds(60))
            guard case .exited(let code) = status else {
                Issue.record("\(status): \(output)")
                return
            }
            #expect(code != 0 && output.contains("not available after"), "\(code): \(output)")
            #expect(output.contains("redis ("), "\(output)")
        }
    }

    @Test(.timeLimit(.minutes(6)))
    func `what a service cannot decode is read by the command line`() async throws {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                let folder = try TemporaryDirectory("dead-letters")
                defer { folder.remove() }
                let settings = ["REDIS_URL": redis.url, "DATABASE_URL": database.url]
                let service = try ChildProcess.spawn(
                    Executable.path("signal-processor"),
                    environment: Executable.environment(temporary: folder.path, settings), directory: folder.path,
                    output: .file("\(folder.path)/log"))
                try await withClient(redis.url) { client in
                    try await eventually(within: .seconds(60), "it listens") {
                        try await client.publish("{\"password\":\"hunter2\",\u{1B}[2J", on: "signals:new") > 0
                    }
                }
                let environment = Executable.environment(temporary: folder.path)
                func letters(_ arguments: String...) async throws -> String {
                    let (end, output) = try await ChildProcess.run(
                        Executable.path("linesman"), ["dead-letters", "--redis", redis.url] + arguments,
                        environment: environment, timeout: .seconds(30))
                    #expect(end.isSuccess, "\(output)")
                    return output
                }
                try await eventually(within: .seconds(60), "the letter is there") {
                    try await !letters().hasPrefix("no dead letters")
                }
                let table = try await letters("--limit", "5")
                for part in ["signal-processor/1", "signals:new", "not a journal frame", "1 dead letter", "redacted"] {
                    #expect(table.contains(part), "\(part) in\n\(table)")
                }
                #expect(!table.contains("hunter2") && !table.contains("\u{1B}"))
                let json = try await letters("--json", "--clear")
                let document = try JSONDecoder().decode(Count.self, from: Data(json.utf8))
                #expect(document.total == 1)
                let left = try await letters()
                #expect(left == "no dead letters\n")
                let end = await service.terminate()
                #expect(end == .exited(0))
            }
        }
    }
}
