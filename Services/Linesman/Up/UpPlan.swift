import Alerting
import Foundation
import Hosting
import Postgres
import Redis
import Resilience
import Runtime

/// Which processes `linesman up` runs and what each is told; the operator's settings win over all that is added.
struct UpPlan: Sendable {
    let options: UpOptions
    /// The orchestrator first, the shards last: consumers are there before those who feed them.
    let processes: [SuiteProcess]
    let alerts: AlertSettings
    let redis: RedisSettings
    let database: PostgresSettings
    /// For everything together, from the signal to the last end.
    let drainTimeout: Duration
    /// Where the orchestrators serve their status page.
    let statusPorts: [Int]
    let environment: [String: String]
    let logs: String

    /// Reads and checks the settings as each process will.
    ///
    /// - Throws: `SettingsError` with all problems of all of them; `ValidationError` when an executable is missing.
    init(_ options: UpOptions, environment own: [String: String]) throws {
        var environment = own
        // They name this process's own supervisor.
        for key in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] { environment[key] = nil }
        if let config = options.config { environment["LINESMAN_CONFIG"] = URL(filePath: config).path }
        let file = try ProcessRunner.settingsFile(environment)
        try Self.check(environment, file)

        let reader = SettingsReader(environment: environment, file: file)
        let orchestrator = OrchestratorSettings(reader)
        let supervisor = SupervisorSettings(reader)
        let process = ProcessSettings(reader)
        let shardNames = SettingsReader(environment: environment, file: file)
        let shard = GameShardSettings(shardNames)
        let set = Set(reader.declared.filter { $0.source != .standard }.map(\.key))
        let ownName = shardNames.declared.contains { $0.key == "SHARD_ID" && $0.source != .standard }

        self.options = options
        self.environment = environment
        alerts = orchestrator.host.alerts
        redis = orchestrator.host.redis
        database = orchestrator.host.database
        drainTimeout = process.drainTimeout
        logs = URL(filePath: options.logs).path
        let ports = [orchestrator.statusPort] + (options.standby ? [Self.next(orchestrator.statusPort)] : [])
        statusPorts = ports

        let sizesOwnPools = !set.isDisjoint(with: [
            "DB_POOL_PRESET", "DB_POOL_MAX_CONNECTIONS", "DB_POOL_MIN_CONNECTIONS",
        ])
        let maker = Maker(
            base: Self.base(environment, set, drainTimeout),
            sizesOwnPools: sizesOwnPools, policy: Self.policy(supervisor, orchestrator.host),
            folder: options.executables.map { URL(filePath: $0).path })
        // Connections as in DESIGN section 7, so that the whole fits into PostgreSQL's usual 100.
        var all = [try maker.make("orchestrator", "orchestrator", connections: 5)]
        if options.standby {
            let second = ["SERVICE_INSTANCE": "\(orchestrator.host.instance)-standby", "STATUS_PORT": "\(ports[1])"]
            all.append(try maker.make("orchestrator-standby", "orchestrator", connections: 5, second))
        }
        // One after the other from the port that is set, since all are on this host.
        var port = orchestrator.host.statusPort
        func ownPort() -> [String: String] {
            guard port > 0 else { return [:] }
            defer { port = Self.next(port) }
            return ["SERVICE_STATUS_PORT": "\(port)"]
        }
        all.append(try maker.make("market-discovery", "market-discovery", connections: 3, ownPort()))
        all.append(try maker.make("execution-service", "execution-service", connections: 10, ownPort()))
        all.append(try maker.make("signal-processor", "signal-processor", connections: 10, ownPort()))
        for number in 1...options.shards {
            let name = SuiteProcess.shardName(number, ownName ? shard.host.instance : "shard")
            let own = ownPort().merging(["SHARD_ID": name]) { $1 }
            all.append(try maker.make(name, "game-shard", connections: 2, own))
        }
        processes = all
    }

    /// What all processes have in common.
    private struct Maker {
        let base: [String: String]
        let sizesOwnPools: Bool
        let policy: ProcessWatch.Policy
        let folder: String?

        func make(
            _ name: String, _ executable: String, connections: Int, _ more: [String: String] = [:]
        ) throws -> SuiteProcess {
            var settings = base
            if !sizesOwnPools {
                settings["DB_POOL_MAX_CONNECTIONS"] = "\(connections)"
                settings["DB_POOL_MIN_CONNECTIONS"] = "1"
            }
            return SuiteProcess(
                name: name, executable: try Executables.path(of: executable, in: folder),
                environment: settings.merging(more) { $1 }, policy: policy, isHeard: true)
        }
    }

    private static func policy(_ supervisor: SupervisorSettings, _ host: HostSettings) -> ProcessWatch.Policy {
        var policy = ProcessWatch.Policy()
        policy.budget = supervisor.budget
        policy.checkEvery = supervisor.checkInterval
        policy.missThreshold = supervisor.missThreshold
        policy.readyWithin = host.bootTimeout + supervisor.checkInterval * max(1, supervisor.missThreshold)
        return policy
    }

    /// What all processes are told: the operator's environment, and what neither it nor the file, of which `set` are
    /// the keys, says otherwise.
    private static func base(
        _ environment: [String: String], _ set: Set<String>, _ drainTimeout: Duration
    ) -> [String: String] {
        // A whole backtrace takes seconds that the restart would wait for.
        var base = ["SWIFT_BACKTRACE": "symbolicate=fast,threads=crashed,registers=none,images=none"]
        if set.isDisjoint(with: reconnection.keys) { base.merge(reconnection) { $1 } }
        base.merge(environment) { $1 }
        // The last stage is asked four tenths of the time later than the first, and all of it must be over in time.
        base["DRAIN_TIMEOUT_SECS"] = "\((drainTimeout * 0.6).inSeconds)"
        return base
    }

    /// Quicker than a lone process would be: the servers are near, and the suite is one (DESIGN section 7).
    private static let reconnection = [
        "REDIS_RECONNECT_BASE_DELAY_MS": "100", "REDIS_RECONNECT_MAX_DELAY_MS": "1000",
        "REDIS_RECONNECT_JITTER_PCT": "0.5", "REDIS_RECONNECT_JITTER_ONLY_SHORTENS": "true",
        "REDIS_RECONNECT_RESET_SECS": "10", "REDIS_BREAKER_COOLDOWN_MS": "1000",
    ]

    private static func next(_ port: Int) -> Int { port == 0 || port == 65_535 ? 0 : port + 1 }

    /// All problems of all services at once, each of them once.
    private static func check(_ environment: [String: String], _ file: SettingsFile?) throws(SettingsError) {
        var problems: [SettingsProblem] = []
        for (_, declare) in SettingsCatalogue.services {
            let reader = SettingsReader(environment: environment, file: file)
            _ = ProcessSettings(reader)
            declare(reader)
            do {
                try reader.finish(known: SettingsCatalogue.keys)
            } catch {
                for problem in error.problems where !problems.contains(problem) { problems.append(problem) }
            }
        }
        if !problems.isEmpty { throw SettingsError(problems: problems) }
    }
}
