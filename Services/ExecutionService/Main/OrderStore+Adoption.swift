import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Runtime

/// What a finished look found of fills that are not ours.
struct ForeignSight: Sendable {
    /// What it calls fills of orders that we do not know.
    let foreign: Set<FillID>
    /// The venue's lists.
    let orders: [VenueOrderID: VenueOrderState]
    let fills: [VenueOrderID: Set<FillID>]

    init(_ found: [Discrepancy], _ venue: VenueSnapshot?) {
        foreign = Set(
            found.compactMap { discrepancy -> FillID? in
                if case .foreignFill(let fill, _, _) = discrepancy { fill } else { nil }
            })
        orders = Dictionary((venue?.orders ?? []).map { ($0.venueOrder, $0) }, uniquingKeysWith: { $1 })
        fills = Dictionary(grouping: venue?.fills ?? [], by: \.venueOrder).mapValues { Set($0.map(\.id)) }
    }
}

/// What became of a request, and what was booked for it.
struct AdoptionAnswer: Sendable {
    var lines: [AdoptionLine] = []
    var bookings: [OrderBooking] = []
}

extension OrderStore {
    /// Makes fills of orders that we do not know our own, as a person asked, all of a request in one transaction.
    ///
    /// Each order gets the rows that one of ours has, and is booked by what books ours: a signal, a reservation that
    /// is committed at once, an intent that is done, an order that is filled, and all that follows from its fills. Its
    /// name follows from the account's and from the venue's order, so nobody can adopt it twice.
    ///
    /// - Returns: nil when somebody has answered the request already.
    func adopt(
        _ request: AdoptionRequest, _ seen: ForeignSight, _ records: ReconciliationStore, by name: String,
        at now: VenueInstant
    ) async throws -> AdoptionAnswer? {
        try await pool.retryingTransaction("adopt fills") { transaction in
            _ = try await account.lock(transaction)
            guard try await records.take(request, transaction) else { return nil }
            let kept = try await records.keptFills(for: request, foreign: seen.foreign, transaction)
            try await records.lockComparison(transaction)
            let accepted = try Accepted(await records.accepted(transaction))
            var answer = AdoptionAnswer()
            for fill in request.fills where !kept.contains(where: { $0.fill.fill == fill }) {
                answer.lines.append(AdoptionLine(fill, nil, .notKept))
            }
            for order in Self.byOrder(kept) {
                switch try await decide(order, seen, accepted, records, transaction) {
                case .refuse(let refusal):
                    answer.lines += order.map { AdoptionLine($0.fill.fill, $0, refusal) }
                case .adopt(let adoption):
                    guard try await endPlans(in: adoption.request.market, at: now, transaction) else {
                        answer.lines += order.map { AdoptionLine($0.fill.fill, $0, .planAtWork) }
                        continue
                    }
                    answer.bookings.append(try await book(adoption, of: request, records, at: now, transaction))
                    try await records.markAdopted(
                        order.map(\.fill.fill), as: adoption.request.id, by: request.author, transaction)
                    answer.lines += order.map { AdoptionLine($0.fill, adoption) }
                }
            }
            try await records.answer(request, answer.lines, by: name, transaction)
            return answer
        }
    }

    /// The fills of each order of the venue, in the order in which the first of each traded.
    private static func byOrder(_ kept: [KeptFill]) -> [[KeptFill]] {
        var names: [String] = []
        for fill in kept where !names.contains(fill.fill.venueOrder) { names.append(fill.fill.venueOrder) }
        let orders = Dictionary(grouping: kept, by: \.fill.venueOrder)
        return names.compactMap { orders[$0] }
    }

