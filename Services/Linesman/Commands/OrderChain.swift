import Domain
import Hosting
import Postgres

/// What led to an order and what became of it, read from PostgreSQL.
struct OrderChain: Codable, Equatable {
    struct Play: Codable, Equatable {
        let id: String?
        let at: String
        let score: String
        let clock: String
        let homeProbability: Double?
        let sourceProbability: Double?

        var line: String {
            let ours = homeProbability.map { "home wins \($0.formatted(decimals: 3)) by our model" } ?? "no model"
            let source = sourceProbability.map { ", \($0.formatted(decimals: 3)) by the score feed" } ?? ""
            return "  play    \(id ?? "-")  \(at)  \(score), \(clock); \(ours)\(source)"
        }
    }

    struct FillLine: Codable, Equatable {
        let id: String
        let quantity: String
        let price: String
        let fee: String
        let at: String
        let standing: String
    }

    struct Refusal: Error, CustomStringConvertible {
        let description: String
    }

    /// A shard's advice that led to an entry.
    struct Advice: Codable, Equatable {
        let signal: String
        let kind: String
        let shard: String
        let probability: Double
        let ask: String
        let edge: Double
        let verdict: String
    }

    /// Why a position was sold before its market ended, as the audit has it.
    struct Exit: Codable, Equatable {
        let reason: String
        /// What the whole position had cost.
        let cost: String?
        let yesBid: String?
        let yesAsk: String?
    }

    /// By whom and why an order that we did not know was made ours, as the audit has it.
    struct Adopted: Codable, Equatable {
        let by: String
        let reason: String
    }

    let game: String
    let play: Play?
    let advice: Advice?
    let exit: Exit?
    let adopted: Adopted?
    let epoch: Int64
    let outcome: String
    let action: String
    let market: String
    let title: String
    let intent: String
    let quantity: String
    let limit: String
    let reserved: String?
    let order: String
    let attempt: Int
    let state: String
    let reason: String?
    let venueOrder: String?
    let fills: [FillLine]
    let settlement: String?
    /// What was written down on the way, refusals of earlier attempts among it.
    let audit: [AuditLine]
    let plan: PlanLine?

    /// - Throws: `Refusal` when no order, or more than one, begins with `prefix`.
    static func read(_ prefix: String, from database: some PostgresQuerying) async throws -> OrderChain {
        let pattern = prefix.replacing("\\", with: "\\\\").replacing("%", with: "\\%").replacing("_", with: "\\_") + "%"
        let rows = try await database.query(
            """
            SELECT o.order_id, o.attempt, o.state, o.reason, o.venue_order_id, o.quantity, o.limit_price,
                o.outcome, o.action, o.venue_at, i.intent_id, i.epoch, i.exit_reason, r.amount, s.signal_id, s.kind,
                s.shard, s.model_probability, s.price, s.edge_basis_points, s.verdict, s.play_id, s.venue_created_at,
                m.market_id, m.title,
                m.settlement_price, g.game_id, g.home_name, g.away_name, o.purpose, i.leg, p.plan_id,
                p.state AS plan_state, p.ending, p.pairs, p.result
            FROM orders o JOIN intents i USING (intent_id) JOIN signals s USING (signal_id)
                LEFT JOIN reservations r USING (reservation_id) LEFT JOIN plans p ON p.plan_id = i.plan_id
                JOIN market_mappings m ON m.market_id = o.market_id JOIN games g ON g.game_id = m.game_id
            WHERE o.order_id LIKE \(pattern) ORDER BY o.order_id LIMIT 2
            """)
        guard let row = rows.first else { throw Refusal(description: "no order begins with \"\(prefix)\"") }
        if rows.count > 1 { throw Refusal(description: "more than one order begins with \"\(prefix)\"") }
        return try await OrderChain(row, database)
    }

    private init(_ row: Row, _ database: some PostgresQuerying) async throws {
        order = try row.text("order_id")
        game = try "\(row.text("away_name")) at \(row.text("home_name"))"
        advice = try Self.advice(row)
        epoch = try row.int64("epoch")
        outcome = try row.text("outcome")
        action = try row.text("action")
        market = try row.text("market_id")
        title = try row.text("title")
        intent = try row.text("intent_id")
        quantity = FixedPoint.format(try row.int64("quantity"), scale: 2)
        limit = FixedPoint.format(try row.int64("limit_price"), scale: 4)
        reserved = try row.int64OrNil("amount").map { FixedPoint.format($0, scale: 6) }
        attempt = try row.int("attempt")
        state = try row.text("state")
        reason = try row.textOrNil("reason")
        venueOrder = try row.textOrNil("venue_order_id")
        settlement = try row.int64OrNil("settlement_price").map { FixedPoint.format($0, scale: 4) }
        exit = try await Self.exit(row, database)
        plan = try PlanLine(row)
        play = try await Self.play(row, database)
        fills = try await Self.fills(of: order, database)
        audit = try await AuditLine.read(
            where: "intent_id = \(intent) OR details ->> 'signal' = \(advice?.signal as String?)", from: database)
        adopted = audit.first { $0.event == AuditEvent.orderAdopted.rawValue }.map {
            Adopted(by: $0.details["by"] ?? "-", reason: $0.details["reason"] ?? "-")
        }
    }

