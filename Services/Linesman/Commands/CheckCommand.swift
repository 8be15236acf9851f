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

    @OptionGroup
    var suite: SuiteSettings

    func run() async throws {
        let settings = try SuiteSettings.complaining { try suite.read(AlertSettings.init).part }
        let outcomes = await AlertCheck(settings: settings).run()
        Console.say(Self.table(outcomes))
        if outcomes.contains(where: { $0.isWell == false }) { throw ArgumentParser.ExitCode(1) }
    }

    static func table(_ outcomes: [AlertCheck.Outcome]) -> String {
        outcomes.map { outcome in
            let state = outcome.isWell.map { $0 ? "ok" : "FAILED" } ?? "-"
            let took = outcome.isWell == nil ? "" : "\(outcome.took.wholeMilliseconds) ms"
            return "\(outcome.place.padded(10)) \(state.padded(8)) \(took.padded(10)) \(outcome.note)"
        }.joined(separator: "\n")
    }
}
