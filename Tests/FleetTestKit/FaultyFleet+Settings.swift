import AsyncHTTPClient
import Domain
import Foundation
import Recording
import Redis
import Runtime
import Servers
import TestKit

extension FaultyFleet {
    /// The settings of docker-compose.yml for whoever lives with Redis (DESIGN section 7).
    static let reconnection = [
        "REDIS_RECONNECT_BASE_DELAY_MS": "100", "REDIS_RECONNECT_MAX_DELAY_MS": "1000",
        "REDIS_RECONNECT_JITTER_PCT": "0.5", "REDIS_RECONNECT_JITTER_ONLY_SHORTENS": "true",
        "REDIS_RECONNECT_RESET_SECS": "10", "REDIS_BREAKER_COOLDOWN_MS": "1000",
    ]

    static func settings(_ url: String) -> RedisSettings {
        RedisSettings(SettingsReader(environment: reconnection.merging(["REDIS_URL": url]) { $1 }))
    }

    /// The defaults, but for addresses, for limits that no rehearsal may run into, and for more talk than usual.
    static func environment(
        _ folder: String, redis: String, database: String, venue: Venue, slack: String, games: Int, statusPort: Int
    ) -> [String: String] {
        var environment = reconnection.merging([
            "TMPDIR": folder, "DB_JOURNAL_PATH": "\(folder)/journal", "REDIS_URL": redis, "DATABASE_URL": database,
            "SPORTS": "nba", "STATUS_PORT": "\(statusPort)", "DB_POOL_MAX_CONNECTIONS": "5",
            "DB_POOL_MIN_CONNECTIONS": "1", "KALSHI_BASE_URL": venue.rest, "PAPER_VENUE_URL": venue.rest,
            "KALSHI_WS_URL": venue.webSocket, "ESPN_BASE_URL": venue.scores, "ALERT_LOG_PATH": "\(folder)/alerts.log",
            "SLACK_WEBHOOK_URL": slack, "KILL_SWITCH_FILE": "\(folder)/kill-switch", "MAX_GAMES": "\(games)",
            "DISCOVERY_INTERVAL_SECS": "2", "POLL_INTERVAL": "1", "SYSTEM_MONITOR_INTERVAL_SECS": "5",
        ]) { $1 }
        // What a signal is refused for must be its epoch, and nothing before it.
        environment.merge([
            "SIGNAL_DEBOUNCE_SECS": "3", "MAX_ENTRIES_PER_SIDE": "1000", "MAX_GAME_EXPOSURE": "-1",
            "MAX_SPORT_EXPOSURE": "-1", "MAX_POSITION_PER_MARKET": "-1", "MAX_TOTAL_EXPOSURE": "-1",
            "MAX_DAILY_LOSS": "100000000", "INITIAL_BANKROLL": "10000000",
            "MAX_POSITION_PCT": "0.1", "MAX_ORDERS_PER_MINUTE": "60", "MAX_ORDERS_PER_HOUR": "100000",
            "MAX_ORDERS_PER_DAY": "10000000",
        ]) { $1 }
        for key in ["PATH", "HOME", "LD_LIBRARY_PATH"] { environment[key] = ProcessInfo.processInfo.environment[key] }
        return environment
    }
}

/// The simulated venue, which plays in wall time: the suite believes that it trades today.
struct Venue: Sendable {
    private struct Ports: Decodable {
        let http: Int
        let ws: Int
    }

    let process: ChildProcess
    private let ports: Ports

    var rest: String { "http://127.0.0.1:\(ports.http)/trade-api/v2" }
    var scores: String { "http://127.0.0.1:\(ports.http)/apis/site/v2/sports" }
    var webSocket: String { "ws://127.0.0.1:\(ports.ws)/trade-api/ws/v2" }

    /// Starts it, and lets it play a game that goes on and on.
    static func start(in folder: String, executables: String, games: Int) async throws -> Venue {
        try await start(in: folder, executables: executables, ["SIMULATOR_GAMES": "\(games)"]) {
            try GeneratedGame.recording(from: $0)
        }
    }

    /// Starts it with a recording that begins when it is told, and lets it play.
    static func start(
        in folder: String, executables: String, _ more: [String: String],
        playing recorded: (VenueInstant) throws -> Recording
    ) async throws -> Venue {
        let start = VenueInstant.epoch.advanced(by: .seconds(Int64(Date().timeIntervalSince1970) + 2))
        let recording = "\(folder)/generated.recording"
        try recorded(start).text.write(toFile: recording, atomically: true, encoding: .utf8)
        let ready = "\(folder)/venue.json"
        var environment = [
            "SIMULATOR_RECORDING": recording, "SIMULATOR_READY_FILE": ready, "SIMULATOR_BALANCE": "100000000",
        ].merging(more) { $1 }
        environment["PATH"] = ProcessInfo.processInfo.environment["PATH"]
        let process = try ChildProcess.spawn(
            "\(executables)/venue-simulator", environment: environment, directory: folder,
            output: .file("\(folder)/venue-simulator.log"))
        try await eventually(within: .seconds(60), "the venue listens, and its time has come") {
            if let status = process.exitStatus { throw NotInTime(description: "the venue has ended with \(status)") }
            return FileManager.default.fileExists(atPath: ready)
                && Date().timeIntervalSince1970 * 1_000_000 >= Double(start.microseconds)
        }
        let data = FileManager.default.contents(atPath: ready) ?? Data()
        let venue = Venue(process: process, ports: try JSONDecoder().decode(Ports.self, from: data))
        try await post("http://127.0.0.1:\(venue.ports.http)/control/start")
        return venue
    }

    /// What the venue answers at a path of its control, as JSON.
    func control<Answer: Decodable>(_ path: String) async throws -> Answer {
        let address = "http://127.0.0.1:\(ports.http)/control/\(path)"
        let response = try await HTTPClient.shared.execute(HTTPClientRequest(url: address), timeout: .seconds(10))
        guard response.status == .ok else { throw NotInTime(description: "the venue answers \(response.status)") }
        let body = try await response.body.collect(upTo: 1 << 26)
        return try JSONDecoder().decode(Answer.self, from: Data(body.readableBytesView))
    }

    private static func post(_ address: String) async throws {
        var request = HTTPClientRequest(url: address)
        request.method = .POST
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
        guard response.status == .ok else { throw NotInTime(description: "the venue answers \(response.status)") }
    }
}
