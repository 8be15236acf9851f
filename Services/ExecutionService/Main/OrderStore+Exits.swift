import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Runtime
import Wire

/// An open position, with what it takes to judge whether to keep it.
struct HeldPosition: Sendable {
    let position: Position
    /// What arbitrages hold of it, in 1/100 contract of YES, below zero of NO.
    let counted: Int64
    let sport: Sport
    let step: PriceStep
    /// Venue time of the first fill since it was flat.
    let openedAt: VenueInstant
    /// The exit that waits or is on its way.
    let exit: Exit?

    struct Exit: Hashable, Sendable {
        let reason: ExitReason
        let limit: Price
        /// An order of it is stored: it runs its course.
        let isSending: Bool

        /// Whether it does what is wanted now: a stop is not left to a take of profit, nor to a limit that was missed.
        func serves(_ wanted: ExitReason, at limit: Price) -> Bool {
            isSending || (reason.priority <= wanted.priority && self.limit <= limit)
        }
    }

    /// How much of it may be sold.
    var free: Quantity { position.free(of: counted) }

    func decide(_ rules: ExitRules, _ price: PriceUpdate?, at now: VenueInstant) -> ExitDecision {
        let book = price.flatMap { price -> (OrderBook, confirmedAt: VenueInstant)? in
            let no = price.yesAsk.flatMap { try? BookLevel(price: $0.price.complement, quantity: $0.quantity) }
            let levels = try? OrderBook(yesBids: price.yesBid.map { [$0] } ?? [], noBids: no.map { [$0] } ?? [])
            return levels.map { ($0, price.at) }
        }
        return rules.decide(
            position, counted: counted, sport: sport, openedAt: openedAt, book: book, step: step, at: now)
    }

    /// Whether something is to be asked for that is not asked for yet.
    func wantsExit(_ rules: ExitRules, _ price: PriceUpdate?, at now: VenueInstant) -> Bool {
        guard case .sell(_, _, let limit, let reason) = decide(rules, price, at: now) else { return false }
        return exit.map { !$0.serves(reason, at: limit) } ?? true
    }
}

/// How exits are asked for.
struct ExitPolicy: Sendable {
    var rules = ExitRules()
    /// How long one waits to be sent, in venue time.
    var life = Duration.seconds(30)
    /// In shadow mode nothing is sold, so each reason is followed once for a position.
    var isShadow = false
}

extension OrderStore {
    /// Whether the position `p` is a leg of an arbitrage that has not ended: its driver sees to it.
    private static let isAtWork: SQL = """
        EXISTS (SELECT FROM intents l JOIN plans USING (plan_id) WHERE l.market_id = p.market_id
            AND plans.state <> 'finished')
        """

    /// What arbitrages hold of a market, in 1/100 contract of YES, below zero of NO: whoever sells it leaves the other
    /// leg alone (CHECKLIST N13).
    ///
    /// Of one whose other market was paid out before its leg was matched, it is the pairs: nobody sees to the rest.
    static func counted(in market: SQL) -> SQL {
        """
        (SELECT coalesce(sum(CASE WHEN l.outcome = 'yes' THEN leg.held ELSE -leg.held END), 0)::int8
            FROM intents l JOIN plans USING (plan_id), LATERAL (
                SELECT CASE WHEN plans.ending = \(PlanEnding.naked) THEN plans.pairs ELSE coalesce(
                        sum(CASE WHEN o.action = 'buy' THEN o.filled ELSE -o.filled END), 0) END AS held
                FROM orders o WHERE o.intent_id = l.intent_id) AS leg
            WHERE l.market_id = \(market))
        """
    }

