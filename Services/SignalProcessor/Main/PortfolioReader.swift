import Domain
import Hosting
import Postgres
import SignalProcessorEngine

/// What is asked about: a game, its owner, and the markets that would be traded.
struct PortfolioSubject: Hashable, Sendable {
    let game: GameID
    let sport: Sport
    let shard: ShardID
    let markets: [MarketID]
    /// Of each market, in the same order.
    let venues: [Venue]

    init(_ signal: Signal) {
        (game, sport, shard) = (signal.game, signal.sport, signal.shard)
        (markets, venues) = ([signal.market], [signal.venue])
    }

    init(_ signal: ArbitrageSignal) {
        (game, sport, shard) = (signal.game, signal.sport, signal.shard)
        (markets, venues) = (signal.legs.map(\.market), signal.legs.map(\.venue))
    }
}

/// Reads what a decision depends on, inside the transaction that will reserve.
struct PortfolioReader {
    let transaction: PostgresTransaction
    let account: TradingAccount
    let statistics: DailyStatistics
    /// The life that sent the signal, if a shard did so itself.
    var sender: Incarnation?
    let pricing: Pricing

    /// What open positions are valued at.
    struct Pricing: Sendable {
        var marks: MarkBook.Marks = [:]
        /// An older mark is none; in venue time.
        var age = Duration.seconds(120)
    }

    /// What a signal is judged against, and whether it was judged before; locks the account.
    func view(for signal: Signal, at now: VenueInstant) async throws -> (isKnown: Bool, view: PortfolioView) {
        var (isKnown, view) = try await view(for: PortfolioSubject(signal), and: isKnown(signal.id), at: now)
        view.marketTeam = view.marketTeams[signal.market]
        return (isKnown, view)
    }

    /// The same for what speaks of several markets, with the answer to one more question.
    ///
    /// One round trip for all, and the account's lock comes first: who waits for it reads what the one before left.
    func view<More>(
        for subject: PortfolioSubject, and more: PostgresQuestion<More>, at now: VenueInstant
    ) async throws -> (More, PortfolioView) {
        let (
            cash, answer, killSwitch, epoch, teams, same, exposed, holdings, closed, spendable, net, positions
        ) = try await transaction.ask(
            account.locked, more, KillSwitchStore.question, epoch(of: subject), teams(of: subject),
            sameTerms(of: subject), exposure(of: subject), holdings(in: subject.game),
            closedPositions(in: subject.game), VenueBalances(account).spendable, statistics.net(account, at: now),
            openPositions)
        var view = PortfolioView()
        (view.cash, view.killSwitch, view.epoch, view.marketTeams) = (cash, killSwitch, epoch, teams)
        (view.reserved, view.openCost) = (exposed.reserved, exposed.openCost)
        (view.gameExposure, view.sportExposure) = (exposed.game, exposed.sport)
        (view.marketExposure, view.availableAt, view.paySameTerms) = (exposed.markets, spendable, same)
        (view.holdings, view.closed) = (holdings, closed)
        // Within the last minute: those still count as positions.
        view.recentlyClosed = closed.count { $0.at.duration(to: now) < .seconds(60) }
        view.dailyProfit = try Money(microdollars: net)
        view.markedProfit = try markedProfit(positions, at: now)
        return (answer, view)
    }

    func isKnown(_ signal: SignalID) -> PostgresQuestion<Bool> {
        PostgresQuestion(
            """
            SELECT 1 AS found FROM signals WHERE signal_id = \(signal.rawValue)
            UNION ALL SELECT 1 FROM consumed WHERE consumer = 'signals' AND message_id = \(signal.rawValue)
            """
        ) { !$0.isEmpty }
    }

    /// Realised today with fees deducted, and what the open positions would add; nil when one of them has no mark.
    func dayResult(at now: VenueInstant) async throws -> (realised: Money, marked: Money?) {
        let (net, positions) = try await transaction.ask(statistics.net(account, at: now), openPositions)
        return (try Money(microdollars: net), try markedProfit(positions, at: now))
    }

    private struct OpenPosition: Sendable {
        let position: Position
        let venue: Venue
        /// What YES is worth where the game is over: nobody tells its prices any more, and the venue has yet to pay.
        let result: Price?
    }

