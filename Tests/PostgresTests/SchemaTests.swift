import Runtime
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
}
