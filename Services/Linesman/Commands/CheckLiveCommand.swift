import ArgumentParser
import Foundation
import Hosting
import Runtime

/// `linesman check live`: the list to walk before the first real order.
struct CheckLive: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "live",
        abstract: "Walk the go-live list: flags, key, clock, balance, positions, database, kill switch, alerts, suite.",
        discussion: """
            Reads only. Run it with the settings that the services will have, while they run in shadow or paper. Exit \
            codes: 0 nothing forbids it, warnings are yours to weigh; 1 something does; 78 the settings are wrong.
            """)

    @OptionGroup
    var suite: SuiteSettings

    @Option(help: "The orchestrator's status address.")
    var url = "http://127.0.0.1:8080"

    @Flag(help: "As JSON.")
    var json = false

    func run() async throws {
        let survey = try SuiteSettings.complaining { try LiveSurvey(suite, status: url) }
        let lines = GoLiveList.walk(await survey.facts())
        Console.say(json ? try Self.json(lines) : Self.table(lines))
        if !GoLiveList.permits(lines) { throw ArgumentParser.ExitCode(1) }
    }

    static func table(_ lines: [GoLiveList.Line]) -> String {
        let rows = lines.map { "\($0.name.padded(18)) \($0.judgement.rawValue.padded(8)) \($0.note)" }
        let failed = lines.filter { $0.judgement == .forbids }.count
        let warned = lines.filter { $0.judgement == .warns }.count
        let verdict = failed == 0 ? "nothing forbids live trading" : "do not trade live: \(failed) of the list failed"
        return (rows + [verdict + (warned == 0 ? "" : "; \(warned) warnings")]).joined(separator: "\n")
    }

    static func json(_ lines: [GoLiveList.Line]) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(lines), as: UTF8.self)
    }
}