    /// Every open position that is not all hedged by another, with the exit that waits for it.
    func heldPositions() async throws -> [MarketID: HeldPosition] {
        let rows = try await pool.query(
            """
            SELECT p.*, g.sport, m.price_step, i.exit_reason, i.limit_price, i.state AS intent_state,
                \(Self.counted(in: "p.market_id")) AS counted
            FROM positions p JOIN market_mappings m USING (market_id) JOIN games g ON g.game_id = p.game_id
                LEFT JOIN intents i ON i.market_id = p.market_id AND i.exit_reason IS NOT NULL
                    AND i.state IN ('approved', 'sending')
            WHERE p.state = 'open' AND p.net_quantity <> 0 AND NOT \(Self.isAtWork)
            """)
        let held = try rows.map { (try MarketID($0.text("market_id")), try HeldPosition($0)) }
        return Dictionary(uniqueKeysWithValues: held.filter { !$0.1.free.isZero })
    }

    /// Makes the intent to sell a position, less what pairs count on, when the rules still say so of what is held now.
    ///
    /// Once: while one that serves waits or is on its way there is no other, whoever asks and however often; what was
    /// not sold of it is asked for again. No exposure is reserved, since it can only shrink.
    ///
    /// - Returns: what is to be sent; nil when there is nothing to ask for.
    func askExit(
        of market: MarketID, _ policy: ExitPolicy, price: PriceUpdate, at now: VenueInstant
    ) async throws -> OrderQueue.Item? {
        try await pool.retryingTransaction("exit") { transaction in
            _ = try await account.lock(transaction)
            let waiting = try await liveExit(in: market, transaction)
            let row = try await transaction.first(
                """
                SELECT p.*, g.sport, m.price_step, m.venue, NULL AS exit_reason, a.epoch,
                    \(Self.counted(in: "p.market_id")) AS counted FROM positions p
                    JOIN market_mappings m USING (market_id) JOIN games g ON g.game_id = p.game_id
                    LEFT JOIN assignments a ON a.game_id = p.game_id
                WHERE p.market_id = \(market.rawValue) AND p.state = 'open' AND NOT \(Self.isAtWork)
                FOR UPDATE OF p
                """)
            guard let row else { return nil }
            let held = try HeldPosition(row)
            guard
                case .sell(let outcome, let quantity, let limit, let reason) = held.decide(
                    policy.rules, price, at: now)
            else { return nil }
            if let (stored, exit) = waiting {
                if exit.serves(reason, at: limit) { return nil }
                try await close(stored, as: .expired, reason: "superseded", at: now, transaction)
            }
            if policy.isShadow, try await wasAsked(reason, market, since: held.openedAt, transaction) { return nil }
            let game = try GameID(row.text("game_id"))
            let id = try await insertExit(
                of: market, game, epoch: row.int64OrNil("epoch") ?? 1, outcome, quantity, limit: limit, reason,
                life: policy.life, at: now, transaction)
            try await statistics.add(["exits:\(reason.rawValue)": 1], at: now, transaction)
            try await AuditEntry(
                .exitRequested, intent: id, market: market, game: game,
                details: [
                    "reason": reason.rawValue, "outcome": outcome.rawValue, "quantity": "\(quantity)",
                    "limit": "\(limit)", "cost": "\(held.position.cost)",
                    "yes_bid": price.yesBid.map { "\($0.price)" } ?? "", "price_at": "\(price.at)",
                    "yes_ask": price.yesAsk.map { "\($0.price)" } ?? "",
                ]
            ).write(transaction)
            return OrderQueue.Item(
                intent: id, account: try row.text("venue"), markets: [market], priority: reason.priority)
        }
    }

    private func liveExit(
        in market: MarketID, _ transaction: PostgresTransaction
    ) async throws -> (StoredIntent, HeldPosition.Exit)? {
        let row = try await transaction.first(
            """
            SELECT intent_id, exit_reason, limit_price, state AS intent_state FROM intents
            WHERE market_id = \(market.rawValue) AND exit_reason IS NOT NULL AND state IN ('approved', 'sending')
            FOR UPDATE
            """)
        guard let row, let exit = try HeldPosition.Exit(row) else { return nil }
        let key = try StoredIntent.Key.intent(IntentID(row.text("intent_id")))
        let stored: StoredIntent? = try await transaction.ask(key.locked)
        return stored.map { ($0, exit) }
    }

