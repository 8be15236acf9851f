import PostgresTestKit
import Testing

@testable import Postgres

/// The statements of the build that knew migration 10 on the newest schema, beside rows of the kinds that came later:
/// one image is rolled back without a restore (decision 0021).
@Suite struct PreviousVersionTests {
    /// What the newest build has written: an entry, its exit, a fill taken back, money put aside, a comparison.
    private static let newer = """
        INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation, scheduled_at,
            status) VALUES ('g', 'nba', 'Home', 'HOM', 'Away', 'AWY', 1, 'live');
        INSERT INTO market_mappings (market_id, venue, game_id, event_ticker, title, outcome_team, price_step, status)
            VALUES ('m', 'kalshi', 'g', 'E', 'Home wins', 'home', '0.01', 'active');
        INSERT INTO assignments (game_id, shard, epoch, state) VALUES ('g', 's1', 5, 'assigned');
        INSERT INTO bankroll (account, cash, initial, saved) VALUES ('paper', 1000, 1000, 7);
        INSERT INTO signals (signal_id, game_id, market_id, shard, epoch, kind, outcome, model_probability, price,
            edge_basis_points, venue_created_at, venue_expires_at, trace, verdict) VALUES
            ('entry', 'g', 'm', 's1', 5, 'model_edge_yes', 'yes', 0.6, 5000, 1000, 1, 2, 't', 'approved'),
            ('exit', 'g', 'm', 's1', 5, 'stop_loss', 'yes', 0.4, 4000, 0, 3, 4, 't', 'approved');
        INSERT INTO reservations (reservation_id, game_id, market_id, sport, amount) VALUES ('r', 'g', 'm', 'nba', 100);
        INSERT INTO intents (intent_id, signal_id, reservation_id, game_id, market_id, epoch, outcome, action,
            limit_price, quantity, venue_expires_at, expires_at, exit_reason, trace) VALUES
            ('entry', 'entry', 'r', 'g', 'm', 5, 'yes', 'buy', 5000, 200, 2, now() + interval '1 h', NULL, 't'),
            ('exit', 'exit', NULL, 'g', 'm', 5, 'yes', 'sell', 4000, 200, 4, now() + interval '1 h', 'stop_loss', 't');
        UPDATE intents SET state = 'sending' WHERE intent_id = 'entry';
        INSERT INTO orders (order_id, intent_id, attempt, venue, market_id, outcome, action, limit_price, quantity,
            state, filled, sent_at) VALUES ('o', 'entry', 1, 'kalshi', 'm', 'yes', 'buy', 5000, 200, 'unknown', 100,
            now());
        INSERT INTO fills (fill_id, order_id, market_id, outcome, action, price, quantity, fee, venue_at, standing)
            VALUES ('f1', 'o', 'm', 'yes', 'buy', 5000, 100, 1, 3, 'confirmed'),
            ('f2', 'o', 'm', 'yes', 'buy', 5000, 50, 1, 3, 'provisional');
        UPDATE fills SET standing = 'reversed' WHERE fill_id = 'f2';
        INSERT INTO positions (market_id, game_id, net_quantity, cost, opened_at, shared_profit, saved)
            VALUES ('m', 'g', 100, 500000, 3, 5, 7);
        INSERT INTO reconciliations (account, venue, verdict, looked_by, looked_at, halted_for)
            VALUES ('paper', 'kalshi', 'differs', 'x', now(), '["fills"]');
        INSERT INTO foreign_fills (account, venue, fill_id, venue_order_id, market_id, yes_price, quantity, venue_at,
            fee, adopted_at, order_id) VALUES ('paper', 'kalshi', 'f9', 'v9', 'm', 5000, 100, 3, 1, now(), 'o');
        """

    /// A statement of that build, how many rows it must find, and the columns that it took for text and for numbers,
    /// none of which it could read as null.
    private struct Statement {
        let sql: SQL
        let rows: Int
        let texts: [String]
        var numbers: [String] = []
    }

