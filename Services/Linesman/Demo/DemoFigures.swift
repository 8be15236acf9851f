import Crypto
import Domain
import Foundation
import Postgres

/// What the database knows of a run, at one moment.
struct DemoFigures: Equatable {
    var signals = 0
    var intents = 0
    var orders = 0
    var fills = 0
    var partialFills = 0
    var rejected = 0
    var unresolved = 0
    var exposure = Money.zero
    var exposurePeak = Money.zero
    var realised = Money.zero
    var fees = Money.zero
    var positionsOpen = 0
    var unpublished = 0
    var surplusOrders = 0
    var refusals: [String: Int] = [:]
    var marketsUnsettled = 0

    /// Profit or loss of what is closed, after every fee paid.
    var pnl: Money { realised - fees }

    static func read(_ database: some PostgresQuerying) async throws -> DemoFigures {
        var figures = DemoFigures()
        let counts = try await database.first(
            """
            SELECT (SELECT count(*) FROM signals) AS signals, (SELECT count(*) FROM intents) AS intents,
                (SELECT count(*) FROM orders) AS orders, (SELECT count(*) FROM fills) AS fills,
                (SELECT count(*) FROM orders WHERE filled > 0 AND filled < quantity) AS partial,
                (SELECT count(*) FROM orders WHERE state = 'rejected') AS rejected,
                (SELECT count(*) FROM orders WHERE state IN ('stored', 'sent', 'unknown', 'resting'))
                    + (SELECT count(*) FROM intents WHERE state IN ('approved', 'sending'))
                    + (SELECT count(*) FROM plans WHERE state <> 'finished') AS unresolved,
                (SELECT coalesce(sum(amount - released), 0)::bigint FROM reservations WHERE state = 'held')
                    + (SELECT coalesce(sum(cost), 0)::bigint FROM positions WHERE state = 'open') AS exposure,
                (SELECT coalesce(sum(realised), 0)::bigint FROM positions) AS realised,
                (SELECT coalesce(sum(fee), 0)::bigint FROM fills) AS fees,
                (SELECT count(*) FROM positions WHERE state = 'open' AND net_quantity <> 0) AS positions_open,
                (SELECT count(*) FROM outbox WHERE published_at IS NULL) AS unpublished,
                (SELECT coalesce(sum(n - 1), 0)::bigint FROM
                    (SELECT count(*) AS n FROM orders WHERE state <> 'rejected' AND purpose IS NULL
                        GROUP BY intent_id) t) AS surplus,
                (SELECT count(*) FROM market_mappings WHERE status NOT IN ('settled', 'voided')) AS unsettled
            """)
        if let counts {
            figures.signals = try counts.int("signals")
            figures.intents = try counts.int("intents")
            figures.orders = try counts.int("orders")
            figures.fills = try counts.int("fills")
            figures.partialFills = try counts.int("partial")
            figures.rejected = try counts.int("rejected")
            figures.unresolved = try counts.int("unresolved")
            figures.exposure = try Money(microdollars: counts.int64("exposure"))
            figures.realised = try Money(microdollars: counts.int64("realised"))
            figures.fees = try Money(microdollars: counts.int64("fees"))
            figures.positionsOpen = try counts.int("positions_open")
            figures.unpublished = try counts.int("unpublished")
            figures.surplusOrders = try counts.int("surplus")
            figures.marketsUnsettled = try counts.int("unsettled")
        }
        return figures
    }

    /// The same with what is too long to ask for each time the display is drawn.
    static func readWhole(_ database: some PostgresQuerying) async throws -> DemoFigures {
        var figures = try await read(database)
        let refusals = try await database.query(
            "SELECT verdict, count(*) AS n FROM signals WHERE verdict <> 'approved' GROUP BY verdict")
        for row in refusals { figures.refusals[try row.text("verdict")] = try row.int("n") }
        // Every change of what is at risk, in order of commit time; the largest running sum is the peak.
        let peak = try await database.first(
            """
            SELECT coalesce(max(running), 0)::bigint AS peak FROM (
                SELECT sum(change) OVER (ORDER BY at, change) AS running FROM (
                    SELECT created_at AS at, amount AS change FROM reservations
                    UNION ALL SELECT closed_at, -amount FROM reservations WHERE closed_at IS NOT NULL
                    UNION ALL SELECT booked_at, price * quantity FROM fills WHERE action = 'buy'
                ) AS changes
            ) AS sums
            """)
        figures.exposurePeak = try Money(microdollars: peak?.int64("peak") ?? 0)
        return figures
    }

    /// SHA-256 over the fills in the order of the signals that led to them, without what differs from run to run.
    ///
    /// A fill's own time is left out: it holds the machine's latency, which is venue time at speed.
    static func tradesDigest(_ database: some PostgresQuerying) async throws -> String {
        let rows = try await database.query(
            """
            SELECT f.market_id, f.outcome, f.action, f.price, f.quantity, f.fee, s.venue_created_at
            FROM fills f JOIN orders USING (order_id) JOIN intents USING (intent_id) JOIN signals s USING (signal_id)
            ORDER BY s.venue_created_at, f.market_id, f.outcome, f.price, f.quantity
            """)
        var hash = SHA256()
        for row in rows {
            let line = try [
                row.text("market_id"), row.text("outcome"), row.text("action"), "\(row.int64("price"))",
                "\(row.int64("quantity"))", "\(row.int64("fee"))", "\(row.int64("venue_created_at"))",
            ].joined(separator: "\t")
            hash.update(data: Data((line + "\n").utf8))
        }
        return hash.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// The Brier scores over all states with a forecast, ours and the score feed's; nil until the game is decided.
    static func brier(_ database: some PostgresQuerying) async throws -> (ours: Double?, source: Double?, score: String)
    {
        let game = try await database.first(
            "SELECT game_id, status, home_score, away_score, home_abbreviation, away_abbreviation FROM games LIMIT 1")
        guard let game else { return (nil, nil, "-") }
        let home = try game.int("home_score")
        let away = try game.int("away_score")
        let score = try "\(game.text("home_abbreviation")) \(home), \(game.text("away_abbreviation")) \(away)"
        guard try game.text("status") == "final", home != away else { return (nil, nil, score) }
        let states = try await database.query(
            """
            SELECT home_probability, source_probability FROM game_states
            WHERE game_id = \(try game.text("game_id")) AND home_probability IS NOT NULL
                AND source_probability IS NOT NULL
            """)
        let ours = try states.map { try $0.double("home_probability") }
        let source = try states.map { try $0.double("source_probability") }
        return (BrierScore.of(ours, happened: home > away), BrierScore.of(source, happened: home > away), score)
    }
}
