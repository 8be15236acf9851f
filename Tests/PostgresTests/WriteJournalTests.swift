import Foundation
import Logging
import NIOConcurrencyHelpers
import PostgresTestKit
import Runtime
import Servers
import TestKit
import Testing

@testable import Postgres

/// Deferred writes against real servers that go away (CHECKLIST N22).
@Suite struct WriteJournalTests {
    private static let statement: @Sendable (DeferredWrite, PostgresTransaction) async throws -> Void = {
        try $1.enqueue("INSERT INTO audit_log (event) VALUES (\($0.payload))")
    }

    private func makeJournal(
        _ pool: PostgresPool, _ folder: TemporaryDirectory, disk: JournalFolder.Disk = JournalFolder.Disk(),
        metrics: MetricsRegistry = MetricsRegistry(), _ change: (inout JournalSettings) -> Void = { _ in }
    ) -> WriteJournal {
        var settings = JournalSettings()
        settings.path = folder.path
        settings.timeout = .seconds(2)
        settings.retryCap = .milliseconds(200)
        change(&settings)
        return WriteJournal(
            settings: settings, name: "test/1", pool: pool, metrics: metrics, disk: disk, apply: Self.statement)
    }

    /// Runs a journal, and ends it.
    private func running(_ journal: WriteJournal, _ body: () async throws -> Void) async throws {
        let task = Task { await journal.run() }
        do {
            try await body()
        } catch {
            task.cancel()
            await task.value
            throw error
        }
        task.cancel()
        await task.value
    }

    private func numbers(_ pool: PostgresPool) async throws -> [Int] {
        try await pool.query("SELECT event::int AS n FROM audit_log ORDER BY id").map { try $0.int("n") }
    }

