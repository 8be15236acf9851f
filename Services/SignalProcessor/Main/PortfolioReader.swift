import Domain
import Hosting
import Postgres
import SignalProcessorEngine

/// Reads what a decision depends on, inside the transaction that will reserve.
struct PortfolioReader {
    let transaction: PostgresTransaction
    let account: TradingAccount
    let statistics: DailyStatistics
    /// The life that sent the signal, if a shard did so itself.
    let sender: Incarnation?

    /// What a signal is judged against; `cash` is the account's, whose row the transaction has locked.
    func view(for signal: Signal, cash: Money, at now: VenueInstant) async throws -> PortfolioView {
        var view = PortfolioView()
        view.cash = cash
        view.killSwitch = try await KillSwitchStore.read(transaction)
        view.epoch = try await epoch(of: signal)
        view.marketTeam = try await transaction.first(
            """
            SELECT outcome_team FROM market_mappings
            WHERE market_id = \(signal.market.rawValue) AND game_id = \(signal.game.rawValue)
                AND venue = \(signal.venue.rawValue) AND status = 'active'
            """)?.choice("outcome_team")
        try await readExposure(signal, into: &view)
        view.holdings = try await holdings(in: signal.game)
        try await readClosed(signal.game, at: now, into: &view)
        let realised = try await statistics.sum(of: [DailyStatistics.realised(account)], at: now, transaction)
        let fees = try await statistics.sum(of: [DailyStatistics.fees(account)], at: now, transaction)
        view.dailyProfit = try Money(microdollars: realised - fees)
        return view
    }

    /// Only the owner that is meant to watch the game may trade it, under its own epoch, and of several processes of
    /// its name only the one that claimed it last; a shard of a build without claims has none.
    private func epoch(of signal: Signal) async throws -> Epoch? {
        let row = try await transaction.first(
            """
            WITH life AS (SELECT incarnation FROM shard_lives WHERE shard = \(signal.shard.rawValue) FOR SHARE)
            SELECT epoch, (SELECT incarnation FROM life) AS incarnation FROM assignments
            WHERE game_id = \(signal.game.rawValue) AND shard = \(signal.shard.rawValue) AND state = 'assigned'
            FOR SHARE
            """)
        guard let row else { return nil }
        if let sender, let life = try row.textOrNil("incarnation"), life != sender.rawValue { return nil }
        return try Epoch(row.int64("epoch"))
    }

    private func readExposure(_ signal: Signal, into view: inout PortfolioView) async throws {
        let row = try await transaction.first(
            """
            WITH held AS (
                SELECT game_id, sport, amount - released AS amount, 0::int8 AS cost FROM reservations
                WHERE state = 'held'
                UNION ALL
                SELECT p.game_id, g.sport, 0, p.cost FROM positions p JOIN games g USING (game_id)
                WHERE p.state = 'open')
            SELECT coalesce(sum(amount), 0)::int8 AS reserved, coalesce(sum(cost), 0)::int8 AS open_cost,
                coalesce(sum(amount + cost) FILTER (WHERE game_id = \(signal.game.rawValue)), 0)::int8 AS game,
                coalesce(sum(amount + cost) FILTER (WHERE sport = \(signal.sport.rawValue)), 0)::int8 AS sport
            FROM held
            """)
        guard let row else { return }
        view.reserved = try Money(microdollars: row.int64("reserved"))
        view.openCost = try Money(microdollars: row.int64("open_cost"))
        view.gameExposure = try Money(microdollars: row.int64("game"))
        view.sportExposure = try Money(microdollars: row.int64("sport"))
    }

    /// One for each intent that may still trade, and for each whose fills are an open position.
    private func holdings(in game: GameID) async throws -> [Holding] {
        try await transaction.query(
            """
            SELECT i.market_id, i.outcome, m.outcome_team FROM intents i JOIN market_mappings m USING (market_id)
            WHERE i.game_id = \(game.rawValue) AND i.action = 'buy' AND (i.state IN ('approved', 'sending')
                OR (EXISTS (SELECT FROM orders o WHERE o.intent_id = i.intent_id AND o.filled > 0)
                    AND EXISTS (SELECT FROM positions p WHERE p.market_id = i.market_id AND p.state = 'open'
                        AND p.net_quantity <> 0)))
            ORDER BY i.created_at, i.intent_id
            """
        ).map { row in
            let team = try row.choice("outcome_team", as: HomeAway.self)
            let outcome = try row.choice("outcome", as: Outcome.self)
            return Holding(
                market: try MarketID(row.text("market_id")), backs: outcome == .yes ? team : team.opposite)
        }
    }

    /// Positions that were closed before the game's end; the last fill of one is its close.
    private func readClosed(_ game: GameID, at now: VenueInstant, into view: inout PortfolioView) async throws {
        let rows = try await transaction.query(
            """
            SELECT m.outcome_team, last.outcome, last.action, last.venue_at, p.realised > p.fees AS won
            FROM positions p JOIN market_mappings m USING (market_id) CROSS JOIN LATERAL (
                SELECT outcome, action, venue_at FROM fills f WHERE f.market_id = p.market_id
                ORDER BY venue_at DESC, booked_at DESC LIMIT 1) AS last
            WHERE p.game_id = \(game.rawValue) AND p.state = 'closed' ORDER BY last.venue_at
            """)
        for row in rows {
            let at = try VenueInstant(microseconds: row.int64("venue_at"))
            if at.duration(to: now) < .seconds(60) { view.recentlyClosed += 1 }
            let team = try row.choice("outcome_team", as: HomeAway.self)
            let takesYes =
                try (row.choice("outcome", as: Outcome.self) == .yes)
                == (row.choice("action", as: Action.self) == .buy)
            // What took YES closed a position in NO.
            view.closed.append(
                ClosedPosition(backs: takesYes ? team.opposite : team, won: try row.bool("won"), at: at))
        }
    }
}
