import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Runtime
import Wire

/// A plan that this process works on, with everything that it has sent so far.
struct HeldPlan: Sendable {
    struct Order: Sendable {
        let leg: LegOrder
        let record: OrderRecord
        /// Nil while its fate is not certain.
        let answer: LegAnswer?
        /// How long ago that became certain, by the database's time.
        let closedFor: Duration
    }

    let approved: ApprovedPlan
    /// By number, from 1 on.
    let orders: [Order]

    /// For how long a leg has stood alone: since the order that made it so.
    var alone: Duration { LegPlan.alone(after: orders.map { ($0.leg, $0.answer, $0.closedFor) }) }
}

/// What PostgreSQL says about a plan at one look.
struct PlanLook: Sendable {
    var killSwitch: KillSwitchState
    /// Past its bound in the database's own time.
    var hasExpired: Bool
    /// Markets of the plan in which somebody else has an order.
    var busy: Set<MarketID>
    /// Markets of the plan that are paid out.
    var ended: Set<MarketID>
}

enum LegClaim: Sendable {
    /// May be sent.
    case stored(OrderRecord)
    case refused(String)
    /// Not yet: the account has used up what it may ask of its venue.
    case waits(String)
    /// Another process works on the plan.
    case lost
}

/// The words for how a plan ended that are no outcome of its own.
enum PlanEnding {
    /// A market was paid out before its leg was matched.
    static let naked = "naked"
}

/// Plans of two legs in PostgreSQL (decision 0049); locks as in `OrderStore`, with the plan before its intents.
extension OrderStore {
    /// Whether a plan `p` wants work: it has not ended, or an order that was given up has traded after all.
    private static let wantsWork: SQL = """
        (p.state <> 'finished' OR (finished_at > now() - interval '1 day' AND ending <> \(PlanEnding.naked) AND (
            SELECT sum(CASE WHEN (i.leg = 1) = (o.action = 'buy') THEN o.filled ELSE -o.filled END)
            FROM intents i JOIN orders o USING (intent_id) WHERE i.plan_id = p.plan_id) <> 0))
        """

    /// Plans that nobody works on, the oldest first.
    func waitingPlans(limit: Int) async throws -> [IntentID] {
        try await pool.query(
            """
            SELECT plan_id FROM plans p WHERE (held_until IS NULL OR held_until < now()) AND \(Self.wantsWork)
            ORDER BY created_at, plan_id LIMIT \(limit)
            """
        ).map { try IntentID($0.text("plan_id")) }
    }

    /// Makes a plan this process' for a lease; nil when it is another's, when it has ended since it was found waiting,
    /// or when its markets are another plan's.
    func takePlan(_ id: IntentID, for holder: String, lease: Duration) async throws -> HeldPlan? {
        try await pool.retryingTransaction("take plan") { transaction in
            _ = try await account.lock(transaction)
            let row = try await transaction.first(
                """
                SELECT approved, expires_at <= now() AS has_expired, EXISTS (
                    SELECT FROM intents mine JOIN intents others ON others.market_id = mine.market_id
                        AND others.plan_id <> mine.plan_id JOIN plans o ON o.plan_id = others.plan_id
                    WHERE mine.plan_id = p.plan_id AND o.state = 'working') AS is_shut_out
                FROM plans p WHERE plan_id = \(id.rawValue)
                    AND (held_until IS NULL OR held_until < now() OR holder = \(holder)) AND \(Self.wantsWork)
                FOR UPDATE OF p
                """)
            guard let row else { return nil }
            let orders = try await planOrders(id, transaction)
            // What has begun goes on whatever happens; what has not may wait as long as it lives.
            if try orders.isEmpty && row.bool("is_shut_out") && !row.bool("has_expired") { return nil }
            try await transaction.execute(
                """
                UPDATE plans SET state = 'working', holder = \(holder),
                    held_until = now() + make_interval(secs => \(lease.inSeconds)) WHERE plan_id = \(id.rawValue)
                """)
            return HeldPlan(approved: try row.json("approved"), orders: orders)
        }
    }