    private var openPositions: PostgresQuestion<[OpenPosition]> {
        .each(
            """
            SELECT p.market_id, p.net_quantity, p.cost, p.realised, p.fees, m.venue, m.outcome_team,
                CASE WHEN g.status = 'final' AND g.home_score > g.away_score THEN 'home'
                    WHEN g.status = 'final' AND g.home_score < g.away_score THEN 'away' END AS winner
            FROM positions p JOIN market_mappings m USING (market_id) JOIN games g ON g.game_id = p.game_id
            WHERE p.state = 'open' AND p.net_quantity <> 0
            """
        ) { row in
            let position = try Position(
                market: MarketID(row.text("market_id")), netHundredths: row.int64("net_quantity"),
                cost: Money(microdollars: row.int64("cost")), realised: Money(microdollars: row.int64("realised")),
                fees: Money(microdollars: row.int64("fees")))
            let team = try row.text("outcome_team")
            return OpenPosition(
                position: position, venue: try row.choice("venue"),
                result: try row.textOrNil("winner").map { $0 == team ? .one : .zero })
        }
    }

    private func markedProfit(_ positions: [OpenPosition], at now: VenueInstant) throws -> Money? {
        var marks = pricing.marks
        for open in positions {
            guard let value = open.result else { continue }
            marks[open.position.market] = PortfolioMark.Mark(yesBid: value, yesAsk: value, at: now)
        }
        return PortfolioMark.profit(
            of: positions.map { ($0.position, $0.venue) }, marks: marks, limit: pricing.age, at: now)
    }

    /// Only the owner that is meant to watch the game may trade it, under its own epoch, and of several processes of
    /// its name only the one that claimed it last; a shard of a build without claims has none.
    private func epoch(of subject: PortfolioSubject) -> PostgresQuestion<Epoch?> {
        .first(
            """
            WITH life AS (SELECT incarnation FROM shard_lives WHERE shard = \(subject.shard.rawValue) FOR SHARE)
            SELECT epoch, (SELECT incarnation FROM life) AS incarnation FROM assignments
            WHERE game_id = \(subject.game.rawValue) AND shard = \(subject.shard.rawValue) AND state = 'assigned'
            FOR SHARE
            """
        ) { [sender] row in
            guard let row else { return nil }
            if let sender, let life = try row.textOrNil("incarnation"), life != sender.rawValue { return nil }
            return try Epoch(row.int64("epoch"))
        }
    }

    /// The team that YES of each open market pays for.
    private func teams(of subject: PortfolioSubject) -> PostgresQuestion<[MarketID: HomeAway]> {
        PostgresQuestion(
            """
            SELECT market_id, outcome_team FROM market_mappings JOIN unnest(\(subject.markets.map(\.rawValue))::text[],
                \(subject.venues.map(\.rawValue))::text[]) AS asked (market_id, venue) USING (market_id, venue)
            WHERE game_id = \(subject.game.rawValue) AND status = 'active'
            """
        ) { rows in
            var teams: [MarketID: HomeAway] = [:]
            for row in rows { teams[try MarketID(row.text("market_id"))] = try row.choice("outcome_team") }
            return teams
        }
    }

    /// One venue asks one question about a game under one event; across venues only what a person has compared counts
    /// (PITFALLS 8, row 24).
    private func sameTerms(of subject: PortfolioSubject) -> PostgresQuestion<Bool> {
        .first(
            """
            SELECT count(DISTINCT (venue, event_ticker)) = 1 OR EXISTS (
                SELECT FROM same_terms WHERE first_market = \(subject.markets.min()?.rawValue as String?)
                    AND second_market = \(subject.markets.max()?.rawValue as String?)) AS same
            FROM market_mappings WHERE market_id = ANY(\(subject.markets.map(\.rawValue))::text[])
            """
        ) { try $0?.bool("same") ?? false }
    }

    private struct Exposure: Sendable {
        var reserved = Money.zero
        var openCost = Money.zero
        var game = Money.zero
        var sport = Money.zero
        var markets: [MarketID: Money] = [:]
    }

