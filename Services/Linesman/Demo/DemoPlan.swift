import Foundation
import Resilience
import Runtime

/// Which processes a demo runs and how each is told what to do.
struct DemoPlan: Sendable {
    let directory: String
    let redisURL: String
    let databaseURL: String
    let statusPort: Int
    let options: DemoOptions
    let venue: VenuePorts?

    var settingsFile: String { "\(directory)/linesman.toml" }
    /// What `linesman drain` and `linesman reassign` need to know.
    var tokenFile: String { "\(directory)/control.token" }
    var readyFile: String { "\(directory)/venue.json" }

    /// The settings that all processes share.
    func settings() -> String {
        var values: [(String, String)] = [
            ("REDIS_URL", redisURL), ("DATABASE_URL", databaseURL), ("REPLAY_SPEED", "\(options.speed)"),
            ("REDIS_RECONNECT_BASE_DELAY_MS", "100"), ("REDIS_RECONNECT_MAX_DELAY_MS", "1000"),
            ("REDIS_RECONNECT_JITTER_PCT", "0.5"), ("DB_POOL_MAX_CONNECTIONS", "5"), ("DB_POOL_MIN_CONNECTIONS", "1"),
            ("DISCOVERY_INTERVAL_SECS", "1"),
            ("ALERT_LOG_PATH", "\(directory)/critical_alerts.log"), ("STATUS_PORT", "\(statusPort)"),
            ("DB_JOURNAL_PATH", "\(directory)/journal"), ("CONTROL_TOKEN_FILE", tokenFile),
        ]
        if let venue {
            values += [
                ("KALSHI_BASE_URL", venue.restURL), ("KALSHI_WS_URL", venue.webSocketURL),
                ("ESPN_BASE_URL", venue.scoresURL),
            ]
            if options.fills == .venue { values.append(("PAPER_VENUE_URL", venue.restURL)) }
        }
        return DemoProfile.toml(extra: values)
    }

    /// The stand-in for the venues: the only thing here that is not part of the suite.
    func simulator() throws -> SuiteProcess {
        try process(
            "venue-simulator", "venue-simulator",
            [
                "SIMULATOR_RECORDING": options.recordingPath, "SIMULATOR_SPEED": "\(options.speed)",
                "SIMULATOR_READY_FILE": readyFile, "LINESMAN_CONFIG": "",
            ], restarts: 0)
    }

    func services() throws -> [SuiteProcess] {
        var processes = [
            try process("orchestrator", "orchestrator"), try process("market-discovery", "market-discovery"),
            try process("signal-processor", "signal-processor"), try process("execution-service", "execution-service"),
        ]
        for number in 1...options.shards {
            // Longer than a lease, so that one sees the others take over.
            let delay = Duration.seconds(5)
            processes.append(
                try process(shardName(number), "game-shard", ["SHARD_ID": shardName(number)], after: delay))
        }
        return processes
    }

    func shardName(_ number: Int) -> String { SuiteProcess.shardName(number) }

    /// - `restarts`: after a crash; one more ends the demo. None for the simulator, whose account is lost.
    /// - `delay`: before each.
    private func process(
        _ name: String, _ executable: String, _ extra: [String: String] = [:], restarts: Int = 5,
        after delay: Duration = .zero
    ) throws -> SuiteProcess {
        // Settings of the shell that runs the demo must not reach into it.
        var environment = ["LINESMAN_CONFIG": settingsFile, "LOG_LEVEL": "info"]
        for key in ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH"] {
            environment[key] = ProcessInfo.processInfo.environment[key]
        }
        environment.merge(extra) { $1 }
        var policy = ProcessWatch.Policy()
        policy.budget = RestartBudget(delays: [delay], attempts: restarts, window: .seconds(86_400))
        return SuiteProcess(
            name: name, executable: try Executables.path(of: executable), environment: environment, policy: policy)
    }
}

/// Where the simulator listens.
struct VenuePorts: Codable, Sendable {
    let http: Int
    let ws: Int

    var restURL: String { "http://127.0.0.1:\(http)/trade-api/v2" }
    var scoresURL: String { "http://127.0.0.1:\(http)/apis/site/v2/sports" }
    var controlURL: String { "http://127.0.0.1:\(http)/control" }
    var webSocketURL: String { "ws://127.0.0.1:\(ws)/trade-api/ws/v2" }
}
