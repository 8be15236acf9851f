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
    /// One round trip for all, and the account's lock comes first: who waits for it reads what the one before left. It
    /// is asked for ahead, and the server takes it while the rest is put together.
    func view<More>(
        for subject: PortfolioSubject, and more: PostgresQuestion<More>, at now: VenueInstant
    ) async throws -> (More, PortfolioView) {
        let cash = transaction.ahead(account.locked)
        let (answer, facts, teams, holdings, closed, spendable, positions) = try await transaction.ask(
            more, facts(of: subject, at: now), teams(of: subject), holdings(in: subject.game),
            closedPositions(in: subject.game), VenueBalances(account).spendable, openPositions)
        var view = PortfolioView()
        (view.cash, view.killSwitch, view.epoch, view.marketTeams) = (try cash(), facts.killSwitch, facts.epoch, teams)
        (view.reserved, view.openCost) = (facts.reserved, facts.openCost)
        (view.gameExposure, view.sportExposure) = (facts.game, facts.sport)
        (view.marketExposure, view.availableAt, view.paySameTerms) = (facts.markets, spendable, facts.paySameTerms)
        (view.holdings, view.closed) = (holdings, closed)
        // Within the last minute: those still count as positions.
        view.recentlyClosed = closed.count { $0.at.duration(to: now) < .seconds(60) }
        view.dailyProfit = facts.dailyProfit
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

    /// What is one number or one row each, asked in one statement.
    private struct Facts: Sendable {
        var killSwitch = KillSwitchState.unknown
        /// Of the owner that may trade the game; nil when the sender is not it.
        var epoch: Epoch?
        var reserved = Money.zero
        var openCost = Money.zero
        var game = Money.zero
        var sport = Money.zero
        var markets: [MarketID: Money] = [:]
        var paySameTerms = false
        var dailyProfit = Money.zero
    }

    /// Only the owner that is meant to watch the game may trade it, under its own epoch, and of several processes of
    /// its name only the one that claimed it last; a shard of a build without claims has none.
    ///
    /// The rows are locked in the order in which they stand.
    private func facts(of subject: PortfolioSubject, at now: VenueInstant) -> PostgresQuestion<Facts> {
        // One by one: what is asked about a list of unknown length is planned anew each time.
        let first = subject.markets[0]
        let second = subject.markets.last { $0 != first }
        return .first(
            """
            WITH held AS (
                SELECT market_id, game_id, sport, amount - released AS amount, 0::int8 AS cost FROM reservations
                WHERE state = 'held'
                UNION ALL
                SELECT p.market_id, p.game_id, g.sport, 0, p.cost FROM positions p JOIN games g USING (game_id)
                WHERE p.state = 'open')
            SELECT \(KillSwitchStore.engaged) AS engaged,
                (SELECT incarnation FROM shard_lives WHERE shard = \(subject.shard.rawValue) FOR SHARE) AS incarnation,
                (SELECT epoch FROM assignments WHERE game_id = \(subject.game.rawValue)
                    AND shard = \(subject.shard.rawValue) AND state = 'assigned' FOR SHARE) AS epoch,
                \(statistics.netSum(account, at: now)) AS net, \(sameTerms(of: subject)) AS same,
                coalesce(sum(amount), 0)::int8 AS reserved, coalesce(sum(cost), 0)::int8 AS open_cost,
                coalesce(sum(amount + cost) FILTER (WHERE game_id = \(subject.game.rawValue)), 0)::int8 AS game,
                coalesce(sum(amount + cost) FILTER (WHERE sport = \(subject.sport.rawValue)), 0)::int8 AS sport,
                \(exposure(of: first)) AS first, \(second.map(exposure(of:)) ?? "NULL::int8") AS second
            FROM held
            """
        ) { [sender] row in
            var facts = Facts()
            guard let row else { return facts }
            facts.killSwitch = KillSwitchStore.state(engaged: try row.boolOrNil("engaged"))
            let life = try row.textOrNil("incarnation")
            if sender == nil || life == nil || life == sender?.rawValue {
                facts.epoch = try row.int64OrNil("epoch").map { try Epoch($0) }
            }
            facts.reserved = try Money(microdollars: row.int64("reserved"))
            facts.openCost = try Money(microdollars: row.int64("open_cost"))
            facts.game = try Money(microdollars: row.int64("game"))
            facts.sport = try Money(microdollars: row.int64("sport"))
            for (market, column) in [(first, "first"), (second, "second")] {
                let exposure = try Money(microdollars: row.int64OrNil(column) ?? 0)
                if let market, exposure != .zero { facts.markets[market] = exposure }
            }
            facts.paySameTerms = try row.bool("same")
            facts.dailyProfit = try Money(microdollars: row.int64("net"))
            return facts
        }
    }

    /// Of what is `held`, that in one market; whatever a plan still has may be spent in either of its markets.
    private func exposure(of market: MarketID) -> SQL {
        """
        (coalesce(sum(amount + cost) FILTER (WHERE market_id = \(market.rawValue)), 0)
            + coalesce((SELECT sum(r.amount - r.released) FROM plans p JOIN intents i ON i.plan_id = p.plan_id
                JOIN reservations r ON r.reservation_id = p.reservation_id
                WHERE p.state <> 'finished' AND r.state = 'held' AND i.market_id <> r.market_id
                    AND i.market_id = \(market.rawValue)), 0))::int8
        """
    }

    /// One venue asks one question about a game under one event; across venues only what a person has compared counts
    /// (PITFALLS 8, row 24).
    private func sameTerms(of subject: PortfolioSubject) -> SQL {
        // Nothing to compare on one bet.
        guard let first = subject.markets.min(), let last = subject.markets.max(), first != last else { return "true" }
        return """
            (SELECT count(DISTINCT (venue, event_ticker)) = 1 OR EXISTS (SELECT FROM same_terms
                    WHERE first_market = \(first.rawValue) AND second_market = \(last.rawValue))
                FROM market_mappings WHERE market_id IN (\(first.rawValue), \(last.rawValue)))
            """
    }

    /// One for each intent that may still trade, and for each whose fills are an open position.
    ///
    /// The latter are found by their orders, of which a market has a few, and not among all intents of the game.
    private func holdings(in game: GameID) -> PostgresQuestion<[Holding]> {
        PostgresQuestion(
            """
            SELECT market_id, traded.outcome, m.outcome_team, is_leg, count(*) AS intents FROM (
                SELECT intent_id, market_id, outcome, false AS is_leg FROM intents
                WHERE game_id = \(game.rawValue) AND action = 'buy' AND state IN ('approved', 'sending')
                UNION SELECT i.intent_id, i.market_id, i.outcome, true FROM plans p JOIN intents i USING (plan_id)
                WHERE p.state <> 'finished' AND i.game_id = \(game.rawValue) AND i.action = 'buy'
                UNION SELECT o.intent_id, o.market_id, o.outcome,
                    coalesce(l.state <> 'finished' OR l.pairs > 0, false)
                FROM positions p JOIN orders o USING (market_id) JOIN intents i USING (intent_id)
                    LEFT JOIN plans l USING (plan_id)
                WHERE p.game_id = \(game.rawValue) AND p.state = 'open' AND p.net_quantity <> 0
                    AND o.filled > 0 AND o.action = 'buy') AS traded
                JOIN market_mappings m USING (market_id)
            GROUP BY market_id, traded.outcome, m.outcome_team, is_leg
            """
        ) { rows in
            var holdings: [Holding] = []
            for row in rows {
                let team = try row.choice("outcome_team", as: HomeAway.self)
                let outcome = try row.choice("outcome", as: Outcome.self)
                let holding = Holding(
                    market: try MarketID(row.text("market_id")), backs: outcome == .yes ? team : team.opposite,
                    isLeg: try row.bool("is_leg"))
                holdings += Array(repeating: holding, count: try row.int("intents"))
            }
            return holdings
        }
    }

    /// Positions that were closed before the game's end; the last fill of one is its close.
    ///
    /// A position may be opened and closed several times: it was won or lost by what it has brought since it was flat
    /// before, and not by all that its market ever brought.
    private func closedPositions(in game: GameID) -> PostgresQuestion<[ClosedPosition]> {
        .each(
            """
            SELECT m.outcome_team, last.outcome, last.action, last.venue_at, p.realised - p.fees > coalesce((
                SELECT brought FROM (
                    SELECT number, sum(taken) OVER booked AS net,
                        sum(-taken * yes_price - fee) OVER booked AS brought
                    FROM (SELECT number, fee, CASE WHEN outcome = 'yes' THEN price ELSE 10000 - price END AS yes_price,
                            CASE WHEN (outcome = 'yes') = (action = 'buy') THEN quantity ELSE -quantity END AS taken
                        FROM fills f WHERE f.market_id = p.market_id AND f.standing <> 'reversed') AS fill
                    WINDOW booked AS (ORDER BY number)) AS after
                WHERE net = 0 ORDER BY number DESC OFFSET 1 LIMIT 1), 0) AS won
            FROM positions p JOIN market_mappings m USING (market_id) CROSS JOIN LATERAL (
                SELECT outcome, action, venue_at FROM fills f
                WHERE f.market_id = p.market_id AND f.standing <> 'reversed'
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