    private func exposure(of subject: PortfolioSubject) -> PostgresQuestion<Exposure> {
        .first(
            """
            WITH held AS (
                SELECT market_id, game_id, sport, amount - released AS amount, 0::int8 AS cost FROM reservations
                WHERE state = 'held'
                UNION ALL
                SELECT p.market_id, p.game_id, g.sport, 0, p.cost FROM positions p JOIN games g USING (game_id)
                WHERE p.state = 'open'),
            -- Whatever a plan still has may be spent in either of its markets.
            in_market AS (
                SELECT market_id, amount + cost AS exposure FROM held
                UNION ALL
                SELECT i.market_id, r.amount - r.released FROM plans p JOIN intents i ON i.plan_id = p.plan_id
                    JOIN reservations r ON r.reservation_id = p.reservation_id
                WHERE p.state <> 'finished' AND r.state = 'held' AND i.market_id <> r.market_id)
            SELECT coalesce(sum(amount), 0)::int8 AS reserved, coalesce(sum(cost), 0)::int8 AS open_cost,
                coalesce(sum(amount + cost) FILTER (WHERE game_id = \(subject.game.rawValue)), 0)::int8 AS game,
                coalesce(sum(amount + cost) FILTER (WHERE sport = \(subject.sport.rawValue)), 0)::int8 AS sport,
                (SELECT coalesce(jsonb_object_agg(market_id, exposure), '{}') FROM (
                    SELECT market_id, sum(exposure)::int8 AS exposure FROM in_market
                    WHERE market_id = ANY(\(subject.markets.map(\.rawValue))::text[]) GROUP BY market_id
                ) AS of_market) AS markets
            FROM held
            """
        ) { row in
            var exposure = Exposure()
            guard let row else { return exposure }
            exposure.reserved = try Money(microdollars: row.int64("reserved"))
            exposure.openCost = try Money(microdollars: row.int64("open_cost"))
            exposure.game = try Money(microdollars: row.int64("game"))
            exposure.sport = try Money(microdollars: row.int64("sport"))
            for (market, amount) in try row.json("markets", as: [String: Int64].self) {
                exposure.markets[try MarketID(market)] = try Money(microdollars: amount)
            }
            return exposure
        }
    }

    /// One for each intent that may still trade, and for each whose fills are an open position.
    private func holdings(in game: GameID) -> PostgresQuestion<[Holding]> {
        .each(
            """
            SELECT i.market_id, i.outcome, m.outcome_team FROM intents i JOIN market_mappings m USING (market_id)
            WHERE i.game_id = \(game.rawValue) AND i.action = 'buy' AND (i.state IN ('approved', 'sending')
                OR EXISTS (SELECT FROM plans p WHERE p.plan_id = i.plan_id AND p.state <> 'finished')
                OR (i.market_id = ANY(ARRAY(SELECT p.market_id FROM positions p
                        WHERE p.game_id = \(game.rawValue) AND p.state = 'open' AND p.net_quantity <> 0))
                    AND EXISTS (SELECT FROM orders o WHERE o.intent_id = i.intent_id AND o.filled > 0)))
            ORDER BY i.created_at, i.intent_id
            """
        ) { row in
            let team = try row.choice("outcome_team", as: HomeAway.self)
            let outcome = try row.choice("outcome", as: Outcome.self)
            return Holding(
                market: try MarketID(row.text("market_id")), backs: outcome == .yes ? team : team.opposite)
        }
    }

    /// Positions that were closed before the game's end; the last fill of one is its close.
    private func closedPositions(in game: GameID) -> PostgresQuestion<[ClosedPosition]> {
        .each(
            """
            SELECT m.outcome_team, last.outcome, last.action, last.venue_at, p.realised > p.fees AS won
            FROM positions p JOIN market_mappings m USING (market_id) CROSS JOIN LATERAL (
                SELECT outcome, action, venue_at FROM fills f WHERE f.market_id = p.market_id
                ORDER BY venue_at DESC, booked_at DESC LIMIT 1) AS last
            WHERE p.game_id = \(game.rawValue) AND p.state = 'closed' ORDER BY last.venue_at
            """
        ) { row in
            let team = try row.choice("outcome_team", as: HomeAway.self)
            let takesYes =
                try (row.choice("outcome", as: Outcome.self) == .yes)
                == (row.choice("action", as: Action.self) == .buy)
            // What took YES closed a position in NO.
            return ClosedPosition(
                backs: takesYes ? team.opposite : team, won: try row.bool("won"),
                at: try VenueInstant(microseconds: row.int64("venue_at")))
        }
    }
}
