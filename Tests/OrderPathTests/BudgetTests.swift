import Domain
import ExecutionServiceEngine
import Logging
import Postgres
import Resilience
import Runtime
import Testing

@testable import ExecutionService

/// What all processes of an account together may ask of their venue (PITFALLS 8, row 31).
@Suite struct BudgetTests {
    private func store(_ rig: Rig, tokens: Int64 = 100) throws -> BudgetStore {
        BudgetStore(
            account: rig.account,
            limits: try AccountBudget.Limits(tokensPerSecond: 1, burst: tokens, reserve: 20))
    }

    private func keeper(_ store: BudgetStore, _ pool: PostgresPool, _ metrics: MetricsRegistry) -> BudgetKeeper {
        BudgetKeeper(
            store, at: .kalshi, database: pool, clock: .real, metrics: metrics,
            log: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    }

    private func withRig(_ body: (Rig) async throws -> Void) async throws {
        let rig = try await Rig()
        try await body(rig)
        await rig.pool.close(grace: .milliseconds(100))
    }

    @Test func `two processes that ask at once share one budget, and the cancels' part is left`() async throws {
        try await withRig { rig in
            let other = try rig.anotherPool()
            let store = try store(rig)
            let began = MachineClock.real.now
            let granted = try await withThrowingTaskGroup(of: Bool.self) { tasks in
                for index in 0..<60 {
                    let pool = index.isMultiple(of: 2) ? rig.pool : other
                    tasks.addTask {
                        // All wait for one lock: on a slow machine the last of them for long.
                        try await pool.retryingTransaction("take", timeout: .seconds(120)) {
                            try await store.take(.order, at: .kalshi, $0)
                        } == .granted
                    }
                }
                return try await tasks.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            // Eight at once, and one for each ten seconds that it took.
            let refilled = Int(began.duration(to: MachineClock.real.now).inSeconds / 10) + 1
            #expect((8...8 + refilled).contains(granted), "\(granted)")
            let metrics = MetricsRegistry()
            let keeper = keeper(store, other, metrics)
            for _ in 0..<10 { #expect(await keeper.takeForCancel(deadline: MachineClock.real.now)) }
            await other.close(grace: .milliseconds(100))
        }
    }

    @Test func `what one process is refused all heed, and cancels go on`() async throws {
        try await withRig { rig in
            let other = try rig.anotherPool()
            let store = try store(rig, tokens: 1_000)
            let metrics = MetricsRegistry()
            let keeper = keeper(store, rig.pool, metrics)
            func refusals() async throws -> Int64 {
                try await rig.number("SELECT coalesce(sum(refusals), 0)::int8 AS n FROM account_budgets")
            }
            await keeper.note(.tooMuch(retryAfter: .seconds(30)))
            try await eventually("it is written") {
                await keeper.writeDown()
                return try await refusals() > 0
            }
            guard
                case .wait(let pause) = try await other.transaction(
                    "take", { try await store.take(.order, at: .kalshi, $0) })
            else {
                Issue.record("the other process was not told")
                return
            }
            #expect(pause > .seconds(10) && pause <= .seconds(30))
            let audited = try await rig.number(
                "SELECT count(*) AS n FROM audit_log WHERE event = 'rate_limit_exceeded'")
            #expect(try await refusals() == audited)
            try await eventually("the next answer ends it") {
                await keeper.note(.accepted)
                return try await refusals() == 0
            }
            await other.close(grace: .milliseconds(100))
        }
    }

    @Test func `what the database did not take is written and audited when it does`() async throws {
        try await withRig { rig in
            let (proxy, url) = try await rig.behindProxy()
            var settings = try PostgresSettings(url: url)
            settings.minConnections = 0
            let pool = Rig.pool(settings)
            let keeper = keeper(try store(rig), pool, MetricsRegistry())
            try await proxy.refuse()
            for pause in [40, 50, 60] as [Int64] { await keeper.note(.tooMuch(retryAfter: .seconds(pause))) }
            let audited: SQL = "SELECT count(*) AS n FROM audit_log WHERE event = 'rate_limit_exceeded'"
            #expect(try await rig.number(audited) == 0)
            try await proxy.listen()
            try await eventually("all are written") {
                await keeper.writeDown()
                return try await rig.number(audited) == 3
            }
            await keeper.writeDown()
            #expect(try await rig.number(audited) == 3)
            #expect(try await rig.number("SELECT refusals AS n FROM account_budgets") == 3)
            let pauses = try await rig.pool.query("SELECT details->>'retry_after' AS t FROM audit_log ORDER BY id")
            #expect(try pauses.map { try $0.text("t") } == ["40.0 seconds", "50.0 seconds", "60.0 seconds"])
            let blocked = try await rig.number(
                """
                SELECT blocked_until - (extract(epoch FROM now()) * 1000000)::int8 AS n FROM account_budgets
                """)
            #expect((1...60_000_000).contains(blocked), "\(blocked)")
            await pool.close(grace: .milliseconds(100))
            try await proxy.close()
        }
    }

    @Test func `without a database a cancel goes, and an order does not`() async throws {
        var settings = try PostgresSettings(url: "postgres://nobody@127.0.0.1:1/none")
        settings.minConnections = 0
        let pool = PostgresPool(
            settings: settings, application: "test", clock: .real, random: .seeded(1),
            log: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }), metrics: MetricsRegistry())
        let store = BudgetStore(account: .init(.paper), limits: try AccountBudget.Limits())
        let metrics = MetricsRegistry()
        let keeper = keeper(store, pool, metrics)
        #expect(await keeper.takeForCancel(deadline: MachineClock.real.now.advanced(by: .seconds(2))))
        #expect(metrics.counter("cancels_without_budget_total").value == 1)
        await keeper.note(.tooMuch(retryAfter: nil))
        await #expect(throws: PostgresError.self) {
            try await pool.transaction("take") { try await store.take(.order, at: .kalshi, $0) }
        }
        await pool.close(grace: .milliseconds(100))
    }

    @Test func `an intent waits for the budget, keeps its reservation, and goes when there is some`() async throws {
        try await withOrderPath { path in
            try await path.rig.pool.execute(
                """
                INSERT INTO account_budgets (account, venue, blocked_until) VALUES ('paper', 'kalshi',
                    (extract(epoch FROM now() + interval '1 hour') * 1000000)::int8)
                """)
            path.startSignalProcessor()
            path.startExecution(["VENUE_TOKENS_PER_SEC": "100"])
            try await path.publish(try path.rig.signal("s1"))
            try await eventually("approved, and looked at") {
                try await path.rig.text("SELECT state AS t FROM intents") == "approved"
                    && path.counted("intents_total", ["decision": "wait"], by: "execution-service") > 0
            }
            #expect(path.venue.submits.isEmpty)
            #expect(try await path.rig.number("SELECT count(*) AS n FROM orders") == 0)
            try await path.rig.pool.execute("UPDATE account_budgets SET blocked_until = 0")
            try await path.untilOrder(.filled)
        }
    }
}
