import ArgumentParser
import Foundation
import Runtime
import UnixSignals

/// `linesman up`: the suite on a machine without a container runtime, with what crashes or hangs restarted.
struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Run the suite, restart what crashes or hangs, and tell when that does not help.",
        discussion: """
            Redis and PostgreSQL are those of the settings (REDIS_URL, DATABASE_URL); without them the suite starts \
            all the same, waits, and says so. Ctrl-C or SIGTERM stops everything in order, a second one at once. \
            SIGHUP has every process read its settings again, and starts what waits for a restart.
            """)

    @Option(help: "How many game-shards to run, 1 to 64.")
    var shards = 2

    @Option(help: "The settings file; LINESMAN_CONFIG, or linesman.toml if it is there, when not given.")
    var config: String?

    @Flag(help: "Run a second orchestrator, which takes over when the first is gone.")
    var standby = false

    @Option(help: "Where each process writes its log.")
    var logDir = "linesman-logs"

    @Flag(help: "Print what the processes log, each line with its process's name.")
    var follow = false

    @Flag(help: "Plain lines instead of a live table.")
    var plain = false

    @Option(help: "Where the executables of the services are; beside this one when not given.")
    var executables: String?

    func validate() throws {
        guard (1...64).contains(shards) else { throw ValidationError("--shards is 1 to 64, not \(shards)") }
    }

    func run() async throws {
        // A pager or terminal that is closed must not be the end of the suite.
        signal(SIGPIPE, SIG_IGN)
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
        let plan: UpPlan
        do {
            plan = try UpPlan(options, environment: ProcessInfo.processInfo.environment)
        } catch let error as SettingsError {
            for problem in error.problems { Console.complain("\(problem)") }
            throw ArgumentParser.ExitCode(Runtime.ExitCode.configuration.rawValue)
        }
        let code = try await UpRun(plan, isLive: !plain && !follow && isatty(STDOUT_FILENO) == 1).run(signals)
        if code != 0 { throw ArgumentParser.ExitCode(code) }
    }

    private var options: UpOptions {
        UpOptions(
            shards: shards, config: config, standby: standby, logs: logDir, follows: follow, executables: executables)
    }
}

struct UpOptions: Sendable {
    var shards = 2
    var config: String?
    var standby = false
    var logs = "linesman-logs"
    var follows = false
    var executables: String?
}
