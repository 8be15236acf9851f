import Foundation
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Servers
import TestKit
import Testing

@Suite(.timeLimit(.minutes(1))) struct RunnerTests {
    private struct Run: Sendable {
        let capture = LogCapture()
        let signals = AsyncStream.makeStream(of: String.self)
        var environment: [String: String] = [:]

        func exitCode(_ body: @escaping @Sendable (ProcessContext) async throws -> Void) async -> ExitCode {
            let world = ProcessWorld(
                environment: environment, clock: .real, wallClock: .fixed(1_700_000_000_000_000), random: .seeded(1),
                output: capture.output, signals: signals.stream, processID: 42)
            return await ProcessRunner.exitCode(service: "test-service", world: world, body)
        }
    }

    @Test func `a process whose parts all return ends with 0`() async {
        let run = Run()
        let code = await run.exitCode { context in
            context.supervisor.add("once", .critical) {}
        }
        #expect(code == .ok)
    }

    @Test func `a critical failure ends the process with 1 after the drain hooks`() async {
        // CHECKLIST S7.
        let run = Run()
        let order = Tally()
        let code = await run.exitCode { context in
            context.supervisor.onDrain("hook") { order.note("drained") }
            context.supervisor.add("bus", .critical) { throw Broken() }
        }
        #expect(code == .failure && order.all == ["drained"])
        #expect(run.capture.lines.contains { $0.contains("critical part failed") && $0.contains("part=bus") })
    }

    @Test func `a best-effort failure does not end the process`() async throws {
        // CHECKLIST S8.
        let run = Run()
        let runs = Tally()
        async let code = run.exitCode { context in
            context.supervisor.add("extra", .bestEffort) {
                runs.note("run")
                throw Broken()
            }
        }
        try await eventually("it failed") { runs.count >= 1 }
        run.signals.continuation.yield("SIGTERM")
        #expect(await code == .ok)
    }

    @Test func `a signal drains in reverse order and ends with 0`() async throws {
        // CHECKLIST N34.
        let run = Run()
        let order = Tally()
        async let code = run.exitCode { context in
            context.supervisor.onDrain("first") { order.note("first") }
            context.supervisor.onDrain("second") { order.note("second") }
            context.supervisor.add("work", .critical) {
                defer { order.note("work ends") }
                order.note("works")
                try await forever()
            }
        }
        try await eventually("it works") { order.count == 1 }
        run.signals.continuation.yield("SIGTERM")
        #expect(await code == .ok)
        #expect(order.all == ["works", "second", "first", "work ends"])
    }

    // It is released only afterwards: a runner that waited for it would never end.
    @Test(.timeLimit(.minutes(4)))
    func `a drain that overruns its bound ends with 1, in time`() async throws {
        var made = Run()
        made.environment = ["DRAIN_TIMEOUT_SECS": "0.2"]
        let run = made
        let release = Promise<Bool>()
        let started = Promise<Bool>()
        async let code = run.exitCode { context in
            context.supervisor.add("stubborn", .critical) {
                started.fulfil(true)
                await stubborn(release)
            }
        }
        _ = await started.value()
        run.signals.continuation.yield("SIGTERM")
        #expect(await code == .failure)
        release.fulfil(true)
    }

    @Test func `wrong settings end with 78 and every problem on a line of its own`() async throws {
        let directory = try TemporaryDirectory("settings")
        defer { directory.remove() }
        let path = "\(directory.path)/linesman.toml"
        try "PORT = 0\nNAME_TYPO = 1\n".write(toFile: path, atomically: true, encoding: .utf8)
        var made = Run()
        made.environment = ["LINESMAN_CONFIG": path, "LOG_LEVEL": "loud", "SIZE": "-1"]
        let run = made
        let code = await run.exitCode { context in
            _ = try context.settings { reader in
                _ = reader.integer("PORT", default: 1, in: 1...9, "")
                _ = reader.integer("SIZE", default: 1, in: 1...9, "")
            }
        }
        #expect(code == .configuration && code.rawValue == 78)
        let lines = run.capture.lines
        #expect(lines.contains("test-service: 4 problems in the settings"))
        #expect(lines.contains("\(path):1: PORT = \"0\": must be a whole number from 1 to 9"))
        #expect(lines.contains("\(path):2: NAME_TYPO: is not a setting"))
        #expect(lines.contains("environment: SIZE = \"-1\": must be a whole number from 1 to 9"))
        #expect(lines.contains { $0.hasPrefix("environment: LOG_LEVEL = \"loud\": must be one of trace, debug") })
    }

    @Test func `a process that reads no settings still refuses a wrong log level`() async {
        var made = Run()
        made.environment = ["LOG_FORMAT": "xml"]
        let run = made
        #expect(await run.exitCode { _ in } == .configuration)
    }

    @Test func `a named settings file that is not there ends with 78`() async {
        var made = Run()
        made.environment = ["LINESMAN_CONFIG": "/nowhere/linesman.toml"]
        let run = made
        #expect(await run.exitCode { _ in } == .configuration)
    }

    @Test func `a failed boot check ends with 69 and another error at the start with 1`() async {
        let run = Run()
        let code = await run.exitCode { context in
            try await BootCheck.run(
                [("redis", { throw Broken() })], every: .milliseconds(5), failAfter: .milliseconds(20),
                clock: context.clock, log: context.log)
        }
        #expect(code == .unavailable)
        #expect(await Run().exitCode { _ in throw Broken() } == .failure)
    }

    @Test func `a signal during the set-up ends it`() async throws {
        let run = Run()
        let started = Promise<Bool>()
        async let code = run.exitCode { _ in
            started.fulfil(true)
            try await forever()
        }
        _ = await started.value()
        run.signals.continuation.yield("SIGTERM")
        #expect(await code == .ok)
    }

    @Test func `the context says who the process is`() async {
        let run = Run()
        let seen = Tally()
        _ = await run.exitCode { context in
            seen.note(context.incarnation)
            seen.note("\(context.startedAt) \(context.processID) \(context.service)")
            context.stop("done")
        }
        #expect(UUIDText(seen.all.first ?? "") != nil)
        #expect(seen.all.last == "1700000000000000 42 test-service")
    }

    @Test func `what ends is written out and tidies up after nobody`() async throws {
        // What `exit` runs takes away what other threads still work with, as OpenSSL's locks.
        let end = await #expect(processExitsWith: .exitCode(0), observing: [\.standardOutputContent]) {
            atexit { _exit(99) }
            print("said before the end", terminator: "")
            await ProcessRunner.run(service: "test-service") { _ in }
        }
        let said = String(decoding: try #require(end).standardOutputContent, as: UTF8.self)
        #expect(said.hasSuffix("said before the end"), "\(said)")
    }
}
