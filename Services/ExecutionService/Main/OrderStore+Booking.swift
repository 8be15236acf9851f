import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Wire

extension OrderStore {
    /// Books what was learnt about an order in one transaction.
    ///
    /// It writes order, fills, position, account, reservation, intent, announcements and audit. Booking the same news
    /// again changes nothing.
    func book(_ id: OrderID, _ news: OrderNews, at now: VenueInstant) async throws -> OrderBooking {
        try await pool.retryingTransaction("book order") { transaction in
            _ = try await account.lock(transaction)
            // The intent first, as everywhere; it never changes its order.
            let intentID = try await transaction.first("SELECT intent_id FROM orders WHERE order_id = \(id.rawValue)")
            guard let intentID,
                let stored = try await StoredIntent.lock(IntentID(intentID.text("intent_id")), transaction),
                let row = try await transaction.first("SELECT * FROM orders WHERE order_id = \(id.rawValue) FOR UPDATE")
            else { throw PostgresError(.permanent, "no order \(id)", context: transaction.name) }
            let order = try OrderRecord(row)
            let known = try await transaction.query("SELECT fill_id FROM fills WHERE order_id = \(id.rawValue)")
                .map { try FillID($0.text("fill_id")) }
            let end = try await settlement(of: order.request.market, transaction)
            let before = OrderBooking(
                order: order, reservation: stored.reservation,
                position: try await .lock(order.request.market, transaction), intent: stored.state,
                knownFills: Set(known), settledAt: end?.value, isRefunded: end?.value == nil && end != nil)
            var booking = before
            booking.apply(news)
            if booking != before { try await write(booking, before, stored, at: now, transaction) }
            return booking
        }
    }

    /// What YES of a market was worth that we settled; without a value it was void and paid back.
    struct MarketEnd: Hashable, Sendable {
        let value: Price?
    }

    /// How a market ended: a fill that comes afterwards is paid out, or back, with it.
    func settlement(of market: MarketID, _ transaction: PostgresTransaction) async throws -> MarketEnd? {
        try await transaction.first(
            """
            SELECT m.settlement_price FROM market_mappings m WHERE m.market_id = \(market.rawValue)
                AND (m.settlement_price IS NOT NULL AND m.status IN ('settled', 'voided')
                    OR m.status = 'voided' AND EXISTS (
                        SELECT FROM positions p WHERE p.market_id = m.market_id AND p.state = 'settled'))
            """
        ).map { row in
            MarketEnd(value: try row.int64OrNil("settlement_price").map { try Price(tenThousandths: $0) })
        }
    }

    private func write(
        _ booking: OrderBooking, _ before: OrderBooking, _ stored: StoredIntent, at now: VenueInstant,
        _ transaction: PostgresTransaction
    ) async throws {
        let game = stored.intent.game
        try await write(booking.order, transaction)
        for fill in booking.newFills { try await write(fill, transaction) }
        if !booking.newFills.isEmpty {
            try await booking.position.write(game: game, openedAt: booking.newFills[0].at, transaction)
            try await apply(booking.account, transaction)
            try await save(from: booking.position, transaction)
        }
        if booking.reservation != before.reservation { try await booking.reservation?.write(transaction) }
        if booking.intent != before.intent { try await stored.move(to: booking.intent, transaction) }
        try await count(booking, before, at: now, transaction)
        try await announce(booking.order, stored, transaction)
        if !booking.newFills.isEmpty {
            try await announce(booking.position, of: stored, settledAt: booking.settledAt, transaction)
        }
        try await AuditEntry(
            Self.event(booking, before), intent: stored.intent.id, order: booking.order.request.id,
            market: booking.order.request.market, game: game,
            details: [
                "state": booking.order.state.rawValue, "filled": "\(booking.order.filled)",
                "reason": booking.order.reason ?? "", "fills": "\(booking.newFills.count)",
                "cash_change": "\(booking.account.cash)", "alerts": "\(booking.alerts.count)",
            ]
        ).write(transaction)
    }

