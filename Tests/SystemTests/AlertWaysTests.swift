import Runtime
import Servers
import TestKit
import Testing

/// What an operator tries before the trouble, and what tells of total death: `linesman check alerts`, and the outside
/// watcher.
@Suite struct AlertWaysTests {
    private static let strict: @Sendable (Int) -> SlackSink.Manner = { _ in .slack }
    private static let mild: @Sendable (Int) -> SlackSink.Manner = { _ in .webhook }

    private func check(_ settings: [String: String]) async throws -> (status: ChildProcess.ExitStatus, output: String) {
        let folder = try TemporaryDirectory("check-alerts")
        defer { folder.remove() }
        let own = ["ALERT_LOG_PATH": "\(folder.path)/alerts.log", "ALERT_SEND_TIMEOUT_MS": "5000"]
        return try await ChildProcess.run(
            Executable.path("linesman"), ["check", "alerts"],
            environment: Executable.environment(temporary: folder.path, own.merging(settings) { $1 }),
            directory: folder.path, timeout: .seconds(60))
    }

    private func state(of place: String, in output: String) -> Substring? {
        output.split(separator: "\n").map { $0.split(separator: " ") }
            .first { $0.first.map(String.init) == place }?.dropFirst().first
    }

    @Test(.timeLimit(.minutes(2)))
    func `linesman check alerts sends to every place that is set, and names the one that takes nothing`() async throws {
        try await SlackSink.serve(Self.strict) { slack in
            try await SlackSink.serve(Self.mild) { other in
                let settings = [
                    "SLACK_WEBHOOK_URL": slack.url,
                    "CUSTOM_WEBHOOK_URL": "http://127.0.0.1:\(other.port)/hook?key=secret",
                    "ALERT_DEADMAN_URL": "http://127.0.0.1:\(other.port)/ping",
                ]
                let (end, output) = try await check(settings)
                #expect(end == .exited(0), "\(output)")
                for place in ["file", "slack", "webhook", "deadman"] {
                    #expect(state(of: place, in: output) == "ok", "\(place) in\n\(output)")
                }
                #expect(slack.taken.count == 1 && other.taken.map(\.path).sorted() == ["/hook?key=secret", "/ping"])
                #expect(!output.contains("secret") && !output.contains(slack.url))

                slack.behave { _ in .status(404, "no_service") }
                let (second, told) = try await check(settings)
                #expect(second == .exited(1), "\(told)")
                #expect(state(of: "slack", in: told) == "FAILED" && state(of: "webhook", in: told) == "ok", "\(told)")
                #expect(told.contains("no_service") && !told.contains(slack.url))

                // Empty means not set.
                let (third, bare) = try await check(["SLACK_WEBHOOK_URL": "", "CUSTOM_WEBHOOK_URL": ""])
                #expect(third == .exited(0) && state(of: "slack", in: bare) == "-", "\(bare)")
            }
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func `the outside watcher is called while the orchestrator lives, and is left alone once it is killed`()
        async throws
    {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                try await SlackSink.serve(Self.mild) { watcher in
                    try await SmallSuite.with(redis: redis.url, database: database.url) { suite in
                        let process = try suite.spawnOrchestrator(
                            "1",
                            [
                                "ALERT_DEADMAN_URL": "http://127.0.0.1:\(watcher.port)/ping",
                                "ALERT_DEADMAN_INTERVAL_SECS": "0.2",
                            ])
                        try await eventually(within: .seconds(60), "five calls") { watcher.taken.count >= 5 }
                        #expect(watcher.taken.allSatisfy { $0.path == "/ping" })
                        _ = await process.kill9()
                        let count = watcher.arrivals.count
                        let began = MachineClock.real.now
                        try await eventually(within: .seconds(60), "ten intervals have passed") {
                            MachineClock.real.now.since(began) >= .seconds(2)
                        }
                        // One may have been under way.
                        #expect(watcher.arrivals.count <= count + 1)
                    }
                }
            }
        }
    }
}
