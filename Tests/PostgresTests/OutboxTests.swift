import NIOConcurrencyHelpers
import PostgresTestKit
import Runtime
import TestKit
import Testing

@testable import Postgres

@Suite struct OutboxTests {
    private struct Away: Error {}

    /// What was published, in order.
    private final class Published: Sendable {
        private let box = NIOLockedValueBox<[OutboxRow]>([])
        var rows: [OutboxRow] { box.withLockedValue { $0 } }
        func add(_ row: OutboxRow) { box.withLockedValue { $0.append(row) } }
        func payloads(of key: String) -> [String] { rows.filter { $0.key == key }.map(\.payload) }
    }

    private func write(_ pool: PostgresPool, _ key: String, _ numbers: ClosedRange<Int>) async throws {
        try await pool.transaction("write") { transaction in
            for number in numbers {
                try await OutboxStore.append(
                    topic: "orders", key: key, messageType: "test", payload: "{\"n\": \(number)}", trace: "t",
                    in: transaction)
            }
        }
    }

    private func backlog(_ pool: PostgresPool) async throws -> Int { try await OutboxStore.backlog(pool).count }

    @Test func `rows are published in order per key and marked`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            let published = Published()
            let nudge = OutboxNudge()
            let relay = Task {
                await OutboxRelay.run(pool: pool, nudge: nudge, sweep: .seconds(3600)) { published.add($0) }
            }
            for round in 0..<5 {
                for key in ["a", "b", "c"] { try await write(pool, key, round * 10...round * 10 + 9) }
                nudge()
            }
            try await eventually("all published") { published.rows.count == 150 }
            for key in ["a", "b", "c"] { #expect(published.payloads(of: key) == (0..<50).map { "{\"n\": \($0)}" }) }
            try await eventually("all marked") { try await backlog(pool) == 0 }
            relay.cancel()
            await relay.value
            let row = published.rows[0]
            #expect(row.topic == "orders" && row.messageType == "test" && row.trace == "t")
            #expect(row.messageID == "outbox:\(row.id)")
        }
    }

    @Test func `several relays share the work and keep each key in order`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            let published = Published()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<3 {
                    group.addTask {
                        await OutboxRelay.run(pool: pool, nudge: OutboxNudge(), sweep: .milliseconds(5)) { row in
                            try await MachineClock.real.sleep(for: .milliseconds(1))
                            published.add(row)
                        }
                    }
                }
                for round in 0..<10 {
                    for key in ["a", "b", "c", "d"] { try await write(pool, key, round * 5...round * 5 + 4) }
                }
                try await eventually("all marked") { try await backlog(pool) == 0 }
                group.cancelAll()
            }
            #expect(published.rows.count == 200)
            for key in ["a", "b", "c", "d"] {
                #expect(published.payloads(of: key) == (0..<50).map { "{\"n\": \($0)}" })
            }
        }
    }

    @Test func `a failed publication holds back its key only and is tried again`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            let published = Published()
            let failures = Attempts()
            try await write(pool, "a", 1...3)
            try await write(pool, "b", 1...3)
            let relay = Task {
                await OutboxRelay.run(pool: pool, nudge: OutboxNudge()) { row in
                    if row.key == "a", failures.value < 2 {
                        failures.add()
                        throw Away()
                    }
                    published.add(row)
                }
            }
            try await eventually("all published") { published.rows.count == 6 }
            relay.cancel()
            await relay.value
            #expect(failures.value == 2)
            #expect(published.rows.prefix(3).allSatisfy { $0.key == "b" })
            #expect(published.payloads(of: "a") == (1...3).map { "{\"n\": \($0)}" })
        }
    }

    @Test func `a crash before the mark publishes again and loses nothing`() async throws {
        try await withDatabase(migrated: true) { pool, url in
            let published = Published()
            try await write(pool, "a", 1...4)
            let dying = try makePool(url, application: "dying")
            let first = Task {
                await OutboxRelay.run(pool: dying, nudge: OutboxNudge()) { row in
                    published.add(row)
                    guard published.rows.count == 2 else { return }
                    try await pool.transaction("crash") { transaction in
                        _ = try await transaction.query(
                            """
                            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                            WHERE application_name = 'dying' AND datname = current_database()
                            """)
                    }
                    throw Away()
                }
            }
            try await eventually("two published") { published.rows.count >= 2 }
            first.cancel()
            await first.value
            await dying.close()
            let waiting = try await backlog(pool)
            #expect(waiting == 4, "nothing was marked")
            let second = Task { await OutboxRelay.run(pool: pool, nudge: OutboxNudge()) { published.add($0) } }
            try await eventually("all marked") { try await backlog(pool) == 0 }
            second.cancel()
            await second.value
            #expect(Set(published.rows.map(\.id)).count == 4)
            #expect(published.rows.suffix(4).map(\.payload) == (1...4).map { "{\"n\": \($0)}" })
        }
    }

    @Test func `a nudge wakes a waiting relay and one during work is not lost`() async throws {
        let nudge = OutboxNudge()
        nudge()
        await nudge.wait(atMost: .seconds(3600), clock: .real)
        let waiting = Task { await nudge.wait(atMost: .seconds(3600), clock: .real) }
        nudge()
        await waiting.value
        let time = ManualTime()
        let sweeping = Task { await nudge.wait(atMost: .seconds(1), clock: .manual(time)) }
        await time.untilSleepers(1)
        time.advance(by: .seconds(1))
        await sweeping.value
        let cancelled = Task { await nudge.wait(atMost: .seconds(3600), clock: .real) }
        cancelled.cancel()
        await cancelled.value
    }
}
