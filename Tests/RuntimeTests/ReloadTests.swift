import Foundation
import NIOConcurrencyHelpers
import Runtime
import TestKit
import Testing

/// What an operator may change in a running process, by SIGHUP.
@Suite struct ReloadTests {
    @Test(.timeLimit(.minutes(1)))
    func `SIGHUP reads the file again, a bad file changes nothing, the environment wins, and the process lives on`()
        async throws
    {
        let path = FileManager.default.temporaryDirectory.appending(path: "reload-\(UUID().uuidString).toml").path
        // Left behind only when the machine cannot remove it.
        defer { try? FileManager.default.removeItem(atPath: path) }
        try "LEVEL = 1\nFIXED = 1\n".write(toFile: path, atomically: true, encoding: .utf8)
        let (signals, send) = AsyncStream.makeStream(of: String.self)
        let seen = NIOLockedValueBox<[[Int]]>([])
        let log = LogCapture()
        let world = ProcessWorld(
            environment: ["LINESMAN_CONFIG": path, "FIXED": "7"], clock: .real, wallClock: .real, random: .system,
            output: log.output, signals: signals, processID: 1)
        let read: @Sendable (SettingsReader) -> [Int] = { reader in
            [
                reader.integer("LEVEL", default: 0, in: 0...10, "a level"),
                reader.integer("FIXED", default: 0, in: 0...10, "fixed by the environment"),
            ]
        }
        // Awaited below.
        let process = Task {
            await ProcessRunner.exitCode(service: "test", world: world) { context in
                let settings = try context.settings(read)
                seen.withLockedValue { $0.append(settings) }
                context.onReload("level", read) { settings in seen.withLockedValue { $0.append(settings) } }
                context.supervisor.add("forever", .critical) { try await context.clock.sleep(for: .seconds(3_600)) }
            }
        }
        try await eventually("the start") { log.lines.contains { $0.contains("process started") } }
        try await eventually("the settings") { !seen.withLockedValue { $0.isEmpty } }
        func hangUp(_ text: String, until line: String) async throws {
            try text.write(toFile: path, atomically: true, encoding: .utf8)
            let before = log.lines.count { $0.contains(line) }
            send.yield("SIGHUP")
            try await eventually("\(line)") { log.lines.count { $0.contains(line) } > before }
        }
        try await hangUp("LEVEL = 2\nFIXED = 2\n", until: "settings read again")
        try await hangUp("LEVEL = 11\n", until: "settings not read again")
        try await hangUp("LEVL = 3\n", until: "settings not read again")
        try await hangUp("not toml", until: "settings not read again")
        try await hangUp("LEVEL = 4\n", until: "settings read again")
        #expect(seen.withLockedValue { $0 } == [[1, 7], [2, 7], [4, 7]])
        send.yield("SIGTERM")
        #expect(await process.value == .ok)
    }
}
