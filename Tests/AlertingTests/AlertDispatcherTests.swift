import Alerting
import Foundation
import Logging
import Runtime
import Testing

@Suite struct AlertDispatcherTests {
    private func dispatcher(_ environment: [String: String]) throws -> AlertDispatcher {
        let reader = SettingsReader(environment: environment, file: nil)
        let settings = AlertSettings(reader)
        try reader.finish()
        return AlertDispatcher(
            settings: settings, source: "orchestrator/1", clock: .real, wall: .real, log: Logger(label: "test"),
            metrics: MetricsRegistry())
    }

    private func folder() -> URL {
        FileManager.default.temporaryDirectory.appending(path: "alerts-\(UUID().uuidString)")
    }

    @Test func `an alert is in the file, whose folder was made, when raise returns`() async throws {
        let folder = folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "deep/critical_alerts.log").path
        let dispatcher = try dispatcher(["ALERT_LOG_PATH": path])
        await dispatcher.raise(
            kind: "databaseConnectivityIssue", fingerprint: "database", summary: "PostgreSQL does not answer",
            detail: ["attempts": "3"])
        await dispatcher.raise(
            kind: "databaseConnectivityIssue", fingerprint: "database", summary: "PostgreSQL does not answer")
        await dispatcher.recover(
            kind: "databaseConnectivityIssue", fingerprint: "database", summary: "PostgreSQL answers again")
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        let alerts = try lines.map { try JSONDecoder().decode(Alert.self, from: Data($0.utf8)) }
        #expect(alerts.map(\.state) == [.firing, .recovered])
        #expect(alerts[0].detail == ["attempts": "3"])
        #expect(alerts[1].suppressed == 1 && alerts[1].lastedMilliseconds != nil)
    }

    @Test func `empty addresses mean not set, and a file that cannot be written is no failure of the caller`()
        async throws
    {
        let dispatcher = try dispatcher([
            "SLACK_WEBHOOK_URL": "", "CUSTOM_WEBHOOK_URL": "", "ALERT_LOG_PATH": "/proc/none/alerts.log",
        ])
        await dispatcher.raise(kind: "allShardsUnhealthy", fingerprint: "shards", summary: "no shard is healthy")
        #expect(await dispatcher.recent.count == 1)
        try await dispatcher.run()
    }

    @Test func `alerts can be switched off`() async throws {
        let folder = folder()
        let path = folder.appending(path: "alerts.log").path
        let dispatcher = try dispatcher(["ALERT_LOG_PATH": path, "CRITICAL_ALERTS_ENABLED": "false"])
        await dispatcher.raise(kind: "allShardsUnhealthy", fingerprint: "shards", summary: "no shard is healthy")
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(await dispatcher.recent.isEmpty)
    }
}
