import Foundation
import Hosting
import Runtime
import Servers
import Testing

@testable import Linesman

/// Every command reads the suite's settings from the same place.
@Suite struct SuiteSettingsTests {
    private func write(_ text: String, as name: String, in folder: TemporaryDirectory) throws -> String {
        let path = "\(folder.path)/\(name)"
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    @Test func `a named file wins over LINESMAN_CONFIG, the environment over both, and an option over all`() throws {
        let folder = try TemporaryDirectory("settings")
        defer { folder.remove() }
        let named = try write("KILL_SWITCH_FILE = \"/named\"\n", as: "named.toml", in: folder)
        let usual = try write("KILL_SWITCH_FILE = \"/usual\"\n", as: "usual.toml", in: folder)
        func file(
            _ arguments: [String], _ environment: [String: String] = [:], option: String? = nil
        ) throws -> String {
            let all = ["LINESMAN_CONFIG": usual].merging(environment) { $1 }
            return try SuiteSettings.parse(arguments)
                .read(given: ["KILL_SWITCH_FILE": option], in: all, KillSwitchSettings.init).part.file
        }
        #expect(try file([]) == "/usual")
        #expect(try file(["--config", named]) == "/named")
        #expect(try file(["--config", named], ["KILL_SWITCH_FILE": "/own"]) == "/own")
        #expect(try file(["--config", named], ["KILL_SWITCH_FILE": "/own"], option: "/given") == "/given")
        #expect(throws: SettingsError.self) { try file(["--config", "\(folder.path)/not-there"]) }
        let wrong = try write("KILL_SWITCH_FIEL = \"/x\"\n", as: "wrong.toml", in: folder)
        #expect(throws: SettingsError.self) { try file(["--config", wrong]) }
        let empty = try SuiteSettings.parse([]).read(in: ["LINESMAN_CONFIG": ""], KillSwitchSettings.init)
        #expect(empty.file == nil, "an empty name is none")
    }

    @Test(
        arguments: [
            ["check", "alerts"], ["check", "live"], ["kill-switch", "status"], ["kill-switch", "engage"],
            ["reconcile"], ["why", "order-1"], ["audit", "verify"], ["audit", "head"], ["dead-letters"],
            ["drain", "shard-01"], ["reassign", "game-1"],
        ])
    func `a command that reads settings takes their file`(arguments: [String]) throws {
        _ = try LinesmanCommand.parseAsRoot(arguments + ["--config", "elsewhere.toml"])
    }
}
