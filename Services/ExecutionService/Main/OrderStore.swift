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
    let trace: TraceID?
}

/// An order that has not ended, with what its intent says.
struct OpenOrder: Sendable {
    let record: OrderRecord
    let intentExpiresAt: VenueInstant
}

/// The order path in PostgreSQL: every change is one transaction under the account's lock.
///
/// Locks are taken in one order: account, kill switch, intent, order, reservation, position.
struct OrderStore: Sendable {
    let pool: PostgresPool
    let account: TradingAccount
    let statistics: DailyStatistics

    // MARK: Work

    /// Intents that nobody has taken, oldest first, at most 100 at a time.
    func waitingIntents() async throws -> [IntentID] {
        try await pool.query(
            "SELECT intent_id FROM intents WHERE state = 'approved' ORDER BY created_at, intent_id LIMIT 100"
        ).map { try IntentID($0.text("intent_id")) }
    }

    /// Orders that have not ended, oldest first.
    func openOrders() async throws -> [OpenOrder] {
        try await pool.query(
            """
            SELECT o.order_id, o.intent_id, o.attempt, o.venue_order_id, o.market_id, o.outcome, o.action,
                o.limit_price, o.quantity, o.filled, o.state, o.reason, i.venue_expires_at
            FROM orders o JOIN intents i USING (intent_id)
            WHERE o.state IN ('stored', 'sent', 'unknown', 'resting') ORDER BY o.stored_at, o.order_id LIMIT 1000
            """
        ).map { row in
            OpenOrder(
                record: try OrderRecord(row),
                intentExpiresAt: try VenueInstant(microseconds: row.int64("venue_expires_at")))
        }
    }

    // MARK: Taking an intent

    /// What is decided about an intent, and done: its order is stored, or it has ended, or it waits.
    func claim(
        _ id: IntentID, engine: ExecutionServiceEngine, isReconciled: Bool, at now: VenueInstant
    ) async throws -> (decision: SendDecision, claimed: ClaimedOrder?) {
        try await pool.retryingTransaction("claim intent") { transaction in
            let cash = try await account.lock(transaction)
            let killSwitch = try await KillSwitchStore.read(transaction)
            guard let stored = try await StoredIntent.lock(id, transaction), !stored.state.isTerminal else {
                return (.wait, nil)
            }
            let earlier = try await transaction.query(
                "SELECT * FROM orders WHERE intent_id = \(id.rawValue) ORDER BY attempt FOR UPDATE"
            ).map { try OrderRecord($0) }
            var context = try await sendContext(stored, cash: cash, at: now, transaction)
            context.killSwitch = killSwitch
            context.isReconciled = isReconciled
            var decision = engine.decide(
                stored.intent, earlier: earlier, reduces: stored.intent.action == .sell, context, at: now)
            if stored.hasExpiredHere, decision != .wait { decision = .expire }
            switch decision {
            case .wait: return (decision, nil)
            case .expire:
                try await close(stored, as: .expired, reason: "expired", at: now, transaction)
                return (decision, nil)
            case .refuse(let refusal):
                try await close(stored, as: .refused, reason: refusal.rawValue, at: now, transaction)
                return (decision, nil)
            case .send(let attempt):
                let order = try await insert(stored, attempt: attempt, at: now, transaction)
                return (decision, ClaimedOrder(intent: stored.intent, order: order, trace: stored.trace))
            }
        }
    }

    private func sendContext(
        _ stored: StoredIntent, cash: Money, at now: VenueInstant, _ transaction: PostgresTransaction
    ) async throws -> SendContext {
        var context = SendContext()
        let minute = now.advanced(by: .seconds(-60)).microseconds
        let hour = now.advanced(by: .seconds(-3_600)).microseconds
        let row = try await transaction.first(
            """
            SELECT count(*) FILTER (WHERE venue_at > \(minute)) AS minute, count(*) AS hour,
                (SELECT coalesce(sum(amount - released), 0)::int8 FROM reservations
                    WHERE state = 'held' AND reservation_id <> \(stored.intent.reservation.rawValue)) AS reserved
            FROM orders WHERE venue_at > \(hour)
            """)
        guard let row else { return context }
        context.ordersLastMinute = try row.int("minute")
        context.ordersLastHour = try row.int("hour")
        context.balance = try cash - Money(microdollars: row.int64("reserved"))
        return context
    }

    /// Ends an intent that will not be sent; only who wins the compare-and-set frees its reservation.
    private func close(
        _ stored: StoredIntent, as end: IntentState, reason: String, at now: VenueInstant,
        _ transaction: PostgresTransaction
    ) async throws {
        guard let closing = IntentClosing(stored.state, stored.reservation, as: end) else { return }
        try await stored.move(to: closing.intent, transaction)
        try await closing.reservation?.write(transaction)
        try await statistics.add(["intents:\(end.rawValue)": 1], at: now, transaction)
        try await AuditEntry(
            "intent_\(end.rawValue)", intent: stored.intent.id, market: stored.intent.market, game: stored.intent.game,
            details: ["reason": reason]
        ).write(transaction)
    }

    /// Stores the order under its venue key before anything is sent.
    private func insert(
        _ stored: StoredIntent, attempt: Int, at now: VenueInstant, _ transaction: PostgresTransaction
    ) async throws -> OrderRecord {
        let intent = stored.intent
        if stored.state == .approved { try await stored.move(to: .sending, transaction) }
        let order = OrderRecord(
            request: try OrderRequest(
                id: .derived(from: intent.id, attempt: attempt), market: intent.market, outcome: intent.outcome,
                action: intent.action, limit: intent.limit, quantity: intent.quantity,
                timeInForce: .immediateOrCancel),
            intent: intent.id, attempt: attempt)
        try await transaction.execute(
            """
            INSERT INTO orders (order_id, intent_id, attempt, venue, market_id, outcome, action, limit_price, quantity,
                venue_at)
            VALUES (\(order.request.id.rawValue), \(intent.id.rawValue), \(attempt), \(intent.venue.rawValue),
                \(intent.market.rawValue), \(intent.outcome.rawValue), \(intent.action.rawValue),
                \(intent.limit.tenThousandths), \(intent.quantity.hundredths), \(now.microseconds))
            """)
        try await AuditEntry(
            "order_stored", intent: intent.id, order: order.request.id, market: intent.market, game: intent.game,
            details: ["attempt": "\(attempt)", "limit": "\(intent.limit)", "quantity": "\(intent.quantity)"]
        ).write(transaction)
        return order
    }
}

extension OrderID {
    /// The key that the venue sees: the same for one attempt of one intent, whoever makes it (DESIGN rule 6).
    static func derived(from intent: IntentID, attempt: Int) -> OrderID {
        OrderID(stringLiteral: UUIDv5.make(namespace: .dns, name: "\(attempt).\(intent).order.linesman"))
    }
}
