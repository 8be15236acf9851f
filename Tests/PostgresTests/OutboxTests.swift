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

    private func makeRelay(
        _ pool: PostgresPool, nudge: OutboxNudge = OutboxNudge(), metrics: MetricsRegistry = MetricsRegistry(),
        _ change: (inout OutboxPolicy) -> Void = { _ in },
        _ publish: @escaping @Sendable (OutboxRow) async throws -> Void
    ) -> OutboxRelay {
        var policy = OutboxPolicy()
        policy.pause = .milliseconds(50)
        change(&policy)
        return OutboxRelay(pool: pool, nudge: nudge, metrics: metrics, policy: policy, publish: publish)
    }

    private func backlog(_ pool: PostgresPool) async throws -> Int { try await OutboxStore.backlog(pool).count }

    @Test func `rows are published in order per key and marked`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            let published = Published()
            let nudge = OutboxNudge()
            let relay = Task {
                await makeRelay(pool, nudge: nudge, { $0.sweep = .seconds(3600) }) { published.add($0) }.run()
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
                        await makeRelay(pool, { $0.sweep = .milliseconds(5) }) { row in
                            try await MachineClock.real.sleep(for: .milliseconds(1))
                            published.add(row)
                        }.run()
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
                await makeRelay(pool) { row in
                    if row.key == "a", failures.value < 2 {
                        failures.add()
                        throw Away()
                    }
                    published.add(row)
                }.run()
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
                await makeRelay(dying) { row in
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
                }.run()
            }
            try await eventually("two published") { published.rows.count >= 2 }
            first.cancel()
            await first.value
            await dying.close()
            let waiting = try await backlog(pool)
            #expect(waiting == 4, "nothing was marked")
            let second = Task { await makeRelay(pool) { published.add($0) }.run() }
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

    // The first hundred rows used to be all that a batch looked at.
    @Test func `two hundred rows that fail for ever hold up nothing, and end as dead letters`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            for number in 0..<200 { try await write(pool, "bad \(number)", 1...2) }
            for number in 0..<50 { try await write(pool, "good \(number)", 1...2) }
            let published = Published()
            let metrics = MetricsRegistry()
            let relay = Task {
                await makeRelay(
                    pool, metrics: metrics,
                    {
                        $0.attemptLimit = 3
                        $0.base = .milliseconds(1)
                        $0.cap = .milliseconds(5)
                    }
                ) { row in
                    if row.key.hasPrefix("bad"), row.payload == "{\"n\": 1}" { throw Away() }
                    published.add(row)
                }.run()
            }
            try await eventually("what can be published is") {
                published.rows.filter { $0.key.hasPrefix("good") }.count == 100
            }
            // Only what can be published proves that the bus is there.
            var number = 50
            try await eventually(within: .seconds(60), "the rest is put aside") {
                try await write(pool, "good \(number)", 1...1)
                number += 1
                return try await pool.query("SELECT count(*) AS n FROM outbox_dead_letters")[0].int("n") == 200
            }
            try await eventually("their keys went on") {
                published.rows.filter { $0.key.hasPrefix("bad") }.count == 200
            }
            try await eventually("nothing waits") { try await backlog(pool) == 0 }
            relay.cancel()
            await relay.value
            for key in 0..<50 { #expect(published.payloads(of: "good \(key)") == ["{\"n\": 1}", "{\"n\": 2}"]) }
            for key in 0..<200 { #expect(published.payloads(of: "bad \(key)") == ["{\"n\": 2}"]) }
            let letter = try await pool.query("SELECT * FROM outbox_dead_letters ORDER BY id LIMIT 1")[0]
            #expect(try letter.int("attempts") == 3 && letter.text("key") == "bad 0")
            #expect(try letter.text("failure").contains("Away"))
            #expect(metrics.counter("outbox_dead_letters_total").value == 200)
        }
    }

    @Test func `while nothing can be published no row is blamed, and all of it goes out afterwards`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            for number in 0..<150 { try await write(pool, "k\(number)", 1...2) }
            let published = Published()
            let tries = Attempts()
            let isAway = NIOLockedValueBox(true)
            let relay = Task {
                await makeRelay(pool, { $0.attemptLimit = 2 }) { row in
                    tries.add()
                    if isAway.withLockedValue({ $0 }) { throw Away() }
                    published.add(row)
                }.run()
            }
            try await eventually("each was tried several times") { tries.value > 600 }
            let blamed = try await pool.query("SELECT count(*) AS n FROM outbox WHERE attempts > 0")[0].int("n")
            #expect(blamed == 0)
            isAway.withLockedValue { $0 = false }
            try await eventually("all is published") { try await backlog(pool) == 0 }
            relay.cancel()
            await relay.value
            for key in 0..<150 { #expect(published.payloads(of: "k\(key)") == ["{\"n\": 1}", "{\"n\": 2}"]) }
            let letters = try await pool.query("SELECT 1 FROM outbox_dead_letters")
            #expect(letters.isEmpty)
        }
    }

    @Test func `when announcements can be published again, those that failed go out before their time`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            for number in 0..<50 { try await write(pool, "k\(number)", 1...2) }
            let (published, tries, revival) = (Published(), Attempts(), OutboxNudge())
            let isAway = NIOLockedValueBox(true)
            var policy = OutboxPolicy()
            // Neither a row nor the relay tries again by itself.
            policy.pause = .seconds(3_600)
            policy.base = .seconds(3_600)
            let relay = OutboxRelay(
                pool: pool, nudge: OutboxNudge(), revival: revival, metrics: MetricsRegistry(), policy: policy
            ) { row in
                tries.add()
                if isAway.withLockedValue({ $0 }) { throw Away() }
                published.add(row)
            }
            let running = Task { await relay.run() }
            try await eventually("all have failed") {
                try await pool.query("SELECT count(DISTINCT key) AS n FROM outbox WHERE next_attempt_at IS NOT NULL")[0]
                    .int("n") == 50
            }
            isAway.withLockedValue { $0 = false }
            revival()
            try await eventually("all is published") { try await backlog(pool) == 0 }
            running.cancel()
            await running.value
            for key in 0..<50 { #expect(published.payloads(of: "k\(key)") == ["{\"n\": 1}", "{\"n\": 2}"]) }
        }
    }

    @Test func `a refused row is put aside at once with its reason`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            try await write(pool, "a", 1...3)
            let published = Published()
            let buried = NIOLockedValueBox<[String]>([])
            let relay = OutboxRelay(pool: pool, nudge: OutboxNudge(), metrics: MetricsRegistry()) { row in
                if row.payload == "{\"n\": 1}" { throw OutboxRefusal("no such channel") }
                published.add(row)
            } buried: { row, reason in
                buried.withLockedValue { $0.append("\(row.payload) \(reason)") }
            }
            let running = Task { await relay.run() }
            try await eventually("the rest is published") { published.rows.count == 2 }
            running.cancel()
            await running.value
            #expect(buried.withLockedValue { $0 } == ["{\"n\": 1} no such channel"])
        }
    }

    @Test func `a row that commits late is published, and nothing is skipped`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            let published = Published()
            let nudge = OutboxNudge()
            let relay = Task { await makeRelay(pool, nudge: nudge) { published.add($0) }.run() }
            let lateID = NIOLockedValueBox<Int64>(0)
            try await pool.transaction("late") { transaction in
                let id = try await OutboxStore.append(
                    topic: "orders", key: "late", messageType: "test", payload: "{}", trace: "", in: transaction)
                lateID.withLockedValue { $0 = id }
                // Later rows of others are committed, published and marked while this one is not visible.
                try await write(pool, "early", 1...20)
                nudge()
                try await eventually("the later ones are published") { published.rows.count == 20 }
                try await eventually("and marked") { try await backlog(pool) == 0 }
            }
            try await eventually("the late one too, by the sweep alone") { published.rows.count == 21 }
            relay.cancel()
            await relay.value
            let late = lateID.withLockedValue { $0 }
            #expect(published.rows.last?.id == late && published.rows.dropLast().allSatisfy { $0.id > late })
        }
    }

    @Test func `cancelled at any step, the relay's successor publishes everything, in order`() async throws {
        try await withDatabase(migrated: true) { pool, url in
            for key in ["a", "b", "c"] { try await write(pool, key, 1...10) }
            let published = Published()
            // Each life ends after one publication more than the one before, or by the loss of its session.
            for life in 1...12 {
                let own = try makePool(url, application: "life \(life)")
                let count = Attempts()
                let task = NIOLockedValueBox<Task<Void, Never>?>(nil)
                let relay = Task {
                    await makeRelay(own) { row in
                        published.add(row)
                        count.add()
                        guard count.value >= life else { return }
                        if life.isMultiple(of: 2) {
                            task.withLockedValue { $0?.cancel() }
                        } else {
                            _ = try await pool.query(
                                """
                                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                                WHERE application_name = \("life \(life)") AND datname = current_database()
                                """)
                        }
                    }.run()
                }
                task.withLockedValue { $0 = relay }
                try await eventually("its end") { count.value >= life }
                relay.cancel()
                await relay.value
                await own.close(grace: .milliseconds(100))
            }
            let last = Task { await makeRelay(pool) { published.add($0) }.run() }
            try await eventually("all marked") { try await backlog(pool) == 0 }
            last.cancel()
            await last.value
            for key in ["a", "b", "c"] {
                var seen = Set<Int64>()
                let firsts = published.rows.filter { $0.key == key && seen.insert($0.id).inserted }
                #expect(firsts.map(\.payload) == (1...10).map { "{\"n\": \($0)}" }, "\(key)")
            }
        }
    }

    @Test func `what was published long ago is removed, and nothing else`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            try await write(pool, "a", 1...6)
            try await pool.execute("UPDATE outbox SET published_at = now() - interval '8 days' WHERE id <= 3")
            try await pool.execute("UPDATE outbox SET published_at = now() WHERE id = 4")
            let first = try await OutboxStore.prune(olderThan: .seconds(7 * 86_400), limit: 2, pool)
            let second = try await OutboxStore.prune(olderThan: .seconds(7 * 86_400), limit: 2, pool)
            let left = try await pool.query("SELECT count(*) AS n FROM outbox")[0].int("n")
            #expect((first, second, left) == (2, 1, 3))
            // The oldest are now one that is too young, and two that wait.
            let third = try await OutboxStore.prune(olderThan: .seconds(7 * 86_400), limit: 100, pool)
            #expect(third == 0)
        }
    }
}
