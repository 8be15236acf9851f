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

    @Flag(help: "Print the lines that .env.example has for them, instead.")
    var env = false

    @Flag(help: "Print the rules that the demo trades under, as a settings file, instead.")
    var demo = false

    func run() async throws {
        if let check {
            try Self.check(check)
            Console.say("\(check): no problems")
            return
        }
        if demo { return Console.say(DemoProfile.toml(extra: [])) }
        for (service, settings) in Self.byService {
            Console.say("# \(service)")
            for setting in settings { Console.say(env ? Self.environmentLine(setting) : Self.line(setting)) }
            Console.say("")
        }
    }

    /// Each key once, under the first that reads it.
    static var byService: [(service: String, settings: [SettingDeclaration])] {
        var seen: Set<String> = []
        return SettingsCatalogue.declarations.compactMap { service, settings in
            let fresh = settings.filter { seen.insert($0.key).inserted }
            return fresh.isEmpty ? nil : (service, fresh)
        }
    }

    private static func line(_ setting: SettingDeclaration) -> String {
        "\(setting.key.padded(40)) \((setting.standard ?? "-").padded(24)) \(meaning(of: setting))"
    }

    /// A comment and the key with its default, commented out.
    private static func environmentLine(_ setting: SettingDeclaration) -> String {
        "# \(meaning(of: setting))\n#\(setting.key)=\(setting.standard ?? "")"
    }

    private static func meaning(of setting: SettingDeclaration) -> String {
        setting.help + (setting.range.map { " (\($0))" } ?? "")
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
