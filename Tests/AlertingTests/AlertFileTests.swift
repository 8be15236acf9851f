import Foundation
import Servers
import Testing

@testable import Alerting

/// The file that is the outbox: synced, repaired, rotated, and one process's alone.
@Suite struct AlertFileTests {
    private func alert(_ sequence: Int64, _ text: String = "gone") -> Alert {
        var alert = Alert(
            AlertRequest(
                id: "id-\(sequence)", kind: "shardDead", fingerprint: "shard:\(sequence)", summary: text, source: "s/1",
                at: sequence), state: .firing)
        alert.sequence = sequence
        return alert
    }

    private func inFolder(_ body: (URL) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "alerts-\(UUID().uuidString)")
        // Left behind only when the machine cannot remove it.
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder)
    }

    private func file(_ path: String, bytes: Int = 1 << 20, files: Int = 3) -> AlertFile {
        AlertFile(path: path, byteLimit: bytes, files: files)
    }

    // CHECKLIST R17.
    @Test func `the folder is made, each alert is one line, and a new life reads them all`() throws {
        try inFolder { folder in
            let path = folder.appending(path: "deep/er/alerts.log").path
            do {
                let file = file(path)
                #expect(try file.restore(sinks: ["slack"], otherName: "x").records.isEmpty)
                try file.append([alert(1), alert(2, "two\nlines \u{2028} \"quoted\"")])
                try file.append([alert(3)])
                try file.save(SinkCursor(sequence: 2), of: "slack")
            }
            let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
            #expect(lines.count == 3)
            let restored = try file(path).restore(sinks: ["slack", "webhook"], otherName: "x")
            #expect(restored.records == [alert(1), alert(2, "two\nlines \u{2028} \"quoted\""), alert(3)])
            #expect(restored.cursors == ["slack": SinkCursor(sequence: 2)])
            #expect(restored.unreadable == 0)
        }
    }

    @Test func `a torn last line is cut off before anything is written behind it`() throws {
        try inFolder { folder in
            let path = folder.appending(path: "alerts.log").path
            do { try file(path).append([alert(1), alert(2)]) }
            let handle = try #require(FileHandle(forWritingAtPath: path))
            try handle.truncate(atOffset: try handle.seekToEnd() - 20)
            try handle.close()
            let file = file(path)
            let restored = try file.restore(sinks: [], otherName: "x")
            #expect(restored.records == [alert(1)] && restored.unreadable == 1)
            try file.append([alert(2)])
            let text = try String(contentsOfFile: path, encoding: .utf8)
            #expect(text.split(separator: "\n").count == 2 && text.hasSuffix("\n"))
            #expect(try String(contentsOfFile: path, encoding: .utf8).contains("\"id-2\""))
        }
    }

    @Test func `a line of garbage in the middle is passed over and counted, a line that is there twice read once`()
        throws
    {
        try inFolder { folder in
            let path = folder.appending(path: "alerts.log").path
            do { try file(path).append([alert(1), alert(1), alert(2)]) }
            let handle = try #require(FileHandle(forWritingAtPath: path))
            try handle.seekToEnd()
            try handle.write(contentsOf: Data("{\"no\":1}\n\u{0}\u{0}\n".utf8))
            try handle.close()
            do { try file(path).append([alert(3)]) }
            let restored = try file(path).restore(sinks: [], otherName: "x")
            #expect(restored.records.map(\.sequence) == [1, 2, 3])
            #expect(restored.unreadable == 2)
        }
    }

    @Test func `it is put aside by size, the oldest goes, and what a sink still needs is read from old files`() throws {
        try inFolder { folder in
            let path = folder.appending(path: "alerts.log").path
            let line = try alert(1).line().count
            let first = file(path, bytes: line * 10, files: 3)
            _ = try first.restore(sinks: ["slack"], otherName: "x")
            try first.save(SinkCursor(sequence: 12), of: "slack")
            for number in 1...35 { try first.append([alert(Int64(number))]) }
            #expect(first.removedUndelivered == 0)
            let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
            #expect(
                names.filter { $0.hasPrefix("alerts.log") && !$0.contains("cursor") && !$0.contains("lock") }.count == 4
            )
            for number in 36...60 { try first.append([alert(Int64(number))]) }
            #expect(first.removedUndelivered > 0)
            let second = file(folder.appending(path: "other.log").path)
            _ = second
        }
        try inFolder { folder in
            let path = folder.appending(path: "alerts.log").path
            do {
                let file = file(path, bytes: 2_000, files: 5)
                _ = try file.restore(sinks: ["slack"], otherName: "x")
                try file.save(SinkCursor(sequence: 3), of: "slack")
                for number in 1...25 { try file.append([alert(Int64(number))]) }
            }
            let restored = try file(path, bytes: 2_000, files: 5).restore(sinks: ["slack"], otherName: "x")
            #expect(restored.records.map(\.sequence).suffix(22) == Array(4...25))
        }
    }

    @Test func `moved away or removed under us, a new one is begun`() throws {
        try inFolder { folder in
            let path = folder.appending(path: "alerts.log").path
            let file = file(path)
            try file.append([alert(1)])
            try FileManager.default.moveItem(atPath: path, toPath: path + ".moved")
            try file.append([alert(2)])
            #expect(try String(contentsOfFile: path, encoding: .utf8).contains("id-2"))
        }
    }

    @Test func `two processes do not write into one file`() throws {
        try inFolder { folder in
            let path = folder.appending(path: "alerts.log").path
            let (one, two) = (file(path), file(path))
            _ = try one.restore(sinks: [], otherName: "orchestrator/1")
            _ = try two.restore(sinks: [], otherName: "orchestrator/2")
            #expect(one.path == path)
            #expect(two.path == folder.appending(path: "alerts.orchestrator-2.log").path)
        }
    }

    @Test func `a full disk is an error of its own and leaves no torn line`() throws {
        try inFolder { folder in
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            let path = folder.appending(path: "alerts.log").path
            try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "/dev/full")
            let error = #expect(throws: AlertError.self) { try file(path).append([alert(1)]) }
            #expect(error?.code == .diskFull)
            #expect(throws: AlertError.self) { try file("/proc/none/alerts.log").append([alert(1)]) }
        }
    }
}