    /// Nil for an exit and for what was adopted: what stands in their signals, `exit` and `adopted` say better.
    private static func advice(_ row: Row) throws -> Advice? {
        guard try row.textOrNil("exit_reason") == nil, try row.text("kind") != AdoptionRequest.signalKind else {
            return nil
        }
        return Advice(
            signal: try row.text("signal_id"), kind: try row.text("kind"), shard: try row.text("shard"),
            probability: try row.double("model_probability"),
            ask: FixedPoint.format(try row.int64("price"), scale: 4),
            edge: Double(try row.int("edge_basis_points")) / 100, verdict: try row.text("verdict"))
    }

    private static func exit(_ row: Row, _ database: some PostgresQuerying) async throws -> Exit? {
        guard let reason = try row.textOrNil("exit_reason") else { return nil }
        let found = try await database.first(
            """
            SELECT details->>'cost' AS cost, nullif(details->>'yes_bid', '') AS yes_bid,
                nullif(details->>'yes_ask', '') AS yes_ask
            FROM audit_log WHERE intent_id = \(try row.text("intent_id")) AND event = 'exit_requested' LIMIT 1
            """)
        return Exit(
            reason: reason, cost: try found?.textOrNil("cost"), yesBid: try found?.textOrNil("yes_bid"),
            yesAsk: try found?.textOrNil("yes_ask"))
    }

    /// The state of the game that the signal, or the exit's order, saw: the newest at or before it.
    static func play(_ row: Row, _ database: some PostgresQuerying) async throws -> Play? {
        guard let seen = try row.int64OrNil("venue_created_at") ?? row.int64OrNil("venue_at") else { return nil }
        let found = try await database.first(
            """
            SELECT play_id, venue_at, home_score, away_score, period, clock_seconds, home_probability,
                source_probability
            FROM game_states
            WHERE game_id = \(try row.text("game_id")) AND venue_at <= \(seen)
            ORDER BY venue_at DESC, id DESC LIMIT 1
            """)
        guard let found else { return nil }
        let clock = try found.doubleOrNil("clock_seconds").map { GameClock.text($0) } ?? "-"
        return Play(
            id: try found.textOrNil("play_id"), at: try venueTime(found.int64("venue_at")),
            score: try "home \(found.int("home_score")), away \(found.int("away_score"))",
            clock: try "period \(found.int("period")), \(clock) left",
            homeProbability: try found.doubleOrNil("home_probability"),
            sourceProbability: try found.doubleOrNil("source_probability"))
    }

    private static func fills(of order: String, _ database: some PostgresQuerying) async throws -> [FillLine] {
        try await database.query(
            """
            SELECT fill_id, quantity, price, fee, venue_at, standing FROM fills
            WHERE order_id = \(order) ORDER BY venue_at, fill_id
            """
        ).map { row in
            FillLine(
                id: try row.text("fill_id"), quantity: FixedPoint.format(try row.int64("quantity"), scale: 2),
                price: FixedPoint.format(try row.int64("price"), scale: 4),
                fee: FixedPoint.format(try row.int64("fee"), scale: 6), at: try venueTime(row.int64("venue_at")),
                standing: try row.text("standing"))
        }
    }

    private static func venueTime(_ microseconds: Int64) throws -> String {
        try VenueInstant(microseconds: microseconds).description
    }

    /// One line per link of the chain.
    func text() -> String {
        var lines = ["\(game)"]
        if let play { lines.append(play.line) }
        if let advice { lines.append(text(of: advice)) }
        if let exit {
            let quotes = "YES was \(exit.yesBid ?? "-") bid, \(exit.yesAsk ?? "-") asked"
            lines.append(
                "  exit    \(exit.reason): \(outcome.uppercased()) of \(market)"
                    + (exit.cost.map { " had cost $\($0)" } ?? "") + "; \(quotes)")
        }
        if let adopted {
            lines.append(
                "  adopted by \(adopted.by): \(outcome.uppercased()) of \(market) was bought under an order that we "
                    + "did not know; \(adopted.reason)")
        }
        if let plan { lines.append(plan.line) }
        let bound = action == "sell" ? "at least" : "at most"
        lines.append(
            "  intent  \(intent)  \(action) \(quantity) \(bound) at \(limit)"
                + (reserved.map { ", reserved $\($0)" } ?? ""))
        lines.append(
            "  order   \(order)  attempt \(attempt): \(state)" + (reason.map { " (\($0))" } ?? "")
                + (venueOrder.map { ", at the venue \($0)" } ?? ""))
        for fill in fills {
            lines.append(
                "  fill    \(fill.id)  \(fill.quantity) at \(fill.price), fee $\(fill.fee), \(fill.at)"
                    + (fill.standing == "confirmed" ? "" : ", \(fill.standing)"))
        }
        if let settlement { lines.append("  settled YES at \(settlement)") }
        lines += audit.map { "  audit   \($0.text)" }
        return lines.joined(separator: "\n")
    }

    private func text(of advice: Advice) -> String {
        let worth = "is worth \(advice.probability.formatted(decimals: 3)), asked \(advice.ask)"
        let gain = "edge \(advice.edge.formatted(decimals: 2)) cents after fees"
        return "  signal  \(advice.signal)  \(advice.kind): \(outcome.uppercased()) of \(market) \(worth): "
            + "\(gain); \(advice.shard), epoch \(epoch); \(advice.verdict)"
    }
}

/// The clock of a period as people read it.
enum GameClock {
    /// `11:43`, or `27.6` in the last minute.
    static func text(_ seconds: Double) -> String {
        guard seconds >= 60 else { return seconds.formatted(decimals: 1) }
        let whole = Int(seconds)
        return "\(whole / 60):" + (whole % 60 < 10 ? "0" : "") + "\(whole % 60)"
    }
}
