import Postgres

/// What must hold of the books alone, whatever the venue says.
public enum BooksCheck {
    /// Counts what is wrong; 0 when nothing is.
    public struct Rule: Sendable {
        public let what: String
        let count: SQL

        init(_ what: String, _ count: SQL) { (self.what, self.count) = (what, count) }
    }

    /// At every committed state (DESIGN rules 6 and 7).
    public static let always = [
        Rule(
            "reservations kept by intents that have ended",
            """
            SELECT count(*) AS n FROM reservations r WHERE state = 'held' AND NOT EXISTS (
                SELECT FROM intents i WHERE i.reservation_id = r.reservation_id AND i.state IN ('approved', 'sending'))
                AND NOT EXISTS (
                    SELECT FROM plans p WHERE p.reservation_id = r.reservation_id AND p.state <> 'finished')
            """),
        Rule(
            "intents that live without what they reserved",
            """
            SELECT count(*) AS n FROM intents i WHERE state IN ('approved', 'sending') AND reservation_id IS NOT NULL
                AND NOT EXISTS (
                    SELECT FROM reservations r WHERE r.reservation_id = i.reservation_id AND r.state = 'held')
            """),
        Rule(
            "microdollars by which cash is off",
            """
            SELECT cash - initial - realised + fees
                + (SELECT coalesce(sum(cost), 0) FROM positions)::int8 AS n FROM bankroll
            """),
    ]

    /// When nothing moves any more.
    public static let atRest = [
        Rule("intents without an end", "SELECT count(*) AS n FROM intents WHERE state IN ('approved', 'sending')"),
        Rule("plans without an end", "SELECT count(*) AS n FROM plans WHERE state <> 'finished'"),
        Rule(
            "orders without an end",
            "SELECT count(*) AS n FROM orders WHERE state IN ('stored', 'sent', 'unknown', 'resting')"),
        Rule("reservations left over", "SELECT count(*) AS n FROM reservations WHERE state = 'held'"),
        Rule(
            "reservations closed with something still reserved",
            "SELECT count(*) AS n FROM reservations WHERE state <> 'held' AND released <> amount"),
        Rule(
            "reservations committed without a fill",
            """
            SELECT count(*) AS n FROM reservations r JOIN intents i USING (reservation_id) WHERE r.state = 'committed'
                AND i.plan_id IS NULL
                AND NOT EXISTS (SELECT FROM orders o WHERE o.intent_id = i.intent_id AND o.filled > 0)
            """),
        Rule(
            "intents that were done without an order",
            """
            SELECT count(*) AS n FROM intents i WHERE state = 'done' AND plan_id IS NULL
                AND NOT EXISTS (SELECT FROM orders o WHERE o.intent_id = i.intent_id)
            """),
    ]

    /// Of amounts and of numbers of orders; each holds at every committed state too.
    public static let sums = [
        Rule(
            "intents filled by more than they asked for",
            """
            SELECT count(*) AS n FROM intents i WHERE plan_id IS NULL AND quantity <
                (SELECT coalesce(sum(f.quantity), 0) FROM orders o JOIN fills f USING (order_id)
                WHERE o.intent_id = i.intent_id)
            """),
        Rule(
            "intents with two orders that may have reached the venue",
            """
            SELECT count(*) AS n FROM (SELECT intent_id FROM orders WHERE coalesce(reason, '') <> 'not_accepted'
                AND purpose IS NULL GROUP BY intent_id HAVING count(*) > 1) AS doubled
            """),
        Rule(
            "orders that are not the sum of their fills",
            """
            SELECT count(*) AS n FROM orders o WHERE filled <>
                (SELECT coalesce(sum(quantity), 0) FROM fills f WHERE f.order_id = o.order_id)
            """),
        Rule(
            "orders without their beginning or their end in the audit",
            """
            SELECT count(*) AS n FROM orders o WHERE NOT EXISTS (
                    SELECT FROM audit_log a WHERE a.order_id = o.order_id AND a.event = 'order_stored')
                OR o.state NOT IN ('stored', 'sent', 'unknown', 'resting') AND NOT EXISTS (
                    SELECT FROM audit_log a WHERE a.order_id = o.order_id AND a.event IN ('order_filled',
                        'order_partial_fill', 'order_cancelled', 'order_rejected', 'order_failed', 'order_expired'))
            """),
        Rule(
            "orders whose answer was lost and of which nobody was told",
            """
            SELECT count(*) AS n FROM audit_log a WHERE a.event = 'order_unknown'
                AND a.details->>'reason' <> 'fills_incomplete' AND a.order_id NOT IN (
                    SELECT coalesce(o.payload->'detail'->>'order', '') FROM outbox o WHERE o.topic = 'system:alerts')
            """),
        Rule(
            "positions that are not the sum of their fills",
            """
            SELECT count(*) AS n FROM positions p WHERE p.net_quantity <> (SELECT coalesce(sum(
                CASE WHEN (outcome = 'yes') = (action = 'buy') THEN quantity ELSE -quantity END), 0)
                FROM fills f WHERE f.market_id = p.market_id)
            """),
    ]

    public static let all = always + atRest + sums

    /// Every rule that does not hold, with how often.
    public static func broken(_ rules: [Rule], _ pool: PostgresPool) async throws -> [String] {
        var found: [String] = []
        for rule in rules {
            let count = try await count(rule.count, pool)
            if count != 0 { found.append("\(count) \(rule.what)") }
        }
        return found
    }

    // The optimiser of Swift 6.3.1 crashes where this is inlined into another asynchronous function.
    @inline(never)
    private static func count(_ sql: SQL, _ pool: PostgresPool) async throws -> Int {
        try await pool.first(sql)?.int("n") ?? 0
    }
}
