import Domain
import Foundation
import Logging
import Postgres
import Resilience
import Runtime
import Servers

/// One demo from its first server to its last file.
struct DemoRun: Sendable {
    let options: DemoOptions
    let clock = MachineClock.real

    /// Something that ends a demo early.
    struct Stopped: Error, CustomStringConvertible {
        let description: String
    }

    init(_ options: DemoOptions) { self.options = options }

    /// Never throws: whatever happens, everything is taken down, and the outcome says what it was.
    func run() async -> DemoOutcome {
        let directory: TemporaryDirectory
        do { directory = try TemporaryDirectory("linesman-demo", isKept: options.keep) } catch {
            return failed("\(error)")
        }
        let outcome = await runServers(in: directory.path)
        if options.keep {
            Console.say("kept: \(directory.path)")
        } else {
            directory.remove()
        }
        return outcome
    }

    private func runServers(in directory: String) async -> DemoOutcome {
        Console.say("servers: a private redis-server and PostgreSQL in \(directory)")
        let redis: PrivateRedis
        let postgres: PrivatePostgres
        do {
            async let startingRedis = PrivateRedis.start(in: directory, appendOnly: true)
            async let startingPostgres = PrivatePostgres.start(in: directory, databases: ["linesman"])
            (redis, postgres) = (try await startingRedis, try await startingPostgres)
            await PrivatePostgres.forgetTemplate()
        } catch {
            return Task.isCancelled ? interrupted() : failed("\(error)")
        }
        let display = DemoDisplay(isLive: options.isLive)
        let suite = ProcessSuite(
            logs: directory, sockets: directory, directory: directory, endsWhenSpent: true, clock: clock
        ) { name, news in
            if news.isCrash { for line in SuiteWords.lines(name, news) { display.note("suite:   \(line)") } }
        }
        let outcome = await runSuite(suite, display, directory, redis, postgres)
        await postgres.stop(.fast)
        await redis.stop()
        return outcome
    }

    private func runSuite(
        _ suite: ProcessSuite, _ display: DemoDisplay, _ directory: String, _ redis: PrivateRedis,
        _ postgres: PrivatePostgres
    ) async -> DemoOutcome {
        let began = clock.now
        var outcome = DemoOutcome()
        do {
            var report = try await withThrowingTaskGroup(of: DemoReport?.self) { group in
                group.addTask {
                    try await suite.watch()
                    return nil
                }
                group.addTask {
                    let stage = try await start(suite, display, directory, redis, postgres)
                    let report = try await stage.play()
                    await stage.database.close()
                    return report
                }
                defer { group.cancelAll() }
                while let finished = try await group.next() {
                    if let report = finished { return report }
                }
                throw Stopped(description: "the suite ended by itself")
            }
            await suite.stop()
            report.processes = await suite.rows.map(DemoReport.ProcessRow.init)
            report.wallSeconds = (began.duration(to: clock.now).inSeconds * 10).rounded() / 10
            Console.say("\n" + report.table())
            if let problem = report.problem { outcome = failed(problem) }
            outcome.report = report
        } catch {
            await suite.stop()
            if Task.isCancelled || error is CancellationError { return interrupted() }
            outcome = failed("\(error)")
            printTails(directory)
        }
        return outcome
    }

    /// Starts the simulator, then the services, and waits until the game is watched.
    private func start(
        _ suite: ProcessSuite, _ display: DemoDisplay, _ directory: String, _ redis: PrivateRedis,
        _ postgres: PrivatePostgres
    ) async throws -> DemoStage {
        var plan = DemoPlan(
            directory: directory, redisURL: redis.url, databaseURL: postgres.url(database: "linesman"),
            statusPort: try FreePort.find(), options: options, venue: nil)
        try await suite.start(plan.simulator())
        let ports = try await readyPorts(plan.readyFile)
        plan = DemoPlan(
            directory: directory, redisURL: plan.redisURL, databaseURL: plan.databaseURL,
            statusPort: plan.statusPort, options: options, venue: ports)
        // It has the database's password in it.
        try keep(plan.settings(), in: plan.settingsFile)
        try keep(RandomSource.system.uuid() + RandomSource.system.uuid(), in: plan.tokenFile)
        for process in try plan.services() { try await suite.start(process) }
        announce(plan, ports)
        let pool = try CommandDatabase.open(url: plan.databaseURL)
        return DemoStage(
            options: options, ports: ports, statusURL: "http://127.0.0.1:\(plan.statusPort)", database: pool,
            suite: suite, display: display, clock: clock)
    }

