import Domain
import OrchestratorEngine
import Postgres

/// Crypto slots, which stand on no scoreboard: rows of `games`, with their markets in `market_mappings`.
///
/// Whoever lists slots writes both and sets the status; here they are read as one more board (CHECKLIST R53).
struct SlotStore: Sendable {
    let database: PostgresPool

    /// How many are looked at; the earliest come first.
    static let limit = 10_000

    /// Every slot that is not over, or that somebody still watches.
    func board() async throws -> [ScoreboardGame] {
        let rows = try await database.query(
            """
            SELECT g.* FROM games g
            WHERE g.sport = \(Sport.crypto.rawValue)
                AND (g.status NOT IN ('final', 'cancelled')
                    OR EXISTS (SELECT 1 FROM assignments a WHERE a.game_id = g.game_id AND a.state <> 'released'))
            ORDER BY g.scheduled_at, g.game_id LIMIT \(Int64(Self.limit))
            """)
        guard !rows.isEmpty else { return [] }
        let markets = try await database.query(
            """
            SELECT m.* FROM market_mappings m JOIN games g USING (game_id)
            WHERE g.sport = \(Sport.crypto.rawValue) AND g.status NOT IN ('final', 'cancelled')
                AND m.status IN ('active', 'closed')
            ORDER BY m.market_id
            """)
        let byGame = try Dictionary(grouping: markets.map(Market.init(row:)), by: \.game)
        return try rows.map { row in
            let game = try Game(row: row)
            return ScoreboardGame(game: game, status: try row.choice("status"), markets: byGame[game.id] ?? [])
        }
    }
}
