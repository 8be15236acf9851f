import Domain
import ExecutionServiceEngine
import Postgres

/// An intent's row and its reservation's, both locked until the transaction ends.
struct StoredIntent: Sendable {
    let intent: ApprovedIntent
    let state: IntentState
    var reservation: ReservationRecord?
    /// Past its bound in the database's own time.
    let hasExpiredHere: Bool
    /// Of its market.
    let step: PriceStep
    let trace: TraceID?
    /// Whose leg it is.
    let plan: IntentID?
    /// Of a sale: what arbitrages hold of its market, in 1/100 contract of YES, below zero of NO.
    let counted: Int64
    /// When its signal was made, at the price that it was made at.
    let signalledAt: VenueInstant

    /// Reads a row of `intents`, with `sport`, `venue`, `price_step`, `has_expired`, `counted` and `signalled_at`,
    /// without its reservation.
    init(_ row: Row) throws {
        intent = try ApprovedIntent(row)
        state = try row.choice("state")
        hasExpiredHere = try row.bool("has_expired")
        step = try row.choice("price_step")
        trace = try? TraceID(row.text("trace"))
        plan = try row.textOrNil("plan_id").map { try IntentID($0) }
        counted = try row.int64("counted")
        signalledAt = try VenueInstant(microseconds: row.int64("signalled_at"))
    }

    /// An intent's row, locked; what is locked beside it is asked for after it.
    struct Key: Sendable {
        /// The intent's identifier, as an expression.
        let sql: SQL

        static func intent(_ id: IntentID) -> Key { Key(sql: "\(id.rawValue)") }
        /// The intent of an order, which never changes.
        static func order(_ id: OrderID) -> Key {
            Key(sql: "(SELECT intent_id FROM orders WHERE order_id = \(id.rawValue))")
        }

        /// The intent, without its reservation.
        var locked: PostgresQuestion<StoredIntent?> {
            .first(
                """
                SELECT i.*, g.sport, m.venue, m.price_step, i.expires_at <= now() AS has_expired,
                    s.venue_created_at AS signalled_at,
                    CASE WHEN i.action = 'sell' THEN \(OrderStore.counted(in: "i.market_id")) ELSE 0 END AS counted
                FROM intents i JOIN signals s USING (signal_id) JOIN games g ON g.game_id = i.game_id
                    JOIN market_mappings m ON m.market_id = i.market_id
                WHERE i.intent_id = \(sql) FOR UPDATE OF i
                """
            ) { try $0.map { try StoredIntent($0) } }
        }

        var reservation: PostgresQuestion<ReservationRecord?> {
            .first(
                """
                SELECT reservation_id, amount, released, state FROM reservations
                WHERE reservation_id = (SELECT reservation_id FROM intents WHERE intent_id = \(sql)) FOR UPDATE
                """
            ) { try $0.map { try ReservationRecord($0) } }
        }

        /// The position in the intent's market; nil when there is none yet.
        var position: PostgresQuestion<Position?> { Position.locked(market) }

        /// The intent's market, as an expression.
        var market: SQL { "(SELECT market_id FROM intents WHERE intent_id = \(sql))" }
        /// Its venue, likewise.
        var venue: SQL { "(SELECT venue FROM market_mappings WHERE market_id = \(market))" }
    }

    /// Travels with what the transaction sends next.
    ///
    /// The row's lock rules out that somebody else moved it; if it were so, nothing of the transaction is committed.
    func move(to next: IntentState, _ transaction: PostgresTransaction) throws {
        try transaction.enqueue(
            """
            UPDATE intents SET state = CASE WHEN state = \(state.rawValue) THEN \(next.rawValue) ELSE 'moved' END
            WHERE intent_id = \(intent.id.rawValue)
            """)
    }
}

