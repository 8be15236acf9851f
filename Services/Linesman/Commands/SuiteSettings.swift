import ArgumentParser
import Foundation
import Hosting
import Postgres
import Runtime

/// Where a command finds the settings of the suite; they are read as every service reads them.
struct SuiteSettings: ParsableArguments {
    @Option(
        help: """
            The settings file of the suite; LINESMAN_CONFIG, or linesman.toml if it is there, when not given. The \
            environment wins.
            """)
    var config: String?

    /// The file, if there is one.
    ///
    /// - Throws: `SettingsError` when it was named and cannot be read.
    func file(in environment: [String: String] = ProcessInfo.processInfo.environment) throws -> SettingsFile? {
        var environment = environment
        if let config { environment["LINESMAN_CONFIG"] = config }
        return try ProcessRunner.settingsFile(environment)
    }

    /// Reads a part of the settings; `given` are the command's own options, which win over the environment.
    ///
    /// - Throws: `SettingsError` with every problem.
    func read<Part>(
        given: [String: String?] = [:], in environment: [String: String] = ProcessInfo.processInfo.environment,
        _ part: (SettingsReader) -> Part
    ) throws -> (part: Part, file: SettingsFile?) {
        let file = try file(in: environment)
        let own = environment.merging(given.compactMapValues(\.self)) { $1 }
        let reader = SettingsReader(environment: own, file: file)
        let read = part(reader)
        try reader.finish(known: SettingsCatalogue.keys)
        return (read, file)
    }

    /// A pool for the length of one command; `url` wins over the settings.
    ///
    /// - Throws: exit code 78, once every problem was said.
    func openDatabase(_ url: String?) throws -> PostgresPool {
        try Self.complaining { try CommandDatabase.open(url: url, file: try file()) }
    }

    /// Runs what reads settings.
    ///
    /// - Throws: exit code 78, once every problem was said.
    static func complaining<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as SettingsError {
            for problem in error.problems { Console.complain("\(problem)") }
            throw ArgumentParser.ExitCode(Runtime.ExitCode.configuration.rawValue)
        }
    }
}
