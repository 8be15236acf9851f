import Domain
import ExecutionServiceEngine
import Resilience

/// What `OrderStore` does in its transactions.
extension SimulatedBooks {
    /// What a process has seen of the venue when it decides: `VenueReadings`.
    struct Readings: Hashable {
        enum Balance: Hashable {
            case own
            case unread
            /// `asked` by the database's clock.
            case read(Money, age: Duration, asked: MachineInstant)
        }

        var isReconciled = true
        var ask: Price?
        var balance = Balance.own
    }

    struct Claimed: Hashable {
        let intent: ApprovedIntent
        let order: OrderRecord
        let reduces: Bool
    }

    struct Claim: Hashable {
        let decision: SendDecision
        var claimed: Claimed?
    }

    struct OpenOrder: Hashable {
        let record: OrderRecord
        let intentExpiresAt: VenueInstant
        /// Of a plan, whose driver sees to it.
        var isPartOfPlan = false
    }

    /// Whether an intent, an order or a fill has not come to its end.
    var isUnderWay: Bool {
        !provisional.isEmpty || intents.values.contains { !$0.state.isTerminal } || !openOrders.isEmpty
    }

    /// Orders that have not ended, oldest first.
    var openOrders: [OpenOrder] {
        orders.values.filter { !$0.record.state.isTerminal }.sorted { $0.number < $1.number }.compactMap { row in
            intents[row.record.intent].map {
                OpenOrder(
                    record: row.record, intentExpiresAt: $0.intent.expiresAt, isPartOfPlan: $0.plan != nil)
            }
        }
    }

    /// Intents that nobody has taken, and those whose next attempt has not been made.
    ///
    /// Exits come first; then the oldest of each market, then the second of each, so that no market's many keep
    /// another's one out.
    var waiting: [OrderQueue.Item] {
        let rows = intents.values.filter { row in
            row.state == .approved
                || (row.state == .sending
                    // As the sweep asks: what such an order has traded after all is looked at when it is decided.
                    && orders(of: row.intent.id).allSatisfy {
                        $0.state == .rejected && $0.reason == OrderRecord.notAccepted
                    })
        }
        .sorted { $0.number < $1.number }
        var seen: [Action: [MarketID: Int]] = [:]
        let ranked = rows.map { row in
            seen[row.intent.action, default: [:]][row.intent.market, default: 0] += 1
            let rank = seen[row.intent.action]?[row.intent.market] ?? 0
            return (row, key: (row.exit == .stopLoss ? 0 : 1, row.intent.action == .sell ? 0 : 1, rank, row.number))
        }
        return ranked.sorted { $0.key < $1.key }.map { row, _ in
            OrderQueue.Item(
                intent: row.intent.id, account: row.intent.venue.rawValue, markets: [row.intent.market],
                priority: row.priority)
        }
    }

    mutating func claim(
        _ id: IntentID, engine: ExecutionServiceEngine, seen: Readings, as order: (IntentID, Int) -> OrderID,
        at now: VenueInstant, database: MachineInstant
    ) -> Claim {
        touched = []
        guard let row = intents[id], !row.state.isTerminal else { return Claim(decision: .wait) }
        let intent = row.intent
        let position = positions[intent.market]?.position ?? Position(market: intent.market)
        let counted = intent.action == .sell ? counted(in: intent.market) : 0
        let reduces = position.isReduced(by: intent, counted: counted)
        var context = context(row, seen, at: now)
        context.counts = CountStep(provenBy: position)
        var decision = engine.decide(
            intent, earlier: orders(of: id), position: position, counted: counted, context, at: now)
        if isPast(row.expiresAt, database), decision != .wait { decision = .expire }
        switch decision {
        case .wait: return Claim(decision: .wait)
        case .expire: close(row, as: .expired)
        case .refuse(let refusal) where refusal.passes(reduces: reduces): return Claim(decision: .wait)
        case .refuse: close(row, as: .refused)
        case .send(let attempt):
            let isBusy =
                orders.values.contains { !permits(intent, reduces: reduces, beside: $0.record) }
                || plans.values.contains { $0.state == .working && $0.has(intent.market) }
            if isBusy, plant != .marketUnlocked {
                return Claim(decision: .wait)
            }
            if case .wait = take(.order, at: database) { return Claim(decision: .wait) }
            guard let order = store(row, attempt, reduces, as: order(id, attempt), at: now) else { break }
            return Claim(
                decision: decision, claimed: Claimed(intent: intent, order: order, reduces: reduces))
        }
        return Claim(decision: decision)
    }

    /// Whether something has run out by the database's clock.
    func isPast(_ bound: MachineInstant, _ database: MachineInstant) -> Bool {
        bound <= database && slip != .expiryUnread
    }

