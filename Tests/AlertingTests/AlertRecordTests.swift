import Foundation
import Testing

@testable import Alerting

/// Evidence in the alert file: kept like an alert, and never one.
@Suite struct AlertRecordTests {
    private func record(_ desk: inout Desk, _ number: Int) {
        desk.take(
            .record(desk.request("auditHead", kind: "auditHead", severity: .info, isLasting: false, id: "\(number)")))
    }

    @Test func `a record is in the file and nowhere else, also in the next life`() {
        var desk = Desk()
        for number in 1...5 { record(&desk, number) }
        record(&desk, 5)
        desk.pass(.seconds(4_000))
        desk.restart(after: .seconds(10))
        record(&desk, 6)
        desk.pass(.seconds(4_000))
        #expect(desk.file.map(\.kind) == Array(repeating: "auditHead", count: 6))
        let areHidden = desk.file.allSatisfy { $0.isHeld && $0.isFileOnly == true }
        #expect(areHidden && desk.sent.isEmpty && desk.engine.firing.isEmpty)
        // An alert beside them is told as ever, and says nothing of records held back.
        desk.fire("shard-01")
        desk.pass(.seconds(10))
        #expect(desk.sent.count == 1 && desk.sent[0].message.alerts.map(\.suppressed) == [0])
    }

    @Test func `while alerting is off nothing is kept`() {
        var desk = Desk(isEnabled: false)
        record(&desk, 1)
        #expect(desk.file.isEmpty)
    }

    @Test func `only records have the mark in their line`() throws {
        var desk = Desk()
        record(&desk, 1)
        desk.fire("shard-01")
        let lines = try desk.file.map { String(decoding: try $0.line(), as: UTF8.self) }
        #expect(lines.map { $0.contains("\"file_only\":true") } == [true, false])
        #expect(!lines[1].contains("file_only"))
    }

    @Test func `records are read from a file, from those put aside, and from other processes' beside it`() async throws
    {
        try await withFolder { folder in
            try FileManager.default.createDirectory(
                atPath: "\(folder)/alerts-of-old", withIntermediateDirectories: true)
            var desk = Desk()
            for number in 1...4 { record(&desk, number) }
            desk.fire("shard-01")
            let lines = try desk.file.map { try $0.line() }
            for (index, name) in ["alerts.log", "alerts.log.1", "alerts.orchestrator-2.log", "other.log"].enumerated() {
                try (lines[index] + lines[4] + Data("torn{\n".utf8)).write(to: URL(filePath: "\(folder)/\(name)"))
            }
            try lines[0].write(to: URL(filePath: "\(folder)/alerts.log.lock"))
            let found = try AlertRecords.read(kind: "auditHead", path: "\(folder)/alerts.log")
            #expect(found.map(\.record.id) == ["1", "2", "3"])
            #expect(found.map(\.file.lastPart) == ["alerts.log", "alerts.log.1", "alerts.orchestrator-2.log"])
            #expect(try AlertRecords.read(kind: "auditHead", path: "\(folder)/nowhere/alerts.log").isEmpty)
        }
    }
}

extension String {
    fileprivate var lastPart: String { split(separator: "/").last.map(String.init) ?? self }
}