extension ApprovedIntent {
    /// Reads a row of `intents`, with `sport` and `venue`.
    init(_ row: Row) throws {
        try self.init(
            id: IntentID(row.text("intent_id")), signal: SignalID(row.text("signal_id")),
            reservation: ReservationID(row.textOrNil("reservation_id") ?? "none"),
            game: GameID(row.text("game_id")), sport: row.choice("sport"), market: MarketID(row.text("market_id")),
            venue: row.choice("venue"), epoch: Epoch(row.int64("epoch")), outcome: row.choice("outcome"),
            action: row.choice("action"), limit: Price(tenThousandths: row.int64("limit_price")),
            quantity: Quantity(hundredths: row.int64("quantity")),
            expiresAt: VenueInstant(microseconds: row.int64("venue_expires_at")))
    }
}

extension OrderRecord {
    /// Reads a row of `orders`.
    init(_ row: Row) throws {
        let request = try OrderRequest(
            id: OrderID(row.text("order_id")), market: MarketID(row.text("market_id")),
            outcome: row.choice("outcome"), action: row.choice("action"),
            limit: Price(tenThousandths: row.int64("limit_price")),
            quantity: Quantity(hundredths: row.int64("quantity")), timeInForce: .immediateOrCancel)
        self.init(
            request: request, intent: try IntentID(row.text("intent_id")), attempt: try row.int("attempt"),
            venueOrder: try row.textOrNil("venue_order_id").map { try VenueOrderID($0) },
            state: try row.choice("state"), filled: try Quantity(hundredths: row.int64("filled")),
            reason: try row.textOrNil("reason"))
    }
}

extension ReservationRecord {
    /// Reads a row of `reservations`.
    init(_ row: Row) throws {
        self.init(
            id: try ReservationID(row.text("reservation_id")), amount: try Money(microdollars: row.int64("amount")),
            released: try Money(microdollars: row.int64("released")), state: try row.choice("state"))
    }

    /// Writes what was converted or freed, with what the transaction sends next; a closed reservation is never written
    /// again.
    func write(_ transaction: PostgresTransaction) throws {
        try transaction.enqueue(
            """
            UPDATE reservations SET released = \(released.microdollars), state = \(state.rawValue),
                closed_at = CASE WHEN \(state != .held) THEN now() END
            WHERE reservation_id = \(id.rawValue) AND state = 'held'
            """)
    }
}

extension Position {
    /// The position in a market, locked; a new one when there is none.
    static func lock(_ market: MarketID, _ transaction: PostgresTransaction) async throws -> Position {
        let position: Position? = try await transaction.ask(locked("\(market.rawValue)"))
        return position ?? Position(market: market)
    }

    /// The same, to be asked among others, of a market that is an expression; nil when there is none.
    static func locked(_ market: SQL) -> PostgresQuestion<Position?> {
        .first(
            """
            SELECT market_id, net_quantity, cost, realised, fees FROM positions
            WHERE market_id = \(market) FOR UPDATE
            """
        ) { try $0.map { try Position($0) } }
    }

    private init(_ row: Row) throws {
        try self.init(
            market: MarketID(row.text("market_id")), netHundredths: row.int64("net_quantity"),
            cost: Money(microdollars: row.int64("cost")), realised: Money(microdollars: row.int64("realised")),
            fees: Money(microdollars: row.int64("fees")))
    }

    /// Never opens a position again whose market is settled; travels with what the transaction sends next.
    ///
    /// `openedAt` is when it was opened, if it was flat before.
    func write(game: GameID, openedAt: VenueInstant, _ transaction: PostgresTransaction) throws {
        let state = isFlat ? "closed" : "open"
        try transaction.enqueue(
            """
            INSERT INTO positions (market_id, game_id, net_quantity, cost, realised, fees, state, opened_at)
            VALUES (\(market.rawValue), \(game.rawValue), \(netHundredths), \(cost.microdollars),
                \(realised.microdollars), \(fees.microdollars), \(state), \(openedAt.microseconds))
            ON CONFLICT (market_id) DO UPDATE SET net_quantity = excluded.net_quantity, cost = excluded.cost,
                realised = excluded.realised, fees = excluded.fees, updated_at = now(),
                opened_at = CASE WHEN sign(positions.net_quantity) = sign(excluded.net_quantity)
                    THEN positions.opened_at ELSE excluded.opened_at END,
                state = CASE WHEN positions.state = 'settled' THEN positions.state ELSE excluded.state END
            """)
    }
}
