import Domain
import Foundation
import Hosting
import Logging
import NIOConcurrencyHelpers
import Postgres
import PostgresTestKit
import Recording
import Redis
import Resilience
import Runtime
import Servers
import TestKit

/// One account with all that belongs to it: a database, a Redis, a venue, and an execution-service that reaches the
/// first and the last through taps and is started again at once whenever it ends.
final class OrderWorld: Sendable {
    let name: String
    let pool: PostgresPool
    let venue: OrderVenue
    let plan: KillPlan
    let venueTap: TapProxy
    let killSwitch: KillSwitchFile
    private let databaseTap: TapProxy
    let redis: PrivateRedis
    let postgres: PrivatePostgres
    private let folder: TemporaryDirectory
    private let executables: String
    private let environment: [String: String]
    private let life: Life

    /// The service's present process.
    final class Life: Sendable {
        private struct State {
            var child: ChildProcess?
            var isStopping = false
            var births = 0
            var strange: [String] = []
        }

        private let state = NIOLockedValueBox(State())

        func born(_ child: ChildProcess) {
            state.withLockedValue { state in
                state.child = child
                state.births += 1
            }
        }

        func kill() { state.withLockedValue { $0.child }?.signalGroup(SIGKILL) }
        func note(_ end: String) { state.withLockedValue { $0.strange.append(end) } }
        func stop() -> ChildProcess? {
            state.withLockedValue { state in
                state.isStopping = true
                return state.child
            }
        }
        var isStopping: Bool { state.withLockedValue { $0.isStopping } }
        var births: Int { state.withLockedValue { $0.births } }
        /// Ends that nobody made.
        var strange: [String] { state.withLockedValue { $0.strange } }
    }

    var births: Int { life.births }
    var strangeEnds: [String] { life.strange }

    init(
        _ name: String, in parent: String, executables: String, postgres: PrivatePostgres,
        _ duplicates: OrderVenue.Duplicates, _ plan: KillPlan, _ more: [String: String] = [:],
        playing recorded: (VenueInstant) throws -> Recording = { try OrderMarkets.recording(from: $0) }
    ) async throws {
        self.name = name
        self.plan = plan
        self.executables = executables
        self.postgres = postgres
        folder = try TemporaryDirectory(name)
        let path = folder.path
        try await postgres.createDatabase(name)
        pool = try makePool(postgres.socketURL(database: name), application: "rehearsal") { $0.maxConnections = 4 }
        redis = try await PrivateRedis.start(in: path)
        venue = try await OrderVenue.start(in: path, executables: executables, duplicates, playing: recorded)
        let life = Life()
        self.life = life
        let unknown = UnknownOrders()
        venueTap = try await TapProxy.start(
            to: venue.port, tap: { VenueTap() }, judge: { plan.judge($0) }, kill: { life.kill() })
        databaseTap = try await TapProxy.start(
            to: postgres.port, tap: { DatabaseTap(unknown) }, judge: { plan.judge($0) }, kill: { life.kill() })
        let database = postgres.url(database: name).replacing(":\(postgres.port)/", with: ":\(databaseTap.port)/")
        killSwitch = KillSwitchFile(path: "\(path)/kill-switch")
        environment = Self.settings(path, redis: redis.url, database: database, venue: venueTap.port)
            .merging(more) { $1 }
        try await Migrations.run(pool)
    }

