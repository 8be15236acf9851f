import PostgresTestKit
import Runtime
import Servers
import TestKit
import Testing

@testable import Postgres

/// One accepted story, then everything that the schema must refuse.
@Suite struct SchemaTests {
    /// A game, its market, an approved intent and its stored order.
    private static let story = """
        INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation, scheduled_at,
            status) VALUES ('g', 'nba', 'Home', 'HOM', 'Away', 'AWY', 1, 'live');
        INSERT INTO market_mappings (market_id, venue, game_id, event_ticker, title, outcome_team, price_step, status)
            VALUES ('m', 'kalshi', 'g', 'E', 'Home wins', 'home', '0.01', 'active');
        INSERT INTO assignments (game_id, shard, epoch, state) VALUES ('g', 's1', 5, 'assigned');
        INSERT INTO signals (signal_id, game_id, market_id, shard, epoch, kind, outcome, model_probability, price,
            edge_basis_points, venue_created_at, venue_expires_at, trace, verdict)
            VALUES ('s', 'g', 'm', 's1', 5, 'model_edge_yes', 'yes', 0.6, 5000, 1000, 1, 2, 't', 'approved');
        INSERT INTO reservations (reservation_id, game_id, market_id, sport, amount) VALUES ('r', 'g', 'm', 'nba', 100);
        INSERT INTO intents (intent_id, signal_id, reservation_id, game_id, market_id, epoch, outcome, action,
            limit_price, quantity, venue_expires_at, expires_at, trace)
            VALUES ('i', 's', 'r', 'g', 'm', 5, 'yes', 'buy', 5000, 200, 2, now() + interval '10 s', 't');
        INSERT INTO orders (order_id, intent_id, attempt, venue, market_id, outcome, action, limit_price, quantity)
            VALUES ('o', 'i', 1, 'kalshi', 'm', 'yes', 'buy', 5000, 200);
        INSERT INTO fills (fill_id, order_id, market_id, outcome, action, price, quantity, fee, venue_at)
            VALUES ('f', 'o', 'm', 'yes', 'buy', 5000, 100, 0, 3);
        INSERT INTO audit_log (event) VALUES ('order_stored');
        INSERT INTO game_states (game_id, venue_at, home_score, away_score, period) VALUES ('g', 1, 0, 0, 1);
        """

    private func withStory(_ body: (PostgresPool) async throws -> Void) async throws {
        try await withDatabase(migrated: true) { pool, _ in
            try await pool.transaction("story") { try await $0.script(Self.story) }
            try await body(pool)
        }
    }

