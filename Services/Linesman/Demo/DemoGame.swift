import Domain
import Postgres

/// The game as the database last heard of it.
struct DemoGame: Equatable, Sendable {
    let name: String
    let status: String
    let score: String
    let clock: String
    let probability: Double?
    let sourceProbability: Double?
    /// Who is meant to watch it, and under which epoch; nil while nobody is.
    let owner: String?

    static func read(_ database: some PostgresQuerying) async throws -> DemoGame? {
        let row = try await database.first(
            """
            SELECT g.status, g.home_abbreviation, g.away_abbreviation, g.home_name, g.away_name, s.home_score,
                s.away_score, s.period, s.clock_seconds, s.home_probability, s.source_probability, a.shard, a.epoch
            FROM games g LEFT JOIN assignments a ON a.game_id = g.game_id AND a.state = 'assigned'
            LEFT JOIN LATERAL (
                SELECT * FROM game_states WHERE game_id = g.game_id ORDER BY venue_at DESC, id DESC LIMIT 1
            ) s ON true LIMIT 1
            """)
        guard let row else { return nil }
        let home = try row.text("home_abbreviation")
        let away = try row.text("away_abbreviation")
        let period = try row.intOrNil("period") ?? 0
        let (shard, epoch) = (try row.textOrNil("shard"), try row.int64OrNil("epoch"))
        let clock = try row.doubleOrNil("clock_seconds").map { GameClock.text($0) } ?? "-"
        return DemoGame(
            name: try "\(row.text("away_name")) at \(row.text("home_name"))", status: try row.text("status"),
            score: try "\(home) \(row.intOrNil("home_score") ?? 0)  \(away) \(row.intOrNil("away_score") ?? 0)",
            clock: period == 0 ? "before the start" : "period \(period), \(clock)",
            probability: try row.doubleOrNil("home_probability"),
            sourceProbability: try row.doubleOrNil("source_probability"),
            owner: shard.flatMap { shard in epoch.map { "\(shard) under epoch \($0)" } })
    }
}
