import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Wire

extension OrderStore {
    /// What we hold, in 1/100 contract of YES, by market.
    func openPositions() async throws -> [MarketID: Int64] {
        let rows = try await pool.query(
            "SELECT market_id, net_quantity FROM positions WHERE state = 'open' AND net_quantity <> 0")
        return try Dictionary(
            uniqueKeysWithValues: rows.map { (try MarketID($0.text("market_id")), try $0.int64("net_quantity")) })
    }

    /// Pays a position out, once; false when it was paid already.
    ///
    /// Without a value the market is void, and what is open is paid back with the fees since it was opened.
    func settle(
        _ market: MarketID, at yesValue: Price?, voided: Bool, now: VenueInstant
    ) async throws -> Bool {
        try await pool.retryingTransaction("settle position") { transaction in
            _ = try await account.lock(transaction)
            let row = try await transaction.first(
                """
                SELECT game_id, (SELECT coalesce(sum(fee), 0)::int8 FROM fills f WHERE f.market_id = p.market_id
                    AND f.standing <> 'reversed' AND f.venue_at >= coalesce(p.opened_at, 0)) AS fees_since
                FROM positions p WHERE market_id = \(market.rawValue) AND state = 'open' FOR UPDATE
                """)
            guard let row else { return false }
            let game = try GameID(row.text("game_id"))
            let before = try await Position.lock(market, transaction)
            let fees = try Money(microdollars: row.int64("fees_since"))
            let booking =
                yesValue.map { SettlementBooking(before, at: $0) } ?? SettlementBooking(refunding: before, fees: fees)
            try await write(booking, before, at: yesValue, voided: voided, transaction)
            try await statistics.add(
                [
                    "positions:settled": 1,
                    DailyStatistics.realised(account): booking.account.realised.microdollars,
                    DailyStatistics.fees(account): booking.account.fees.microdollars,
                ], at: now, transaction)
            let update = PositionUpdate(position: booking.position, game: game, state: "settled", settlement: yesValue)
            try await OutboxStore.append(
                update, on: Channels.positions, key: game.rawValue, trace: nil, in: transaction)
            try await AuditEntry(
                "position_settled", market: market, game: game,
                details: [
                    "value": yesValue.map { "\($0)" } ?? "refund", "net_hundredths": "\(before.netHundredths)",
                    "paid": "\(booking.account.cash)", "realised": "\(booking.account.realised)",
                    "voided": "\(voided)",
                ]
            ).write(transaction)
            return true
        }
    }

    private func write(
        _ booking: SettlementBooking, _ before: Position, at yesValue: Price?, voided: Bool,
        _ transaction: PostgresTransaction
    ) async throws {
        let position = booking.position
        try await transaction.execute(
            """
            UPDATE positions SET net_quantity = 0, cost = 0, realised = \(position.realised.microdollars),
                fees = \(position.fees.microdollars), state = 'settled', settled_at = now(), updated_at = now()
            WHERE market_id = \(position.market.rawValue)
            """)
        try apply(booking.account, transaction)
        try await save(from: position, transaction)
        try await transaction.execute(
            """
            UPDATE market_mappings SET status = \(voided ? "voided" : "settled"),
                settlement_price = \(yesValue?.tenThousandths as Int64?), updated_at = now()
            WHERE market_id = \(position.market.rawValue)
            """)
    }
}
