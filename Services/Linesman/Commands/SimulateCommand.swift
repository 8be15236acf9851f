import ArgumentParser
import Foundation
import Resilience
import Runtime
import Simulation

/// `linesman simulate`: the whole suite on a virtual clock, with everything that goes wrong drawn from one number.
struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Run all five engines with a simulated bus, database and venue, on faults drawn from a seed.",
        discussion: """
            One seed is three simulated minutes of two shards, twenty games and ten ticks a second. The same seed \
            prints the same SHA-256 of everything that happened, on every run and every machine. With --steps the \
            seeds after it follow until so much has happened; with --until-failure they follow until one goes wrong. \
            A seed that goes wrong is shrunk to the troubles that it takes. Exit codes: 0 everything held; 1 it did \
            not.
            """)

    @Option(help: "The first seed.")
    var seed: UInt64 = 1

    @Option(help: "How many steps in all; a whole seed when not given.")
    var steps: Int?

    @Flag(help: "Go on with the next seed until something goes wrong.")
    var untilFailure = false

    @Option(help: "Add a seed that goes wrong, and what went wrong, to this list.", completion: .file())
    var keep: String?

    @Option(help: "Write what happens in the first seed, line by line, to this file.", completion: .file())
    var history: String?

    func validate() throws {
        if let steps, steps < 1 { throw ValidationError("--steps must be 1 or more, got \(steps)") }
    }

    func run() throws {
        if let history {
            let told = SimulationRun.run(seed, steps: steps ?? .max, isTold: true)
            let text = (told.history + told.violations).joined(separator: "\n") + "\n"
            try text.write(toFile: history, atomically: true, encoding: .utf8)
        }
        let begin = Self.processorTime
        let series = SimulationSeries.run(from: seed, steps: steps, untilFailure: untilFailure) {
            Console.say(Self.line($0))
        }
        let length = series.simulated.components.seconds
        Console.say("\(series.seeds) seeds, \(series.steps) steps, \(length) simulated seconds")
        Console.say("sha256 \(series.digest)")
        // Never the same twice, so it is no part of what is.
        Console.complain(Self.pace(series.simulated, in: Self.processorTime - begin))
        for outcome in series.failures { try explain(outcome) }
        if !series.failures.isEmpty { throw ArgumentParser.ExitCode(1) }
    }

    /// What this process has used of the cores.
    private static var processorTime: Duration {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    static func pace(_ simulated: Duration, in took: Duration) -> String {
        let hours = (simulated.inSeconds / max(took.inSeconds, 0.001)).formatted(decimals: 0)
        return "\(hours) simulated hours in an hour of one core (\(took.inSeconds.formatted(decimals: 1)) s)"
    }

    static func line(_ outcome: SimulationOutcome) -> String {
        let end = outcome.violations.isEmpty ? "held" : "WENT WRONG"
        return """
            seed \(outcome.seed): \(end); \(outcome.steps) steps, \(outcome.troubles) troubles, \
            \(outcome.moves) moves, \(outcome.signals) signals, \(outcome.orders) orders, \(outcome.fills) fills
            """
    }

    /// What went wrong, the least that it takes, and where it is kept.
    private func explain(_ outcome: SimulationOutcome) throws {
        for violation in outcome.violations { Console.say("  \(violation)") }
        guard let shrunk = SimulationRun.shrink(outcome.seed) else { return }
        Console.say("seed \(outcome.seed) shrunk from \(shrunk.of) troubles to \(shrunk.troubles.count):")
        for trouble in shrunk.troubles { Console.say("  \(trouble)") }
        guard let keep else { return }
        try Self.keep(KeptSeed(seed: outcome.seed, reason: shrunk.violation), in: keep)
        Console.say("seed \(outcome.seed) is kept in \(keep)")
    }

    /// - Throws: when the file is there and is no such list; then it stays as it is.
    static func keep(_ kept: KeptSeed, in path: String) throws {
        let isThere = FileManager.default.fileExists(atPath: path)
        let list = isThere ? try String(contentsOfFile: path, encoding: .utf8) : ""
        try kept.added(to: list).write(toFile: path, atomically: true, encoding: .utf8)
    }
}