    /// One order at a time in a market; an exit does not wait for a purchase whose answer was lost.
    private func permits(_ intent: ApprovedIntent, reduces: Bool, beside open: OrderRecord) -> Bool {
        guard open.request.market == intent.market, !open.state.isTerminal else { return true }
        return reduces && intent.action == .sell && open.state == .unknown && open.request.action == .buy
            && open.request.outcome == intent.outcome
    }

    func context(_ row: IntentRow, _ seen: Readings, at now: VenueInstant) -> SendContext {
        var context = SendContext()
        context.killSwitch = plant == .killSwitchUnread ? .released : killSwitch
        context.isReconciled = seen.isReconciled
        context.ask = seen.ask
        context.signalAge = row.signalledAt.duration(to: now)
        let minute = now.advanced(by: .seconds(-60))
        let hour = now.advanced(by: .seconds(-3_600))
        for row in orders.values where row.venueAt > hour {
            if row.reduces {
                if row.venueAt > minute { context.exitsLastMinute += 1 }
            } else {
                context.ordersLastHour += 1
                if row.venueAt > minute { context.ordersLastMinute += 1 }
            }
        }
        if slip != .dayUncounted { context.ordersToday = ordersToday }
        if plant == .minuteUnread { context.ordersLastMinute = 0 }
        if plant == .hourUnread { context.ordersLastHour = 0 }
        if plant == .exitsUnread { context.exitsLastMinute = 0 }
        let others = reserved - (reservation(of: row.intent).map { $0.state == .held ? $0.held : .zero } ?? .zero)
        switch seen.balance {
        case .own: context.balance = spendable - others
        case .unread: context.balance = nil
        case .read(let money, let age, let asked):
            context.balance = min(spendable, money - bought(since: asked, at: now)) - others
            context.balanceAge = age
        }
        return context
    }

    /// What was paid for purchases that were booked from then on, with fees; an order trades at once.
    private func bought(since asked: MachineInstant, at now: VenueInstant) -> Money {
        if slip == .purchasesUncounted { return .zero }
        let recent = now.advanced(by: .seconds(-600))
        return bookedAt.reduce(.zero) { sum, booked in
            guard booked.value >= asked, !reversed.contains(booked.key), let fill = fills[booked.key],
                fill.action == .buy, let order = orders[fill.order], order.venueAt > recent
            else { return sum }
            return sum + fill.price * fill.quantity + fill.fee
        }
    }

    mutating func close(_ row: IntentRow, as end: IntentState) {
        let closing = IntentClosing(row.state, reservation(of: row.intent), as: end)
        guard let closing else { return }
        intents[row.intent.id]?.state = closing.intent
        if plant != .reservationLeaked, let record = closing.reservation { write(record) }
        touched.append(row.intent.id)
    }

    /// A closed reservation is never written again.
    mutating func write(_ record: ReservationRecord) {
        if reservations[record.id]?.record.state == .held { reservations[record.id]?.record = record }
    }

    /// Stores the order under its venue key, marked as sent, before anything is sent.
    private mutating func store(
        _ row: IntentRow, _ attempt: Int, _ reduces: Bool, as id: OrderID, at now: VenueInstant
    ) -> OrderRecord? {
        let intent = row.intent
        guard orders[id] == nil,
            let request = try? OrderRequest(
                id: id, market: intent.market, outcome: intent.outcome, action: intent.action, limit: intent.limit,
                quantity: intent.quantity, timeInForce: .immediateOrCancel)  // an approved intent is tradable
        else { return nil }
        if row.state == .approved { intents[intent.id]?.state = .sending }
        let stored = OrderRecord(request: request, intent: intent.id, attempt: attempt)
        var booking = OrderBooking(
            order: stored, reservation: reservation(of: intent), position: Position(market: intent.market),
            intent: .sending, knownFills: [])
        booking.apply(.sent)
        orders[id] = OrderRow(record: booking.order, venueAt: now, reduces: reduces, number: orders.count)
        ordersToday += 1
        mark += 1
        touched = [intent.id]
        return booking.order
    }

    /// Nil when there is no such order.
    mutating func book(_ id: OrderID, _ news: OrderNews) -> OrderBooking? {
        touched = []
        guard let row = orders[id], let intent = intents[row.record.intent] else { return nil }
        let request = row.record.request
        let market = markets[request.market]
        let before = OrderBooking(
            order: row.record, reservation: reservation(of: intent.intent),
            position: positions[request.market]?.position ?? Position(market: request.market), intent: intent.state,
            knownFills: Set(fills.values.lazy.filter { $0.order == id }.map(\.id)),
            settledAt: plant == .settlementForgotten ? nil : market?.value, isRefunded: market?.isRefunded ?? false,
            isPartOfPlan: intent.plan != nil && plant != .planReservationEnds)
        var booking = before
        booking.apply(news)
        if booking != before { write(booking, before, intent.intent) }
        return booking
    }

