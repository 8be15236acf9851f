import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Wire

extension OrderStore {
    /// Fills that are not certain yet, in the order of booking, at most 1,000.
    func provisionalFills() async throws -> [ProvisionalFill] {
        try await pool.query(
            """
            SELECT fill_id, order_id, market_id FROM fills WHERE standing = 'provisional' ORDER BY number LIMIT 1000
            """
        ).map { try ProvisionalFill($0) }
    }

    /// Notes that fills are certain now.
    func confirm(_ fills: [FillID]) async throws {
        _ = try await pool.retryingTransaction("confirm fills") { transaction in
            try await transaction.execute(
                """
                UPDATE fills SET standing = 'confirmed'
                WHERE fill_id = ANY(\(fills.map(\.rawValue))::text[]) AND standing = 'provisional'
                """)
        }
    }

    /// Takes fills of one order back as if they had never been, in one transaction (PITFALLS 8, row 14).
    ///
    /// Order, position, account, what was paid out since, what was put aside, and statistics. Nil when there was
    /// nothing to take back: a repetition changes nothing. The loss or gain counts on the day of the reversal.
    func reverse(
        _ fills: Set<FillID>, of id: OrderID, now: VenueInstant
    ) async throws -> ReversalBooking? {
        try await pool.retryingTransaction("reverse fills") { transaction in
            let key = StoredIntent.Key.order(id)
            let (_, intent, row, position, end) = try await transaction.ask(
                account.locked, key.locked, order(id), key.position, settlement(key))
            guard let stored = intent, let order = row, let position else {
                throw PostgresError(.permanent, "no order \(id) with fills", context: transaction.name)
            }
            let (booked, open) = try await booked(in: order.request.market, transaction)
            guard
                let booking = ReversalBooking(
                    order: order, position: position, fills: booked, reversing: fills.intersection(open),
                    settledAt: end?.value, isRefunded: end?.isRefunded ?? false)
            else { return nil }
            try await write(booking, end, stored, at: now, transaction)
            return booking
        }
    }

    /// What was booked in a market and not taken back, in that order, and which of it may still be.
    private func booked(
        in market: MarketID, _ transaction: PostgresTransaction
    ) async throws -> (fills: [Fill], open: Set<FillID>) {
        let rows = try await transaction.query(
            """
            SELECT * FROM fills WHERE market_id = \(market.rawValue) AND standing <> 'reversed' ORDER BY number
            """)
        let fills = try rows.map { row in
            try Fill(
                id: FillID(row.text("fill_id")), order: OrderID(row.text("order_id")), market: market,
                outcome: row.choice("outcome"), action: row.choice("action"),
                price: Price(tenThousandths: row.int64("price")),
                quantity: Quantity(hundredths: row.int64("quantity")), fee: Money(microdollars: row.int64("fee")),
                at: VenueInstant(microseconds: row.int64("venue_at")))
        }
        let open = try rows.filter { try $0.text("standing") == "provisional" }.map { try FillID($0.text("fill_id")) }
        return (fills, Set(open))
    }

    private func write(
        _ booking: ReversalBooking, _ end: MarketEnd?, _ stored: StoredIntent, at now: VenueInstant,
        _ transaction: PostgresTransaction
    ) async throws {
        let order = booking.order.request
        try await transaction.execute(
            """
            UPDATE fills SET standing = 'reversed'
            WHERE fill_id = ANY(\(booking.reversed.map(\.id.rawValue))::text[])
            """)
        try write(booking.order, transaction)
        try booking.position.write(game: stored.intent.game, openedAt: now, transaction)
        try apply(booking.account, transaction)
        try await correctSavings(
            .replayed(
                order.market, booking.remaining, settledAt: end?.value, isRefunded: end?.isRefunded ?? false,
                percent: savedPercent), of: order.market, transaction)
        try await statistics.add(
            [
                "fills:reversed": Int64(booking.reversed.count),
                DailyStatistics.realised(account): booking.account.realised.microdollars,
                DailyStatistics.fees(account): booking.account.fees.microdollars,
            ], at: now, transaction)
        let told = try await transaction.ask(fills(of: order.id))
        try await announce(booking.order, stored, told, transaction)
        try await announce(booking.position, of: stored, settledAt: end?.value, transaction)
        try await announce(booking.alert, of: stored, transaction)
        try await AuditEntry(
            .fillReversed, intent: stored.intent.id, order: order.id, market: order.market, game: stored.intent.game,
            details: [
                "fills": booking.reversed.map(\.id.rawValue).joined(separator: " "),
                "filled": "\(booking.order.filled)", "cash_change": "\(booking.account.cash)",
                "realised_change": "\(booking.account.realised)", "net_hundredths": "\(booking.position.netHundredths)",
            ]
        ).write(transaction)
    }

    // MARK: What is put aside

    /// Puts a part of a trade's profit aside once its position is flat.
    func save(from position: Position, _ transaction: PostgresTransaction) async throws {
        guard position.isFlat, var piggybank = try await piggybank(of: position.market, transaction) else { return }
        let before = piggybank
        let part = piggybank.note(position, percent: savedPercent)
        if piggybank != before { try await write(piggybank, adding: part, of: position.market, transaction) }
    }

    private func correctSavings(
        _ piggybank: Piggybank, of market: MarketID, _ transaction: PostgresTransaction
    ) async throws {
        guard let before = try await self.piggybank(of: market, transaction) else { return }
        try await write(piggybank, adding: piggybank.saved - before.saved, of: market, transaction)
    }

    private func piggybank(of market: MarketID, _ transaction: PostgresTransaction) async throws -> Piggybank? {
        try await transaction.first(
            "SELECT shared_profit, saved FROM positions WHERE market_id = \(market.rawValue) FOR UPDATE"
        ).map { row in
            Piggybank(
                shared: try Money(microdollars: row.int64("shared_profit")),
                saved: try Money(microdollars: row.int64("saved")))
        }
    }

    private func write(
        _ piggybank: Piggybank, adding part: Money, of market: MarketID, _ transaction: PostgresTransaction
    ) async throws {
        try await transaction.execute(
            """
            UPDATE positions
            SET shared_profit = \(piggybank.shared.microdollars), saved = \(piggybank.saved.microdollars)
            WHERE market_id = \(market.rawValue)
            """)
        if part == .zero { return }
        try await transaction.execute(
            """
            UPDATE bankroll SET saved = greatest(0, saved + \(part.microdollars)), updated_at = now()
            WHERE account = \(account.name)
            """)
    }
}

extension ProvisionalFill {
    /// Reads a row of `fills`.
    init(_ row: Row) throws {
        self.init(
            id: try FillID(row.text("fill_id")), order: try OrderID(row.text("order_id")),
            market: try MarketID(row.text("market_id")))
    }
}