    @Test func `while the database is there nothing touches the disk, and rows keep their order`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            let folder = try TemporaryDirectory("journal")
            defer { folder.remove() }
            let journal = makeJournal(pool, folder)
            try await running(journal) {
                for number in 0..<1_000 { journal.submit(DeferredWrite(kind: "n", payload: "\(number)")) }
                await journal.drain(within: .seconds(10))
            }
            let found = try await numbers(pool)
            #expect(found == Array(0..<1_000))
            #expect(journal.statistics.direct == 1_000 && journal.statistics.journaled == 0)
        }
    }

    @Test func `the same rows stored again, whatever their first answer was, are there once`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            let folder = try TemporaryDirectory("journal")
            defer { folder.remove() }
            let journal = makeJournal(pool, folder)
            let records = (1...50).map {
                JournalRecord(sequence: Int64($0), write: DeferredWrite(kind: "n", payload: "\($0)"))
            }
            // At once, as a late commit and its repetition would be.
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for _ in 0..<8 { tasks.addTask { try await journal.commit(records, of: "stream") } }
                try await tasks.waitForAll()
            }
            try await journal.commit(Array(records.prefix(20)), of: "stream")
            let found = try await numbers(pool)
            #expect(found == Array(1...50))
        }
    }

    @Test func `a row that the database refuses is a dead letter and holds up nothing`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            let folder = try TemporaryDirectory("journal")
            defer { folder.remove() }
            let metrics = MetricsRegistry()
            let journal = makeJournal(pool, folder, metrics: metrics)
            try await running(journal) {
                for number in 0..<20 {
                    // The column refuses an empty text.
                    journal.submit(DeferredWrite(kind: "n", payload: number == 7 ? "" : "\(number)"))
                }
                await journal.drain(within: .seconds(10))
                let error = await #expect(throws: JournalError.self) {
                    try await journal.write(DeferredWrite(kind: "n", payload: ""))
                }
                #expect(error?.code == .refused)
            }
            let found = try await numbers(pool)
            #expect(found == Array(0..<20).filter { $0 != 7 })
            let letters = try await pool.query("SELECT kind, failure FROM journal_dead_letters ORDER BY sequence")
            #expect(letters.count == 2)
            #expect(try letters[0].text("failure").contains("audit_log_event_check"))
            #expect(metrics.counter("db_journal_dead_letters_total").value == 2)
        }
    }

    @Test func `an outage loses no row, and they come in order once it is over`() async throws {
        try await withOwnPostgres(fsync: true) { server in
            let folder = try TemporaryDirectory("journal")
            defer { folder.remove() }
            let pool = try makePool(server.socketURL(database: "linesman")) { $0.breakerCooldown = .milliseconds(100) }
            try await Migrations.run(pool)
            let journal = makeJournal(pool, folder)
            try await running(journal) {
                for number in 0..<100 { try await journal.write(DeferredWrite(kind: "n", payload: "\(number)")) }
                await server.kill()
                for number in 100..<600 { journal.submit(DeferredWrite(kind: "n", payload: "\(number)")) }
                try await journal.write(DeferredWrite(kind: "n", payload: "600"))
                #expect(journal.statistics.records > 0 && journal.statistics.journaled > 0)
                try await server.startAgain()
                try await eventually(within: .seconds(30), "all is stored") { journal.statistics.records == 0 }
                try await journal.write(DeferredWrite(kind: "n", payload: "601"))
            }
            let found = try await numbers(pool)
            #expect(found == Array(0...601))
            let left = try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/test-1")
            #expect(left == ["lock"])
            await pool.close(grace: .milliseconds(100))
        }
    }

    @Test func `bounds refuse what is new, count it, and keep what is old`() async throws {
        let folder = try TemporaryDirectory("journal")
        defer { folder.remove() }
        let pool = try makePool("postgres://nobody@127.0.0.1:1/none")
        let metrics = MetricsRegistry()
        let journal = makeJournal(pool, folder, metrics: metrics) { $0.recordLimit = 10 }
        try await running(journal) {
            for number in 0..<10 { try await journal.write(DeferredWrite(kind: "n", payload: "\(number)")) }
            for _ in 0..<3 {
                let error = await #expect(throws: JournalError.self) {
                    try await journal.write(DeferredWrite(kind: "n", payload: "new"))
                }
                #expect(error?.code == .full)
            }
            let unhealthy = #expect(throws: JournalError.self) { try journal.checkHealth() }
            #expect(unhealthy?.code == .full)
            let long = await #expect(throws: JournalError.self) {
                try await journal.write(
                    DeferredWrite(kind: "n", payload: String(repeating: "x", count: JournalFormat.bodyLimit)))
            }
            #expect(long?.code == .tooLarge)
        }
        #expect(journal.statistics.records == 10 && journal.statistics.refused == 4)
        #expect(metrics.counter("db_journal_refused_total", labels: ["code": "full"]).value == 3)
        await pool.close(grace: .milliseconds(100))
    }

    @Test func `a full disk refuses with its name, counts, and takes rows again when it has room`() async throws {
        let folder = try TemporaryDirectory("journal")
        defer { folder.remove() }
        let pool = try makePool("postgres://nobody@127.0.0.1:1/none")
        let isFull = NIOLockedValueBox(false)
        var disk = JournalFolder.Disk()
        let write = disk.write
        disk.write = { descriptor, bytes in
            guard isFull.withLockedValue({ $0 }) else { return write(descriptor, bytes) }
            errno = ENOSPC
            return -1
        }
        let metrics = MetricsRegistry()
        let journal = makeJournal(pool, folder, disk: disk, metrics: metrics)
        try await running(journal) {
            try await journal.write(DeferredWrite(kind: "n", payload: "1"))
            try journal.checkHealth()
            isFull.withLockedValue { $0 = true }
            let error = await #expect(throws: JournalError.self) {
                try await journal.write(DeferredWrite(kind: "n", payload: "2"))
            }
            #expect(error?.code == .diskFull)
            let unhealthy = #expect(throws: JournalError.self) { try journal.checkHealth() }
            #expect(unhealthy?.message.contains("No space left") ?? false)
            isFull.withLockedValue { $0 = false }
            try await eventually("it is found out before anybody writes") { (try? journal.checkHealth()) != nil }
            try await journal.write(DeferredWrite(kind: "n", payload: "3"))
            try journal.checkHealth()
        }
        #expect(journal.statistics.records == 2 && journal.statistics.refused == 1)
        #expect(metrics.counter("db_journal_refused_total", labels: ["code": "diskFull"]).value == 1)
        await pool.close(grace: .milliseconds(100))
    }

    // Ten minutes of an outage at twenty rows a second, written as fast as the disk takes them.
    @Test(.timeLimit(.minutes(3)))
    func `killed while it writes and while it replays, with a torn end, it loses nothing and doubles nothing`()
        async throws
    {
        try await withOwnPostgres(fsync: true) { server in
            let folder = try TemporaryDirectory("journal")
            defer { folder.remove() }
            let url = server.socketURL(database: "linesman")
            let pool = try makePool(url)
            try await Migrations.run(pool)
            await server.kill()
            let (half, second) = (6_000, 1_000_000)

            let first = try writer(folder, url, from: 0, count: half * 10, killedAfter: half)
            #expect(await first.wait() == .signalled(SIGKILL))
            let firstRows = acknowledged(folder)
            try tear(folder)
            let other = try writer(folder, url, from: second, count: half)
            let end = await other.wait()
            #expect(end.isSuccess, "\(end)")
            let acknowledgedRows = acknowledged(folder)
            #expect(acknowledgedRows.count == firstRows.count + half)

            try await server.startAgain()
            for (life, rows) in [1_000, 2_000, 3_000, 3_000].enumerated() {
                let replaying = try writer(folder, url, from: 0, count: 0, killedAfter: rows)
                #expect(await replaying.wait() == .signalled(SIGKILL), "killed while it replays")
                if !life.isMultiple(of: 2) { try tear(folder) }
            }
            let last = try writer(folder, url, from: 0, count: 0)
            let lastEnd = await last.wait()
            #expect(lastEnd.isSuccess, "\(lastEnd)")

            let stored = try await numbers(pool)
            let lost = Set(acknowledgedRows).subtracting(stored)
            #expect(lost.isEmpty && stored.count >= half * 2)
            #expect(Set(stored).count == stored.count, "none twice")
            let later = stored.filter { $0 >= second }
            #expect(later.sorted() == Array(second..<second + half))
            // Fifty are given at once, in any order among themselves.
            let blocks = later.map { $0 / 50 }
            #expect(blocks == blocks.sorted(), "in order")
            let earlier = stored.filter { $0 < second }
            // Of the fifty that were under way when it was killed, any may be missing.
            let whole = (earlier.max() ?? 0) / 50 * 50
            #expect(Set(earlier).isSuperset(of: 0..<whole), "no hole")
            await pool.close(grace: .milliseconds(100))
        }
    }

    private func writer(
        _ folder: TemporaryDirectory, _ url: String, from first: Int, count: Int, killedAfter rows: Int? = nil
    ) throws -> ChildProcess {
        let program = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(
            path: "JournalWriter")
        return try ChildProcess.spawn(
            program.path,
            [folder.path, url, "\(folder.path)/acknowledged", "\(first)", "\(count)"]
                + (rows.map { ["killed", "\($0)"] } ?? []))
    }

    private func acknowledged(_ folder: TemporaryDirectory) -> [Int] {
        let data = FileManager.default.contents(atPath: "\(folder.path)/acknowledged") ?? Data()
        return String(decoding: data, as: UTF8.self).split(separator: "\n").compactMap { Int($0) }
    }

    /// As if the power had gone in the middle of the last write: a whole frame's start, cut off.
    private func tear(_ folder: TemporaryDirectory) throws {
        let path = "\(folder.path)/writer"
        let files = try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(".journal") }
        let last = try #require(files.max())
        let record = JournalRecord(sequence: 999_999_999, write: DeferredWrite(kind: "number", payload: "-1"))
        let frame = try #require(JournalFormat.encode(record))
        let handle = try #require(FileHandle(forWritingAtPath: "\(path)/\(last)"))
        try handle.seekToEnd()
        try handle.write(contentsOf: frame.dropLast(3))
        try handle.close()
    }
}
