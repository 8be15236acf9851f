import Foundation
import Runtime
import Servers
import TestKit
import Testing

/// What every executable promises before it does anything.
@Suite struct ExecutableTests {
    static let services = ["orchestrator", "game-shard", "market-discovery", "signal-processor", "execution-service"]

    private func run(_ name: String, _ environment: [String: String]) async throws -> (code: Int32?, output: String) {
        let folder = try TemporaryDirectory("exec-test")
        defer { folder.remove() }
        let (status, output) = try await ChildProcess.run(
            Executable.path(name), environment: Executable.environment(temporary: folder.path, environment),
            directory: folder.path, timeout: .seconds(30))
        if case .exited(let code) = status { return (code, output) }
        return (nil, output)
    }

    // CHECKLIST R89, H11.
    @Test(arguments: services)
    func `half an authorisation to trade live is refused with exit code 78`(service: String) async throws {
        let (code, output) = try await run(service, ["PAPER_TRADING": "false"])
        #expect(code == 78, "\(output)")
        #expect(output.contains("LIVE_TRADING_AUTHORIZED"), "\(output)")
    }

    // CHECKLIST H18, H19, H21: a settings file with ten mistakes.
    @Test(arguments: services)
    func `ten mistakes in the settings file are reported at once, by key, value and line`(service: String) async throws
    {
        let folder = try TemporaryDirectory("settings-test")
        defer { folder.remove() }
        let file = "\(folder.path)/linesman.toml"
        let mistakes = [
            "HEARTBEAT_INTERVAL_SECS = -1", "REDIS_URL = \"http://example.org\"", "DB_POOL_MAX_CONNECTIONS = 0",
            "REDIS_RECONNECT_JITTER_PCT = 7", "LOG_LEVEL = \"loud\"", "PAPER_TRADING = \"maybe\"",
            "REDIS_CONNECT_TIMEOUT_MS = \"soon\"", "REPLAY_SPEED = 99999", "REDIS_PING_INTERVAL_MS = 0",
            "REDDIS_URL = \"redis://127.0.0.1\"",
        ]
        try mistakes.joined(separator: "\n").write(toFile: file, atomically: true, encoding: .utf8)
        let (code, output) = try await run(service, ["LINESMAN_CONFIG": file])
        #expect(code == 78, "\(output)")
        for (index, mistake) in mistakes.enumerated() {
            let key = try #require(mistake.split(separator: " ").first)
            #expect(output.contains(key), "\(key) in\n\(output)")
            #expect(output.contains("linesman.toml:\(index + 1)"), "line \(index + 1) in\n\(output)")
        }
        #expect(output.contains("REDIS_URL"), "the misspelt key names its neighbour")
    }

    // CHECKLIST H11.
    @Test func `live trading without a key, and paper orders to a real venue, are refused before anything starts`()
        async throws
    {
        let live = ["PAPER_TRADING": "false", "LIVE_TRADING_AUTHORIZED": "true"]
        let (code, output) = try await run("execution-service", live)
        #expect(code == 78 && output.contains("KALSHI_API_KEY"), "\(output)")
        for address in [
            "https://api.elections.kalshi.com/trade-api/v2", "https://kalshi.com:443", "http://x@demo-api.kalshi.co/",
        ] {
            let (code, output) = try await run("execution-service", ["PAPER_VENUE_URL": address])
            #expect(code == 78 && output.contains("PAPER_VENUE_URL"), "\(address): \(output)")
        }
    }

    // CHECKLIST N31.
    @Test func `what is set is logged with its source, and secrets are not`() async throws {
        let folder = try TemporaryDirectory("exec-test")
        defer { folder.remove() }
        let log = "\(folder.path)/log"
        let child = try ChildProcess.spawn(
            Executable.path("execution-service"),
            environment: Executable.environment(
                temporary: folder.path,
                [
                    "REDIS_URL": "redis://user:s3cr3t-word@127.0.0.1:1/0", "KALSHI_API_KEY": "s3cr3t-key",
                    "KALSHI_PRIVATE_KEY": "s3cr3t-pem", "MAX_ORDER_CONTRACTS": "77",
                    "DATABASE_URL": "postgres://u:s3cr3t-pass@127.0.0.1:1/x",
                ]), directory: folder.path, output: .file(log))
        func text() -> String { String(decoding: FileManager.default.contents(atPath: log) ?? Data(), as: UTF8.self) }
        try await eventually("settings are logged") { text().contains("MAX_ORDER_CONTRACTS") }
        try await eventually("a server is missed") { text().contains("dependency not available") }
        await child.terminate()
        #expect(text().contains("77") && text().contains("environment"))
        #expect(!text().contains("s3cr3t"), "\(text())")
    }

