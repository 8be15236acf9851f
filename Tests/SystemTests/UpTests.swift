import Foundation
import Runtime
import Servers
import TestKit
import Testing

/// `linesman up` with stand-ins for the services that crash, hang and refuse as they are told.
@Suite struct UpTests {
    // CHECKLIST R103, N24.
    @Test(.timeLimit(.minutes(2)))
    func `a crash loop gets its restarts, an alert and a cooldown, and a recovery when it is well`() async throws {
        let up = try StubSuite(["RESTART_BACKOFF_SECS": "0.05,0.1,0.2", "RESTART_STABLE_SECS": "0.3"])
        defer { up.folder.remove() }
        try up.tell("shard-01", "exit 3")
        let process = try up.start()
        try await eventually(within: .seconds(60), "the alert is in the file") { up.alerts("firing").count == 1 }
        #expect(up.starts("shard-01") == 4, "once, and three restarts")
        #expect(up.said("shard-01: ended with exit code 3; started again in") == 3)
        #expect(up.alerts("firing").first?.contains("crashLoop:shard-01") == true)
        #expect(up.starts("shard-02") == 1 && up.starts("orchestrator") == 1)
        try up.tell("shard-01", "stay")
        // Instead of waiting for the cooldown of 600 s.
        process.signal(SIGHUP)
        try await eventually(within: .seconds(60), "the recovery is in the file") { up.alerts("recovered").count == 1 }
        #expect(up.starts("shard-01") == 5)
        #expect(await process.terminate(killAfter: .seconds(30)) == .exited(0), "\(up.output)")
    }

    // CHECKLIST R103.
    @Test(.timeLimit(.minutes(2)))
    func `after the cooldown it is tried again, with the whole budget`() async throws {
        let up = try StubSuite(["RESTART_BACKOFF_SECS": "0.05", "RESTART_COOLDOWN_SECS": "0.3"])
        defer { up.folder.remove() }
        try up.tell("shard-01", "exit 3")
        let process = try up.start()
        try await eventually(within: .seconds(60), "the second cooldown") { up.said("crashed too often") >= 2 }
        #expect(up.starts("shard-01") >= 8)
        let status = await process.terminate(killAfter: .seconds(30))
        #expect(status == .exited(0) || status == .exited(1), "1 when it is in its cooldown: \(up.output)")
    }

    // CHECKLIST N23.
    @Test(.timeLimit(.minutes(2)))
    func `a trap of the program is a restart, and what the program said is shown`() async throws {
        // As it is set up where nobody has set anything: within the five seconds of the requirement.
        let up = try StubSuite()
        defer { up.folder.remove() }
        try up.tell("signal-processor", "first:trap")
        let process = try up.start()
        try await eventually(within: .seconds(60), "it runs again") {
            up.starts("signal-processor") == 2 && up.said("signal-processor: running") == 2
        }
        #expect(up.said("a trap of the program") == 1 && up.said("it said: ") == 1, "\(up.output)")
        #expect(up.said("; started again in 1 s (attempt 1)") == 1, "\(up.output)")
        #expect(up.output.contains("Index out of range"), "\(up.output)")
        #expect(await process.terminate(killAfter: .seconds(30)) == .exited(0))
    }

    // CHECKLIST R103: three misses.
    @Test(.timeLimit(.minutes(2)))
    func `a process that gives no sign of life is asked to end, then killed and started again`() async throws {
        let up = try StubSuite(["SUPERVISOR_CHECK_INTERVAL_SECS": "1", "RESTART_BACKOFF_SECS": "0.05"])
        defer { up.folder.remove() }
        try up.tell("execution-service", "first:hang")
        let process = try up.start()
        try await eventually(within: .seconds(60), "it runs again") {
            up.starts("execution-service") == 2 && up.said("execution-service: running") == 2
        }
        #expect(up.said("execution-service: hangs: no sign of life at 3 looks in a row") == 1)
        #expect(up.said("execution-service: did not end when asked; killed") == 1)
        #expect(up.said("hung and ended with signal 9 (SIGKILL)") == 1, "\(up.output)")
        #expect(await process.terminate(killAfter: .seconds(30)) == .exited(0))
    }

    @Test(.timeLimit(.minutes(2)))
    func `settings that a process refuses at the start end everything, with its own words and exit code 78`()
        async throws
    {
        let up = try StubSuite()
        defer { up.folder.remove() }
        try up.tell("shard-02", "refuse")
        let process = try up.start()
        #expect(await process.wait() == .exited(78), "\(up.output)")
        #expect(up.output.contains("is not to its taste") && up.starts("shard-02") == 1, "\(up.output)")
        #expect(up.pids.allSatisfy { kill($0, 0) != 0 })
    }

    @Test(.timeLimit(.minutes(2)))
    func `settings refused later stop nothing else, and SIGHUP tries again`() async throws {
        let up = try StubSuite(["RESTART_BACKOFF_SECS": "0.05"])
        defer { up.folder.remove() }
        let process = try up.start()
        try await eventually(within: .seconds(60), "all run") { up.said(": running") == 6 }
        try up.tell("shard-01", "refuse")
        let victim = try #require(up.pid("shard-01"))
        kill(victim, SIGKILL)
        try await eventually(within: .seconds(60), "the alert is in the file") { up.alerts("firing").count == 1 }
        #expect(process.isRunning && up.starts("shard-01") == 2)
        try up.tell("shard-01", "stay")
        process.signal(SIGHUP)
        try await eventually(within: .seconds(60), "it runs again") { up.said("shard-01: running") == 2 }
        #expect(up.starts("shard-01") == 3)
        #expect(await process.terminate(killAfter: .seconds(30)) == .exited(0), "\(up.output)")
    }

