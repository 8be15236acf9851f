import Foundation
import Servers
import TestKit
import Testing

/// What a rehearsal leaves behind that did not come to its end.
@Suite(.serialized) struct ChaosInterruptionTests {
    private static let isRoot = geteuid() == 0

    /// Children of a process, by their numbers.
    private static func children(of process: Int32) -> [Int32] {
        let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task")) ?? []
        return tasks.flatMap { task in
            let path = "/proc/\(process)/task/\(task)/children"
            return ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").split(separator: " ")
                .compactMap { Int32($0) }
        }
    }

    private static func words(of process: Int32) -> String {
        guard let data = FileManager.default.contents(atPath: "/proc/\(process)/cmdline") else { return "" }
        return String(decoding: data, as: UTF8.self)
    }

    /// Processes that have something mounted below a folder, or were started for it.
    private static func users(of folder: String) -> [String] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return all.compactMap { Int32($0) }.filter { $0 != getpid() && isAlive($0) }.compactMap { process in
            let mounts = (try? String(contentsOfFile: "/proc/\(process)/mounts", encoding: .utf8)) ?? ""
            let isUser = mounts.contains(folder) || words(of: process).contains(folder)
            return isUser ? "\(process) \(words(of: process).replacing("\0", with: " "))" : nil
        }
    }

    private static func isAlive(_ process: Int32) -> Bool {
        guard let stat = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8) else { return false }
        let state = stat.split(separator: ")").last?.split(separator: " ").first
        return state != "Z" && state != "X"
    }

    private static func folders(in temporary: String) -> [String] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: temporary)) ?? []
        return all.filter { $0.hasPrefix("linesman-rehearsal-") }.sorted()
    }

    /// Starts a rehearsal of the full disk, and waits until the disk is full.
    private static func rehearse(in temporary: String, log: String) async throws -> (ChildProcess, folder: String) {
        let before = Set(folders(in: temporary))
        let driver = try ChildProcess.spawn(
            Executable.path("linesman"), ["chaos", "database-disk-full", "--report", "\(temporary)/report.json"],
            environment: Executable.environment(temporary: temporary), directory: temporary, output: .file(log))
        var folder = ""
        try await eventually(within: .seconds(150), "the disk is full") {
            guard let own = folders(in: temporary).first(where: { !before.contains($0) }) else { return false }
            folder = "\(temporary)/\(own)"
            // As the driver sees it, which has mounts of its own.
            let filler = "/proc/\(driver.processID)/root\(folder)/disk/filler"
            return !driver.isRunning || FileManager.default.fileExists(atPath: filler)
        }
        try #require(driver.isRunning, "\((try? String(contentsOfFile: log, encoding: .utf8)) ?? "")")
        return (driver, folder)
    }

    @Test(.enabled(if: isRoot, "only root may mount"), .timeLimit(.minutes(10)))
    func `a driver that is killed, or interrupted, leaves no disk, no folder and no process`() async throws {
        let temporary = try TemporaryDirectory("interrupted")
        defer { temporary.remove() }
        let path = temporary.path
        let (killed, folder) = try await Self.rehearse(in: path, log: "\(path)/killed.log")
        // The shell that would clean up after it dies with it.
        let guards = Self.children(of: killed.processID).filter { Self.words(of: $0).contains("umount -l") }
        try #require(!guards.isEmpty)
        for one in guards { kill(one, SIGKILL) }
        await killed.kill9()
        try await eventually(within: .seconds(30), "nobody holds the disk any more") { Self.users(of: folder).isEmpty }
        #expect(FileManager.default.fileExists(atPath: folder), "nobody was left to remove it")

        let (interrupted, second) = try await Self.rehearse(in: path, log: "\(path)/interrupted.log")
        #expect(!FileManager.default.fileExists(atPath: folder), "the next rehearsal removes it")
        interrupted.signal(SIGINT)
        #expect(await interrupted.wait() == .exited(130))
        try await eventually(within: .seconds(30), "nobody holds the disk any more") { Self.users(of: second).isEmpty }
        try await eventually(within: .seconds(30), "no folder is left") { Self.folders(in: path).isEmpty }
        let own = try String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)
        #expect(!own.contains(path))
    }

    @Test(.enabled(if: isRoot, "only root may mount"), .timeLimit(.minutes(10)))
    func `a driver that is killed alone is cleaned up after by its guard`() async throws {
        let temporary = try TemporaryDirectory("interrupted")
        defer { temporary.remove() }
        let (driver, folder) = try await Self.rehearse(in: temporary.path, log: "\(temporary.path)/killed.log")
        await driver.kill9()
        try await eventually(within: .seconds(30), "nobody holds the disk any more") { Self.users(of: folder).isEmpty }
        try await eventually(within: .seconds(30), "no folder is left") { Self.folders(in: temporary.path).isEmpty }
    }
}
