import Domain
import Hosting
import OrchestratorEngine
import Postgres
import Wire

/// Desired state in PostgreSQL: read at start and after a gap, written only under a term that is ours.
struct AssignmentStore: Sendable {
    let database: PostgresPool
    let leadership: Leadership

    /// What the database wants, all of one moment.
    func wanted() async throws -> (games: [DesiredGame], drained: Set<ShardID>) {
        try await database.retryingTransaction("desired state", isolation: .repeatableRead) { transaction in
            (try await desired(transaction), try await drained(transaction))
        }
    }

    /// Every game that is not over and not given up, with its markets and owner; those put off keep their epochs.
    ///
    /// What is only scheduled and never had an owner is left out: the scoreboards say when it is wanted.
    func desired() async throws -> [DesiredGame] { try await wanted().games }

    /// Shards that operators want empty.
    private func drained(_ transaction: PostgresTransaction) async throws -> Set<ShardID> {
        let rows = try await transaction.query("SELECT shard FROM drained_shards")
        return Set(try rows.map { try ShardID($0.text("shard")) })
    }

    private func desired(_ transaction: PostgresTransaction) async throws -> [DesiredGame] {
        let markets = try await transaction.query(
            """
            SELECT m.* FROM market_mappings m JOIN games g USING (game_id)
            WHERE g.status NOT IN ('final', 'cancelled') ORDER BY m.market_id
            """)
        let byGame = try Dictionary(grouping: markets.map(Market.init(row:)), by: \.game)
        let games = try await transaction.query(
            """
            SELECT g.*, a.shard, a.epoch, a.state AS assignment FROM games g LEFT JOIN assignments a USING (game_id)
            WHERE g.status NOT IN ('final', 'cancelled')
                AND (a.state IS DISTINCT FROM 'released' OR g.status IN ('postponed', 'suspended'))
                AND (a.game_id IS NOT NULL OR g.status <> 'scheduled')
            ORDER BY g.game_id
            """)
        return try games.map { row in
            let game = try Game(row: row)
            let isOwned = try ["assigned", "revoking"].contains(row.textOrNil("assignment"))
            return DesiredGame(
                game: game, status: try row.choice("status"), markets: byGame[game.id] ?? [],
                shard: isOwned ? try row.textOrNil("shard").map { try ShardID($0) } : nil,
                epoch: try row.int64OrNil("epoch").map { try Epoch($0) },
                pregame: try row.doubleOrNil("pregame_home_probability").map { try Probability($0) })
        }
    }

    /// Stores a batch of new owners with their games and markets, all or nothing.
    ///
    /// - Returns: what earlier owners have seen of the market before the start.
    func commit(_ changes: [AssignmentChange], term: Int64) async throws -> [GameID: Probability] {
        try await database.retryingTransaction("assign") { transaction in
            try await leadership.require(term, in: transaction)
            try await upsert(changes.map { ($0.game, $0.status, nil) }, transaction)
            try await map(changes.flatMap(\.markets), transaction)
            try await transaction.execute(
                """
                INSERT INTO assignments (game_id, shard, epoch, state)
                SELECT game_id, shard, epoch, 'assigned'
                FROM unnest(\(changes.map(\.game.id.rawValue))::text[], \(changes.map(\.to.shard.rawValue))::text[],
                    \(changes.map(\.to.epoch.number))::bigint[]) AS new (game_id, shard, epoch)
                ON CONFLICT (game_id) DO UPDATE SET shard = EXCLUDED.shard, epoch = EXCLUDED.epoch,
                    state = EXCLUDED.state, assigned_at = now(), updated_at = now()
                """)
            try await transaction.execute(
                """
                INSERT INTO assignment_log (game_id, from_shard, to_shard, epoch, reason)
                SELECT game_id, NULLIF(from_shard, ''), to_shard, epoch, reason
                FROM unnest(\(changes.map(\.game.id.rawValue))::text[],
                    \(changes.map { $0.from?.rawValue ?? "" })::text[], \(changes.map(\.to.shard.rawValue))::text[],
                    \(changes.map(\.to.epoch.number))::bigint[], \(changes.map(\.reason.rawValue))::text[])
                    AS new (game_id, from_shard, to_shard, epoch, reason)
                """)
            return try await pregame(of: changes.map(\.game.id), transaction)
        }
    }

    /// The last owners of the games, for a batch whose outcome is not known: the server may be at work on it still.
    func owners(of games: [GameID]) async throws -> [GameID: Seat] {
        try await leadership.settle()
        let rows = try await database.query(
            """
            SELECT game_id, shard, epoch FROM assignments
            WHERE game_id = ANY(\(games.map(\.rawValue))::text[]) AND shard IS NOT NULL
            """, timeout: .seconds(2))
        return try Dictionary(
            uniqueKeysWithValues: rows.map { row in
                let seat = Seat(shard: try ShardID(row.text("shard")), epoch: try Epoch(row.int64("epoch")))
                return (try GameID(row.text("game_id")), seat)
            })
    }

    func upsert(_ game: Game, _ status: GameStatus, _ score: Score?, term: Int64) async throws {
        try await database.retryingTransaction("game") { transaction in
            try await leadership.require(term, in: transaction)
            try await upsert([(game, status, score)], transaction)
        }
    }

