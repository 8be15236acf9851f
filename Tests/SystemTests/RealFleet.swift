import AsyncHTTPClient
import Foundation
import Runtime
import Servers
import TestKit

/// The five executables and a simulated venue as real processes.
struct RealFleet {
    private struct Ports: Decodable {
        let http: Int
        let ws: Int
    }

    static let services = ["orchestrator", "market-discovery", "game-shard", "signal-processor", "execution-service"]

    let folder: TemporaryDirectory
    let statusPort: Int
    /// Of those that are no orchestrator.
    private let servicePorts: [String: Int]
    private(set) var processes: [String: ChildProcess] = [:]
    private var environment: [String: String] = [:]
    private var controlURL = ""

    init() throws {
        folder = try TemporaryDirectory("fleet")
        statusPort = try FreePort.find()
        servicePorts = Dictionary(
            uniqueKeysWithValues: try Self.services.dropFirst().map { ($0, try FreePort.find()) })
    }

    /// Starts the simulated venue, then the five; does not wait for them.
    ///
    /// `recording` is a file's path; the recorded game of old when not given.
    mutating func start(
        redis: String, database: String, speed: Int = 1, recording: String? = nil, _ more: [String: String] = [:]
    ) async throws {
        try await startVenue(redis: redis, database: database, speed: speed, recording: recording, more)
        for service in Self.services {
            let own = servicePorts[service].map { ["SERVICE_STATUS_PORT": "\($0)"] } ?? [:]
            try spawn(service, environment.merging(own) { $1 })
        }
    }

    /// Starts the simulated venue, and `linesman up` with these arguments; its output is in `log("linesman")`.
    mutating func startUp(
        redis: String, database: String, _ arguments: [String], _ more: [String: String] = [:]
    ) async throws {
        try await startVenue(redis: redis, database: database, speed: 1, more)
        try spawn("linesman", environment, ["up", "--log-dir", folder.path] + arguments)
    }

    private mutating func startVenue(
        redis: String, database: String, speed: Int, recording: String? = nil, _ more: [String: String]
    ) async throws {
        let recordings = Executable.environment(temporary: folder.path)["LINESMAN_RECORDINGS"] ?? ""
        let ready = "\(folder.path)/venue.json"
        try spawn(
            "venue-simulator",
            [
                "SIMULATOR_READY_FILE": ready, "SIMULATOR_SPEED": "\(speed)",
                "SIMULATOR_RECORDING": recording ?? "\(recordings)/tor-at-cle-2026-04-20.recording",
            ])
        try await eventually(within: .seconds(30), "the venue listens") {
            FileManager.default.fileExists(atPath: ready)
        }
        let data = FileManager.default.contents(atPath: ready) ?? Data()
        let ports = try JSONDecoder().decode(Ports.self, from: data)
        let venue = "http://127.0.0.1:\(ports.http)"
        controlURL = "\(venue)/control"
        environment = [
            "REDIS_URL": redis, "DATABASE_URL": database, "REPLAY_SPEED": "\(speed)", "SPORTS": "nba",
            "STATUS_PORT": "\(statusPort)", "DB_POOL_MAX_CONNECTIONS": "5", "DB_POOL_MIN_CONNECTIONS": "1",
            "KALSHI_BASE_URL": "\(venue)/trade-api/v2", "PAPER_VENUE_URL": "\(venue)/trade-api/v2",
            "KALSHI_WS_URL": "ws://127.0.0.1:\(ports.ws)/trade-api/ws/v2",
            "ESPN_BASE_URL": "\(venue)/apis/site/v2/sports", "ALERT_LOG_PATH": "\(folder.path)/alerts.log",
            "REDIS_RECONNECT_BASE_DELAY_MS": "100", "REDIS_RECONNECT_MAX_DELAY_MS": "1000",
            "REDIS_BREAKER_COOLDOWN_MS": "1000",
        ].merging(more) { $1 }
    }

    private mutating func spawn(_ name: String, _ environment: [String: String], _ arguments: [String] = []) throws {
        processes[name] = try ChildProcess.spawn(
            Executable.path(name), arguments,
            environment: Executable.environment(temporary: folder.path, environment), directory: folder.path,
            output: .file("\(folder.path)/\(name).log"))
    }

    /// Lets the venue's recording run.
    func startGame() async throws {
        _ = try await HTTPClient.shared.execute(
            Self.post("\(controlURL)/start"), timeout: .seconds(10))
    }

