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
    func settle(
        _ market: MarketID, at yesValue: Price, voided: Bool, now: VenueInstant
    ) async throws -> Bool {
        try await pool.retryingTransaction("settle position") { transaction in
            _ = try await account.lock(transaction)
            let row = try await transaction.first(
                "SELECT game_id FROM positions WHERE market_id = \(market.rawValue) AND state = 'open' FOR UPDATE")
            guard let row else { return false }
            let game = try GameID(row.text("game_id"))
            let before = try await Position.lock(market, transaction)
            let booking = SettlementBooking(before, at: yesValue)
            try await transaction.execute(
                """
                UPDATE positions SET net_quantity = 0, cost = 0, realised = \(booking.position.realised.microdollars),
                    state = 'settled', settled_at = now(), updated_at = now()
                WHERE market_id = \(market.rawValue)
                """)
            try await apply(booking.account, transaction)
            try await transaction.execute(
                """
                UPDATE market_mappings SET status = \(voided ? "voided" : "settled"),
                    settlement_price = \(yesValue.tenThousandths), updated_at = now()
                WHERE market_id = \(market.rawValue)
                """)
            try await statistics.add(
                [
                    "positions:settled": 1,
                    DailyStatistics.realised(account): booking.account.realised.microdollars,
                ], at: now, transaction)
            let update = PositionUpdate(position: booking.position, game: game, state: "settled", settlement: yesValue)
            try await OutboxStore.append(
                update, on: Channels.positions, key: game.rawValue, trace: nil, in: transaction)
            try await AuditEntry(
                "position_settled", market: market, game: game,
                details: [
                    "value": "\(yesValue)", "net_hundredths": "\(before.netHundredths)",
                    "paid": "\(booking.account.cash)", "realised": "\(booking.account.realised)",
                    "voided": "\(voided)",
                ]
            ).write(transaction)
            return true
        }
    }

    /// Leaves a trace of positions that differ from the venue's.
    func recordDifferences(_ differences: [PositionDifference]) async throws {
        try await pool.transaction("reconciliation mismatch") { transaction in
            for difference in differences {
                try await AuditEntry(
                    "reconciliation_mismatch", market: difference.market,
                    details: ["ours": "\(difference.ours)", "venues": "\(difference.venues)"]
                ).write(transaction)
            }
        }
    }
}
