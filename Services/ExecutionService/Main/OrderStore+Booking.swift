import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Wire

extension OrderStore {
    /// Books what was learnt about an order in one transaction.
    ///
    /// It writes order, fills, position, account, reservation, intent, announcements and audit. Booking the same news
    /// again changes nothing. Everything is read in one round trip and written in another, together with COMMIT.
    func book(_ id: OrderID, _ news: OrderNews, at now: VenueInstant) async throws -> OrderBooking {
        try await pool.retryingTransaction("book order") { transaction in
            let key = StoredIntent.Key.order(id)
            let (_, intent, row, reservation, position, booked, end) = try await transaction.ask(
                account.locked, key.locked, order(id), key.reservation, key.position, fills(of: id), settlement(key))
            guard var stored = intent, let order = row else {
                throw PostgresError(.permanent, "no order \(id)", context: transaction.name)
            }
            stored.reservation = reservation
            let before = OrderBooking(
                order: order, reservation: reservation,
                position: position ?? Position(market: order.request.market), intent: stored.state,
                knownFills: Set(booked.map(\.id)), settledAt: end?.value, isRefunded: end?.isRefunded ?? false,
                isPartOfPlan: stored.plan != nil)
            var booking = before
            booking.apply(news)
            if booking != before { try await write(booking, before, stored, booked, at: now, transaction) }
            return booking
        }
    }

    func order(_ id: OrderID) -> PostgresQuestion<OrderRecord?> {
        .first("SELECT * FROM orders WHERE order_id = \(id.rawValue) FOR UPDATE") { try $0.map { try OrderRecord($0) } }
    }

    /// What an order's average price and fees are made of.
    struct BookedFill: Sendable {
        let id: FillID
        let price: Int64
        let quantity: Int64
        let fee: Int64
        /// Known, and no longer true.
        let isReversed: Bool
    }

    func fills(of order: OrderID) -> PostgresQuestion<[BookedFill]> {
        .each("SELECT fill_id, price, quantity, fee, standing FROM fills WHERE order_id = \(order.rawValue)") { row in
            BookedFill(
                id: try FillID(row.text("fill_id")), price: try row.int64("price"),
                quantity: try row.int64("quantity"), fee: try row.int64("fee"),
                isReversed: try row.text("standing") == FillStanding.reversed.rawValue)
        }
    }

    /// What YES of a market was worth that we settled; without a value it was void and paid back.
    struct MarketEnd: Hashable, Sendable {
        let value: Price?

        var isRefunded: Bool { value == nil }
    }

    /// How a market ended: a fill that comes afterwards is paid out, or back, with it.
    func settlement(_ key: StoredIntent.Key) -> PostgresQuestion<MarketEnd?> {
        .first(
            """
            SELECT m.settlement_price FROM market_mappings m WHERE m.market_id = \(key.market)
                AND (m.settlement_price IS NOT NULL AND m.status IN ('settled', 'voided')
                    OR m.status = 'voided' AND EXISTS (
                        SELECT FROM positions p WHERE p.market_id = m.market_id AND p.state = 'settled'))
            """
        ) { row in
            try row.map { row in
                MarketEnd(value: try row.int64OrNil("settlement_price").map { try Price(tenThousandths: $0) })
            }
        }
    }

    /// Writes what is different; a new order's row is there already, and what the audit says of that goes `following`
    /// with this one's line.
    func write(
        _ booking: OrderBooking, _ before: OrderBooking, _ stored: StoredIntent, _ booked: [BookedFill],
        following storing: AuditEntry? = nil, at now: VenueInstant, _ transaction: PostgresTransaction
    ) async throws {
        let game = stored.intent.game
        if storing == nil { try write(booking.order, transaction) }
        for fill in booking.newFills { try write(fill, transaction) }
        if !booking.newFills.isEmpty {
            try booking.position.write(game: game, openedAt: booking.newFills[0].at, transaction)
            try apply(booking.account, transaction)
            try await save(from: booking.position, transaction)
        }
        if booking.reservation != before.reservation { try booking.reservation?.write(transaction) }
        if booking.intent != before.intent { try stored.move(to: booking.intent, transaction) }
        try await count(booking, before, stored, at: now, transaction)
        let new = booking.newFills.map {
            BookedFill(
                id: $0.id, price: $0.price.tenThousandths, quantity: $0.quantity.hundredths, fee: $0.fee.microdollars,
                isReversed: false)
        }
        try await announce(booking.order, stored, booked + new, transaction)
        for alert in booking.alerts { try await announce(alert, of: stored, transaction) }
        if !booking.newFills.isEmpty {
            try await announce(booking.position, of: stored, settledAt: booking.settledAt, transaction)
        }
        let entry = AuditEntry(
            .booking(booking.order, before: before.order), intent: stored.intent.id, order: booking.order.request.id,
            market: booking.order.request.market, game: game,
            details: [
                "state": booking.order.state.rawValue, "filled": "\(booking.order.filled)",
                "reason": booking.order.reason ?? "", "fills": "\(booking.newFills.count)",
                "cash_change": "\(booking.account.cash)", "alerts": "\(booking.alerts.count)",
            ])
        if let storing { try AuditEntry.write(storing, entry, transaction) } else { try await entry.write(transaction) }
    }

