import Foundation
import NIOConcurrencyHelpers
import PostgresTestKit
import Resilience
import Runtime
import Servers
import TestKit
import Testing

@testable import Postgres

/// The relay as a process of its own, ended by SIGKILL wherever it is (CHECKLIST N21; decision 0022).
@Suite struct RelayDeathTests {
    /// What lives of the relay have put on their bus, a file.
    private struct Bus {
        let path: String

        /// Whole lines only: the last one may be torn.
        var published: [(id: Int64, key: String)] {
            let data = FileManager.default.contents(atPath: path) ?? Data()
            let whole = data.prefix(upTo: data.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0)
            return String(decoding: whole, as: UTF8.self).split(separator: "\n").compactMap { line in
                let parts = line.split(separator: " ")
                return parts.count == 2 ? Int64(parts[0]).map { ($0, String(parts[1])) } : nil
            }
        }
    }

    private static let keys = ["a", "b", "c", "d", "e"]

    private func relayer(_ url: String, _ bus: Bus) throws -> ChildProcess {
        let program = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(
            path: "OutboxRelayer")
        return try ChildProcess.spawn(program.path, [url, bus.path])
    }

    /// Waits until the server has seen the death: what it was told to commit, it has committed by then.
    private func untilForgotten(_ pool: PostgresPool) async throws {
        try await eventually("the relay's sessions have ended") {
            try await pool.query(
                """
                SELECT 1 FROM pg_stat_activity
                WHERE application_name = 'outbox-relayer' AND datname = current_database()
                """
            ).isEmpty
        }
    }

    private func marked(_ pool: PostgresPool) async throws -> Set<Int64> {
        Set(try await pool.query("SELECT id FROM outbox WHERE published_at IS NOT NULL").map { try $0.int64("id") })
    }

    /// Rows of each key in small transactions, one after another, more than the deaths need, until told to stop.
    private func write(_ key: String, _ pool: PostgresPool, until isOver: NIOLockedValueBox<Bool>) async throws {
        for _ in 0..<100 where !isOver.withLockedValue({ $0 }) {
            try await pool.transaction("write") { transaction in
                for _ in 0..<3 {
                    try await OutboxStore.append(
                        topic: "orders", key: key, messageType: "test", payload: "{}", trace: "", in: transaction)
                }
            }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func `killed at random points under writes, it loses nothing, keeps order, and repeats only what is not marked`()
        async throws
    {
        try await withDatabase(migrated: true) { pool, url in
            let folder = try TemporaryDirectory("relay")
            defer { folder.remove() }
            let bus = Bus(path: "\(folder.path)/published")
            var random = SeededGenerator(seed: 7)
            var lives: [(before: Set<Int64>, lines: Range<Int>)] = []
            let isOver = NIOLockedValueBox(false)
            try await withThrowingTaskGroup(of: Void.self) { writers in
                for key in Self.keys { writers.addTask { try await write(key, pool, until: isOver) } }
                defer { isOver.withLockedValue { $0 = true } }
                for _ in 1...8 {
                    let (before, start) = (try await marked(pool), bus.published.count)
                    let life = try relayer(url, bus)
                    let end = start + Int.random(in: 1...70, using: &random)
                    try await eventually("it has published") { bus.published.count >= end }
                    let met = life.isRunning
                    await life.kill9()
                    #expect(met, "the kill met a relay at work")
                    try await untilForgotten(pool)
                    lives.append((before, start..<bus.published.count))
                    let unannounced = try await marked(pool).subtracting(bus.published.map(\.id))
                    #expect(unannounced.isEmpty, "marked and never published")
                }
                isOver.withLockedValue { $0 = true }
                try await writers.waitForAll()
            }
            let (before, start) = (try await marked(pool), bus.published.count)
            let last = try relayer(url, bus)
            try await eventually(within: .seconds(120), "all is marked") {
                try await OutboxStore.backlog(pool).count == 0
            }
            await last.kill9()
            let published = bus.published
            lives.append((before, start..<published.count))

            for (before, lines) in lives {
                let ids = published[lines].map(\.id)
                #expect(before.isDisjoint(with: ids), "only what was not marked is published again")
                #expect(Set(ids).count == ids.count, "one life publishes nothing twice")
                for key in Self.keys {
                    let own = published[lines].filter { $0.key == key }.map(\.id)
                    #expect(own == own.sorted(), "\(key) in each life")
                }
            }
            var seen: Set<Int64> = []
            let firsts = published.filter { seen.insert($0.id).inserted }
            let written = try await pool.query("SELECT id, key FROM outbox ORDER BY id").map {
                (id: try $0.int64("id"), key: try $0.text("key"))
            }
            for key in Self.keys {
                let expected = written.filter { $0.key == key }.map(\.id)
                #expect(firsts.filter { $0.key == key }.map(\.id) == expected, "\(key): all of it, in order")
            }
            #expect(published.count > firsts.count, "some deaths fell between publishing and marking")
        }
    }
}