    // CHECKLIST R10, S9.
    @Test(arguments: ["signal-processor"])
    func `a secret in the settings is never printed`(service: String) async throws {
        let (code, output) = try await run(
            service, ["REDIS_URL": "redis://user:s3cr3t-word@127.0.0.1:1/0", "HEARTBEAT_INTERVAL_SECS": "-3"])
        #expect(code == 78)
        #expect(!output.contains("s3cr3t-word"), "\(output)")
    }

    @Test(arguments: ["linesman"])
    func `the command line says what it can do and refuses what it cannot`(name: String) async throws {
        let folder = try TemporaryDirectory("cli-test")
        defer { folder.remove() }
        let environment = Executable.environment(temporary: folder.path)
        let help = try await ChildProcess.run(Executable.path(name), ["--help"], environment: environment)
        #expect(help.status.isSuccess)
        for command in ["demo", "status", "why", "dead-letters", "record", "config"] {
            #expect(help.output.contains(command))
        }
        let cases: [([String], Int32)] = [
            (["demo", "--speed", "0"], 64), (["demo", "--shards", "99"], 64), (["demo", "--recording", "none"], 64),
            (["demo", "--faults", "meteor"], 64),
            (["demo", "--recording", "lac-at-cha-2025-11-22"], 64), (["status", "--url", "http://127.0.0.1:1"], 69),
            (["nonsense"], 64), (["dead-letters", "--limit", "0"], 64),
            (["dead-letters", "--redis", "redis://127.0.0.1:1"], 69), (["dead-letters", "--redis", "http://x"], 78),
        ]
        for (arguments, code) in cases {
            let (status, output) = try await ChildProcess.run(
                Executable.path(name), arguments, environment: environment)
            #expect(status == .exited(code), "\(arguments): \(output)")
        }
    }

    // In two processes, since each seeds its hashes anew: a walk over an unsorted dictionary shows in no single one.
    // So many steps that seeds of each profile are among them.
    @Test func `two processes that simulate the same seed print the same SHA-256`() async throws {
        let folder = try TemporaryDirectory("simulate-test")
        defer { folder.remove() }
        let environment = Executable.environment(temporary: folder.path)
        #expect(environment["SWIFT_DETERMINISTIC_HASHING"] == nil)
        var digests: [String] = []
        for _ in 0..<2 {
            let (status, output) = try await ChildProcess.run(
                Executable.path("linesman"), ["simulate", "--seed", "1", "--steps", "400000"],
                environment: environment, directory: folder.path, timeout: .seconds(300))
            #expect(status.isSuccess, "\(output)")
            let told = output.split(separator: "\n").map(String.init).filter { $0.hasPrefix("sha256 ") }
            #expect(told.count == 1 && told.first?.count == "sha256 ".count + 64, "\(output)")
            digests += told
        }
        #expect(digests.count == 2 && digests.first == digests.last, "\(digests)")
    }

    // CHECKLIST H17: it really connects, and says what it could not reach.
    @Test func `the go-live list without a suite names every place that does not answer, and forbids`() async throws {
        let nowhere = [
            "DATABASE_URL": "postgres://u:s3cr3t-pass@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0",
            "KALSHI_BASE_URL": "http://127.0.0.1:1/trade-api/v2",
        ]
        let folder = try TemporaryDirectory("live-test")
        defer { folder.remove() }
        let (status, output) = try await ChildProcess.run(
            Executable.path("linesman"), ["check", "live", "--url", "http://127.0.0.1:1"],
            environment: Executable.environment(temporary: folder.path, nowhere), directory: folder.path)
        #expect(status == .exited(1), "\(output)")
        for place in ["the venue", "PostgreSQL", "Redis", "the orchestrator at http://127.0.0.1:1"] {
            #expect(output.contains("\(place) does not answer"), "\(place) in\n\(output)")
        }
        #expect(output.contains("do not trade live") && output.contains("LIVE_TRADING_AUTHORIZED"), "\(output)")
        #expect(!output.contains("s3cr3t"))
        let half = nowhere.merging(["PAPER_TRADING": "false"]) { $1 }
        let (refused, said) = try await ChildProcess.run(
            Executable.path("linesman"), ["check", "live"],
            environment: Executable.environment(temporary: folder.path, half), directory: folder.path)
        #expect(refused == .exited(78) && said.contains("LIVE_TRADING_AUTHORIZED"), "\(said)")
    }
}
