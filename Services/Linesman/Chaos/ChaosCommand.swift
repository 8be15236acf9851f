import ArgumentParser
import ChaosEngine
import Foundation
import Runtime
import UnixSignals

/// `linesman chaos`: breaks a running suite on purpose, one fault at a time, and says in figures what came of it.
struct ChaosCommand: AsyncParsableCommand {
    enum Target: String, ExpressibleByArgument, CaseIterable, Codable {
        case local
        case compose
    }

    static let configuration = CommandConfiguration(
        commandName: "chaos",
        abstract: "Rehearse failures of a suite; CHAOS_TESTING.md tells of each scenario.",
        discussion: """
            Never against a suite that trades real money. Each fault is undone, also when this process is killed. \
            Exits with 1 when anything did not hold.
            """)

    @Argument(help: "Scenarios by name; all when none is given.")
    var scenarios: [String] = []

    @Option(help: "What is broken: a suite of its own on private servers, or that of docker-compose.yml.")
    var target = Target.local

    @Option(help: "The name of the Compose project.")
    var project = "linesman"

    @Option(help: "Rounds of each scenario.")
    var rounds = 1

    @Option(help: "A JSON file that keeps every round, with a Markdown table beside it; rounds in it are not repeated.")
    var report: String?

    @Option(help: "How many suites of their own live side by side; what needs the machine for itself comes last.")
    var suites = 1

    @Option(help: "What is rehearsed, as the report is to say it; BUILD_VERSION otherwise.")
    var build: String?

    @Option(help: "A folder for what the processes of a suite of its own have logged when a round failed.")
    var logs: String?

    @Option(help: "Holds nothing: writes the report's table between the marks of this Markdown file.")
    var publish: String?

    @Flag(help: "First break the suite beyond recovery once for each, to see that the checks can fail.")
    var control = false

    @Flag(help: "Scenarios that cannot be held here, for want of a right or of a program, are no failure.")
    var allowLeftOut = false

    @Flag(help: "Only a few scenarios, each kind of loss once.")
    var core = false

    @Flag(help: "Only name the scenarios.")
    var list = false

    func validate() throws {
        guard rounds >= 1 else { throw ValidationError("at least one round") }
        guard publish == nil || report != nil else { throw ValidationError("--publish needs --report") }
        guard suites >= 1 else { throw ValidationError("at least one suite") }
        for name in scenarios where Scenario.named(name) == nil {
            throw ValidationError("no scenario is called \(name); see linesman chaos --list")
        }
    }

    func run() async throws {
        // A peer that closed its end is an error of the write.
        signal(SIGPIPE, SIG_IGN)
        let named = scenarios + (core ? Scenario.core : [])
        let chosen = named.isEmpty ? Scenario.all : named.compactMap(Scenario.named)
        if list {
            for scenario in chosen { Console.say("\(scenario.name.padded(24)) \(scenario.shows)") }
            return
        }
        if let publish, let report { return try ChaosReport.load(report).publish(in: publish) }
        let kept = try KeptRounds(path: report, target: target)
        if target == .local { await SmallDisk.enterOwnNamespace() }
        let session = ChaosSession(
            scenarios: chosen, rounds: rounds, kept: kept, holdsControls: control,
            suites: suites, build: ChaosBuild(build ?? ProcessInfo.processInfo.environment["BUILD_VERSION"] ?? "dev"),
            allowsLeftOut: allowLeftOut, logs: logs)
        let (place, name) = (self.target, self.project)
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        let holding = Task {
            switch place {
            case .compose: try await session.hold(on: ComposeTarget(project: name))
            case .local: try await session.holdLocally()
            }
        }
        // Ends with the process.
        let watch = Task {
            for await _ in signals { holding.cancel() }
        }
        defer { watch.cancel() }
        do {
            guard try await holding.value else { throw ArgumentParser.ExitCode(1) }
        } catch let failure as ChaosFailure {
            Console.complain("chaos: \(failure)")
            throw ArgumentParser.ExitCode(Runtime.ExitCode.unavailable.rawValue)
        } catch is CancellationError {
            Console.complain("chaos: interrupted; what was broken is healed")
            throw ArgumentParser.ExitCode(130)
        }
    }
}
