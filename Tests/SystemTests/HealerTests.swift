import Foundation
import Servers
import TestKit
import Testing

/// The process that undoes what `linesman chaos` has broken.
@Suite struct HealerTests {
    private struct Plan: Encodable {
        let undo: [[String]]
        let afterSeconds: Double
    }

    /// Starts a healer whose driver is a `sleep`; the driver's process id is in the file `driver`.
    private static func start(_ plan: Plan, in folder: String) throws -> ChildProcess {
        try JSONEncoder().encode(plan).write(to: URL(filePath: "\(folder)/plan.json"))
        let pipeline =
            "sh -c 'echo $$ > driver.new; mv driver.new driver; exec sleep 100' | \"$1\" chaos-heal plan.json"
        return try ChildProcess.spawn(
            "sh", ["-c", pipeline, "sh", Executable.path("linesman")],
            environment: Executable.environment(temporary: folder), directory: folder,
            output: .file("\(folder)/healer.log"))
    }

    private static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    @Test(.timeLimit(.minutes(1)))
    func `a driver that is killed leaves nothing broken`() async throws {
        let folder = try TemporaryDirectory("healer")
        defer { folder.remove() }
        let healed = "\(folder.path)/healed"
        let healer = try Self.start(Plan(undo: [["touch", healed]], afterSeconds: 600), in: folder.path)
        try await eventually("the driver lives") { Self.exists("\(folder.path)/driver") }
        #expect(!Self.exists(healed))
        let driver = try #require(
            Int32(
                String(contentsOfFile: "\(folder.path)/driver", encoding: .utf8)
                    .trimmingCharacters(in: .whitespacesAndNewlines)))
        kill(driver, SIGKILL)
        try await eventually(within: .seconds(20), "it is healed") { Self.exists(healed) }
        #expect(await healer.wait() == .exited(0))
    }

    @Test(.timeLimit(.minutes(1)))
    func `a driver that hangs is not waited for, and a command that fails at first is tried again`() async throws {
        let folder = try TemporaryDirectory("healer")
        defer { folder.remove() }
        let healed = "\(folder.path)/healed"
        // Fails until it has been tried once.
        let command = [
            "sh", "-c", "test -e \"$1.tried\" && touch \"$1\" || { touch \"$1.tried\"; exit 1; }", "sh", healed,
        ]
        let healer = try Self.start(Plan(undo: [command], afterSeconds: 0.5), in: folder.path)
        try await eventually(within: .seconds(20), "it is healed") { Self.exists(healed) }
        await healer.kill9()
    }
}