    private static let reads = [
        // Intents that wait: the exit is a sale, and goes first.
        Statement(
            sql: """
                SELECT i.intent_id, i.market_id, i.action, m.venue, s.kind LIKE '%\\_arb' AS is_arbitrage
                FROM intents i JOIN market_mappings m USING (market_id) LEFT JOIN signals s USING (signal_id)
                WHERE i.state = 'approved' OR (i.state = 'sending' AND NOT EXISTS (
                    SELECT FROM orders o WHERE o.intent_id = i.intent_id
                        AND NOT (o.state = 'rejected' AND o.reason IS NOT DISTINCT FROM \("not_accepted"))))
                ORDER BY i.action <> 'sell',
                    row_number() OVER (PARTITION BY i.market_id, i.action ORDER BY i.created_at, i.intent_id),
                    i.created_at, i.intent_id
                LIMIT 1000
                """, rows: 1, texts: ["intent_id", "market_id", "action", "venue"]),
        // An intent that is taken, with all that it says.
        Statement(
            sql: """
                SELECT i.*, g.sport, m.venue, i.expires_at <= now() AS has_expired
                FROM intents i JOIN games g USING (game_id) JOIN market_mappings m USING (market_id)
                WHERE i.intent_id = \("exit") FOR UPDATE OF i
                """, rows: 1,
            texts: ["intent_id", "signal_id", "game_id", "sport", "market_id", "venue", "outcome", "action", "state"],
            numbers: ["epoch", "limit_price", "quantity", "venue_expires_at"]),
        // Orders that have not ended.
        Statement(
            sql: """
                SELECT o.order_id, o.intent_id, o.attempt, o.venue_order_id, o.market_id, o.outcome, o.action,
                    o.limit_price, o.quantity, o.filled, o.state, o.reason, i.venue_expires_at
                FROM orders o JOIN intents i USING (intent_id)
                WHERE o.state IN ('stored', 'sent', 'unknown', 'resting') ORDER BY o.stored_at, o.order_id LIMIT 1000
                """, rows: 1, texts: ["order_id", "intent_id", "market_id", "outcome", "action", "state"],
            numbers: ["limit_price", "quantity", "filled", "venue_expires_at"]),
        // Why an order was sent.
        Statement(
            sql: """
                SELECT o.order_id, o.attempt, o.state, o.reason, o.venue_order_id, o.quantity, o.limit_price,
                    i.intent_id, i.epoch, r.amount, s.signal_id, s.kind, s.shard, s.outcome, s.model_probability,
                    s.price, s.edge_basis_points, s.verdict, s.play_id, s.venue_created_at, m.market_id, m.title,
                    m.settlement_price, g.game_id, g.home_name, g.away_name
                FROM orders o JOIN intents i USING (intent_id) JOIN signals s USING (signal_id)
                    LEFT JOIN reservations r USING (reservation_id)
                    JOIN market_mappings m ON m.market_id = o.market_id JOIN games g ON g.game_id = m.game_id
                WHERE o.order_id LIKE \("%") ORDER BY o.order_id
                """, rows: 2, texts: ["order_id", "signal_id", "kind", "shard", "verdict", "home_name"],
            numbers: ["quantity", "limit_price", "epoch", "price", "venue_created_at"]),
        // What is held, and what an order's fills came to.
        Statement(
            sql: """
                SELECT net_quantity, cost, realised, fees, market_id FROM positions WHERE market_id = \("m") FOR UPDATE
                """, rows: 1, texts: ["market_id"], numbers: ["net_quantity", "cost", "realised", "fees"]),
        Statement(
            sql: """
                SELECT coalesce(sum(price * quantity), 0)::int8 AS value,
                    coalesce(sum(quantity), 0)::int8 AS quantity, coalesce(sum(fee), 0)::int8 AS fees
                FROM fills WHERE order_id = \("o")
                """, rows: 1, texts: [], numbers: ["value", "quantity", "fees"]),
        Statement(
            sql: """
                SELECT m.outcome_team, last.outcome, last.action, last.venue_at
                FROM positions p JOIN market_mappings m USING (market_id) CROSS JOIN LATERAL (
                    SELECT outcome, action, venue_at FROM fills f WHERE f.market_id = p.market_id
                    ORDER BY venue_at DESC, booked_at DESC LIMIT 1) AS last
                WHERE p.game_id = \("g") ORDER BY last.venue_at
                """, rows: 1, texts: ["outcome_team", "outcome", "action"], numbers: ["venue_at"]),
        Statement(
            sql: "SELECT cash FROM bankroll WHERE account = 'paper' FOR UPDATE", rows: 1, texts: [],
            numbers: ["cash"]),
    ]