    /// Limits that no rehearsal may run into, and waits as short as the settings permit.
    private static func settings(_ folder: String, redis: String, database: String, venue: Int) -> [String: String] {
        var environment = [
            "TMPDIR": folder, "REDIS_URL": redis, "DATABASE_URL": database,
            "DB_JOURNAL_PATH": "\(folder)/journal", "PAPER_VENUE_URL": "http://127.0.0.1:\(venue)",
            "KALSHI_BASE_URL": "http://127.0.0.1:\(venue)/trade-api/v2", "KILL_SWITCH_FILE": "\(folder)/kill-switch",
            "ALERT_LOG_PATH": "\(folder)/alerts.log", "LOG_LEVEL": "warning", "DB_POOL_MIN_CONNECTIONS": "1",
            "INITIAL_BANKROLL": "100000000", "MAX_ORDERS_PER_MINUTE": "100000", "MAX_ORDERS_PER_HOUR": "1000000",
            "MAX_ORDERS_PER_DAY": "10000000",
            "MAX_EXITS_PER_MINUTE": "100000", "INTENT_SWEEP_MS": "50", "UNKNOWN_ORDER_POLL_MS": "100",
            "NON_ACCEPTANCE_WAIT_SECS": "2", "ORDER_SUBMIT_TIMEOUT_MS": "1000", "SETTLEMENT_POLL_MS": "60000",
            "KILL_SWITCH_POLL_MS": "100", "BOOT_TIMEOUT_SECS": "60",
        ]
        for key in ["PATH", "HOME", "LD_LIBRARY_PATH"] { environment[key] = ProcessInfo.processInfo.environment[key] }
        return environment
    }

    // MARK: The service

    /// Keeps the service running until `stop`.
    func supervise() async throws {
        while !life.isStopping {
            plan.born()
            let before = plan.made
            let child = try ChildProcess.spawn(
                "\(executables)/execution-service", environment: environment, directory: folder.path,
                output: .file("\(folder.path)/execution-service.log"))
            life.born(child)
            let end = await child.wait()
            if !life.isStopping, plan.made == before { life.note("\(end)") }
        }
    }

    /// An orchestrator beside it, which takes orders with this token.
    func startOrchestrator(port: Int, token: String) throws -> ChildProcess {
        let own = [
            "DATABASE_URL": postgres.url(database: name), "STATUS_PORT": "\(port)", "CONTROL_TOKEN": token,
            "SPORTS": "nba", "ESPN_BASE_URL": "http://127.0.0.1:\(venue.port)/apis/site/v2/sports",
        ]
        return try start("orchestrator", own)
    }

    /// A signal-processor beside it, which nobody kills.
    func startSignalProcessor(_ limits: [String: String]) throws -> ChildProcess {
        let own = ["DATABASE_URL": postgres.url(database: name)]
        return try start("signal-processor", own.merging(limits) { $1 })
    }

    private func start(_ program: String, _ own: [String: String]) throws -> ChildProcess {
        try ChildProcess.spawn(
            "\(executables)/\(program)", environment: environment.merging(own) { $1 }, directory: folder.path,
            output: .file("\(folder.path)/\(program).log"))
    }

    /// Runs `linesman kill-switch` to its end.
    func linesman(_ arguments: String...) async throws -> (status: ChildProcess.ExitStatus, output: String) {
        let own = ["DATABASE_URL": postgres.url(database: name)]
        return try await ChildProcess.run(
            "\(executables)/linesman", ["kill-switch"] + arguments, environment: environment.merging(own) { $1 },
            directory: folder.path)
    }

    /// Asks the service to end; it is not started again.
    func stop() async { await life.stop()?.terminate(killAfter: .seconds(20)) }

    /// Takes the rest down.
    func end(isKept: Bool) async {
        _ = await life.stop()?.kill9()
        await venue.process.kill9()
        await pool.close(grace: .seconds(1))
        await redis.stop()
        if !isKept { folder.remove() }
    }

    /// The last lines of both services' logs.
    var log: String {
        ["execution-service", "signal-processor"].map { program in
            let text = FileManager.default.contents(atPath: "\(folder.path)/\(program).log") ?? Data()
            return String(decoding: text.suffix(4_000), as: UTF8.self)
        }.joined()
    }

    // MARK: The database

    // The optimiser of Swift 6.3.1 crashes where this is inlined into another asynchronous function.
    @inline(never)
    func count(_ sql: SQL) async throws -> Int { try await pool.first(sql)?.int("n") ?? 0 }

    func setKillSwitch(engaged: Bool) async throws {
        _ = try await pool.transaction("kill switch") { transaction in
            try await KillSwitchStore.change(engaged: engaged, reason: "rehearsal", by: "rehearsal", transaction)
        }
    }
}
