import Foundation
import Logging
import Runtime
import TestKit

@testable import Alerting

/// One life of a process that alerts, with a folder of its own.
struct Post: Sendable {
    let dispatcher: AlertDispatcher
    let metrics: MetricsRegistry
    let log: LogCapture

    static func settings(_ environment: [String: String]) throws -> AlertSettings {
        let reader = SettingsReader(environment: environment, file: nil)
        let settings = AlertSettings(reader)
        try reader.finish()
        return settings
    }

    /// Runs a dispatcher while `body` does; its end is that of a killed process: nothing is drained.
    static func open(
        _ environment: [String: String], policy: AlertPolicy? = nil, role: AlertDispatcher.Role = .main,
        _ body: @Sendable (Post) async throws -> Void
    ) async throws {
        let path = try await live(environment, policy, role, body)
        // The next life needs its file, and whoever was the last to hold it may still be about to let it go.
        try await eventually("the file is let go") { isFree("\(path).lock") }
    }

    private static func isFree(_ lock: String) -> Bool {
        let descriptor = Glibc.open(lock, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return errno == ENOENT }
        defer { close(descriptor) }
        // Unlocked by word: a child that was just forked may have the descriptor as well.
        return flock(descriptor, LOCK_EX | LOCK_NB) == 0 && flock(descriptor, LOCK_UN) == 0
    }

    private static func live(
        _ environment: [String: String], _ policy: AlertPolicy?, _ role: AlertDispatcher.Role,
        _ body: @Sendable (Post) async throws -> Void
    ) async throws -> String {
        let metrics = MetricsRegistry()
        let log = LogCapture()
        let dispatcher = AlertDispatcher(
            settings: try settings(environment), source: "orchestrator/1", role: role, policy: policy, clock: .real,
            wall: .real, log: log.logger(), metrics: metrics)
        // Awaited below.
        let running = Task { try await dispatcher.run() }
        let outcome: Result<Void, any Error>
        do {
            try await body(Post(dispatcher: dispatcher, metrics: metrics, log: log))
            outcome = .success(())
        } catch {
            outcome = .failure(error)
        }
        running.cancel()
        // Its error is the cancellation.
        _ = try? await running.value
        try outcome.get()
        return dispatcher.path
    }

    func value(_ name: String) -> Double { metrics.snapshot()[name] ?? 0 }
}

/// A folder for one test.
func withFolder(_ body: @Sendable (String) async throws -> Void) async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "alerts-\(UUID().uuidString)")
    // Left behind only when the machine cannot remove it.
    defer { try? FileManager.default.removeItem(at: folder) }
    try await body(folder.path)
}

/// What the alert file holds.
func records(_ folder: String) throws -> [Alert] {
    let text = try String(contentsOfFile: "\(folder)/alerts.log", encoding: .utf8)
    return try text.split(separator: "\n").map { try JSONDecoder().decode(Alert.self, from: Data($0.utf8)) }
}
