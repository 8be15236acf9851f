import Alerting
import ArgumentParser
import Foundation
import Hosting
import Runtime

/// `linesman check`: whether what one relies on in trouble is there before the trouble.
struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Try what the suite relies on.",
        subcommands: [CheckAlerts.self, CheckLive.self])
}

/// `linesman check alerts`: a test alert to every sink that is set.
struct CheckAlerts: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alerts",
        abstract: "Send a test alert to Slack and the webhook, write beside the alert file, call the outside watcher.")

    @Option(help: "The settings file of the suite; LINESMAN_CONFIG, or linesman.toml if it is there, when not given.")
    var config: String?

    func run() async throws {
        let outcomes = await AlertCheck(settings: try Self.settings(config)).run()
        Console.say(Self.table(outcomes))
        if outcomes.contains(where: { $0.isWell == false }) { throw ArgumentParser.ExitCode(1) }
    }

    static func settings(_ path: String?) throws -> AlertSettings {
        let environment = ProcessInfo.processInfo.environment
        let named = path ?? environment["LINESMAN_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }
        let standard = FileManager.default.fileExists(atPath: "linesman.toml") ? "linesman.toml" : nil
        do {
            let file = try (named ?? standard).map { try SettingsFile.load(path: $0) }
            let reader = SettingsReader(environment: environment, file: file)
            let settings = AlertSettings(reader)
            try reader.finish(known: SettingsCatalogue.keys)
            return settings
        } catch let error as SettingsError {
            for problem in error.problems { Console.complain("\(problem)") }
            throw ArgumentParser.ExitCode(Runtime.ExitCode.configuration.rawValue)
        }
    }

    static func table(_ outcomes: [AlertCheck.Outcome]) -> String {
        outcomes.map { outcome in
            let state = outcome.isWell.map { $0 ? "ok" : "FAILED" } ?? "-"
            let took = outcome.isWell == nil ? "" : "\(outcome.took.wholeMilliseconds) ms"
            return "\(outcome.place.padded(10)) \(state.padded(8)) \(took.padded(10)) \(outcome.note)"
        }.joined(separator: "\n")
    }
}
