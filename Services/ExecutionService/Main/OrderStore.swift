import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Runtime
import Wire

/// An intent whose order is stored and may be sent.
struct ClaimedOrder: Sendable {
    let intent: ApprovedIntent
    let order: OrderRecord
    /// Whether it could only make a position smaller when it was stored.
    let reduces: Bool
    let trace: TraceID?
}

/// What came of the look at an intent.
struct IntentClaim: Sendable {
    /// What may pass within the intent's life: until then it waits, with its reservation.
    struct HeldBack: Sendable {
        let intent: ApprovedIntent
        let by: SendRefusal
    }

    let decision: SendDecision
    /// Of a decision to send.
    var claimed: ClaimedOrder?
    /// Of a decision to wait, where it is a safeguard that says so.
    var heldBack: HeldBack?
}

/// An order that has not ended, with what its intent says.
struct OpenOrder: Sendable {
    let record: OrderRecord
    let intentExpiresAt: VenueInstant
    /// Of a plan, whose driver sees to it.
    let isPartOfPlan: Bool
}

/// The order path in PostgreSQL: every change is one transaction under the account's lock.
///
/// Locks are taken in one order: account, kill switch, intent, order, reservation, position.
struct OrderStore: Sendable {
    let pool: PostgresPool
    let account: TradingAccount
    let statistics: DailyStatistics
    /// Of fills when they are first told.
    var fillStanding = FillStanding.confirmed
    /// How much of a trade's profit is put aside, in percent.
    var savedPercent: Int64 = 50
    /// What the account may ask of the venue; nil where nobody counts.
    var budget: BudgetStore?
    /// For what is told to people.
    var wall = WallClock.real

    /// The latest venue time that signals and orders were stored with; nil when there are none.
    func latestVenueTime() async throws -> VenueInstant? {
        let row = try await pool.first(
            """
            SELECT greatest((SELECT max(venue_created_at) FROM signals), (SELECT max(venue_at) FROM orders)) AS at
            """)
        return try row?.int64OrNil("at").map { try VenueInstant(microseconds: $0) }
    }

    // MARK: Work

    /// What there is to do: `openOrders` and `waiting` at one look.
    func work() async throws -> (open: [OpenOrder], waiting: [OrderQueue.Item]) {
        let (open, waiting) = try await pool.ask(open, items)
        return (open, waiting)
    }

    /// Intents that nobody has taken, and those whose next attempt has not been made, at most 1,000 at a time.
    ///
    /// Exits come first; then the oldest of each market, then the second of each, so that no market's many keep
    /// another's one out (CHECKLIST N33).
    func waiting() async throws -> [OrderQueue.Item] { try await pool.ask(items) }

    private var items: PostgresQuestion<[OrderQueue.Item]> {
        .each(
            """
            SELECT i.intent_id, i.market_id, i.action, i.exit_reason, m.venue, s.kind LIKE '%\\_arb' AS is_arbitrage
            FROM intents i JOIN market_mappings m USING (market_id) LEFT JOIN signals s USING (signal_id)
            WHERE i.state = 'approved' OR (i.state = 'sending' AND NOT EXISTS (
                SELECT FROM orders o WHERE o.intent_id = i.intent_id
                    AND NOT (o.state = 'rejected' AND o.reason IS NOT DISTINCT FROM \(OrderRecord.notAccepted))))
            ORDER BY i.exit_reason IS DISTINCT FROM 'stop_loss', i.action <> 'sell',
                row_number() OVER (PARTITION BY i.market_id, i.action ORDER BY i.created_at, i.intent_id),
                i.created_at, i.intent_id
            LIMIT 1000
            """
        ) { row in
            let exit = try row.textOrNil("exit_reason").flatMap { ExitReason(rawValue: $0) }
            let entry: OrderPriority = try row.boolOrNil("is_arbitrage") == true ? .arbitrage : .entry
            let priority = try exit?.priority ?? (row.text("action") == "sell" ? .takeProfit : entry)
            return OrderQueue.Item(
                intent: try IntentID(row.text("intent_id")), account: try row.text("venue"),
                markets: [try MarketID(row.text("market_id"))], priority: priority)
        }
    }

