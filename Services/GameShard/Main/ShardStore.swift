import Domain
import GameShardEngine
import Hosting
import Logging
import Postgres
import Resilience
import Runtime

/// When a question was asked, by the machine's clock.
struct Asked: Hashable, Sendable {
    let at: MachineInstant
}

/// What a shard reads from and writes to PostgreSQL.
struct ShardStore: Sendable {
    let pool: PostgresPool
    let shard: ShardID
    let incarnation: Incarnation
    let log: Logger

    /// Makes this life the one that may trade under the shard's name, in place of any other that may still run.
    ///
    /// Once at the start, before anything is read: the games of the name are this life's until the next one claims.
    ///
    /// - Returns: when, by the database's clock in microseconds since 1970; of two lives the one that claimed later has
    ///   the later instant, however close they are.
    @discardableResult
    func claim() async throws -> Int64 {
        let name = shard.rawValue
        let life = incarnation.rawValue
        let (last, claimedAt) = try await pool.retryingTransaction("shard life") { transaction in
            let last = try await transaction.first(
                "SELECT incarnation FROM shard_lives WHERE shard = \(name) FOR UPDATE")?.text("incarnation")
            // Evaluated once the row is ours.
            let claimed = try await transaction.first(
                """
                INSERT INTO shard_lives AS held (shard, incarnation, started_at)
                VALUES (\(name), \(life), clock_timestamp())
                ON CONFLICT (shard) DO UPDATE SET incarnation = excluded.incarnation,
                    started_at = GREATEST(clock_timestamp(), held.started_at + interval '1 microsecond')
                RETURNING (extract(epoch FROM started_at) * 1000000)::bigint AS claimed_at
                """)
            return (last, try claimed?.int64("claimed_at") ?? 0)
        }
        log.info("shard claimed", metadata: ["last_incarnation": "\(last ?? "none")"])
        return claimedAt
    }

    /// Every game that is assigned here, with its epoch and the markets to follow; none once another life has claimed.
    func assigned() async throws -> [Assigned] {
        let rows = try await pool.query(
            """
            SELECT a.game_id, a.epoch, g.sport, g.home_name, g.home_abbreviation, g.away_name, g.away_abbreviation,
                   g.scheduled_at, g.pregame_home_probability,
                   m.market_id, m.venue, m.event_ticker, m.title, m.outcome_team, m.price_step
            FROM assignments a
            JOIN games g ON g.game_id = a.game_id
            LEFT JOIN market_mappings m ON m.game_id = a.game_id AND m.status IN ('active', 'closed')
            WHERE a.shard = \(shard.rawValue) AND a.state = 'assigned' AND g.status NOT IN ('final', 'cancelled')
                AND EXISTS (SELECT FROM shard_lives l
                    WHERE l.shard = a.shard AND l.incarnation = \(incarnation.rawValue))
            ORDER BY a.game_id, m.market_id
            """)
        var assigned: [Assigned] = []
        var index = rows.startIndex
        while index < rows.endIndex {
            let game = try rows[index].text("game_id")
            let next = try rows[index...].firstIndex { try $0.text("game_id") != game } ?? rows.endIndex
            do {
                assigned.append(try Self.assigned(rows[index..<next]))
            } catch {
                // One bad row must not keep the shard from the others.
                log.error("assignment not readable", metadata: [Key.game: "\(game)", Key.reason: "\(error)"])
            }
            index = next
        }
        return assigned
    }

    /// The games that are this shard's, and under which epochs; none once another life has claimed its name.
    func epochs(timeout: Duration) async throws -> [GameID: Epoch] {
        let rows = try await pool.query(
            """
            SELECT game_id, epoch FROM assignments a WHERE shard = \(shard.rawValue) AND state = 'assigned'
                AND EXISTS (SELECT FROM shard_lives l
                    WHERE l.shard = a.shard AND l.incarnation = \(incarnation.rawValue))
            """,
            timeout: timeout)
        return try Dictionary(
            rows.map { (try GameID($0.text("game_id")), try Epoch($0.int64("epoch"))) },
            uniquingKeysWith: { max($0, $1) })
    }

    /// The life that has claimed our name after us; nil while it is ours.
    func successor() async throws -> Incarnation? {
        try await pool.query(
            """
            SELECT incarnation FROM shard_lives
            WHERE shard = \(shard.rawValue) AND incarnation <> \(incarnation.rawValue)
            """, timeout: .seconds(1)
        ).first.map { try Incarnation($0.text("incarnation")) }
    }

    /// The markets of games at work whose settlement terms a person has found to be the same.
    func sameTerms() async throws -> Set<MarketPair> {
        let rows = try await pool.query(
            """
            SELECT t.first_market, t.second_market FROM same_terms t
            JOIN market_mappings m ON m.market_id = t.first_market JOIN assignments a USING (game_id)
            WHERE a.shard = \(shard.rawValue) AND a.state = 'assigned' AND m.status = 'active'
            """)
        return Set(
            try rows.map { try MarketPair(MarketID($0.text("first_market")), MarketID($0.text("second_market"))) })
    }

    /// Whether each signal was refused, or its order has an answer of whatever kind; of a plan, whether it has ended.
    func areAnswered(_ signals: [SignalID]) async throws -> Bool {
        let names = signals.map(\.rawValue)
        let row = try await pool.first(
            """
            SELECT count(*) AS open FROM unnest(\(names)::text[]) AS asked (signal_id)
            WHERE NOT EXISTS (
                SELECT 1 FROM consumed c WHERE c.consumer = 'signals' AND c.message_id = asked.signal_id
            ) AND NOT EXISTS (
                SELECT 1 FROM signals s LEFT JOIN intents i ON i.signal_id = s.signal_id
                    LEFT JOIN plans p ON p.plan_id = i.plan_id
                WHERE s.signal_id = asked.signal_id AND (
                    s.verdict <> 'approved' OR p.state = 'finished' OR p.state IS NULL AND (
                        i.state NOT IN ('approved', 'sending') OR EXISTS (SELECT 1 FROM orders o
                            WHERE o.intent_id = i.intent_id AND o.state NOT IN ('stored', 'sent'))))
            )
            """)
        return try row?.int("open") == 0
    }

    private static func assigned(_ rows: ArraySlice<Row>) throws -> Assigned {
        let row = rows[rows.startIndex]
        let game = try Game(
            id: GameID(row.text("game_id")), sport: row.choice("sport"),
            home: Team(name: row.text("home_name"), abbreviation: row.text("home_abbreviation")),
            away: Team(name: row.text("away_name"), abbreviation: row.text("away_abbreviation")),
            scheduledAt: VenueInstant(microseconds: row.int64("scheduled_at")))
        return Assigned(
            game: game, markets: try rows.compactMap { try market($0, of: game.id) },
            epoch: try Epoch(row.int64("epoch")),
            pregameHomeProbability: try row.doubleOrNil("pregame_home_probability").map { try Probability($0) })
    }

    private static func market(_ row: Row, of game: GameID) throws -> Market? {
        guard let id = try row.textOrNil("market_id") else { return nil }
        return try Market(
            id: MarketID(id), venue: row.choice("venue"), game: game, eventTicker: row.text("event_ticker"),
            title: row.text("title"), team: row.choice("outcome_team"), priceStep: row.choice("price_step"))
    }
}
