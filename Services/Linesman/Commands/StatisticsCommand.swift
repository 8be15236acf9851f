import Alerting
import ArgumentParser
import Foundation
import Runtime

/// `linesman statistics`: figures over days, from what the suite wrote down.
struct StatisticsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "statistics", abstract: "Say how the suite did over days.", subcommands: [ReliabilityCommand.self])
}

/// `linesman statistics reliability`: time to recover, availability, retries, false alerts (CHECKLIST R97 to R100).
struct ReliabilityCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reliability",
        abstract: "How reliable the suite was: time to recover, availability, what came back by itself, false alerts.",
        discussion: """
            Reads the alert files, those put aside and those of other processes beside them included. A report of \
            linesman chaos adds what was rehearsed, and a Prometheus adds uptime, connections and retries. Exit code 1 \
            when a figure is missed.
            """)

    @Option(name: .long, help: "An alert file; ALERT_LOG_PATH when none is given. May be given several times.")
    var alertFile: [String] = []

    @Option(help: "Days back from now; all that the files hold when not given (30 days of Prometheus).")
    var days: Int?

    @Option(help: "A report of linesman chaos --report.")
    var chaos: String?

    @Option(help: "The address of a Prometheus that watches the suite, for example http://prometheus:9090.")
    var prometheus: String?

    @Flag(help: "As JSON.")
    var json = false

    @OptionGroup
    var suite: SuiteSettings

    func validate() throws {
        if let days, !(1...3_650).contains(days) { throw ValidationError("--days must be from 1 to 3650.") }
    }

    func run() async throws {
        let now = WallClock.real.microseconds
        let found: Reliability
        do {
            let written = try SuiteSettings.complaining { try records() }
            let rehearsals = try chaos.map { try report($0) }
            let measured = try await prometheus.map { PrometheusFigures(url: $0, days: days ?? 30) }?.ask() ?? []
            found = Reliability(
                written, from: days.map { now - Int64($0) * 86_400_000_000 }, to: now, rehearsals: rehearsals,
                measured: measured)
        } catch let code as ArgumentParser.ExitCode {
            throw code
        } catch {
            Console.complain("statistics reliability: \(error)")
            throw ArgumentParser.ExitCode(Runtime.ExitCode.unavailable.rawValue)
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            Console.say(String(decoding: try encoder.encode(found), as: UTF8.self))
        } else {
            Console.say(found.text)
        }
        if !found.isMet { throw ArgumentParser.ExitCode(1) }
    }

    private func records() throws -> [Alert] {
        let files = try alertFile.isEmpty ? [suite.read(AlertSettings.init).part.logPath] : alertFile
        for file in files where !FileManager.default.fileExists(atPath: file) {
            throw AlertError(.file, "there is no \(file)")
        }
        return try files.flatMap { try AlertRecords.read(path: $0) }.map(\.record)
    }

    private func report(_ path: String) throws -> ChaosReport {
        guard FileManager.default.fileExists(atPath: path) else { throw AlertError(.file, "there is no \(path)") }
        return try ChaosReport.load(path)
    }
}
