import Resilience
import Runtime
import Testing

@Suite struct SettingsTests {
    private enum Mode: String, CaseIterable { case paper, live }

    @Test func `the environment wins over the file and the file over the default`() throws {
        let file = try SettingsFile(path: "linesman.toml", text: "A = 1\nB = 2\n")
        let reader = SettingsReader(environment: ["A": "10", "B": ""], file: file)
        #expect(reader.integer("A", default: 0, in: 0...99, "a") == 10)
        #expect(reader.integer("B", default: 0, in: 0...99, "b") == 2)
        #expect(reader.integer("C", default: 3, in: 0...99, "c") == 3)
        try reader.finish()
        #expect(
            reader.declared.map { "\($0.key) \($0.source)" } == ["A environment", "B linesman.toml:2", "C default"])
    }

    @Test func `every kind is read`() throws {
        let text = """
            INTEGER = 5
            NUMBER = 0.25
            FLAG = true
            TEXT = "hello"
            SECRET = "hush"
            MILLIS = 1500
            SECONDS = 0.5
            MODE = "live"
            """
        let reader = SettingsReader(environment: [:], file: try SettingsFile(path: "f", text: text))
        #expect(reader.integer("INTEGER", default: 0, in: 0...9, "") == 5)
        #expect(reader.number("NUMBER", default: 0, in: 0...1, "") == 0.25)
        #expect(reader.flag("FLAG", default: false, ""))
        #expect(reader.text("TEXT", default: "", "") == "hello")
        #expect(reader.secret("SECRET", "")?.value == "hush")
        #expect(reader.milliseconds("MILLIS", default: .zero, in: .zero...(.seconds(5)), "") == .milliseconds(1500))
        #expect(reader.seconds("SECONDS", default: .zero, in: .zero...(.seconds(5)), "") == .milliseconds(500))
        #expect(reader.choice("MODE", default: Mode.paper, "") == .live)
        #expect(reader.optionalText("ABSENT", "") == nil)
        try reader.finish()
    }

    @Test func `a file with ten mistakes is answered with ten problems at once`() throws {
        // Issue 2: key, bad value, file and line, and what is valid.
        let text = """
            # ten mistakes
            PORT = 99999
            RATIO = 1.5
            PAPER = "maybe"
            MODE = "shadow"
            DELAY_MS = -1
            WAIT_SECS = "soon"
            LEVEL = [1, 2]
            MINIMUM = 9
            MAXIMUM = 3
            REDIS_URI = "redis://x"
            TOKEN = { a = 1 }
            """
        let reader = SettingsReader(environment: [:], file: try SettingsFile(path: "linesman.toml", text: text))
        _ = reader.integer("PORT", default: 6379, in: 1...65535, "")
        _ = reader.number("RATIO", default: 0, in: 0...1, "")
        _ = reader.flag("PAPER", default: true, "")
        _ = reader.choice("MODE", default: Mode.paper, "")
        _ = reader.milliseconds("DELAY_MS", default: .seconds(1), in: .milliseconds(1)...(.seconds(60)), "")
        _ = reader.seconds("WAIT_SECS", default: .seconds(1), in: .zero...(.seconds(60)), "")
        _ = reader.text("LEVEL", default: "info", "")
        let minimum = reader.integer("MINIMUM", default: 1, in: 1...10, "")
        let maximum = reader.integer("MAXIMUM", default: 10, in: 1...10, "")
        reader.require(minimum <= maximum, ["MINIMUM", "MAXIMUM"], "the minimum must not exceed the maximum")
        _ = reader.text("REDIS_URL", default: "redis://127.0.0.1", "")
        _ = reader.secret("TOKEN", "")
        let error = #expect(throws: SettingsError.self) { try reader.finish() }
        let lines = (error?.description ?? "").split(separator: "\n").map(String.init)
        #expect(
            lines == [
                "linesman.toml:2: PORT = \"99999\": must be a whole number from 1 to 65535",
                "linesman.toml:3: RATIO = \"1.5\": must be a number from 0.0 to 1.0",
                "linesman.toml:4: PAPER = \"maybe\": must be true or false",
                "linesman.toml:5: MODE = \"shadow\": must be one of paper, live",
                "linesman.toml:6: DELAY_MS = \"-1\": must be whole milliseconds from 1 to 60000",
                "linesman.toml:7: WAIT_SECS = \"soon\": must be seconds from 0 to 60",
                "linesman.toml:8: LEVEL: must be a text, not a TOML array",
                "linesman.toml:9: MINIMUM, MAXIMUM = \"MINIMUM=9 MAXIMUM=3\": "
                    + "the minimum must not exceed the maximum",
                "linesman.toml:11: REDIS_URI: is not a setting; did you mean REDIS_URL?",
                "linesman.toml:12: TOKEN: must be a secret, not a TOML table",
            ])
    }

    @Test func `keys of others who share the file are known`() throws {
        let file = try SettingsFile(path: "f", text: "THEIRS = 1\n")
        try SettingsReader(environment: [:], file: file).finish(known: ["THEIRS"])
        #expect(throws: SettingsError.self) { try SettingsReader(environment: [:], file: file).finish() }
    }

    @Test func `a contradiction is not reported on top of a refused value`() {
        let reader = SettingsReader(environment: ["A": "x", "B": "5"])
        let a = reader.integer("A", default: 9, in: 0...9, "")
        let b = reader.integer("B", default: 0, in: 0...9, "")
        reader.require(a <= b, ["A", "B"], "A must not exceed B")
        let error = #expect(throws: SettingsError.self) { try reader.finish() }
        #expect(error?.problems.count == 1)
        #expect(error?.description == "environment: A = \"x\": must be a whole number from 0 to 9")
    }

    @Test func `broken TOML is one problem with its line`() {
        let error = #expect(throws: SettingsError.self) {
            try SettingsFile(path: "linesman.toml", text: "A = 1\nB = = 2\n")
        }
        #expect(error?.problems.first?.line == 2)
        #expect(error?.description.contains("linesman.toml:2: not valid TOML") == true)
    }

    @Test func `a file that cannot be read is one problem`() {
        let error = #expect(throws: SettingsError.self) { try SettingsFile.load(path: "/nowhere/linesman.toml") }
        #expect(error?.description.contains("/nowhere/linesman.toml: cannot be read") == true)
    }

    @Test func `a secret is shown nowhere`() throws {
        // CHECKLIST N31.
        let reader = SettingsReader(environment: ["TOKEN": "hunter2"])
        let secret = try #require(reader.secret("TOKEN", "a token"))
        var dumped = ""
        dump(secret, to: &dumped)
        dump(reader.declared, to: &dumped)
        #expect(!"\(secret) \(String(reflecting: secret)) \(dumped)".contains("hunter2"))
        #expect("\(secret)" == "<redacted>" && reader.declared.first?.value == "<redacted>")
        reader.require(false, ["TOKEN"], "contradicts something")
        let error = #expect(throws: SettingsError.self) { try reader.finish() }
        #expect(error?.description.contains("hunter2") == false)
    }

    @Test(arguments: ["nan", "inf", "1e400", "0x10", "", " 5", "5 "]) func `odd numbers are refused or not set`(
        text: String
    ) {
        let reader = SettingsReader(environment: ["N": text])
        #expect(reader.number("N", default: 0.5, in: 0...1, "") == 0.5)
        #expect(reader.seconds("N", default: .seconds(7), in: .zero...(.seconds(1e6)), "") >= .seconds(5))
    }
}