    /// Statements that prepare, then the one that must be refused, and by which constraint.
    private static let refusals: [(String, String, String)] = [
        ("", "UPDATE assignments SET epoch = 4", "assignments_epoch_grows"),
        ("", "UPDATE assignments SET shard = 's2'", "assignments_epoch_grows"),
        ("", "UPDATE assignments SET shard = NULL, state = 'orphaned'", "assignments_epoch_grows"),
        ("", "UPDATE assignments SET shard = NULL, epoch = 6", "assignments_owner_known"),
        ("", "DELETE FROM assignments", "assignments_never_deleted"),
        ("UPDATE leadership SET term = 3, holder = 'a'", "UPDATE leadership SET term = 2", "leadership_term_grows"),
        ("UPDATE leadership SET term = 3, holder = 'a'", "UPDATE leadership SET holder = 'b'", "leadership_term_grows"),
        ("", "INSERT INTO leadership VALUES (2, 1, 'a', now())", "leadership_id_check"),
        ("UPDATE games SET status = 'final'", "UPDATE games SET status = 'live'", "games_final_stays"),
        ("", "UPDATE games SET clock_seconds = 'NaN'", "games_clock_seconds_check"),
        ("", "UPDATE market_mappings SET status = 'settled'", "market_mappings_settled_has_price"),
        ("", "UPDATE market_mappings SET settlement_price = 1", "market_mappings_price_when_settled"),
        ("", "UPDATE signals SET model_probability = 'NaN'", "signals_model_probability_check"),
        ("", "UPDATE reservations SET released = 101", "reservations_released_within"),
        (
            "UPDATE reservations SET released = 50", "UPDATE reservations SET released = 49",
            "reservations_released_grows"
        ),
        ("", "UPDATE reservations SET state = 'released', closed_at = now()", "reservations_closed_whole"),
        (
            "UPDATE reservations SET state = 'released', closed_at = now(), released = amount",
            "UPDATE reservations SET state = 'committed'", "reservations_closed_once"
        ),
        (
            "UPDATE reservations SET state = 'released', closed_at = now(), released = amount",
            "UPDATE reservations SET state = 'released', closed_at = now(), released = amount",
            "reservations_closed_once"
        ),
        ("", "UPDATE reservations SET amount = 200", "reservations_terms_fixed"),
        ("", "UPDATE intents SET state = 'done'", "intents_state_order"),
        ("UPDATE intents SET state = 'expired'", "UPDATE intents SET state = 'sending'", "intents_state_order"),
        ("", "UPDATE intents SET quantity = 300", "intents_terms_fixed"),
        ("", "UPDATE intents SET limit_price = 10000", "intents_terms_fixed"),
        ("", "UPDATE orders SET state = 'sent'", "orders_sent_when"),
        ("", "UPDATE orders SET state = 'cancelled'", "orders_closed_when"),
        ("", "UPDATE orders SET filled = 201", "orders_filled_within"),
        ("", "UPDATE orders SET quantity = 400", "orders_terms_fixed"),
        ("UPDATE orders SET filled = 100", "UPDATE orders SET filled = 99", "orders_filled_grows"),
        (
            "UPDATE orders SET state = 'partially_filled', filled = 100, sent_at = now(), closed_at = now()",
            "UPDATE orders SET state = 'cancelled'", "orders_terminal_stays"
        ),
        (
            "UPDATE orders SET state = 'cancelled', closed_at = now()",
            "UPDATE orders SET state = 'resting', closed_at = NULL, sent_at = now()", "orders_terminal_stays"
        ),
        (
            "UPDATE orders SET state = 'sent', sent_at = now()", "UPDATE orders SET state = 'stored'",
            "orders_state_order"
        ),
        (
            "", "UPDATE orders SET state = 'filled', filled = 100, sent_at = now(), closed_at = now()",
            "orders_filled_whole"
        ),
        ("", "UPDATE fills SET fee = 1", "fills_are_facts"),
        ("", "DELETE FROM fills", "fills_are_facts"),
        ("", "UPDATE audit_log SET event = 'x'", "audit_log_append_only"),
        ("", "DELETE FROM audit_log", "audit_log_append_only"),
        (
            "UPDATE audit_log SET hash = '\\x01'", "UPDATE audit_log SET hash = '\\x02'", "audit_log_append_only"
        ),
        (
            "", "INSERT INTO game_states (game_id, venue_at, home_score, away_score, period) VALUES ('g', 1, 0, 0, 2)",
            "game_states_once"
        ),
        (
            "",
            "INSERT INTO orders SELECT 'o2', intent_id, attempt, venue, NULL, market_id, outcome, action, "
                + "limit_price, quantity FROM orders", "orders_intent_id_attempt_key"
        ),
        (
            "", "INSERT INTO positions (market_id, game_id, state) VALUES ('m', 'g', 'settled')",
            "positions_settled_when"
        ),
        ("", "UPDATE kill_switch SET id = 2", "kill_switch_id_check"),
        (
            "UPDATE market_mappings SET status = 'settled', settlement_price = 10000",
            "UPDATE market_mappings SET settlement_price = 0", "market_mappings_settled_stays"
        ),
        (
            "UPDATE market_mappings SET status = 'voided'", "UPDATE market_mappings SET status = 'active'",
            "market_mappings_settled_stays"
        ),
        (
            "UPDATE orders SET state = 'partially_filled', filled = 100, sent_at = now(), closed_at = now()",
            "UPDATE orders SET filled = 0", "orders_filled_grows"
        ),
        (
            "", "UPDATE orders SET state = 'partially_filled', sent_at = now(), closed_at = now()",
            "orders_filled_in_part"
        ),
        ("", "DELETE FROM signals", "signals_kept"),
        ("", "DELETE FROM reservations", "reservations_kept"),
        ("", "DELETE FROM intents", "intents_kept"),
        ("", "DELETE FROM orders", "orders_kept"),
        ("", "DELETE FROM positions", "positions_kept"),
        ("", "DELETE FROM bankroll", "bankroll_kept"),
        ("", "DELETE FROM leadership", "leadership_kept"),
        ("", "TRUNCATE fills", "fills_kept"),
        ("", "TRUNCATE audit_log", "audit_log_kept"),
        ("", "UPDATE audit_log SET writer = '3'", "audit_log_append_only"),
        ("", "DELETE FROM audit_chain", "audit_chain_kept"),
        ("", "UPDATE audit_chain SET hash = sha256('x')", "audit_chain_grows"),
        (
            "INSERT INTO journal_positions (stream, sequence) VALUES ('s', 5)",
            "UPDATE journal_positions SET sequence = 4", "journal_positions_grow"
        ),
        (
            "INSERT INTO outbox (topic, key, message_type, payload, trace) VALUES ('t', 'k', 'm', '{}', '')",
            "UPDATE outbox SET attempts = -1", "outbox_attempts_check"
        ),
        ("", "INSERT INTO fills SELECT * FROM fills", "fills_pkey"),
        (
            "",
            "INSERT INTO fills SELECT 'f2', 'nobody', market_id, outcome, action, price, quantity, fee, venue_at "
                + "FROM fills", "fills_order_id_fkey"
        ),
        (
            "", "INSERT INTO assignments (game_id, shard, epoch, state) VALUES ('nobody', 's', 1, 'assigned')",
            "assignments_game_id_fkey"
        ),
        (
            "", "INSERT INTO assignments (game_id, shard, epoch, state) SELECT game_id, 's9', 9, 'assigned' FROM games",
            "assignments_pkey"
        ),
        ("", "INSERT INTO bankroll (account, cash, initial) VALUES ('a', 0, -1)", "bankroll_initial_check"),
    ]

