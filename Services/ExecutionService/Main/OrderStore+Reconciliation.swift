import Domain
import ExecutionServiceEngine
import Postgres

/// What is compared with a venue, read from PostgreSQL.
extension OrderStore {
    /// A text that is another after every booking and every change of an open order.
    ///
    /// The same before and after the venue was read means that our own books stood still meanwhile.
    func mark() async throws -> String {
        let row = try await pool.first(
            """
            SELECT concat_ws('/', cash, updated_at, (SELECT string_agg(concat_ws(' ', order_id, state, filled), ','
                ORDER BY order_id) FROM orders WHERE state IN ('stored', 'sent', 'unknown', 'resting'))) AS mark
            FROM bankroll WHERE account = \(account.name)
            """)
        guard let row else { throw PostgresError(.permanent, "no account \(account.name)", context: "mark") }
        return try row.text("mark")
    }

    /// Our side of what the venue named, with everything that is open, all of one instant.
    ///
    /// `since` is the venue time, in whole seconds, from which on the venue has listed its fills; nil for all.
    func own(of venue: VenueSnapshot, since: VenueInstant?) async throws -> OwnSnapshot {
        try await pool.transaction("own snapshot", isolation: .repeatableRead) { transaction in
            let keys = venue.orders.compactMap { $0.key?.rawValue }
            let names = Set(venue.orders.map(\.venueOrder.rawValue)).union(venue.fills.map(\.venueOrder.rawValue))
            let orders = try await transaction.query(
                """
                SELECT o.* FROM orders o JOIN unnest(\(keys)::text[]) AS k (id) ON o.order_id = k.id
                UNION SELECT o.* FROM orders o JOIN unnest(\(names.sorted())::text[]) AS n (id)
                    ON o.venue_order_id = n.id
                UNION SELECT * FROM orders WHERE state IN ('stored', 'sent', 'unknown', 'resting')
                """
            ).map { try OrderRecord($0) }
            let fills = try await transaction.query(
                """
                SELECT fill_id FROM fills JOIN unnest(\(venue.fills.map(\.id.rawValue))::text[]) AS v (id)
                    ON fill_id = v.id
                """)
            let expected = try await transaction.query(
                """
                SELECT f.fill_id FROM fills f JOIN orders o USING (order_id)
                WHERE f.venue_at >= \(since?.microseconds ?? .min) AND f.standing <> 'reversed'
                    AND coalesce(o.account, \(account.name)) = \(account.name)
                """)
            let provisional = try await transaction.query(
                "SELECT fill_id, order_id, market_id FROM fills WHERE standing = 'provisional'")
            let positions = try await transaction.query(
                "SELECT market_id, net_quantity FROM positions WHERE state = 'open' AND net_quantity <> 0")
            let cash = try await transaction.first("SELECT cash FROM bankroll WHERE account = \(account.name)")
            return OwnSnapshot(
                orders: orders, fills: Set(try fills.map { try FillID($0.text("fill_id")) }),
                expectedFills: Set(try expected.map { try FillID($0.text("fill_id")) }),
                positions: try Dictionary(
                    uniqueKeysWithValues: positions.map {
                        (try MarketID($0.text("market_id")), try $0.int64("net_quantity"))
                    }),
                balance: try Money(microdollars: cash?.int64("cash") ?? 0),
                provisional: try provisional.map { try ProvisionalFill($0) })
        }
    }
}
