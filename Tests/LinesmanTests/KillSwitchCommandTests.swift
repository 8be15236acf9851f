import Domain
import Hosting
import Servers
import Testing

@testable import Linesman

@Suite struct KillSwitchCommandTests {
    @Test func `the table names who has not seen it and who is silent`() {
        let seen = [
            KillSwitchDesk.Seen(name: "execution-service/1", sees: .engaged, age: 0.2),
            KillSwitchDesk.Seen(name: "game-shard/shard-01", sees: .released, age: 4),
            KillSwitchDesk.Seen(name: "orchestrator/1", sees: .engaged, age: 60),
        ]
        let lines = KillSwitchDesk.table(seen, expecting: .engaged).split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines[0].hasSuffix("engaged   0.2 s ago"))
        #expect(lines[1].hasSuffix("released  4.0 s ago  HAS NOT SEEN IT"))
        #expect(lines[2].hasSuffix("60.0 s ago  silent"))
        #expect(KillSwitchDesk.table([], expecting: .engaged) == "no process has said what it sees")
    }

    @Test func `the file engages with its folder, keeps every reason, and is removed twice without harm`() throws {
        let folder = try TemporaryDirectory("kill-switch")
        defer { folder.remove() }
        let file = KillSwitchFile(path: "\(folder.path)/not/there/yet")
        #expect(file.read() == .released && file.notes == nil)
        try file.create("first")
        try file.create("second")
        #expect(file.read() == .engaged && file.notes == "first\nsecond\n")
        try file.remove()
        try file.remove()
        #expect(file.read() == .released && file.readAcknowledgements().isEmpty)
        #expect(throws: (any Error).self) { try KillSwitchFile(path: "/dev/null/below").create("nowhere") }
        #expect(KillSwitchFile(path: "/dev/null/below").read() == .unknown, "what cannot be looked at is unknown")
    }

    @Test func `a release needs a reason`() throws {
        #expect(throws: (any Error).self) { try KillSwitchCommand.Release.parse([]) }
        #expect(throws: (any Error).self) { try KillSwitchCommand.Release.parse(["--reason", "  "]) }
        #expect(try KillSwitchCommand.Release.parse(["--reason", "checked"]).reason == "checked")
    }
}
