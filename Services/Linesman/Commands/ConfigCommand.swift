import ArgumentParser
import Foundation
import Hosting
import Runtime

/// `linesman config`: every setting, its default and its range, as the code declares them.
struct ConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Print every setting with its default; --check reads a settings file.")

    @Option(help: "A settings file to check for unknown keys, bad values and contradictions.")
    var check: String?

    func run() async throws {
        if let check {
            try Self.check(check)
            Console.say("\(check): no problems")
            return
        }
        var seen: Set<String> = []
        for (service, settings) in SettingsCatalogue.declarations {
            let fresh = settings.filter { seen.insert($0.key).inserted }
            if fresh.isEmpty { continue }
            Console.say("# \(service)")
            for setting in fresh {
                let range = setting.range.map { " (\($0))" } ?? ""
                Console.say("\(setting.key.padded(40)) \((setting.standard ?? "-").padded(24)) \(setting.help)\(range)")
            }
            Console.say("")
        }
    }

    /// Reads the file as each service would; all problems of all of them at once.
    static func check(_ path: String) throws {
        let file = try SettingsFile.load(path: path)
        var problems: [SettingsProblem] = []
        for (_, declare) in SettingsCatalogue.services {
            let reader = SettingsReader(environment: [:], file: file)
            _ = ProcessSettings(reader)
            declare(reader)
            do {
                try reader.finish(known: SettingsCatalogue.keys)
            } catch {
                for problem in error.problems where !problems.contains(problem) { problems.append(problem) }
            }
        }
        guard problems.isEmpty else {
            for problem in problems { Console.complain("\(problem)") }
            throw ExitCode(Runtime.ExitCode.configuration.rawValue)
        }
    }
}