    func planOrders(_ id: IntentID, _ transaction: PostgresTransaction) async throws -> [HeldPlan.Order] {
        try await transaction.query(
            """
            SELECT o.*, i.leg, f.traded, f.value, f.fees,
                coalesce((extract(epoch FROM now() - o.closed_at) * 1000000)::int8, 0) AS closed_for
            FROM orders o JOIN intents i USING (intent_id),
                LATERAL (SELECT coalesce(sum(quantity), 0)::int8 AS traded,
                    coalesce(sum(price * quantity), 0)::int8 AS value, coalesce(sum(fee), 0)::int8 AS fees
                    FROM fills WHERE order_id = o.order_id AND standing <> 'reversed') AS f
            WHERE i.plan_id = \(id.rawValue) ORDER BY o.attempt
            """
        ).map { row in
            let record = try OrderRecord(row)
            let order = LegOrder(
                number: record.attempt, leg: try row.int("leg") - 1, purpose: try row.choice("purpose"),
                market: record.request.market, venue: try row.choice("venue"), outcome: record.request.outcome,
                action: record.request.action, limit: record.request.limit, quantity: record.request.quantity)
            return HeldPlan.Order(
                leg: order, record: record, answer: try record.state.isTerminal ? .init(row) : nil,
                closedFor: .microseconds(try row.int64("closed_for")))
        }
    }

    /// What an order of a plan came to.
    func answer(of order: OrderID) async throws -> LegAnswer {
        let row = try await pool.first(
            """
            SELECT coalesce(sum(quantity), 0)::int8 AS traded, coalesce(sum(price * quantity), 0)::int8 AS value,
                coalesce(sum(fee), 0)::int8 AS fees FROM fills
            WHERE order_id = \(order.rawValue) AND standing <> 'reversed'
            """)
        return try row.map { try LegAnswer($0) } ?? .nothing
    }

    func order(_ id: OrderID) async throws -> OrderRecord? {
        try await pool.first("SELECT * FROM orders WHERE order_id = \(id.rawValue)").map { try OrderRecord($0) }
    }

    /// Renews the lease and reads what stands in the plan's way; nil when it is another process' plan by now.
    func lookAfter(_ id: IntentID, for holder: String, lease: Duration) async throws -> PlanLook? {
        let row = try await pool.first(
            """
            WITH held AS (
                UPDATE plans SET held_until = now() + make_interval(secs => \(lease.inSeconds))
                WHERE plan_id = \(id.rawValue) AND holder = \(holder) AND state = 'working'
                RETURNING expires_at <= now() AS has_expired)
            SELECT has_expired, (SELECT engaged FROM kill_switch WHERE id = 1) AS engaged,
                (SELECT \(KillSwitchStore.reduceOnly) FROM kill_switch WHERE id = 1) AS reduce_only,
                (SELECT coalesce(jsonb_agg(DISTINCT o.market_id), '[]') FROM orders o JOIN intents i USING (intent_id)
                    WHERE o.state IN ('stored', 'sent', 'unknown', 'resting')
                        AND i.plan_id IS DISTINCT FROM \(id.rawValue) AND o.market_id IN (
                            SELECT market_id FROM intents WHERE plan_id = \(id.rawValue))) AS busy,
                (SELECT coalesce(jsonb_agg(DISTINCT m.market_id), '[]') FROM market_mappings m
                    WHERE m.status IN ('settled', 'voided') AND m.market_id IN (
                        SELECT market_id FROM intents WHERE plan_id = \(id.rawValue))) AS ended
            FROM held
            """)
        return try row.map { row in
            PlanLook(
                killSwitch: KillSwitchStore.state(
                    engaged: try row.boolOrNil("engaged"), reduceOnly: try row.boolOrNil("reduce_only") ?? false),
                hasExpired: try row.bool("has_expired"),
                busy: Set(try row.json("busy", as: [MarketID].self)),
                ended: Set(try row.json("ended", as: [MarketID].self)))
        }
    }

    /// Stores an order of a plan under its venue key before anything is sent, if it may be sent.
    func claimLeg(
        _ order: LegOrder, of plan: ApprovedPlan, for holder: String, safeguards: Safeguards, seen: VenueReadings,
        at now: VenueInstant
    ) async throws -> LegClaim {
        try await pool.retryingTransaction("claim leg") { transaction in
            let key = StoredIntent.Key(
                sql: "(SELECT intent_id FROM intents WHERE plan_id = \(plan.id.rawValue) AND leg = \(order.leg + 1))")
            let (cash, killSwitch, found, legs, figures, others) = try await transaction.ask(
                account.locked, KillSwitchStore.question, standing(of: plan.id, for: holder, in: order.market),
                legs(of: plan.id), figures(key, seen.balance, at: now), heldByOthers(besides: plan.id))
            // Its number is free as long as nobody else has sent one for the plan.
            guard let standing = found, standing.orders == order.number - 1, legs.indices.contains(order.leg) else {
                return .lost
            }
            if standing.isBusy { return .refused("market_busy") }
            let hasExpired = standing.hasExpired || plan.signal.expiresAt <= now
            if order.purpose == .enter, hasExpired { return .refused("expired") }
            let leg = legs[order.leg]
            var context = sendContext(leg, cash: cash, figures, seen, at: now)
            context.killSwitch = killSwitch
            context.step = leg.step
            context.heldByOthers = others
            if let reason = safeguards.refusal(of: order, in: plan, context) { return .refused(reason.rawValue) }
            if case .wait? = try await budget?.take(.order, at: order.venue, transaction) { return .waits("budget") }
            return .stored(try await insert(order, of: plan, leg, at: now, transaction))
        }
    }

