import Foundation
import Logging
import NIOConcurrencyHelpers
import Resilience
import UnixSignals

/// The top of every main: settings, signals, supervision, drain, exit code.
///
/// `body` sets the process up (reads settings, adds parts) and returns; the process lives until a signal comes, a
/// critical part fails, or every part has returned. While it drains, `body` is cancelled if it has not returned.
public enum ProcessRunner {
    /// Runs a process and exits.
    ///
    /// - `knownSettings`: keys of the shared settings file that other processes read.
    public static func run(
        service: String, knownSettings: Set<String> = [],
        _ body: @escaping @Sendable (ProcessContext) async throws -> Void
    ) async -> Never {
        // A peer that closed its end is an error of the write, not the end of the process.
        _ = signal(SIGPIPE, SIG_IGN)
        let (signals, continuation) = AsyncStream.makeStream(of: String.self, bufferingPolicy: .bufferingNewest(4))
        let trapped = await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup)
        // Ends with the process.
        Task {
            for await signal in trapped { continuation.yield("\(signal)") }
        }
        let world = ProcessWorld(
            environment: ProcessInfo.processInfo.environment, clock: .real, wallClock: .real, random: .system,
            output: .standardError, signals: signals, processID: Int(getpid()))
        let code = await exitCode(service: service, knownSettings: knownSettings, world: world, isProcess: true, body)
        // Not by `exit`: it takes away what threads of libraries are still at work with, as a libpq that logs in while
        // OpenSSL frees its locks, and a process that has drained well would end by a signal.
        fflush(nil)
        _exit(code.rawValue)
    }

    /// Runs a process in the given world and returns what it would exit with.
    public static func exitCode(
        service: String, knownSettings: Set<String> = [], world: ProcessWorld, isProcess: Bool = false,
        _ body: @escaping @Sendable (ProcessContext) async throws -> Void
    ) async -> ExitCode {
        let file: SettingsFile?
        do {
            file = try settingsFile(world.environment)
        } catch {
            printProblems(error, service, world.output)
            return .configuration
        }
        // Problems of these few are reported together with all others by `ProcessContext.settings`, or below.
        let reader = SettingsReader(environment: world.environment, file: file)
        let settings = ProcessSettings(reader)
        let makeHandler: @Sendable (String) -> any LogHandler = { label in
            LineLogHandler(
                label: label, level: settings.logLevel, format: settings.logFormat, output: world.output,
                wallClock: world.wallClock)
        }
        if isProcess { LoggingSystem.bootstrap(makeHandler) }
        let context = makeContext(service, knownSettings, world, settings, file, makeHandler)
        let log = context.log
        log.info(
            "process started",
            metadata: [Key.processID: "\(world.processID)", Key.incarnation: "\(context.incarnation)"])
        let (code, problems) = await live(context, world.signals, own: reader.problemsOfOwnKeys, body)
        if let problems { printProblems(problems, service, world.output) }
        log.info("process ends", metadata: [Key.code: "\(code.rawValue)"])
        return code
    }

    // MARK: - One life

    private enum End: Sendable {
        case asked(String)
        case finished
        case partFailed(any Error)
        case setUpFailed(any Error)
    }

    private static func live(
        _ context: ProcessContext, _ signals: AsyncStream<String>, own: SettingsError?,
        _ body: @escaping @Sendable (ProcessContext) async throws -> Void
    ) async -> (ExitCode, SettingsError?) {
        let end = Promise<End>()
        let setUp = Task {
            do {
                try await body(context)
                if context.declaredSettings.isEmpty, let own { throw own }
                context.supervisor.seal()
            } catch {
                end.fulfil(.setUpFailed(error))
            }
        }
        // Both watchers end when `end` is known and this function cancels them or the process exits.
        let signalWatch = Task {
            for await signal in signals {
                guard signal == "SIGHUP" else {
                    end.fulfil(.asked(signal))
                    return
                }
                await context.reload()
            }
        }
        let stopWatch = Task { end.fulfil(.asked(await context.stopRequest.value())) }
        let outcomeWatch = Task {
            switch await context.supervisor.outcome() {
            case .finished: end.fulfil(.finished)
            case .failed(_, let error): end.fulfil(.partFailed(error))
            }
        }
        let reason = await end.value()
        signalWatch.cancel()
        defer {
            // Nobody else fulfils them any more; lets the watchers go.
            context.stopRequest.fulfil("over")
            outcomeWatch.cancel()
            stopWatch.cancel()
        }
        return await conclude(reason, context, setUp)
    }

    private static func conclude(
        _ end: End, _ context: ProcessContext, _ setUp: Task<Void, Never>
    ) async -> (ExitCode, SettingsError?) {
        if case .asked(let signal) = end { context.log.info("drain begins", metadata: [Key.signal: "\(signal)"]) }
        setUp.cancel()
        let limit = context.process.drainTimeout
        let start = context.clock.now
        var isClean = await context.supervisor.drain(within: limit)
        let left = max(.milliseconds(1), limit - context.clock.now.since(start))
        do {
            try await withDeadline(left, clock: context.clock) { await setUp.value }
        } catch {
            isClean = false
            context.log.error("set-up ignored its cancellation")
        }
        switch end {
        case .asked, .finished:
            return (isClean ? .ok : .failure, nil)
        case .partFailed(let error):
            return (ExitCode.of(error), error as? SettingsError)
        case .setUpFailed(let error as SettingsError):
            return (.configuration, error)
        case .setUpFailed(let error):
            context.log.error("start failed", metadata: [Key.reason: "\(error)"])
            return (ExitCode.of(error), nil)
        }
    }

    // MARK: - Parts of the start

    private static func makeContext(
        _ service: String, _ known: Set<String>, _ world: ProcessWorld, _ settings: ProcessSettings,
        _ file: SettingsFile?, _ makeHandler: @escaping @Sendable (String) -> any LogHandler
    ) -> ProcessContext {
        let log = Logger(label: service, factory: makeHandler)
        let metrics = MetricsRegistry()
        let supervisor = Supervisor(clock: world.clock, random: world.random, log: log, metrics: metrics)
        return ProcessContext(
            service: service, log: log, clock: world.clock, wallClock: world.wallClock, random: world.random,
            incarnation: world.random.uuid(), startedAt: world.wallClock.microseconds, processID: world.processID,
            metrics: metrics, environment: world.environment, supervisor: supervisor, process: settings,
            settingsFile: file, knownSettings: known, declarations: NIOLockedValueBox([]), stopRequest: Promise(),
            reloads: ReloadHooks())
    }

    /// The file named by `LINESMAN_CONFIG`, which must be there, else `linesman.toml` if it is there.
    public static func settingsFile(_ environment: [String: String]) throws(SettingsError) -> SettingsFile? {
        if let named = environment["LINESMAN_CONFIG"], !named.isEmpty { return try SettingsFile.load(path: named) }
        guard FileManager.default.fileExists(atPath: "linesman.toml") else { return nil }
        return try SettingsFile.load(path: "linesman.toml")
    }

    private static func printProblems(_ error: SettingsError, _ service: String, _ output: LogOutput) {
        let count = error.problems.count
        output.line("\(service): \(count) \(count == 1 ? "problem" : "problems") in the settings")
        for problem in error.problems { output.line("\(problem)") }
    }
}
