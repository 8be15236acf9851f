import Foundation
import PostgresTestKit
import Runtime
import Servers
import TestKit
import Testing

@testable import Postgres

/// The journal on a disk that is really full: a small file system of its own, seen by one process only.
@Suite struct FullDiskTests {
    /// Mounts a disk of this many bytes over a folder, and becomes a program that alone sees it.
    private static let onSmallDisk = "mount -t tmpfs -o size=131072 tmpfs \"$0\" && exec \"$@\""

    private static func mayMount() async -> Bool {
        guard let folder = try? TemporaryDirectory("mount") else { return false }
        defer { folder.remove() }
        let probe = try? ChildProcess.spawn("unshare", ["-m", "sh", "-c", onSmallDisk, folder.path, "true"])
        return await probe?.wait().isSuccess ?? false
    }

    @Test(.enabled("needs the right to mount in a namespace of its own (unshare -m)") { await mayMount() })
    func `a disk that is really full refuses, keeps what it took, and goes on when the database has emptied it`()
        async throws
    {
        try await withOwnPostgres(fsync: true) { server in
            let folder = try TemporaryDirectory("journal")
            defer { folder.remove() }
            let url = server.socketURL(database: "linesman")
            let pool = try makePool(url) { $0.breakerCooldown = .milliseconds(100) }
            try await Migrations.run(pool)
            await server.kill()

            let words = "\(folder.path)/acknowledged"
            try FileManager.default.createDirectory(atPath: "\(folder.path)/disk", withIntermediateDirectories: false)
            let program = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(
                path: "JournalWriter")
            let writer = try ChildProcess.spawn(
                "unshare",
                [
                    "-m", "sh", "-c", Self.onSmallDisk, "\(folder.path)/disk", program.path, "\(folder.path)/disk", url,
                    words, "0", "200", "full",
                ], output: .captured)
            let end: ChildProcess.ExitStatus
            do {
                try await eventually(within: .seconds(30), "the disk is full") { lines(of: words).contains("full") }
                #expect(try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/disk").isEmpty)
                try await server.startAgain()
                try await eventually(within: .seconds(30), "it has ended") { !writer.isRunning }
                end = await writer.wait()
            } catch {
                await writer.kill9()
                Issue.record("\(lines(of: words).count) lines; it said: \(writer.captured.suffix(2_000))")
                throw error
            }
            #expect(end.isSuccess, "\(end) \(writer.captured)")

            let said = lines(of: words)
            let numbers = said.compactMap { Int($0) }
            let refusedAt = try #require(said.firstIndex(of: "full"))
            #expect(refusedAt > 500, "it took what it could")
            #expect(numbers == Array(0..<refusedAt + 200), "the refused row was taken later")
            let stored = try await pool.query("SELECT event::int AS n FROM audit_log ORDER BY id").map {
                try $0.int("n")
            }
            #expect(stored == numbers, "each once, in order")
            await pool.close(grace: .milliseconds(100))
        }
    }

    private func lines(of path: String) -> [String] {
        let data = FileManager.default.contents(atPath: path) ?? Data()
        return String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
    }
}