    /// Orders that have not ended, oldest first.
    func openOrders() async throws -> [OpenOrder] { try await pool.ask(open) }

    private var open: PostgresQuestion<[OpenOrder]> {
        .each(
            """
            SELECT o.order_id, o.intent_id, o.attempt, o.venue_order_id, o.market_id, o.outcome, o.action,
                o.limit_price, o.quantity, o.filled, o.state, o.reason, i.venue_expires_at,
                i.plan_id IS NOT NULL AS is_part_of_plan
            FROM orders o JOIN intents i USING (intent_id)
            WHERE o.state IN ('stored', 'sent', 'unknown', 'resting') ORDER BY o.stored_at, o.order_id LIMIT 1000
            """
        ) { row in
            OpenOrder(
                record: try OrderRecord(row),
                intentExpiresAt: try VenueInstant(microseconds: row.int64("venue_expires_at")),
                isPartOfPlan: try row.bool("is_part_of_plan"))
        }
    }

    // MARK: Taking an intent

    /// What is decided about an intent, and done: its order is stored, or it has ended, or it waits.
    ///
    /// `marking` says whether the order is marked as sent in the same transaction, because it will be at once.
    /// Everything is read in one round trip and written in another, together with COMMIT.
    func claim(
        _ id: IntentID, engine: ExecutionServiceEngine, seen: VenueReadings, marking: Bool = false, at now: VenueInstant
    ) async throws -> IntentClaim {
        try await pool.retryingTransaction("claim intent") { transaction in
            let key = StoredIntent.Key.intent(id)
            let (cash, killSwitch, found, earlier, reservation, held, figures, busy) = try await transaction.ask(
                account.locked, KillSwitchStore.question, key.locked, orders(of: id), key.reservation, key.position,
                figures(key, seen.balance, at: now), busy(key))
            guard var stored = found, !stored.state.isTerminal else { return IntentClaim(decision: .wait) }
            stored.reservation = reservation
            let intent = stored.intent
            let position = held ?? Position(market: intent.market)
            let reduces = position.isReduced(by: intent, counted: stored.counted)
            var context = sendContext(stored, cash: cash, figures, seen, at: now)
            context.killSwitch = killSwitch
            context.step = stored.step
            context.counts = CountStep(provenBy: position)
            var decision = engine.decide(
                intent, earlier: earlier, position: position, counted: stored.counted, context, at: now)
            if stored.hasExpiredHere, decision != .wait { decision = .expire }
            switch decision {
            case .wait: return IntentClaim(decision: .wait)
            case .expire:
                try await close(stored, as: .expired, reason: "expired", at: now, transaction)
                return IntentClaim(decision: .expire)
            case .refuse(let refusal) where refusal.passes(reduces: reduces):
                return IntentClaim(decision: .wait, heldBack: .init(intent: intent, by: refusal))
            case .refuse(let refusal):
                try await close(stored, as: .refused, reason: refusal.rawValue, at: now, transaction)
                return IntentClaim(decision: decision)
            case .send(let attempt):
                if busy.contains(where: { !$0.permits(intent, reduces: reduces) }) {
                    return IntentClaim(decision: .wait)
                }
                if case .wait? = try await budget?.take(.order, at: intent.venue, transaction) {
                    return IntentClaim(decision: .wait)
                }
                let before = OrderBooking(
                    order: try order(of: intent, attempt: attempt), reservation: reservation, position: position,
                    intent: .sending, knownFills: [])
                var booking = before
                if marking { booking.apply(.sent) }
                let entry = try insert(booking.order, stored, reduces: reduces, at: now, transaction)
                // The server stores it while the rest is put together.
                transaction.push()
                if marking {
                    try await write(booking, before, stored, [], following: entry, at: now, transaction)
                } else {
                    try await entry.write(transaction)
                }
                return IntentClaim(
                    decision: decision,
                    claimed: ClaimedOrder(
                        intent: intent, order: booking.order, reduces: reduces, trace: stored.trace))
            }
        }
    }

