import Alerting
import Bus
import Domain
import Foundation
import NIOConcurrencyHelpers
import Runtime
import TestKit
import Testing
import Wire

@testable import Hosting

/// An alert of a service arrives, whoever is dead.
@Suite struct ServiceAlertsTests {
    private func environment(_ folder: String) -> [String: String] {
        ["ALERT_LOG_PATH": "\(folder)/alerts.log", "ALERT_ACK_TIMEOUT_MS": "300"]
    }

    private func lines(_ folder: String) -> [String] {
        // Not there yet: nothing was written.
        let text = try? String(contentsOfFile: "\(folder)/alerts.test-service-alert-1.log", encoding: .utf8)
        return text?.split(separator: "\n").map(String.init) ?? []
    }

    private func inFolder(_ body: (String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "service-alerts-\(UUID().uuidString)")
        // Left behind only when the machine cannot remove it.
        defer { try? FileManager.default.removeItem(at: folder) }
        try await body(folder.path)
    }

    @Test(.timeLimit(.minutes(2)))
    func `without an orchestrator a service writes and delivers its alerts itself, at the end those too`() async throws
    {
        try await withRedis { redis in
            try await withPostgres { database in
                try await inFolder { folder in
                    let (code, error) = try await withHost(
                        redis: redis.url, database, instance: "alert-1", more: environment(folder)
                    ) { host in
                        host.alerts.fire("orderUnknown", fingerprint: "order:1", "lost", fields: ["order": "1"])
                        #expect(lines(folder).isEmpty)
                        try await eventually("our own file") { lines(folder).count == 1 }
                        host.alerts.resolve("order:1", kind: "orderUnknown", "found")
                        try await eventually("its end") { lines(folder).count == 2 }
                        // The last words before the end of the process.
                        host.alerts.fire("orderUnknown", fingerprint: "order:2", "lost", isLasting: false)
                    }
                    if let error { throw error }
                    #expect(code == .ok)
                    #expect(lines(folder).count == 3 && lines(folder)[1].contains("\"recovered\""))
                }
            }
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func `what the orchestrator has acknowledged is left to it`() async throws {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                try await inFolder { folder in
                    let patient = environment(folder).merging(["ALERT_ACK_TIMEOUT_MS": "30000"]) { $1 }
                    let (_, error) = try await withHost(
                        redis: redis.url, database, instance: "alert-1", more: patient
                    ) { host in
                        // The orchestrator's part, played by the same process.
                        let raised = try await host.bus.subscribe(to: Channels.alerts)
                        let heard = NIOLockedValueBox<[SystemAlert]>([])
                        host.supervisor.add("orchestrator", .important) {
                            for await delivery in raised {
                                guard case .message(let envelope, _) = delivery else { continue }
                                heard.withLockedValue { $0.append(envelope.body) }
                                let word = AlertAcknowledgement(ids: [envelope.body.id])
                                _ = try await host.bus.publish(word, on: Channels.alertAcknowledgements)
                            }
                        }
                        try await eventually("the listener") { host.alerts.isListening }
                        host.alerts.fire("orderUnknown", fingerprint: "order:1", "lost", severity: .warning)
                        host.alerts.resolve("order:1", kind: "orderUnknown", "found")
                        try await eventually("both") {
                            heard.withLockedValue { $0.filter { $0.fingerprint == "order:1" }.map(\.state) }
                                == [.firing, .recovered]
                        }
                        let first = heard.withLockedValue { $0.first { $0.fingerprint == "order:1" } }
                        #expect(first?.severity == "warning" && first?.lasting == true)
                        try await eventually("the words") { host.alerts.waiting == 0 }
                    }
                    if let error { throw error }
                    #expect(lines(folder).filter { $0.contains("order:1") }.isEmpty)
                }
            }
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func `with Redis gone an alert is told here just as soon`() async throws {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                try await inFolder { folder in
                    let (_, error) = try await withHost(
                        redis: redis.url, database, instance: "alert-1", more: environment(folder)
                    ) { host in
                        await redis.kill()
                        host.alerts.fire("killSwitchUnknown", fingerprint: "kill-switch", "cannot be read")
                        try await eventually("our own file") { lines(folder).count == 1 }
                    }
                    if let error { throw error }
                }
            }
        }
    }
}