    @Test(.timeLimit(.minutes(2)))
    func `nothing outlives a supervisor that gets SIGKILL`() async throws {
        let up = try StubSuite()
        defer { up.folder.remove() }
        // What ignores SIGTERM too.
        try up.tell("shard-01", "deaf")
        let process = try up.start()
        try await eventually(within: .seconds(60), "all run") { up.said(": running") == 6 }
        let pids = up.pids
        #expect(pids.count == 6)
        await process.kill9()
        try await eventually(within: .seconds(30), "all are gone") { pids.allSatisfy { kill($0, 0) != 0 } }
    }

    // CHECKLIST N34.
    @Test(.timeLimit(.minutes(2)))
    func `what does not end in time is killed and named, and a second Ctrl-C kills at once`() async throws {
        let up = try StubSuite(["DRAIN_TIMEOUT_SECS": "1"])
        defer { up.folder.remove() }
        try up.tell("shard-01", "deaf")
        let process = try up.start()
        try await eventually(within: .seconds(60), "all run") { up.said(": running") == 6 }
        let pids = up.pids
        #expect(await process.terminate(killAfter: .seconds(30)) == .exited(1))
        #expect(up.said("shard-01: killed, 1 s after it was asked to end") == 1, "\(up.output)")
        #expect(pids.allSatisfy { kill($0, 0) != 0 })

        let patient = try StubSuite(["DRAIN_TIMEOUT_SECS": "3600"])
        defer { patient.folder.remove() }
        try patient.tell("market-discovery", "deaf")
        let second = try patient.start()
        try await eventually(within: .seconds(60), "all run") { patient.said(": running") == 6 }
        second.signal(SIGINT)
        try await eventually(within: .seconds(60), "it stops") { patient.said("stopping everything") == 1 }
        second.signal(SIGINT)
        #expect(await second.wait() == .exited(130), "\(patient.output)")
        #expect(patient.pids.allSatisfy { kill($0, 0) != 0 })
    }

    @Test(.timeLimit(.minutes(2)))
    func `without its servers it starts and says so, and a second one is refused`() async throws {
        let up = try StubSuite()
        defer { up.folder.remove() }
        let process = try up.start()
        try await eventually(within: .seconds(60), "both are missed") { up.said("the suite waits for it") == 2 }
        #expect(up.said("Redis at 127.0.0.1:1 does not answer") == 1 && process.isRunning)
        let other = try up.start()
        #expect(await other.wait() == .exited(69))
        #expect(up.starts("orchestrator") == 1)
        #expect(await process.terminate(killAfter: .seconds(30)) == .exited(0))
    }
}

/// `linesman up` over stand-ins, without servers.
private struct StubSuite {
    let folder: TemporaryDirectory
    private let environment: [String: String]

    init(_ more: [String: String] = [:]) throws {
        folder = try TemporaryDirectory("up-test")
        let bin = "\(folder.path)/bin"
        try FileManager.default.createDirectory(atPath: bin, withIntermediateDirectories: true)
        for service in RealFleet.services {
            try FileManager.default.createSymbolicLink(
                atPath: "\(bin)/\(service)", withDestinationPath: Executable.path("SuiteStub"))
        }
        environment = Executable.environment(
            temporary: folder.path,
            [
                "STUB_DIR": folder.path, "REDIS_URL": "redis://127.0.0.1:1/0",
                "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none", "ALERT_LOG_PATH": "\(folder.path)/alerts.log",
            ].merging(more) { $1 })
    }

    func start() throws -> ChildProcess {
        try ChildProcess.spawn(
            Executable.path("linesman"),
            ["up", "--log-dir", "\(folder.path)/logs", "--executables", "\(folder.path)/bin"],
            environment: environment, directory: folder.path, output: .file("\(folder.path)/output"))
    }

    /// How this process behaves from its next start on.
    func tell(_ name: String, _ mode: String) throws {
        try mode.write(toFile: "\(folder.path)/\(name).mode", atomically: true, encoding: .utf8)
    }

    private func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }

    var output: String { text("\(folder.path)/output") }

    func said(_ words: String) -> Int { output.split(separator: "\n").count { $0.contains(words) } }

    func starts(_ name: String) -> Int { text("\(folder.path)/\(name).starts").split(separator: "\n").count }

    /// Process ids in the order of their starts, of all lives.
    var pids: [Int32] { output.split(separator: "\n").compactMap { Self.pid(in: $0) } }

    /// Of the last life.
    func pid(_ name: String) -> Int32? {
        output.split(separator: "\n").last { $0.contains(" \(name): started") }.flatMap { Self.pid(in: $0) }
    }

    static func pid(in line: Substring) -> Int32? {
        guard let range = line.range(of: ", pid "), line.contains(": started") else { return nil }
        return Int32(line[range.upperBound...].prefix { $0.isNumber })
    }

    /// Lines of the supervisor's own alert file.
    func alerts(_ state: String) -> [Substring] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        let own = files.filter { $0.hasPrefix("alerts.linesman-up-") && $0.hasSuffix(".log") }
        return own.flatMap { text("\(folder.path)/\($0)").split(separator: "\n") }.filter {
            $0.contains("\"state\":\"\(state)\"")
        }
    }
}