    private func wasAsked(
        _ reason: ExitReason, _ market: MarketID, since openedAt: VenueInstant, _ transaction: PostgresTransaction
    ) async throws -> Bool {
        try await transaction.first(
            """
            SELECT 1 AS one FROM intents WHERE market_id = \(market.rawValue) AND exit_reason = \(reason.rawValue)
                AND venue_expires_at > \(openedAt.microseconds) LIMIT 1
            """) != nil
    }

    /// Its name follows from the market and from how many there were before, so that it is made once.
    ///
    /// Its signal is stored with it, so that the version before reads an exit as any other sale (decision 0021): it
    /// says the price for the chance, since no model was asked, and the shard that watches the game.
    private func insertExit(
        of market: MarketID, _ game: GameID, epoch: Int64, _ outcome: Outcome, _ quantity: Quantity, limit: Price,
        _ reason: ExitReason, life: Duration, at now: VenueInstant, _ transaction: PostgresTransaction
    ) async throws -> IntentID {
        // What was adopted may be an exit that we forgot: its name is taken.
        let earlier =
            try await transaction.first(
                """
                SELECT (SELECT count(*) FROM intents
                        WHERE market_id = \(market.rawValue) AND exit_reason IS NOT NULL)
                    + (SELECT count(*) FROM signals
                        WHERE market_id = \(market.rawValue) AND kind = \(AdoptionRequest.signalKind)) AS count
                """)?.int64("count") ?? 0
        let id = IntentID(
            stringLiteral: UUIDv5.make(namespace: .dns, name: "\(earlier).\(market).exit.linesman"))
        let trace: SQL = """
            coalesce((SELECT trace FROM intents WHERE market_id = \(market.rawValue)
                ORDER BY created_at DESC LIMIT 1), '')
            """
        let until = now.advanced(by: life).microseconds
        try transaction.enqueue(
            """
            INSERT INTO signals (signal_id, game_id, market_id, shard, epoch, kind, outcome, model_probability, price,
                edge_basis_points, venue_created_at, venue_expires_at, trace, verdict)
            VALUES (\(id.rawValue), \(game.rawValue), \(market.rawValue),
                coalesce((SELECT shard FROM assignments WHERE game_id = \(game.rawValue)), 'execution-service'),
                \(epoch), \(reason.rawValue), \(outcome.rawValue), \(Double(limit.tenThousandths) / 10_000),
                \(limit.tenThousandths), 0, \(now.microseconds), \(until), \(trace), 'approved')
            """)
        try await transaction.execute(
            """
            INSERT INTO intents (intent_id, signal_id, game_id, market_id, epoch, outcome, action, limit_price,
                quantity, venue_expires_at, expires_at, exit_reason, trace)
            VALUES (\(id.rawValue), \(id.rawValue), \(game.rawValue), \(market.rawValue), \(epoch),
                \(outcome.rawValue), 'sell', \(limit.tenThousandths), \(quantity.hundredths), \(until),
                now() + make_interval(secs => \(life.inSeconds)), \(reason.rawValue), \(trace))
            """)
        return id
    }
}

extension HeldPosition {
    /// Reads a row of `positions`, with `sport`, `price_step`, `counted` and the exit that waits.
    init(_ row: Row) throws {
        position = try Position(
            market: MarketID(row.text("market_id")), netHundredths: row.int64("net_quantity"),
            cost: Money(microdollars: row.int64("cost")), realised: Money(microdollars: row.int64("realised")),
            fees: Money(microdollars: row.int64("fees")))
        counted = try row.int64("counted")
        sport = try row.choice("sport")
        step = try row.choice("price_step")
        openedAt = try row.int64OrNil("opened_at").map { try VenueInstant(microseconds: $0) } ?? .epoch
        exit = try Exit(row)
    }
}

extension HeldPosition.Exit {
    init?(_ row: Row) throws {
        guard let name = try row.textOrNil("exit_reason"), let reason = ExitReason(rawValue: name) else { return nil }
        self.reason = reason
        limit = try Price(tenThousandths: row.int64("limit_price"))
        isSending = try row.text("intent_state") == "sending"
    }
}
