import ChaosEngine
import Foundation
import Servers
import TestKit
import Testing

@testable import Linesman

/// The alert files of a deployment, read by the words that a container is given; here the folder is its own.
@Suite struct VolumeAlertsTests {
    private static func ask(_ words: CommandLineWords) async throws -> String {
        let (end, output) = try await ChildProcess.run(words[0], Array(words.dropFirst()))
        guard end.isSuccess else { throw ChaosFailure("\(end): \(output)") }
        return output
    }

    private static func look(
        _ folder: String, _ offsets: [String: Int]?
    ) async throws -> (alerts: [Sample.Alert], offsets: [String: Int]) {
        let output = try await ask(VolumeAlerts.words(folder, offsets))
        var known = offsets ?? [:]
        let alerts = VolumeAlerts.news(output, &known)
        return (alerts, known)
    }

    private static func line(_ kind: String, _ state: String = "firing", _ more: String = "") -> String {
        "{\"kind\":\"\(kind)\",\"state\":\"\(state)\"\(more)}\n"
    }

    private static func append(_ text: String, to path: String) throws {
        // Absent is empty.
        let before = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        try (before + text).write(toFile: path, atomically: true, encoding: .utf8)
    }

    @Test func `each line is read once and whole, of each file, and none of before`() async throws {
        let folder = try TemporaryDirectory("alerts")
        defer { folder.remove() }
        let path = "\(folder.path)/critical_alerts.log"
        try Self.append(Self.line("before"), to: path)
        var (alerts, known) = try await Self.look(folder.path, nil)
        #expect(alerts.isEmpty && known == ["critical_alerts.log": Self.line("before").utf8.count])

        let torn = Self.line("orderUnknown")
        try Self.append(Self.line("AllShardsUnhealthy") + String(torn.prefix(9)), to: path)
        try Self.append(Self.line("ShardReplaced", "recovered"), to: "\(folder.path)/critical_alerts.other-1.log")
        try Self.append("{\"sequence\":1}\n", to: "\(path).slack.cursor")
        (alerts, known) = try await Self.look(folder.path, known)
        #expect(
            alerts == [.init("AllShardsUnhealthy", isFiring: true), .init("ShardReplaced", isFiring: false)])

        let rest = String(torn.dropFirst(9))
        try Self.append(rest + Self.line("auditHead", "firing", ",\"file_only\":true"), to: path)
        (alerts, known) = try await Self.look(folder.path, known)
        #expect(alerts == [.init("orderUnknown", isFiring: true)])
        (alerts, known) = try await Self.look(folder.path, known)
        #expect(alerts.isEmpty)
    }

    @Test func `a file that was put aside is read to its end, and the new one from its beginning`() async throws {
        let folder = try TemporaryDirectory("alerts")
        defer { folder.remove() }
        let path = "\(folder.path)/critical_alerts.log"
        try Self.append(Self.line("before"), to: path)
        var (alerts, known) = try await Self.look(folder.path, nil)
        try Self.append(Self.line("last"), to: path)
        try FileManager.default.moveItem(atPath: path, toPath: "\(path).1")
        try Self.append(Self.line("new"), to: path)
        (alerts, known) = try await Self.look(folder.path, known)
        #expect(alerts == [.init("last", isFiring: true), .init("new", isFiring: true)])
        #expect(known == ["critical_alerts.log": Self.line("new").utf8.count])
    }

    @Test func `what Docker says besides is no alert`() {
        var known: [String: Int] = [:]
        let alerts = VolumeAlerts.news("WARNING: no swap\ncritical_alerts.log here\nother.log 0 e30=\n", &known)
        #expect(alerts.isEmpty && known.isEmpty)
    }

    @Test(.timeLimit(.minutes(2)))
    func `a folder that cannot be read for a while is read from then on, and until then it is told`() async throws {
        let folder = try TemporaryDirectory("alerts")
        defer { folder.remove() }
        let path = "\(folder.path)/volume"
        let files = VolumeAlerts(in: path) { words in try await Self.ask(words) }
        // Ends with this test.
        let looking = Task { await files.run() }
        defer { looking.cancel() }
        try await eventually("the folder is missed") { files.trouble?.contains("exit code 1") == true }
        let early = files.take()
        #expect(early == nil)

        try FileManager.default.createDirectory(atPath: "\(path).new", withIntermediateDirectories: false)
        try Self.append(Self.line("before"), to: "\(path).new/critical_alerts.log")
        try FileManager.default.moveItem(atPath: "\(path).new", toPath: path)
        try await eventually("it is read") { files.trouble == nil }
        try Self.append(Self.line("orderUnknown"), to: "\(path)/critical_alerts.log")
        var told: [Sample.Alert] = []
        try await eventually("it is told") {
            told += files.take() ?? []
            return !told.isEmpty
        }
        #expect(told == [.init("orderUnknown", isFiring: true)])
    }
}