    /// What that build writes when it sends the exit that it found, books its fill and settles the market.
    private static let writes: [SQL] = [
        """
        INSERT INTO orders (order_id, intent_id, attempt, venue, market_id, outcome, action, limit_price, quantity,
            reduces) VALUES ('x', 'exit', 1, 'kalshi', 'm', 'yes', 'sell', 4000, 200, true)
        """,
        "UPDATE intents SET state = 'sending' WHERE intent_id = 'exit' AND state = 'approved'",
        """
        UPDATE orders SET state = 'partially_filled', filled = 100, sent_at = now(), closed_at = now()
        WHERE order_id = 'x'
        """,
        """
        INSERT INTO fills (fill_id, order_id, market_id, outcome, action, price, quantity, fee, venue_at)
        VALUES ('f3', 'x', 'm', 'yes', 'sell', 4000, 100, 0, 5)
        """,
        """
        INSERT INTO positions (market_id, game_id, net_quantity, cost, realised, fees, state)
        VALUES ('m', 'g', 0, 0, -1, 2, 'closed')
        ON CONFLICT (market_id) DO UPDATE SET net_quantity = excluded.net_quantity, cost = excluded.cost,
            realised = excluded.realised, fees = excluded.fees, updated_at = now(),
            state = CASE WHEN positions.state = 'settled' THEN positions.state ELSE excluded.state END
        """,
        "UPDATE bankroll SET cash = cash + 4, realised = realised - 1, fees = fees + 2, updated_at = now()",
        "UPDATE intents SET state = 'done' WHERE intent_id = 'exit' AND state = 'sending'",
        """
        INSERT INTO signals (signal_id, game_id, market_id, shard, epoch, kind, outcome, model_probability, price,
            edge_basis_points, venue_created_at, venue_expires_at, trace, verdict)
        VALUES ('next', 'g', 'm', 's1', 5, 'model_edge_yes', 'yes', 0.6, 5000, 1000, 1, 2, 't', 'approved')
        """,
        """
        INSERT INTO reservations (reservation_id, game_id, market_id, sport, amount)
        VALUES ('r2', 'g', 'm', 'nba', 100)
        """,
        """
        INSERT INTO intents (intent_id, signal_id, reservation_id, game_id, market_id, epoch, outcome, action,
            limit_price, quantity, venue_expires_at, expires_at, trace)
        VALUES ('next', 'next', 'r2', 'g', 'm', 5, 'yes', 'buy', 5000, 200, 2, now() + interval '1 h', 't')
        """,
        """
        UPDATE positions SET net_quantity = 0, cost = 0, realised = 0, state = 'settled', settled_at = now(),
            updated_at = now() WHERE market_id = 'm'
        """,
    ]

    @Test func `the version before reads and writes beside rows of every later kind`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            try await pool.transaction("newer") { try await $0.script(Self.newer) }
            let old = try await Migrations.run(pool, Array(Migration.all.prefix(10)))
            #expect(old.isEmpty)
            for statement in Self.reads.filter({ $0.rows == 1 }) { try await check(statement, pool) }
            for sql in Self.writes { #expect(try await pool.execute(sql) == 1, "\(sql.summary)") }
            for statement in Self.reads.filter({ $0.rows == 2 }) { try await check(statement, pool) }
        }
    }

    /// A halt that lets exits pass is one for everything to who does not know of it, and one of his is one for all.
    @Test func `the version before halts everything where exits would pass, and its own halts are read as such`()
        async throws
    {
        try await withDatabase(migrated: true) { pool, _ in
            try await pool.execute(
                """
                UPDATE kill_switch SET engaged = true, reason = 'the loss of the day', changed_by = 'newer',
                    changed_at = now(), reduce_only_at = now()
                """)
            let old: SQL = "SELECT engaged FROM kill_switch WHERE id = 1 FOR SHARE"
            #expect(try await pool.query(old).map { try $0.bool("engaged") } == [true])
            for engaged in [false, true] {
                try await pool.execute(
                    """
                    UPDATE kill_switch SET engaged = \(engaged), reason = 'by hand', changed_by = 'older',
                        changed_at = now() WHERE id = 1 AND engaged <> \(engaged)
                    """)
            }
            let row = try #require(
                try await pool.first(
                    "SELECT engaged, reduce_only_at IS NOT DISTINCT FROM changed_at AS passes FROM kill_switch"))
            #expect(try row.bool("engaged") && !row.bool("passes"))
        }
    }

    private func check(_ statement: Statement, _ pool: PostgresPool) async throws {
        let rows = try await pool.query(statement.sql)
        #expect(rows.count == statement.rows, "\(statement.sql.summary)")
        for row in rows {
            for column in statement.texts { #expect(throws: Never.self) { try row.text(column) } }
            for column in statement.numbers { #expect(throws: Never.self) { try row.int64(column) } }
        }
    }

    @Test func `an exit without a signal, which the version before could not read, is refused`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            try await pool.transaction("newer") { try await $0.script(Self.newer) }
            let error = await #expect(throws: PostgresError.self) {
                try await pool.execute(
                    """
                    INSERT INTO intents (intent_id, game_id, market_id, epoch, outcome, action, limit_price, quantity,
                        venue_expires_at, expires_at, exit_reason, trace)
                    VALUES ('bare', 'g', 'm', 5, 'yes', 'sell', 4000, 200, 4, now(), 'take_profit', 't')
                    """)
            }
            #expect(error?.sqlState == "23502")
        }
    }
}
