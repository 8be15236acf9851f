import Hosting
import Postgres
import Resilience
import Runtime
import TestKit
import Testing

@testable import Linesman

/// What a rehearsal reads from PostgreSQL, from a real one.
@Suite struct RehearsalDatabaseTests {
    private func withTables(_ body: (PostgresPool, String) async throws -> Void) async throws {
        try await withPostgres { database in
            let pool = try CommandDatabase.open(url: database.url)
            try await Migrations.run(pool)
            try await body(pool, database.url)
            await pool.close()
        }
    }

    @Test func `a database that trades real money, has no account or does not answer is not rehearsed with`()
        async throws
    {
        try await withTables { pool, url in
            let early = await #expect(throws: ChaosFailure.self) { try await RealMoney.refuse(url) }
            #expect(early.map { "\($0)" }?.contains("no account yet") == true)
            try await TradingAccount(.paper).open(with: .dollars(100), pool)
            try await RealMoney.refuse(url)
            _ = try await pool.transaction("live") {
                try await TradingAccount(.live).use(initial: .dollars(100), reason: "a test", by: "test", $0)
            }
            let live = await #expect(throws: ChaosFailure.self) { try await RealMoney.refuse(url) }
            #expect(live.map { "\($0)" }?.contains("trades real money") == true)
            let nowhere = await #expect(throws: ChaosFailure.self) {
                try await RealMoney.refuse("postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1")
            }
            #expect(nowhere.map { "\($0)" }?.contains("cannot be read") == true)
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func `a suite whose orchestrator trades live is not rehearsed with, whatever its settings file names`()
        async throws
    {
        func page(_ mode: String) -> StatusServer {
            let routes = StatusRoutes(checks: { [:] }, metrics: { "" }, status: { ["tradingMode": mode] })
            return StatusServer(port: 0, routes: routes, log: .quiet)
        }
        let (paper, live) = (page("paper"), page("live"))
        // Both end with this test.
        let running = [paper, live].map { server in Task { try await server.run() } }
        defer { for one in running { one.cancel() } }
        let well = "http://127.0.0.1:\(await paper.boundPort())"
        try await RealMoney.refuse(pages: [well, "http://127.0.0.1:1"])
        let other = "http://127.0.0.1:\(await live.boundPort())"
        let refused = await #expect(throws: ChaosFailure.self) { try await RealMoney.refuse(pages: [well, other]) }
        #expect(refused.map { "\($0)" }?.contains("trades real money") == true)
    }

    @Test func `a row that was seen and is gone is missing, though as many have come`() async throws {
        try await withTables { pool, _ in
            // What it refers to is of no concern here.
            try await pool.execute(
                """
                ALTER TABLE signals DROP CONSTRAINT signals_game_id_fkey, DROP CONSTRAINT signals_market_id_fkey,
                    DISABLE TRIGGER USER
                """)
            func store(_ id: String) async throws {
                try await pool.execute(
                    """
                    INSERT INTO signals (signal_id, game_id, market_id, shard, epoch, kind, outcome, model_probability,
                        price, edge_basis_points, venue_created_at, venue_expires_at, trace, verdict)
                    VALUES (\(id), 'g', 'm', 's', 1, 'model', 'yes', 0.5, 4000, 100, 0, 1, 't', 'approved')
                    """)
            }
            let watch = RowWatch()
            try await store("a")
            try await store("b")
            try await watch.look(pool)
            try await watch.ask(pool)
            #expect(watch.missing == 0)
            try await pool.execute("DELETE FROM signals WHERE signal_id = 'a'")
            try await store("c")
            try await watch.look(pool)
            try await watch.ask(pool)
            #expect(watch.missing == 1)
        }
    }
}