    private struct PlanStanding: Sendable {
        /// Past its bound in the database's own time.
        let hasExpired: Bool
        /// That it has stored so far.
        let orders: Int
        /// Whether somebody has an order in the market.
        let isBusy: Bool
    }

    /// Locks the plan; nil when it is another process', or has ended.
    private func standing(
        of plan: IntentID, for holder: String, in market: MarketID
    ) -> PostgresQuestion<PlanStanding?> {
        .first(
            """
            SELECT expires_at <= now() AS has_expired,
                (SELECT count(*) FROM orders JOIN intents USING (intent_id)
                    WHERE intents.plan_id = p.plan_id) AS orders,
                EXISTS (SELECT FROM orders WHERE market_id = \(market.rawValue)
                    AND state IN ('stored', 'sent', 'unknown', 'resting')) AS is_busy
            FROM plans p WHERE plan_id = \(plan.rawValue) AND holder = \(holder) AND state = 'working' FOR UPDATE
            """
        ) { row in
            try row.map {
                PlanStanding(
                    hasExpired: try $0.bool("has_expired"), orders: try $0.int("orders"),
                    isBusy: try $0.bool("is_busy"))
            }
        }
    }

    /// Both legs' intents, locked, in their order.
    private func legs(of plan: IntentID) -> PostgresQuestion<[StoredIntent]> {
        .each(
            """
            SELECT i.*, g.sport, m.venue, m.price_step, i.expires_at <= now() AS has_expired, 0::int8 AS counted,
                s.venue_created_at AS signalled_at
            FROM intents i JOIN signals s USING (signal_id) JOIN games g ON g.game_id = i.game_id
                JOIN market_mappings m ON m.market_id = i.market_id
            WHERE i.plan_id = \(plan.rawValue) ORDER BY i.leg FOR UPDATE OF i
            """
        ) { try StoredIntent($0) }
    }

    /// What the plan's markets hold that is not its own.
    private func heldByOthers(besides plan: IntentID) -> PostgresQuestion<[MarketID: Int64]> {
        PostgresQuestion(
            """
            SELECT p.market_id, (p.net_quantity - (SELECT coalesce(
                    sum(CASE WHEN (o.outcome = 'yes') = (o.action = 'buy') THEN o.filled ELSE -o.filled END), 0)
                FROM orders o JOIN intents i USING (intent_id)
                WHERE i.plan_id = \(plan.rawValue) AND o.market_id = p.market_id))::int8 AS others
            FROM positions p WHERE p.state <> 'settled'
                AND p.market_id IN (SELECT market_id FROM intents WHERE plan_id = \(plan.rawValue))
            """
        ) { rows in
            try rows.reduce(into: [:]) { $0[try MarketID($1.text("market_id"))] = try $1.int64("others") }
        }
    }

    func reservation(of plan: IntentID) -> PostgresQuestion<ReservationRecord?> {
        .first(
            """
            SELECT reservation_id, amount, released, state FROM reservations
            WHERE reservation_id = (SELECT reservation_id FROM plans WHERE plan_id = \(plan.rawValue)) FOR UPDATE
            """
        ) { try $0.map { try ReservationRecord($0) } }
    }

