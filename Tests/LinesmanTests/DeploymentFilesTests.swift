import Foundation
import Hosting
import Testing

@testable import Linesman

/// The files of the deployment beside the code that they speak of.
@Suite struct DeploymentFilesTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// Keys and values of `.env.example`, whether in effect or commented out, in their order.
    private static func example() throws -> [(key: String, value: String)] {
        try text(".env.example").split(separator: "\n").compactMap { line in
            guard let match = line.wholeMatch(of: /#?([A-Z][A-Z0-9_]*)=(.*)/) else { return nil }
            return (String(match.1), String(match.2))
        }
    }

    /// What docker-compose.yml takes from the environment.
    private static func interpolated() throws -> Set<String> {
        Set(try text("docker-compose.yml").matches(of: /\$\{([A-Z_]+)/).map { String($0.1) })
    }

    @Test func `.env.example has every setting once, with its default`() throws {
        let example = try Self.example()
        var values: [String: String] = [:]
        for (key, value) in example {
            #expect(values[key] == nil, "\(key) is there twice")
            values[key] = value
        }
        for setting in ConfigCommand.byService.flatMap(\.settings) {
            guard let value = values[setting.key] else {
                Issue.record("\(setting.key) is missing; `linesman config --env` prints its lines")
                continue
            }
            #expect(value == setting.standard ?? "", "\(setting.key)")
        }
    }

    @Test func `.env.example has no key that nobody reads`() throws {
        let known = SettingsCatalogue.keys.union(try Self.interpolated())
        for (key, _) in try Self.example() { #expect(known.contains(key), "\(key)") }
    }

    @Test func `docker-compose.yml takes nothing that .env.example does not name`() throws {
        let named = Set(try Self.example().map(\.key))
        for key in try Self.interpolated() { #expect(named.contains(key), "\(key)") }
    }

    @Test func `the settings that docker-compose.yml gives are settings`() throws {
        let compose = try Self.text("docker-compose.yml")
        let given = compose.matches(of: /(?m)^\s+([A-Z][A-Z0-9_]+)(?::| =)[ ]/).map { String($0.1) }
        #expect(given.count > 40)
        for key in given where !key.hasPrefix("SIMULATOR_") && !key.hasPrefix("GF_") && !key.hasPrefix("POSTGRES_") {
            #expect(SettingsCatalogue.keys.contains(key) || key == "FILE", "\(key)")
        }
    }
}
