import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Wire

/// What a market's settlement did to our books.
enum SettlementResult: String, Hashable, Sendable {
    case paid
    /// It was paid before, or nothing was held when it was settled.
    case nothingHeld = "nothing_held"
    /// Nothing of ours ever traded there: written down, once, since a venue that pays for it knows something else than
    /// we do.
    case neverTraded = "never_traded"
}

extension OrderStore {
    /// What we hold, in 1/100 contract of YES, by market.
    func openPositions() async throws -> [MarketID: Int64] {
        let rows = try await pool.query(
            "SELECT market_id, net_quantity FROM positions WHERE state = 'open' AND net_quantity <> 0")
        return try Dictionary(
            uniqueKeysWithValues: rows.map { (try MarketID($0.text("market_id")), try $0.int64("net_quantity")) })
    }

    /// Whether nothing of ours ever traded in a market, nothing may be trading there, and nobody was told so yet.
    func isStrange(_ market: MarketID) async throws -> Bool {
        try await pool.first("SELECT WHERE NOT (\(Self.isOurs(market)) OR \(Self.wasToldOf(market)))") != nil
    }

    /// An order whose fate is not known may have traded there.
    private static func isOurs(_ market: MarketID) -> SQL {
        """
        (EXISTS (SELECT FROM positions WHERE market_id = \(market.rawValue)) OR EXISTS (SELECT FROM orders
            WHERE market_id = \(market.rawValue) AND state IN ('stored', 'sent', 'unknown', 'resting')))
        """
    }

    private static func wasToldOf(_ market: MarketID) -> SQL {
        "EXISTS (SELECT FROM consumed WHERE consumer = 'settlements' AND message_id = \(market.rawValue))"
    }

    /// Pays a position out, once.
    ///
    /// Without a value the market is void, and what is open is paid back with the fees since it was opened. `more` is
    /// what else the venue says, for the audit of a settlement that nothing of ours belongs to.
    func settle(
        _ market: MarketID, at yesValue: Price?, voided: Bool, telling more: [String: String] = [:], now: VenueInstant
    ) async throws -> SettlementResult {
        try await pool.retryingTransaction("settle position") { transaction in
            _ = try await account.lock(transaction)
            let row = try await transaction.first(
                """
                SELECT game_id, (SELECT coalesce(sum(fee), 0)::int8 FROM fills f WHERE f.market_id = p.market_id
                    AND f.standing <> 'reversed' AND f.venue_at >= coalesce(p.opened_at, 0)) AS fees_since
                FROM positions p WHERE market_id = \(market.rawValue) AND state = 'open' FOR UPDATE
                """)
            guard let row else {
                let result = try await unmatched(market, at: yesValue, voided: voided, more, transaction)
                if result == .neverTraded {
                    try await statistics.add(["settlements:unmatched": 1], at: now, transaction)
                }
                return result
            }
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
                .positionSettled, market: market, game: game,
                details: [
                    "value": yesValue.map { "\($0)" } ?? "refund", "net_hundredths": "\(before.netHundredths)",
                    "paid": "\(booking.account.cash)", "realised": "\(booking.account.realised)",
                    "voided": "\(voided)",
                ]
            ).write(transaction)
            return .paid
        }
    }

    /// Nothing is open in the market: written down, once, when nothing ever was.
    private func unmatched(
        _ market: MarketID, at yesValue: Price?, voided: Bool, _ more: [String: String],
        _ transaction: PostgresTransaction
    ) async throws -> SettlementResult {
        let new = try await transaction.first(
            """
            INSERT INTO consumed (consumer, message_id) SELECT 'settlements', \(market.rawValue)
            WHERE NOT \(Self.isOurs(market)) ON CONFLICT DO NOTHING RETURNING message_id
            """)
        if new == nil { return .nothingHeld }
        let game = try await transaction.first(
            "SELECT game_id FROM market_mappings WHERE market_id = \(market.rawValue)")
        try await AuditEntry(
            .settlementUnmatched, market: market, game: try game.map { try GameID($0.text("game_id")) },
            details: more.merging([
                "value": yesValue.map { "\($0)" } ?? "refund", "voided": "\(voided)",
                "market_is_known": "\(game != nil)",
            ]) { $1 }
        ).write(transaction)
        return .neverTraded
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
