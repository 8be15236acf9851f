import Foundation
import Hosting
import Runtime
import Servers
import Testing

@Suite struct ControlSettingsTests {
    private func read(_ environment: [String: String]) throws -> Secret? {
        let reader = SettingsReader(environment: environment)
        let settings = ControlSettings(reader)
        try reader.finish()
        return settings.token
    }

    @Test func `a token comes from its variable or from a file, never from both`() throws {
        let folder = try TemporaryDirectory("token")
        defer { folder.remove() }
        let path = "\(folder.path)/token"
        try "0123456789abcdef\n".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(try read([:]) == nil)
        #expect(try read(["CONTROL_TOKEN": ""]) == nil)
        #expect(try read(["CONTROL_TOKEN": "0123456789abcdef"])?.value == "0123456789abcdef")
        #expect(try read(["CONTROL_TOKEN_FILE": path])?.value == "0123456789abcdef")
        #expect(throws: SettingsError.self) {
            try read(["CONTROL_TOKEN": "0123456789abcdef", "CONTROL_TOKEN_FILE": path])
        }
        #expect(throws: SettingsError.self) { try read(["CONTROL_TOKEN_FILE": "\(path).not-there"]) }
    }

    @Test func `a token that is short or has a space is refused, and not shown`() throws {
        for token in ["short", "0123456789abcde", "0123456789 abcdef", "0123456789abcde\u{E9}"] {
            let error = try #require(throws: SettingsError.self) { try read(["CONTROL_TOKEN": token]) }
            #expect(!"\(error.problems)".contains(token), "\(error.problems)")
        }
    }
}