    private mutating func write(_ booking: OrderBooking, _ before: OrderBooking, _ intent: ApprovedIntent) {
        let id = booking.order.request.id
        orders[id]?.record = booking.order
        if booking.order.state.isTerminal, orders[id]?.closedAt == nil { orders[id]?.closedAt = databaseNow }
        // More than was asked for is alerted; the row keeps to what it can say.
        orders[id]?.record.limitFilled()
        for fill in booking.newFills {
            fills[fill.id] = fill
            bookedAt[fill.id] = databaseNow
            tape[fill.market, default: []].append(fill.id)
            if fillStanding == .provisional { provisional.insert(fill.id) }
        }
        if let first = booking.newFills.first {
            write(booking.position, of: intent.game, openedAt: first.at)
            apply(booking.account)
            save(from: booking.position)
        }
        if booking.reservation != before.reservation, let record = booking.reservation { write(record) }
        if booking.intent != before.intent { intents[intent.id]?.state = booking.intent }
        if booking.order.state == .sent, before.order.state != .sent { ordersToday += 1 }
        owe(booking.alerts)
        mark += 1
        touched = [intent.id]
    }

    /// What people must be told of is committed with what it follows from; the same again is one.
    mutating func owe(_ alerts: [ExecutionAlert]) {
        if plant == .alertForgotten { return }
        for alert in alerts where untold[alert] == nil { untold[alert] = databaseNow }
    }

    mutating func write(_ position: Position, of game: GameID, openedAt: VenueInstant) {
        let state: PositionRow.State = position.isFlat ? .closed : .open
        guard let known = positions[position.market] else {
            positions[position.market] = PositionRow(
                position: position, game: game, state: state, openedAt: openedAt)
            return
        }
        if known.position.netHundredths.signum() != position.netHundredths.signum() {
            positions[position.market]?.openedAt = openedAt
        }
        positions[position.market]?.position = position
        if known.state != .settled { positions[position.market]?.state = state }
    }

    mutating func apply(_ change: AccountChange) {
        cash += change.cash
        realised += change.realised
        fees += change.fees
    }

    /// Puts a part of the profit aside when the position is flat.
    private mutating func save(from position: Position) {
        guard position.isFlat, var piggybank = positions[position.market]?.piggybank else { return }
        saved += piggybank.note(position, percent: Self.savedPercent)
        positions[position.market]?.piggybank = piggybank
    }

    /// Pays a position out, once; false when it was paid already.
    ///
    /// Without a value the market is void, and what is open is paid back with the fees since it was opened.
    mutating func settle(_ market: MarketID, at value: Price?) -> Bool {
        touched = []
        guard let row = positions[market], row.state == .open || plant == .paidTwice else { return false }
        let booking =
            value.map { SettlementBooking(row.position, at: $0) }
            ?? SettlementBooking(refunding: row.position, fees: feesSince(row.openedAt, in: market))
        if plant != .paidTwice { positions[market]?.position = booking.position }
        positions[market]?.state = .settled
        apply(booking.account)
        save(from: booking.position)
        markets[market]?.isActive = false
        markets[market]?.value = value
        markets[market]?.isRefunded = value == nil
        mark += 1
        return true
    }

    private func feesSince(_ opening: VenueInstant, in market: MarketID) -> Money {
        (tape[market] ?? []).reduce(.zero) { sum, id in
            guard let fill = fills[id], !reversed.contains(id), fill.at >= opening else { return sum }
            return sum + fill.fee
        }
    }

    /// Our side of what the venue named, with everything that is open.
    func own(of venue: VenueSnapshot) -> OwnSnapshot {
        let keys = Set(venue.orders.compactMap(\.key))
        let names = Set(venue.orders.map(\.venueOrder)).union(venue.fills.map(\.venueOrder))
        let listed = orders.values.map(\.record).filter { record in
            keys.contains(record.request.id) || record.venueOrder.map(names.contains) ?? false
                || !record.state.isTerminal
        }
        let known = Set(fills.keys)
        let expected = known.subtracting(reversed)
        return OwnSnapshot(
            orders: listed.sorted { $0.request.id < $1.request.id },
            fills: known.intersection(venue.fills.map(\.id)), expectedFills: expected,
            positions: openPositions.filter { !$0.value.position.isFlat }.mapValues(\.position.netHundredths),
            balance: cash,
            provisional: provisional.sorted().compactMap { fills[$0] }.map {
                ProvisionalFill(id: $0.id, order: $0.order, market: $0.market)
            })
    }
}

extension OrderRecord {
    /// Keeps what is filled within what was asked for, as the row's constraint does.
    fileprivate mutating func limitFilled() {
        guard filled > request.quantity else { return }
        self = OrderRecord(
            request: request, intent: intent, attempt: attempt, venueOrder: venueOrder, state: state,
            filled: request.quantity, reason: reason)
    }
}