    /// An order that is open in the market.
    private struct BusyOrder: Sendable {
        let state: OrderState
        let outcome: Outcome
        let action: Action

        /// An exit does not wait for a purchase of what it sells whose answer was lost (CHECKLIST H2): the more of it
        /// trades, the more is held.
        func permits(_ intent: ApprovedIntent, reduces: Bool) -> Bool {
            reduces && intent.action == .sell && state == .unknown && action == .buy && outcome == intent.outcome
        }
    }

    /// One order at a time in a market (CHECKLIST H28): two exits of one position would open the other side.
    ///
    /// The lock is the open order itself, so every path that ends the order frees it; a plan that is worked on has
    /// both of its markets (decision 0049).
    private func busy(_ key: StoredIntent.Key) -> PostgresQuestion<[BusyOrder]> {
        .each(
            """
            SELECT state, outcome, action FROM orders WHERE market_id = \(key.market)
                AND state IN ('stored', 'sent', 'unknown', 'resting')
            UNION ALL SELECT 'sent', i.outcome, i.action FROM plans p JOIN intents i USING (plan_id)
                WHERE p.state = 'working' AND i.market_id = \(key.market)
            """
        ) {
            BusyOrder(state: try $0.choice("state"), outcome: try $0.choice("outcome"), action: try $0.choice("action"))
        }
    }

    private func orders(of intent: IntentID) -> PostgresQuestion<[OrderRecord]> {
        .each("SELECT * FROM orders WHERE intent_id = \(intent.rawValue) ORDER BY attempt FOR UPDATE") {
            try OrderRecord($0)
        }
    }

    /// Whose fills are looked at for what was bought since a balance was read: an order trades at once, and a balance
    /// is old long before.
    private static let trading = Duration.seconds(600)

    /// What was sent lately, and what other intents hold.
    struct Figures: Sendable {
        let lastMinute: Int
        let lastHour: Int
        let exits: Int
        let today: Int
        let reserved: Money
        /// Bought there since the venue was asked for its balance, with fees.
        let bought: Money
    }

    func figures(
        _ key: StoredIntent.Key, _ balance: VenueReadings.Balance, at now: VenueInstant
    ) -> PostgresQuestion<Figures?> {
        let recent = now.advanced(by: .zero - Self.trading).microseconds
        let minute = now.advanced(by: .seconds(-60)).microseconds
        let hour = now.advanced(by: .seconds(-3_600)).microseconds
        return .first(
            """
            SELECT count(*) FILTER (WHERE venue_at > \(minute) AND NOT reduces) AS minute,
                count(*) FILTER (WHERE NOT reduces) AS hour,
                count(*) FILTER (WHERE venue_at > \(minute) AND reduces) AS exits,
                \(statistics.orders(account, at: key.venue, now)) AS today,
                (SELECT coalesce(sum(amount - released), 0)::int8 FROM reservations
                    WHERE state = 'held' AND reservation_id IS DISTINCT FROM
                        (SELECT reservation_id FROM intents WHERE intent_id = \(key.sql))) AS reserved,
                (SELECT coalesce(sum(f.price * f.quantity + f.fee), 0)::int8 FROM orders o JOIN fills f USING (order_id)
                    WHERE \(balance.asked as Int64?)::int8 IS NOT NULL AND o.venue_at > \(recent)
                        AND o.venue = \(key.venue) AND f.action = 'buy' AND f.standing <> 'reversed'
                        AND f.booked_at >= to_timestamp(\(balance.asked as Int64?)::float8 / 1000000)) AS bought
            FROM orders WHERE venue_at > \(hour)
            """
        ) { row in
            try row.map { row in
                Figures(
                    lastMinute: try row.int("minute"), lastHour: try row.int("hour"), exits: try row.int("exits"),
                    today: try row.int("today"), reserved: try Money(microdollars: row.int64("reserved")),
                    bought: try Money(microdollars: row.int64("bought")))
            }
        }
    }