    private func decide(
        _ kept: [KeptFill], _ seen: ForeignSight, _ accepted: Accepted, _ records: ReconciliationStore,
        _ transaction: PostgresTransaction
    ) async throws -> Adoption.Decision {
        if kept.allSatisfy({ $0.order != nil }) { return .refuse(.adopted) }
        let fills = try kept.map { try VenueFillState($0.fill) }
        guard let first = fills.first else { return .refuse(.notKept) }
        let isAccepted = fills.contains { fill in
            accepted.names.contains(Discrepancy.foreignFill(fill.id, fill.venueOrder, fill.market).name)
                || accepted.positions[fill.market] ?? 0 != 0
        }
        if isAccepted { return .refuse(.accepted) }
        let (isOurs, hasMarket) = try await transaction.ask(
            isBooked(first.venueOrder, fills), isKnown(first.market, at: records.venue))
        if isOurs { return .refuse(.ours) }
        guard fills.allSatisfy({ seen.foreign.contains($0.id) }) else { return .refuse(.notForeign) }
        guard hasMarket else { return .refuse(.marketUnknown) }
        let order = ForeignOrder(
            first.venueOrder, fills: fills, listed: seen.orders[first.venueOrder],
            listedFills: seen.fills[first.venueOrder] ?? [])
        // Under the name that the venue knows it by: what would be sent under that name again is not even stored.
        let derived = OrderID.derived(from: .adopting(first.venueOrder, at: records.venue, account), attempt: 1)
        let id = order.listed?.key ?? derived
        return Adoption.decide(order, as: id, fees: .taker(at: records.venue))
    }

    private func isBooked(_ order: VenueOrderID, _ fills: [VenueFillState]) -> PostgresQuestion<Bool> {
        PostgresQuestion(
            """
            SELECT 1 AS one FROM orders WHERE venue_order_id = \(order.rawValue)
            UNION ALL SELECT 1 FROM fills WHERE fill_id = ANY(\(fills.map(\.id.rawValue))::text[])
            """
        ) { !$0.isEmpty }
    }

    private func isKnown(_ market: MarketID, at venue: Venue) -> PostgresQuestion<Bool> {
        PostgresQuestion(
            """
            SELECT 1 AS one FROM market_mappings
            WHERE market_id = \(market.rawValue) AND venue = \(venue.rawValue)
            """
        ) { !$0.isEmpty }
    }

    // MARK: Booking

    private func book(
        _ adoption: Adoption, of request: AdoptionRequest, _ records: ReconciliationStore, at now: VenueInstant,
        _ transaction: PostgresTransaction
    ) async throws -> OrderBooking {
        let (order, first) = (adoption.request, adoption.fills[0])
        let id = IntentID.adopting(adoption.venueOrder, at: records.venue, account)
        try insertIntent(id, adoption, tradedAt: first.at, transaction)
        let key = StoredIntent.Key.intent(id)
        let (intent, reservation, held, end) = try await transaction.ask(
            key.locked, key.reservation, key.position, settlement(key))
        guard var stored = intent else {
            throw PostgresError(.permanent, "no intent \(id)", context: transaction.name)
        }
        stored.reservation = reservation
        let position = held ?? Position(market: order.market)
        let before = OrderBooking(
            order: OrderRecord(request: order, intent: id, attempt: 1), reservation: reservation, position: position,
            intent: stored.state, knownFills: [], settledAt: end?.value, isRefunded: end?.isRefunded ?? false)
        let reduces = position.isReduced(by: order.outcome, order.action, order.quantity)
        try await insert(before.order, stored, reduces: reduces, at: first.at, transaction).write(transaction)
        var booking = before
        booking.apply(.sent)
        booking.apply(
            .accepted(adoption.venueOrder, fills: adoption.fills, reported: order.quantity, rests: false))
        try await write(booking, before, stored, [], at: now, transaction)
        // The account sent it, whoever it was.
        try await statistics.add(
            [DailyStatistics.orders(account, at: stored.intent.venue): 1], at: first.at, transaction)
        try await AuditEntry(
            .orderAdopted, intent: id, order: order.id, market: order.market, game: stored.intent.game,
            details: [
                "reason": request.reason, "by": request.author, "account": account.name,
                "venue_order": adoption.venueOrder.rawValue, "bought": order.outcome.rawValue,
                "quantity": "\(order.quantity)", "limit": "\(order.limit)",
                "fills": adoption.fills.map(\.id.rawValue).joined(separator: " "),
                "computed_fees": adoption.withComputedFees.sorted().map(\.rawValue).joined(separator: " "),
            ]
        ).write(transaction)
        return booking
    }