    @Test func `what must not be is refused by its constraint`() async throws {
        try await withStory { pool in
            for (before, refused, constraint) in Self.refusals {
                let error = await #expect(throws: PostgresError.self, "\(refused)") {
                    try await pool.transaction("refusal") { transaction in
                        if !before.isEmpty { try await transaction.script(before) }
                        try await transaction.execute(SQL(raw: refused))
                    }
                }
                #expect(error?.constraint == constraint, "\(refused): \(error?.description ?? "")")
                #expect(error?.code == .permanent)
            }
        }
    }

    @Test func `what must be possible is accepted`() async throws {
        try await withStory { pool in
            let accepted = [
                "UPDATE assignments SET shard = 's2', epoch = 6",
                "UPDATE assignments SET state = 'revoking'",
                "UPDATE assignments SET shard = NULL, epoch = 7, state = 'orphaned'",
                "UPDATE leadership SET term = 1, holder = 'a', expires_at = now()",
                "UPDATE games SET status = 'final', home_score = 3",
                "UPDATE games SET home_score = 4",
                "UPDATE market_mappings SET status = 'settled', settlement_price = 10000",
                "UPDATE reservations SET released = 40",
                "UPDATE reservations SET state = 'committed', closed_at = now(), released = amount",
                "UPDATE intents SET state = 'sending'",
                "UPDATE orders SET state = 'unknown', sent_at = now()",
                "UPDATE orders SET state = 'resting', venue_order_id = 'v'",
                "UPDATE orders SET state = 'partially_filled', filled = 100, closed_at = now()",
                "UPDATE orders SET filled = 150",
                // A straggler completes it; its state stays what it ended in.
                "UPDATE orders SET filled = 200",
                "UPDATE intents SET state = 'done'",
                "UPDATE audit_log SET previous_hash = '\\x00', hash = '\\x01'",
            ]
            for statement in accepted {
                let affected = try await pool.execute(SQL(raw: statement))
                #expect(affected == 1, "\(statement)")
            }
            let open = try await pool.query("SELECT engaged FROM kill_switch")
            #expect(try !open[0].bool("engaged"))
        }
    }

    @Test func `money, prices and quantities are whole numbers, and nothing else is called so`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            let rows = try await pool.query(
                """
                SELECT table_name || '.' || column_name AS name, data_type FROM information_schema.columns
                WHERE table_schema = 'public' AND data_type IN ('double precision', 'real', 'numeric', 'money')
                ORDER BY 1
                """)
            let probabilitiesAndClocks = [
                "game_states.clock_seconds", "game_states.home_probability", "game_states.source_probability",
                "games.clock_seconds", "games.pregame_home_probability", "signals.model_probability",
            ]
            #expect(try rows.map { try $0.text("name") } == probabilitiesAndClocks)
        }
    }

    @Test func `every table of the suite is there, each with a primary key but the ticks`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            let rows = try await pool.query(
                """
                SELECT relname, EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) AS keyed
                FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1
                """)
            let keyed = try rows.filter { try $0.bool("keyed") }.map { try $0.text("relname") }
            #expect(
                keyed == [
                    "account_budgets", "adoption_requests", "alerts_to_tell", "assignment_log", "assignments",
                    "audit_chain", "audit_log", "bankroll", "consumed", "consumer_positions", "daily_stats",
                    "drained_shards", "fills", "foreign_fills", "game_states", "games", "intents",
                    "journal_dead_letters", "journal_positions", "kill_switch",
                    "kill_switch_acknowledgements", "leadership", "market_mappings", "orders", "outbox",
                    "outbox_dead_letters", "plans", "positions", "reconciliation_accepted", "reconciliation_requests",
                    "reconciliations", "reservations", "same_terms", "schema_migrations", "shard_lives", "signals",
                    "trading_rules", "venue_balances",
                ])
            #expect(try rows.filter { try !$0.bool("keyed") }.map { try $0.text("relname") } == ["ticks"])
        }
    }

    // CHECKLIST H6, H7: counters are changed in the transaction of what they count.
    @Test func `fifty writers at once lose no count, and a kill in between leaves counters equal to rows`() async throws
    {
        try await withDatabase(migrated: true) { pool, _ in
            let write: @Sendable (Int) async throws -> Void = { number in
                try await pool.retryingTransaction("count") { transaction in
                    try await transaction.execute("INSERT INTO audit_log (event) VALUES (\("n\(number)"))")
                    if number.isMultiple(of: 5) {
                        // Between the row and its counter the session is gone.
                        _ = try await transaction.query("SELECT pg_terminate_backend(pg_backend_pid())")
                    }
                    try await transaction.execute(
                        """
                        INSERT INTO daily_stats (day, key, value) VALUES ('2026-01-01', 'rows', 1)
                        ON CONFLICT (day, key) DO UPDATE SET value = daily_stats.value + 1
                        """)
                }
            }
            let failed = await withTaskGroup(of: Int.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        do {
                            try await write(number)
                            return 0
                        } catch {
                            return 1
                        }
                    }
                }
                return await group.reduce(0, +)
            }
            #expect(failed == 10)
            let row = try await pool.query(
                """
                SELECT (SELECT count(*) FROM audit_log) AS rows, (SELECT count(DISTINCT id) FROM audit_log) AS ids,
                    (SELECT value FROM daily_stats WHERE key = 'rows') AS counted
                """)[0]
            #expect(try row.int("rows") == 40 && row.int("ids") == 40 && row.int("counted") == 40)
        }
    }

    // CHECKLIST H8.
    @Test func `a value that its column cannot hold fails at once and leaves no row`() async throws {
        try await withDatabase(migrated: true) { pool, _ in
            let before = pool.statistics.retries
            let refused: [SQL] = [
                "INSERT INTO daily_stats (day, key, value) VALUES ('2026-01-01', 'k', \("99999999999999999999")::int8)",
                "INSERT INTO daily_stats (day, key, value) VALUES (\("no day")::text::date, 'k', 1)",
                "INSERT INTO audit_log (event, details) VALUES ('e', \("{broken")::text::jsonb)",
                "INSERT INTO audit_log (event) VALUES (\("nul \0 inside"))",
            ]
            for statement in refused {
                let error = await #expect(throws: PostgresError.self) {
                    try await pool.retryingTransaction("invalid") { transaction in
                        try await transaction.execute("INSERT INTO audit_log (event) VALUES ('before')")
                        try await transaction.execute(statement)
                    }
                }
                #expect(error?.code == .permanent || error?.code == .encoding, "\(error?.description ?? "")")
            }
            let rows = try await pool.query(
                "SELECT (SELECT count(*) FROM audit_log) + (SELECT count(*) FROM daily_stats) AS n")
            #expect(try rows[0].int("n") == 0)
            #expect(pool.statistics.retries == before)
        }
    }

    // CHECKLIST N3: what was committed is there after the server was killed.
    @Test func `fifty assignments survive a kill of the server with their epochs`() async throws {
        try await withOwnPostgres(fsync: true) { server in
            let pool = try makePool(server.socketURL(database: "linesman"))
            try await Migrations.run(pool)
            try await pool.transaction("assign") { transaction in
                try await transaction.script(
                    """
                    INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation,
                        scheduled_at, status)
                    SELECT 'g' || i, 'nba', 'H', 'H', 'A', 'A', 1, 'live' FROM generate_series(1, 50) AS i;
                    INSERT INTO assignments (game_id, shard, epoch, state)
                    SELECT 'g' || i, 's' || i % 3, i, 'assigned' FROM generate_series(1, 50) AS i;
                    """)
            }
            let question: SQL = "SELECT game_id || ' ' || shard || ' ' || epoch AS line FROM assignments ORDER BY 1"
            let before = try await pool.query(question).map { try $0.text("line") }
            await server.kill()
            try await server.startAgain()
            try await eventually(within: .seconds(30), "it answers") { (try? await pool.ping()) != nil }
            let after = try await pool.query(question).map { try $0.text("line") }
            #expect(before.count == 50 && after == before)
            await pool.close(grace: .milliseconds(100))
        }
    }
}