    func sendContext(
        _ stored: StoredIntent, cash: Money, _ figures: Figures?, _ seen: VenueReadings, at now: VenueInstant
    ) -> SendContext {
        var context = SendContext()
        context.isReconciled = seen.isReconciled
        context.isClockOff = seen.isClockOff
        context.ask = seen.ask(of: stored.intent, at: now)
        context.signalAge = stored.signalledAt.duration(to: now)
        guard let figures else { return context }
        context.ordersLastMinute = figures.lastMinute
        context.ordersLastHour = figures.lastHour
        context.exitsLastMinute = figures.exits
        context.ordersToday = figures.today
        switch seen.balance {
        case .own: context.balance = cash - figures.reserved
        case .unread: context.balance = nil
        case .read(let money, let age, _):
            // Ours may know of an order that the venue has not charged yet, and the venue of one that we do not know.
            // What the answer held already counts twice until the next one, never not at all (DOMAIN 2.8).
            context.balance = min(cash, money - figures.bought) - figures.reserved
            context.balanceAge = age
        }
        return context
    }

    /// Ends an intent that will not be sent; only who wins the compare-and-set frees its reservation.
    func close(
        _ stored: StoredIntent, as end: IntentState, reason: String, at now: VenueInstant,
        _ transaction: PostgresTransaction
    ) async throws {
        guard let closing = IntentClosing(stored.state, stored.reservation, as: end) else { return }
        try stored.move(to: closing.intent, transaction)
        try closing.reservation?.write(transaction)
        try await statistics.add(["intents:\(end.rawValue)": 1], at: now, transaction)
        try await AuditEntry(
            .closing(as: end, reason: reason), intent: stored.intent.id, market: stored.intent.market,
            game: stored.intent.game,
            details: ["reason": reason]
        ).write(transaction)
    }

    /// One attempt of an intent, under its venue key.
    private func order(of intent: ApprovedIntent, attempt: Int) throws -> OrderRecord {
        OrderRecord(
            request: try OrderRequest(
                id: .derived(from: intent.id, attempt: attempt), market: intent.market, outcome: intent.outcome,
                action: intent.action, limit: intent.limit, quantity: intent.quantity,
                timeInForce: .immediateOrCancel),
            intent: intent.id, attempt: attempt)
    }

    /// Stores the order under its venue key before anything is sent; one that is sent at once is marked so from birth.
    ///
    /// - Returns: what the audit is to say of it.
    func insert(
        _ order: OrderRecord, _ stored: StoredIntent, reduces: Bool, at now: VenueInstant,
        _ transaction: PostgresTransaction
    ) throws -> AuditEntry {
        let intent = stored.intent
        if stored.state == .approved { try stored.move(to: .sending, transaction) }
        try transaction.enqueue(
            """
            INSERT INTO orders (order_id, intent_id, attempt, venue, market_id, outcome, action, limit_price, quantity,
                venue_at, reduces, state, sent_at, account)
            VALUES (\(order.request.id.rawValue), \(intent.id.rawValue), \(order.attempt), \(intent.venue.rawValue),
                \(intent.market.rawValue), \(intent.outcome.rawValue), \(intent.action.rawValue),
                \(intent.limit.tenThousandths), \(intent.quantity.hundredths), \(now.microseconds), \(reduces),
                \(order.state.rawValue), CASE WHEN \(order.state == .sent) THEN now() END,
                \(account.name))
            """)
        return AuditEntry(
            .orderStored, intent: intent.id, order: order.request.id, market: intent.market, game: intent.game,
            details: [
                "attempt": "\(order.attempt)", "limit": "\(intent.limit)", "quantity": "\(intent.quantity)",
                "reduces": "\(reduces)",
            ])
    }
}

extension OrderID {
    /// The key that the venue sees: the same for one attempt of one intent, whoever makes it (DESIGN rule 6).
    static func derived(from intent: IntentID, attempt: Int) -> OrderID {
        OrderID(stringLiteral: UUIDv5.make(namespace: .dns, name: "\(attempt).\(intent).order.linesman"))
    }
}