    func write(_ order: OrderRecord, _ transaction: PostgresTransaction) async throws {
        // More than was asked for is alerted; the row keeps to what it can say.
        let filled = min(order.filled, order.request.quantity)
        try await transaction.execute(
            """
            UPDATE orders SET state = \(order.state.rawValue), filled = \(filled.hundredths),
                venue_order_id = \(order.venueOrder?.rawValue as String?), reason = \(order.reason as String?),
                sent_at = CASE WHEN sent_at IS NULL AND \(order.state != .stored && order.state != .expired)
                    THEN now() ELSE sent_at END,
                closed_at = CASE WHEN closed_at IS NULL AND \(order.state.isTerminal) THEN now() ELSE closed_at END
            WHERE order_id = \(order.request.id.rawValue)
            """)
    }

    private func write(_ fill: Fill, _ transaction: PostgresTransaction) async throws {
        try await transaction.execute(
            """
            INSERT INTO fills (fill_id, order_id, market_id, outcome, action, price, quantity, fee, venue_at, standing)
            VALUES (\(fill.id.rawValue), \(fill.order.rawValue), \(fill.market.rawValue), \(fill.outcome.rawValue),
                \(fill.action.rawValue), \(fill.price.tenThousandths), \(fill.quantity.hundredths),
                \(fill.fee.microdollars), \(fill.at.microseconds), \(fillStanding.rawValue))
            """)
    }

    func apply(_ change: AccountChange, _ transaction: PostgresTransaction) async throws {
        try await transaction.execute(
            """
            UPDATE bankroll SET cash = cash + \(change.cash.microdollars),
                realised = realised + \(change.realised.microdollars), fees = fees + \(change.fees.microdollars),
                updated_at = now()
            WHERE account = \(account.name)
            """)
    }

    private func count(
        _ booking: OrderBooking, _ before: OrderBooking, at now: VenueInstant, _ transaction: PostgresTransaction
    ) async throws {
        var changes: [String: Int64] = [
            "fills": Int64(booking.newFills.count),
            DailyStatistics.realised(account): booking.account.realised.microdollars,
            DailyStatistics.fees(account): booking.account.fees.microdollars,
        ]
        if booking.order.state != before.order.state { changes["orders:\(booking.order.state.rawValue)"] = 1 }
        try await statistics.add(changes, at: now, transaction)
    }

    func announce(_ order: OrderRecord, _ stored: StoredIntent, _ transaction: PostgresTransaction) async throws {
        let request = order.request
        let sums = try await transaction.first(
            """
            SELECT coalesce(sum(price * quantity), 0)::int8 AS value, coalesce(sum(quantity), 0)::int8 AS quantity,
                coalesce(sum(fee), 0)::int8 AS fees
            FROM fills WHERE order_id = \(request.id.rawValue) AND standing <> 'reversed'
            """)
        guard let sums else { return }
        let (value, quantity) = (try sums.int64("value"), try sums.int64("quantity"))
        let update = OrderUpdate(
            order: request.id, intent: stored.intent.id, game: stored.intent.game, market: request.market,
            outcome: request.outcome, action: request.action, limit: request.limit, quantity: request.quantity,
            filled: order.filled,
            averagePrice: quantity == 0 ? nil : try Price(tenThousandths: (value + quantity / 2) / quantity),
            fees: try Money(microdollars: sums.int64("fees")), state: order.state, reason: order.reason)
        try await OutboxStore.append(
            update, on: Channels.orders, key: stored.intent.game.rawValue, trace: stored.trace, in: transaction)
    }

    func announce(
        _ position: Position, of stored: StoredIntent, settledAt: Price?, _ transaction: PostgresTransaction
    ) async throws {
        let update = PositionUpdate(
            position: position, game: stored.intent.game,
            state: settledAt != nil ? "settled" : (position.isFlat ? "closed" : "open"), settlement: settledAt)
        try await OutboxStore.append(
            update, on: Channels.positions, key: stored.intent.game.rawValue, trace: stored.trace, in: transaction)
    }

    /// The audit's word for a booking (DOMAIN 1.7).
    private static func event(_ booking: OrderBooking, _ before: OrderBooking) -> String {
        if booking.order.state == before.order.state { return "order_fills" }
        return switch booking.order.state {
        case .stored: "order_stored"
        case .sent: "order_placed"
        case .unknown: "order_unknown"
        case .resting: "order_resting"
        case .filled: "order_filled"
        case .partiallyFilled: "order_partial_fill"
        case .cancelled: "order_cancelled"
        case .rejected: "order_rejected"
        case .expired: "order_expired"
        }
    }
}