    func write(_ order: OrderRecord, _ transaction: PostgresTransaction) throws {
        // More than was asked for is alerted; the row keeps to what it can say.
        let filled = min(order.filled, order.request.quantity)
        try transaction.enqueue(
            """
            UPDATE orders SET state = \(order.state.rawValue), filled = \(filled.hundredths),
                venue_order_id = \(order.venueOrder?.rawValue as String?), reason = \(order.reason as String?),
                sent_at = CASE WHEN sent_at IS NULL AND \(order.state != .stored && order.state != .expired)
                    THEN now() ELSE sent_at END,
                closed_at = CASE WHEN closed_at IS NULL AND \(order.state.isTerminal) THEN now() ELSE closed_at END
            WHERE order_id = \(order.request.id.rawValue)
            """)
    }

    private func write(_ fill: Fill, _ transaction: PostgresTransaction) throws {
        try transaction.enqueue(
            """
            INSERT INTO fills (fill_id, order_id, market_id, outcome, action, price, quantity, fee, venue_at, standing)
            VALUES (\(fill.id.rawValue), \(fill.order.rawValue), \(fill.market.rawValue), \(fill.outcome.rawValue),
                \(fill.action.rawValue), \(fill.price.tenThousandths), \(fill.quantity.hundredths),
                \(fill.fee.microdollars), \(fill.at.microseconds), \(fillStanding.rawValue))
            """)
    }

    func apply(_ change: AccountChange, _ transaction: PostgresTransaction) throws {
        try transaction.enqueue(
            """
            UPDATE bankroll SET cash = cash + \(change.cash.microdollars),
                realised = realised + \(change.realised.microdollars), fees = fees + \(change.fees.microdollars),
                updated_at = now()
            WHERE account = \(account.name)
            """)
    }

    private func count(
        _ booking: OrderBooking, _ before: OrderBooking, _ stored: StoredIntent, at now: VenueInstant,
        _ transaction: PostgresTransaction
    ) async throws {
        var changes: [String: Int64] = [
            "fills": Int64(booking.newFills.count),
            DailyStatistics.realised(account): booking.account.realised.microdollars,
            DailyStatistics.fees(account): booking.account.fees.microdollars,
        ]
        if booking.order.state != before.order.state {
            changes["orders:\(booking.order.state.rawValue)"] = 1
            // In shadow mode all is as if it were sent.
            if booking.order.state == .sent || booking.order.reason == OrderRecord.shadow {
                changes[DailyStatistics.orders(account, at: stored.intent.venue)] = 1
            }
        }
        try await statistics.add(changes, at: now, transaction)
    }

    func announce(
        _ order: OrderRecord, _ stored: StoredIntent, _ booked: [BookedFill], _ transaction: PostgresTransaction
    ) async throws {
        let request = order.request
        let all = booked.filter { !$0.isReversed }
        let value = all.reduce(0) { $0 + $1.price * $1.quantity }
        let quantity = all.reduce(0) { $0 + $1.quantity }
        let update = OrderUpdate(
            order: request.id, intent: stored.intent.id, game: stored.intent.game, market: request.market,
            outcome: request.outcome, action: request.action, limit: request.limit, quantity: request.quantity,
            filled: order.filled,
            averagePrice: quantity == 0 ? nil : try Price(tenThousandths: (value + quantity / 2) / quantity),
            fees: try Money(microdollars: all.reduce(0) { $0 + $1.fee }), state: order.state, reason: order.reason)
        try await OutboxStore.append(
            update, on: Channels.orders, key: stored.intent.game.rawValue, trace: stored.trace, in: transaction)
    }

    /// What an operator must hear of is committed with what it follows from, and stays until somebody has it.
    func announce(_ alert: ExecutionAlert, of stored: StoredIntent, _ transaction: PostgresTransaction) async throws {
        let message = try alert.notice.message(at: wall.microseconds)
        try await OutboxStore.append(
            message, on: Channels.alerts, key: stored.intent.game.rawValue, trace: stored.trace, in: transaction)
        try keep(message, transaction)
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
}