    /// Stores the markets of a game that waits for an owner.
    func keep(_ markets: [Market], of game: Game, _ status: GameStatus, term: Int64) async throws {
        try await database.retryingTransaction("markets") { transaction in
            try await leadership.require(term, in: transaction)
            try await upsert([(game, status, nil)], transaction)
            try await map(markets, transaction)
        }
    }

    /// Stores that a game is over, or given up: nobody owns it any more, and its epoch stays.
    ///
    /// - Returns: what to tell everybody; nil when nobody owned it before.
    func release(
        _ game: GameID, _ status: GameStatus, _ score: Score?, from seat: Seat?, term: Int64
    ) async throws -> MarketAssignment? {
        try await database.retryingTransaction("release") { transaction in
            try await leadership.require(term, in: transaction)
            try await transaction.execute(
                """
                UPDATE games SET status = \(status.rawValue), home_score = COALESCE(\(score?.home), home_score),
                    away_score = COALESCE(\(score?.away), away_score), updated_at = now()
                WHERE game_id = \(game.rawValue) AND status NOT IN ('final', 'cancelled')
                """)
            let released = try await transaction.execute(
                """
                UPDATE assignments SET state = 'released', updated_at = now()
                WHERE game_id = \(game.rawValue) AND state <> 'released'
                """)
            guard released > 0 else { return nil }
            let reason = "released: \(status.rawValue)"
            try await transaction.execute(
                """
                INSERT INTO assignment_log (game_id, from_shard, to_shard, epoch, reason)
                SELECT game_id, shard, NULL, epoch, \(reason)
                FROM assignments WHERE game_id = \(game.rawValue)
                """)
            let row = try await transaction.first(
                "SELECT g.*, a.epoch FROM games g JOIN assignments a USING (game_id) WHERE game_id = \(game.rawValue)")
            return try row.map {
                MarketAssignment(
                    game: try Game(row: $0), markets: [], shard: nil, epoch: try Epoch($0.int64("epoch")),
                    reason: reason)
            }
        }
    }

    /// A game that is over stays so: a stale scoreboard brings nothing back to life.
    private func upsert(
        _ games: [(game: Game, status: GameStatus, score: Score?)], _ transaction: PostgresTransaction
    ) async throws {
        try await transaction.execute(
            """
            INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation,
                scheduled_at, status, home_score, away_score)
            SELECT * FROM unnest(\(games.map(\.game.id.rawValue))::text[], \(games.map(\.game.sport.rawValue))::text[],
                \(games.map(\.game.home.name))::text[], \(games.map(\.game.home.abbreviation))::text[],
                \(games.map(\.game.away.name))::text[], \(games.map(\.game.away.abbreviation))::text[],
                \(games.map(\.game.scheduledAt.microseconds))::bigint[], \(games.map(\.status.rawValue))::text[],
                \(games.map { $0.score?.home ?? 0 })::int[], \(games.map { $0.score?.away ?? 0 })::int[])
            ON CONFLICT (game_id) DO UPDATE SET status = EXCLUDED.status, scheduled_at = EXCLUDED.scheduled_at,
                home_score = GREATEST(games.home_score, EXCLUDED.home_score),
                away_score = GREATEST(games.away_score, EXCLUDED.away_score), updated_at = now()
            WHERE games.status NOT IN ('final', 'cancelled')
            """)
    }

    private func map(_ markets: [Market], _ transaction: PostgresTransaction) async throws {
        try await transaction.execute(
            """
            INSERT INTO market_mappings
                (market_id, venue, game_id, event_ticker, title, outcome_team, price_step, status)
            SELECT new.*, 'active' FROM unnest(\(markets.map(\.id.rawValue))::text[],
                \(markets.map(\.venue.rawValue))::text[], \(markets.map(\.game.rawValue))::text[],
                \(markets.map(\.eventTicker))::text[], \(markets.map(\.title))::text[],
                \(markets.map(\.team.rawValue))::text[], \(markets.map(\.priceStep.rawValue))::text[]) AS new
            ON CONFLICT (market_id) DO NOTHING
            """)
    }

    private func pregame(of games: [GameID], _ transaction: PostgresTransaction) async throws -> [GameID: Probability] {
        let rows = try await transaction.query(
            """
            SELECT game_id, pregame_home_probability FROM games
            WHERE game_id = ANY(\(games.map(\.rawValue))::text[]) AND pregame_home_probability IS NOT NULL
            """)
        return try Dictionary(
            uniqueKeysWithValues: rows.map {
                (try GameID($0.text("game_id")), try Probability($0.double("pregame_home_probability")))
            })
    }
}

extension Game {
    init(row: Row) throws {
        try self.init(
            id: GameID(row.text("game_id")), sport: row.choice("sport"),
            home: Team(name: row.text("home_name"), abbreviation: row.text("home_abbreviation")),
            away: Team(name: row.text("away_name"), abbreviation: row.text("away_abbreviation")),
            scheduledAt: VenueInstant(microseconds: row.int64("scheduled_at")))
    }
}

extension Market {
    init(row: Row) throws {
        try self.init(
            id: MarketID(row.text("market_id")), venue: row.choice("venue"), game: GameID(row.text("game_id")),
            eventTicker: row.text("event_ticker"), title: row.text("title"), team: row.choice("outcome_team"),
            priceStep: row.choice("price_step"))
    }
}
