import Domain
import Hosting
import Postgres
import Runtime

/// What became of one signal: also of one that was refused, or whose intent never became an order.
struct SignalStory: Codable, Equatable {
    let signal: String
    let game: String?
    let play: OrderChain.Play?
    /// What the signal said; nil when it named a market that we do not know.
    let said: String?
    let verdict: String
    let intent: String?
    let intentState: String?
    let orders: [String]
    let audit: [AuditLine]

    /// Nil when nothing was ever written of such a signal.
    init?(_ id: String, from database: some PostgresQuerying) async throws {
        let row = try await database.first(
            """
            SELECT s.game_id, s.market_id, s.shard, s.epoch, s.kind, s.outcome, s.model_probability, s.price,
                s.edge_basis_points, s.play_id, s.venue_created_at, s.verdict, i.intent_id, i.state, i.exit_reason,
                g.home_name, g.away_name
            FROM signals s JOIN games g USING (game_id) LEFT JOIN intents i USING (signal_id)
            WHERE s.signal_id = \(id) ORDER BY i.created_at LIMIT 1
            """)
        let intent = try row?.textOrNil("intent_id")
        audit = try await AuditLine.read(
            where: "details ->> 'signal' = \(id) OR intent_id = \(intent as String?)::text", from: database)
        guard row != nil || !audit.isEmpty else { return nil }
        signal = id
        self.intent = intent
        intentState = try row?.textOrNil("state")
        orders = try await database.query(
            "SELECT order_id FROM orders WHERE intent_id = \(intent as String?)::text ORDER BY attempt"
        ).map { try $0.text("order_id") }
        if let row {
            game = try "\(row.text("away_name")) at \(row.text("home_name"))"
            play = try await OrderChain.play(row, database)
            let worth = try "is worth \(row.double("model_probability").formatted(decimals: 3))"
            let asked = try "asked \(FixedPoint.format(row.int64("price"), scale: 4))"
            let edge = (Double(try row.int("edge_basis_points")) / 100).formatted(decimals: 2)
            let what = try "\(row.text("kind")): \(row.text("outcome").uppercased()) of \(row.text("market_id"))"
            let owner = try "\(row.text("shard")), epoch \(row.int64("epoch"))"
            let isExit = try row.textOrNil("exit_reason") != nil
            let isAdopted = try row.text("kind") == AdoptionRequest.signalKind
            let advised = isAdopted ? "was bought before we knew" : "\(worth), \(asked): edge \(edge) cents after fees"
            let advice = isExit ? "is sold" : advised
            said = "\(what) \(advice); \(owner)"
            verdict = try row.text("verdict")
        } else {
            (game, play, said) = (nil, nil, nil)
            verdict = audit.first?.details["verdict"] ?? audit.first?.event ?? "-"
        }
    }

    func text() -> String {
        var lines = [game ?? "a market that is not known"]
        if let play { lines.append(play.line) }
        lines.append("  signal  \(signal)  " + (said.map { "\($0); " } ?? "") + verdict)
        if let intent { lines.append("  intent  \(intent)  \(intentState ?? "-")") }
        lines += orders.map { "  order   \($0)" }
        lines += audit.map { "  audit   \($0.text)" }
        return lines.joined(separator: "\n")
    }
}

/// What was decided about one game: how often each verdict, and every row of its audit log.
struct GameStory: Codable, Equatable {
    let game: String
    let names: String
    let state: String
    /// Signals by verdict, refusals among them.
    let verdicts: [String: Int]
    /// Orders by state.
    let orders: [String: Int]
    let audit: [AuditLine]

    /// Audit rows shown: the newest.
    static let limit = 200

    /// Nil when there is no such game.
    init?(_ id: String, from database: some PostgresQuerying) async throws {
        let row = try await database.first(
            "SELECT game_id, home_name, away_name, home_score, away_score, status FROM games WHERE game_id = \(id)")
        guard let row else { return nil }
        game = id
        names = try "\(row.text("away_name")) at \(row.text("home_name"))"
        state = try "\(row.text("status")), home \(row.int("home_score")), away \(row.int("away_score"))"
        verdicts = try await Self.counts(
            "SELECT verdict AS name, count(*) AS n FROM signals WHERE game_id = \(id) GROUP BY 1", database)
        orders = try await Self.counts(
            """
            SELECT o.state AS name, count(*) AS n FROM orders o JOIN intents i USING (intent_id)
            WHERE i.game_id = \(id) GROUP BY 1
            """, database)
        audit = try await AuditLine.read(where: "game_id = \(id)", limit: Self.limit, from: database)
    }

    private static func counts(_ sql: SQL, _ database: some PostgresQuerying) async throws -> [String: Int] {
        let pairs = try await database.query(sql).map { (try $0.text("name"), try $0.int("n")) }
        return Dictionary(uniqueKeysWithValues: pairs)
    }

    func text() -> String {
        func list(_ counts: [String: Int]) -> String {
            counts.isEmpty
                ? "none" : counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        }
        var lines = ["\(names)  \(game)  \(state)", "  signals \(list(verdicts))", "  orders  \(list(orders))"]
        if audit.count == Self.limit { lines.append("  the newest \(Self.limit) rows of the audit log") }
        lines += audit.map { "  audit   \($0.text)" }
        return lines.joined(separator: "\n")
    }
}