    /// Runs the command line with the settings of the fleet.
    func linesman(
        _ arguments: [String], _ more: [String: String] = [:]
    ) async throws -> (code: ChildProcess.ExitStatus, output: String) {
        let (code, output) = try await ChildProcess.run(
            Executable.path("linesman"), arguments,
            environment: Executable.environment(temporary: folder.path, environment.merging(more) { $1 }),
            timeout: .seconds(60))
        return (code, output)
    }

    /// Lets the account differ from what its client knows.
    func plant(_ document: String) async throws { try await post("account", document) }

    /// Has the venue misbehave, as the document says.
    func arm(_ fault: String) async throws { try await post("faults", fault) }

    private func post(_ path: String, _ document: String) async throws {
        var request = Self.post("\(controlURL)/\(path)")
        request.body = .bytes(Data(document.utf8))
        let status = try await HTTPClient.shared.execute(request, timeout: .seconds(10)).status.code
        guard (200..<300).contains(status) else { throw NotTaken(status: status) }
    }

    private struct NotTaken: Error { let status: UInt }

    /// Ends all that was armed.
    func disarm() async throws {
        var request = HTTPClientRequest(url: "\(controlURL)/faults")
        request.method = .DELETE
        _ = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
    }

    /// In microseconds since 1970.
    func venueTime() async throws -> Int64 {
        struct Clock: Decodable {
            let venueTime: Int64

            enum CodingKeys: String, CodingKey { case venueTime = "venue_time" }
        }
        let response = try await HTTPClient.shared.execute(
            HTTPClientRequest(url: "\(controlURL)/clock"), timeout: .seconds(10))
        let data = Data(buffer: try await response.body.collect(upTo: 1 << 16))
        return try JSONDecoder().decode(Clock.self, from: data).venueTime
    }

    private static func post(_ url: String) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: url)
        request.method = .POST
        return request
    }

    var areAllRunning: Bool { processes.values.allSatisfy(\.isRunning) }

    func log(_ name: String) -> String {
        String(decoding: FileManager.default.contents(atPath: "\(folder.path)/\(name).log") ?? Data(), as: UTF8.self)
    }

    /// What a service answers on its own port.
    func get(_ service: String, _ path: String) async throws -> (status: UInt, body: String) {
        let request = HTTPClientRequest(url: "http://127.0.0.1:\(servicePorts[service] ?? statusPort)\(path)")
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(5))
        return (response.status.code, String(buffer: try await response.body.collect(upTo: 8 << 20)))
    }

    /// The document behind `linesman status --json`; nil while the orchestrator does not answer.
    func status() async throws -> Status? {
        let (end, output) = try await ChildProcess.run(
            Executable.path("linesman"), ["status", "--json", "--url", "http://127.0.0.1:\(statusPort)"],
            environment: Executable.environment(temporary: folder.path), timeout: .seconds(20))
        guard end.isSuccess else { return nil }
        return try JSONDecoder().decode(Status.self, from: Data(output.utf8))
    }

    /// Asks all to drain and waits, the venue last.
    ///
    /// - Returns: how each service ended.
    func stop() async -> [String: ChildProcess.ExitStatus] {
        var ends: [String: ChildProcess.ExitStatus] = [:]
        for service in Self.services.reversed() + ["linesman"] {
            ends[service] = await processes[service]?.terminate(killAfter: .seconds(15))
        }
        await processes["venue-simulator"]?.terminate()
        folder.remove()
        return ends
    }

    /// What these tests read of the status.
    struct Status: Decodable {
        struct Fleet: Decodable {
            let shards: [Member]
            let services: [Member]
            let games: [Game]
        }

        struct Game: Decodable {
            let state: String
            let shard: String?
            let epoch: Int64?
        }

        struct Member: Decodable {
            let status: String
            let heardMsAgo: Int64
            let failedChecks: [String]
        }

        struct Bus: Decodable {
            let service: String
            let instance: String
            let state: String
            let reconnects: Int
        }

        let fleet: Fleet
        let bus: [Bus]
        let checks: [String: Bool]

        /// Every service is heard and well, and so is the orchestrator itself.
        var isAllWell: Bool {
            fleet.shards.count == 1 && fleet.services.count >= 4 && checks.values.allSatisfy { $0 }
                && (fleet.shards + fleet.services).allSatisfy { $0.status == "healthy" && $0.heardMsAgo < 2_000 }
        }
    }
}