    private func insert(
        _ order: LegOrder, of plan: ApprovedPlan, _ leg: StoredIntent, at now: VenueInstant,
        _ transaction: PostgresTransaction
    ) async throws -> OrderRecord {
        let record = OrderRecord(
            request: try OrderRequest(
                id: .derived(from: plan.id, attempt: order.number), market: order.market, outcome: order.outcome,
                action: order.action, limit: order.limit, quantity: order.quantity, timeInForce: .immediateOrCancel),
            intent: leg.intent.id, attempt: order.number)
        try transaction.enqueue(
            """
            INSERT INTO orders (order_id, intent_id, attempt, venue, market_id, outcome, action, limit_price, quantity,
                venue_at, reduces, account, purpose)
            VALUES (\(record.request.id.rawValue), \(leg.intent.id.rawValue), \(order.number),
                \(order.venue.rawValue), \(order.market.rawValue), \(order.outcome.rawValue),
                \(order.action.rawValue), \(order.limit.tenThousandths), \(order.quantity.hundredths),
                \(now.microseconds), \(order.purpose != .enter), \(account.name),
                \(order.purpose.rawValue))
            """)
        try await AuditEntry(
            .orderStored, intent: leg.intent.id, order: record.request.id, market: order.market,
            game: plan.signal.game,
            details: [
                "plan": plan.id.rawValue, "number": "\(order.number)", "purpose": order.purpose.rawValue,
                "action": order.action.rawValue, "limit": "\(order.limit)", "quantity": "\(order.quantity)",
            ]
        ).write(transaction)
        return record
    }

    /// Ends a plan, once, and what is left of its reservation.
    ///
    /// `ending` is the outcome's, or `PlanEnding.naked`; `refusal` says why nothing more was entered, nil when the time
    /// was over or all was bought. False when another process works on it by now.
    func finishPlan(
        _ plan: ApprovedPlan, for holder: String, _ outcome: LegPlanOutcome, ending: String, refusal: String?,
        at now: VenueInstant
    ) async throws -> Bool {
        try await pool.retryingTransaction("finish plan") { transaction in
            let trace = PostgresQuestion<String?>.first(
                """
                SELECT trace FROM plans WHERE plan_id = \(plan.id.rawValue) AND holder = \(holder)
                    AND state = 'working' FOR UPDATE
                """
            ) { try $0?.text("trace") }
            let (_, found, reservation) = try await transaction.ask(account.locked, trace, reservation(of: plan.id))
            guard let trace = found else { return false }
            try await end(plan, outcome, ending: ending, reservation, trace: trace, refusal, at: now, transaction)
            return true
        }
    }

    /// Writes how a plan ended, which its caller has locked.
    func end(
        _ plan: ApprovedPlan, _ outcome: LegPlanOutcome, ending: String, _ reservation: ReservationRecord?,
        trace: String, _ refusal: String?, at now: VenueInstant, _ transaction: PostgresTransaction
    ) async throws {
        if var reservation {
            reservation.close()
            try reservation.write(transaction)
        }
        let naked = outcome.nakedFor.wholeMilliseconds
        try transaction.enqueue(
            """
            UPDATE plans SET state = 'finished', holder = NULL, held_until = NULL, ending = \(ending),
                pairs = \(outcome.pairs.hundredths), result = \(outcome.result.microdollars),
                naked_milliseconds = greatest(naked_milliseconds, \(naked)), finished_at = now()
            WHERE plan_id = \(plan.id.rawValue)
            """)
        try await statistics.add(["plans": 1, "plans:\(ending)": 1], at: now, transaction)
        let result = PlanResult(
            plan: plan.id, game: plan.signal.game, ending: ending, pairs: outcome.pairs, result: outcome.result,
            nakedMilliseconds: naked, orders: outcome.orders)
        try await OutboxStore.append(
            result, on: Channels.planResults, key: plan.signal.game.rawValue,
            trace: try? TraceID(trace), in: transaction)
        try await AuditEntry(
            .planFinished, intent: plan.id, game: plan.signal.game,
            details: [
                "ending": ending, "pairs": "\(outcome.pairs)", "of": "\(plan.quantity)",
                "result": "\(outcome.result)", "naked_ms": "\(naked)", "orders": "\(outcome.orders)",
                "reason": refusal ?? "",
            ]
        ).write(transaction)
    }

    /// Leaves a trace of what a plan alerted.
    func recordPlan(_ plan: ApprovedPlan, _ event: AuditEvent, _ details: [String: String]) async throws {
        try await pool.retryingTransaction("plan event") { transaction in
            try await AuditEntry(event, intent: plan.id, game: plan.signal.game, details: details).write(transaction)
        }
    }
}

extension LegAnswer {
    /// Reads sums over an order's fills.
    fileprivate init(_ row: Row) throws {
        self.init(
            filled: try Quantity(hundredths: row.int64("traded")),
            value: try Money(microdollars: row.int64("value")), fees: try Money(microdollars: row.int64("fees")))
    }
}
