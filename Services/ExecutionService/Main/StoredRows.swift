import Domain
import ExecutionServiceEngine
import Postgres

/// An intent's row and its reservation's, both locked until the transaction ends.
struct StoredIntent: Sendable {
    let intent: ApprovedIntent
    let state: IntentState
    let reservation: ReservationRecord?
    /// Past its bound in the database's own time.
    let hasExpiredHere: Bool
    let trace: TraceID?

    static func lock(_ id: IntentID, _ transaction: PostgresTransaction) async throws -> StoredIntent? {
        let row = try await transaction.first(
            """
            SELECT i.*, g.sport, m.venue, i.expires_at <= now() AS has_expired
            FROM intents i JOIN games g USING (game_id) JOIN market_mappings m USING (market_id)
            WHERE i.intent_id = \(id.rawValue) FOR UPDATE OF i
            """)
        guard let row else { return nil }
        let reservation = try await row.textOrNil("reservation_id").asyncMap { name in
            try await ReservationRecord.lock(try ReservationID(name), transaction)
        }
        return StoredIntent(
            intent: try ApprovedIntent(row), state: try row.choice("state"), reservation: reservation ?? nil,
            hasExpiredHere: try row.bool("has_expired"), trace: try? TraceID(row.text("trace")))
    }

    /// - Throws: when somebody else moved it, which the row's lock rules out.
    func move(to next: IntentState, _ transaction: PostgresTransaction) async throws {
        let moved = try await transaction.execute(
            """
            UPDATE intents SET state = \(next.rawValue)
            WHERE intent_id = \(intent.id.rawValue) AND state = \(state.rawValue)
            """)
        guard moved == 1 else {
            throw PostgresError(.permanent, "intent is no longer \(state.rawValue)", context: transaction.name)
        }
    }
}

extension Optional {
    fileprivate func asyncMap<R>(_ change: (Wrapped) async throws -> R) async rethrows -> R? {
        if let self { try await change(self) } else { nil }
    }
}

extension ApprovedIntent {
    /// Reads a row of `intents`, with `sport` and `venue`.
    init(_ row: Row) throws {
        try self.init(
            id: IntentID(row.text("intent_id")), signal: SignalID(row.textOrNil("signal_id") ?? "none"),
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
    static func lock(_ id: ReservationID, _ transaction: PostgresTransaction) async throws -> ReservationRecord? {
        let row = try await transaction.first(
            "SELECT amount, released, state FROM reservations WHERE reservation_id = \(id.rawValue) FOR UPDATE")
        return try row.map { row in
            ReservationRecord(
                id: id, amount: try Money(microdollars: row.int64("amount")),
                released: try Money(microdollars: row.int64("released")), state: try row.choice("state"))
        }
    }

    /// Writes what was converted or freed; a closed reservation is never written again.
    func write(_ transaction: PostgresTransaction) async throws {
        try await transaction.execute(
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
        let row = try await transaction.first(
            """
            SELECT net_quantity, cost, realised, fees FROM positions WHERE market_id = \(market.rawValue) FOR UPDATE
            """)
        guard let row else { return Position(market: market) }
        return try Position(
            market: market, netHundredths: row.int64("net_quantity"), cost: Money(microdollars: row.int64("cost")),
            realised: Money(microdollars: row.int64("realised")), fees: Money(microdollars: row.int64("fees")))
    }

    /// Never opens a position again whose market is settled.
    ///
    /// `openedAt` is when it was opened, if it was flat before.
    func write(game: GameID, openedAt: VenueInstant, _ transaction: PostgresTransaction) async throws {
        let state = isFlat ? "closed" : "open"
        try await transaction.execute(
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
