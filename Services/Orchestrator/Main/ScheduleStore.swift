import Domain
import Hosting
import OrchestratorEngine
import Postgres

/// Games that nobody watches yet, as the scoreboards of coming days show them.
struct ScheduleStore: Sendable {
    let database: PostgresPool
    let leadership: Leadership

    /// Makes the rows equal to the feed, but for those that somebody owns; a status never goes back from where it is.
    ///
    /// - Returns: how many rows were new or changed.
    func sync(_ shown: [ScoreboardGame], term: Int64) async throws -> Int {
        // A game at midnight may stand on two days; the later page counts.
        let games = Dictionary(shown.map { ($0.game.id, $0) }) { $1 }.values.sorted { $0.game.id < $1.game.id }
        guard !games.isEmpty else { return 0 }
        return try await database.retryingTransaction("schedule") { transaction in
            try await leadership.require(term, in: transaction)
            return try await transaction.execute(
                """
                INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation,
                    scheduled_at, status)
                SELECT * FROM unnest(\(games.map(\.game.id.rawValue))::text[],
                    \(games.map(\.game.sport.rawValue))::text[],
                    \(games.map(\.game.home.name))::text[], \(games.map(\.game.home.abbreviation))::text[],
                    \(games.map(\.game.away.name))::text[], \(games.map(\.game.away.abbreviation))::text[],
                    \(games.map(\.game.scheduledAt.microseconds))::bigint[], \(games.map(\.status.rawValue))::text[])
                ON CONFLICT (game_id) DO UPDATE SET home_name = EXCLUDED.home_name,
                    home_abbreviation = EXCLUDED.home_abbreviation, away_name = EXCLUDED.away_name,
                    away_abbreviation = EXCLUDED.away_abbreviation, scheduled_at = EXCLUDED.scheduled_at,
                    status = CASE games.status WHEN 'scheduled' THEN EXCLUDED.status ELSE games.status END,
                    updated_at = now()
                WHERE games.status NOT IN ('final', 'cancelled')
                    AND NOT EXISTS (SELECT 1 FROM assignments a
                        WHERE a.game_id = games.game_id AND a.state <> 'released')
                    AND (games.home_name, games.away_name, games.scheduled_at, games.status) IS DISTINCT FROM
                        (EXCLUDED.home_name, EXCLUDED.away_name, EXCLUDED.scheduled_at,
                        CASE games.status WHEN 'scheduled' THEN EXCLUDED.status ELSE games.status END)
                """)
        }
    }
}