    /// What stands before an order of ours: the signal says the price for the chance, since no model was asked.
    private func insertIntent(
        _ id: IntentID, _ adoption: Adoption, tradedAt at: VenueInstant, _ transaction: PostgresTransaction
    ) throws {
        let order = adoption.request
        try transaction.enqueue(
            """
            INSERT INTO signals (signal_id, game_id, market_id, shard, epoch, kind, outcome, model_probability, price,
                edge_basis_points, venue_created_at, venue_expires_at, trace, verdict)
            SELECT \(id.rawValue), m.game_id, m.market_id, coalesce(a.shard, 'execution-service'),
                coalesce(a.epoch, 1), \(AdoptionRequest.signalKind), \(order.outcome.rawValue),
                \(Double(order.limit.tenThousandths) / 10_000), \(order.limit.tenThousandths), 0,
                \(at.microseconds), \(at.microseconds), '', 'approved'
            FROM market_mappings m LEFT JOIN assignments a ON a.game_id = m.game_id
            WHERE m.market_id = \(order.market.rawValue)
            """)
        try transaction.enqueue(
            """
            INSERT INTO reservations (reservation_id, game_id, market_id, sport, amount)
            SELECT \(id.rawValue), m.game_id, m.market_id, g.sport, \(adoption.value.microdollars)
            FROM market_mappings m JOIN games g ON g.game_id = m.game_id WHERE m.market_id = \(order.market.rawValue)
            """)
        // Never approved: nobody is to take it up before it is done.
        try transaction.enqueue(
            """
            INSERT INTO intents (intent_id, signal_id, reservation_id, game_id, market_id, epoch, outcome, action,
                limit_price, quantity, state, venue_expires_at, expires_at, trace)
            SELECT signal_id, signal_id, signal_id, game_id, market_id, epoch, outcome, \(order.action.rawValue), price,
                \(order.quantity.hundredths), 'sending', venue_expires_at, now(), trace
            FROM signals WHERE signal_id = \(id.rawValue)
            """)
    }
}

extension IntentID {
    /// What an adopted order is of: the same for one order of a venue in one account, whoever adopts it.
    static func adopting(_ order: VenueOrderID, at venue: Venue, _ account: TradingAccount) -> IntentID {
        IntentID(
            stringLiteral: UUIDv5.make(
                namespace: .dns, name: "\(order).\(venue.rawValue).\(account.name).adoption.linesman"))
    }
}

extension VenueFillState {
    /// A fill as it is kept.
    fileprivate init(_ kept: ForeignFill) throws(DomainError) {
        let fee: Money? = if let fee = kept.fee { try Money(microdollars: fee) } else { nil }
        self.init(
            id: try FillID(kept.fill), venueOrder: try VenueOrderID(kept.venueOrder), market: try MarketID(kept.market),
            quantity: try Quantity(hundredths: kept.quantity), yesPrice: try Price(tenThousandths: kept.yesPrice),
            bought: kept.bought.flatMap { Outcome(rawValue: $0) }, fee: fee,
            at: try VenueInstant(microseconds: kept.venueAt))
    }
}

extension AdoptionLine {
    fileprivate init(_ fill: String, _ kept: KeptFill?, _ refusal: AdoptionRefusal) {
        self.init(
            fill: fill, kept: kept?.fill, order: kept?.order, refusal: refusal.rawValue,
            explanation: refusal.explanation)
    }

    fileprivate init(_ kept: ForeignFill, _ adoption: Adoption) {
        let booked = adoption.fills.first { $0.id.rawValue == kept.fill }
        self.init(
            fill: kept.fill, kept: kept, order: adoption.request.id.rawValue, fee: booked?.fee.microdollars,
            isFeeComputed: booked.map { adoption.withComputedFees.contains($0.id) } ?? false)
    }
}