    /// Writes what nobody else may read.
    private func keep(_ secret: String, in path: String) throws {
        let isWritten = FileManager.default.createFile(
            atPath: path, contents: Data(secret.utf8), attributes: [.posixPermissions: 0o600])
        guard isWritten else { throw Stopped(description: "\(path) cannot be written") }
    }

    private func announce(_ plan: DemoPlan, _ ports: VenuePorts) {
        let speed = options.speed.formatted(decimals: 1)
        Console.say("venue:   \(options.recording.header.name) at speed \(speed), \(ports.restURL)")
        let rules = DemoProfile.settings.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
        Console.say("rules:   profile \"\(DemoProfile.name)\": \(rules)")
        Console.say(
            "suite:   orchestrator, market-discovery, signal-processor, execution-service, "
                + "\(options.shards) game-shards")
        Console.say("look in: linesman status --url http://127.0.0.1:\(plan.statusPort)")
        let url = "http://127.0.0.1:\(plan.statusPort)"
        Console.say("         linesman drain \(plan.shardName(1)) --url \(url) --config \(plan.settingsFile)")
        Console.say("         linesman why ORDER --config \(plan.settingsFile)\n")
    }

    private func readyPorts(_ path: String) async throws -> VenuePorts {
        for _ in 0..<300 {
            if let data = FileManager.default.contents(atPath: path) {
                return try JSONDecoder().decode(VenuePorts.self, from: data)
            }
            try await clock.sleep(for: .milliseconds(100))
        }
        throw Stopped(description: "the venue simulator was not ready within 30 s")
    }

    private func printTails(_ directory: String) {
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted()
        for name in names where name.hasSuffix(".log") && !name.hasPrefix("redis") {
            guard let text = try? String(contentsOfFile: "\(directory)/\(name)", encoding: .utf8) else { continue }
            let bad = text.split(separator: "\n").filter { $0.contains("error") || $0.contains("warning") }.suffix(3)
            for line in bad { Console.say("  \(name): \(line.prefix(300))") }
        }
    }

    private func failed(_ reason: String) -> DemoOutcome {
        Console.complain("demo: \(reason)")
        return DemoOutcome(report: nil, exitCode: 1)
    }

    private func interrupted() -> DemoOutcome {
        Console.say("\ninterrupted; everything is stopped")
        return DemoOutcome(report: nil, exitCode: 130)
    }
}

extension ProcessSuite.News {
    /// A process ended that should not have, or is back.
    fileprivate var isCrash: Bool {
        switch self {
        case .started(_, let restarts): restarts > 0
        case .report(.ended(_, _, let next), _): next != .stopped
        case .report, .raise, .recover: false
        }
    }
}

extension DemoReport.ProcessRow {
    fileprivate init(_ row: ProcessSuite.Row) {
        let code: Int32? = if case .exited(let code) = row.exit { code } else { nil }
        self.init(
            name: row.name, pid: row.pid, restarts: row.restarts, exitCode: code,
            rssMB: (row.peakMegabytes * 10).rounded() / 10)
    }
}

extension Logger {
    /// For pools and clients of the command line: what goes wrong is thrown, not logged.
    static var quiet: Logger { Logger(label: "linesman") { _ in SwiftLogNoOpLogHandler() } }
}
