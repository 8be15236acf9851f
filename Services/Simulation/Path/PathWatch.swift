import Domain
import ExecutionServiceEngine
import OrchestratorEngine
import Resilience
import SignalProcessorEngine

/// What must hold on the order path after every step, looked at from outside where both sides are seen.
struct PathWatch {
    private(set) var violations: [String] = []
    /// What was committed and people must still be told of, and since when.
    var owed: [ExecutionAlert: MachineInstant] = [:]
    /// Since when somebody has been there to tell it.
    var tellersSince: MachineInstant?
    private var decided: Set<SignalID> = []
    var approved = 0
    var plans = 0
    /// Orders that were written to the venue, arrived or not.
    var sent: Set<OrderID> = []

    /// False when the signal was decided before.
    mutating func decides(_ signal: SignalID) -> Bool { decided.insert(signal).inserted }
    var lastStates: [IntentID: IntentState] = [:]
    /// Small stakes and several entries of a game, so that limits are reached and orders are many.
    static let limits: TradingLimits = {
        var limits = TradingLimits()
        limits.minimumEdgeBasisPoints = 400
        limits.positionShare = 0.02
        limits.entriesPerSide = 4
        limits.allowsHedging = true
        return limits
    }()
    /// Since when the day's loss has been past its limit, with somebody there to halt for it.
    var lossSince: MachineInstant?
    var budget = BudgetWatch()
    /// Since when somebody who could take an order back has known that nothing may rest.
    var restingSince: [OrderID: MachineInstant] = [:]
    /// Orders that open or enlarge a position, and those that do neither.
    var entries = OrderWatch()
    var exits = OrderWatch()
    /// What was exposed and short when the books were looked at last, past the limits.
    var excess = Excess()
    /// And how many bookings there were.
    var mark = 0

    mutating func violated(_ text: String, at now: MachineInstant) {
        guard violations.count < 50 else { return }
        violations.append("\(now.nanoseconds / 1_000_000) ms: \(text)")
    }
}

extension Simulation {
    mutating func violated(_ text: String) { path.watch.violated(text, at: now) }

    // MARK: Owners

    /// Only the owner of record trades, and only while the switch is released.
    mutating func watchSignal(
        _ signal: Signal, _ outcome: SimulatedBooks.SignalOutcome, marks: [MarketID: PortfolioMark.Mark]
    ) {
        guard case .decided(let verdict) = outcome else { return }
        if !path.watch.decides(signal.id) { violated("\(signal.id) is decided twice") }
        guard case .approved(let intent, _) = verdict else { return }
        path.watch.approved += 1
        if database.rows[signal.game]?.seat != Seat(shard: signal.shard, epoch: signal.epoch) {
            violated("\(intent.id) is traded by \(signal.shard) under \(signal.epoch), who does not own it")
        }
        if path.books.killSwitch != .released { violated("\(intent.id) is approved past the kill switch") }
        watchBet(intent)
        watchSides(intent)
        watchDay(intent.id, marks)
    }

    // MARK: Reservations and limits

    /// What the last transaction touched, and every sum that it may have changed.
    ///
    /// `mayOpen` says that it may have opened what nobody asked the limits about: a fill is taken back. What is past a
    /// limit by then may stay or shrink, and nothing else may add to it.
    mutating func watchBooks(mayOpen: Bool = false) {
        for id in path.books.touched { watchIntent(id) }
        // A payout touches no intent.
        let isBooked = path.books.mark != path.watch.mark
        path.watch.mark = path.books.mark
        if path.books.touched.isEmpty, !isBooked, path.watch.excess.isNone { return }
        let exposure = path.books.exposure
        watchCash(exposure)
        let before = path.watch.excess
        let excess = PathWatch.Excess(exposure, path.limits, spendable: path.books.spendable)
        path.watch.excess = excess
        if mayOpen { return }
        for (game, over) in excess.games.sorted(by: { $0.key < $1.key }) where over > before.games[game] ?? .zero {
            violated("\(game) exposes \(over) more than it may")
        }
        for (sport, over) in excess.sports where over > before.sports[sport] ?? .zero {
            violated("\(sport) exposes \(over) more than it may")
        }
        for (market, over) in excess.markets.sorted(by: { $0.key < $1.key })
        where over > before.markets[market] ?? .zero {
            violated("\(over) more is in \(market) than in one market may be")
        }
        if excess.total > before.total { violated("\(excess.total) more is at stake than may be in all") }
        if excess.short > before.short { violated("\(excess.short) more is reserved than there is to spend") }
    }

    private mutating func watchIntent(_ id: IntentID) {
        guard let row = path.books.intents[id] else { return }
        let last = path.watch.lastStates[id] ?? (row.plan == nil ? .approved : .done)
        if last != row.state, !last.permits(row.state) { violated("\(id) went from \(last) to \(row.state)") }
        path.watch.lastStates[id] = row.state
        if let plan = row.plan { return watchPlan(plan) }
        let reservation = path.books.reservation(of: row.intent)
        if (row.intent.action == .buy) != (reservation != nil) { violated("\(id) is reserved wrongly") }
        if let reservation, row.state.isTerminal != (reservation.state != .held) {
            violated("\(id) is \(row.state) while its reservation is \(reservation.state)")
        }
        let open = path.books.orders(of: id).filter { !$0.state.isTerminal }
        if open.count > 1 { violated("\(id) has \(open.count) open orders") }
        if row.state.isTerminal, !open.isEmpty { violated("\(id) has ended with an open order") }
    }

    private mutating func watchCash(_ exposure: SimulatedBooks.Exposure) {
        let books = path.books
        let expected = books.initialCash + books.realised - books.fees - exposure.openCost
        if books.cash != expected { violated("cash is \(books.cash), the books make it \(expected)") }
    }

    // MARK: Orders and the kill switch

    mutating func watchClaim(reduces: Bool) {
        let isPermitted = path.books.killSwitch == .released || (reduces && path.books.killSwitch == .reduceOnly)
        if !isPermitted { violated("an order is stored past the kill switch") }
    }

    mutating func watchSend(_ claimed: SimulatedBooks.Claimed) {
        let id = claimed.order.request.id
        if !path.watch.sent.insert(id).inserted { violated("\(id) is sent twice") }
        if path.trouble.isKillFilePresent || path.trouble.isKillFileUnknown {
            violated("\(id) is sent past the kill-switch file")
        }
        if path.books.orders[id] == nil { violated("\(id) is sent and not stored") }
    }

    /// What reaches the venue is awaited by the books, once for each intent.
    mutating func watchArrival(_ claimed: SimulatedBooks.Claimed) {
        let id = claimed.order.request.id
        if path.venue.byKey[id]?.count ?? 0 > 1 { violated("\(id) is twice at the venue") }
        let ofIntent = path.books.orders(of: claimed.intent.id).filter { path.venue.byKey[$0.request.id] != nil }
        let isOfPlan = path.books.intents[claimed.intent.id]?.plan != nil
        if ofIntent.count > 1, !isOfPlan {
            violated("\(claimed.intent.id) is at the venue as \(ofIntent.count) orders")
        }
        guard path.venue.byKey[id] != nil else { return }
        if let record = path.books.orders[id]?.record, record.state.isTerminal {
            violated("\(id) reaches the venue after it ended as \(record.state)")
        }
    }

    /// An order ends in the books only as it ended at the venue.
    mutating func watchBooking(_ before: OrderRecord?, _ booking: OrderBooking?) {
        guard let before, let after = booking?.order else { return }
        if before.state != after.state, !before.state.permits(after.state) {
            violated("\(after.request.id) went from \(before.state) to \(after.state)")
        }
        guard after.state.isTerminal, !before.state.isTerminal else { return }
        let theirs = path.venue.byKey[after.request.id]?.map { path.venue.orders[$0] } ?? []
        let filled = theirs.reduce(Quantity.zero) { $0 + $1.filled }
        if filled > after.filled {
            violated("\(after.request.id) ends as \(after.state) with \(after.filled), the venue has \(filled)")
        }
    }

    /// A sale ends what is held, and never opens the other side.
    mutating func watchPosition(_ before: Position?, _ booking: OrderBooking?) {
        guard let booking, !booking.newFills.isEmpty, booking.order.request.action == .sell,
            path.books.intents[booking.order.intent]?.plan == nil
        else { return }
        // What it sells may have been taken back meanwhile, at the venue before we hear of it.
        guard !path.venue.takenBackIn.contains(booking.order.request.market) else { return }
        let (was, now) = (before?.netHundredths ?? 0, booking.position.netHundredths)
        if was.signum() * now.signum() < 0 || abs(now) > abs(was) {
            violated("\(booking.order.request.id) sells more than is held: \(was) becomes \(now)")
        }
    }

    mutating func watchProof(_ order: OrderRecord) {
        if path.venue.byKey[order.request.id] != nil {
            violated("\(order.request.id) is said to be absent, and is at the venue")
        }
    }

    mutating func watchJudgement(_ judgement: ReconciliationJudgement) {
        for difference in judgement.lasting { violated("the venue's books differ for good: \(difference.name)") }
    }

    // MARK: In the end

    /// After calm nothing is open, nothing is held, and both books say the same.
    mutating func watchEnd() {
        let books = path.books
        let waiting = books.intents.filter { !$0.value.state.isTerminal }
        for (id, row) in waiting.sorted(by: { $0.key < $1.key }) { violated("in the end \(id) is \(row.state)") }
        for order in books.openOrders { violated("in the end \(order.record.request.id) is \(order.record.state)") }
        let waits = books.reservations.values.filter { row in
            row.record.state == .held && row.plan.map { standsStill($0) } == true
        }
        if books.reserved != waits.reduce(Money.zero, { $0 + $1.record.held }) {
            violated("in the end \(books.reserved) is reserved")
        }
        if books.cash != path.venue.cash {
            violated("in the end cash is \(books.cash), the venue's \(path.venue.cash)")
        }
        for order in path.venue.orders {
            let ours = books.orders[order.request.id]?.record
            if ours?.filled != order.filled {
                let booked = ours.map { "\($0.filled)" } ?? "nothing"
                violated("in the end \(order.request.id) is \(booked) to us, \(order.filled) to the venue")
            }
        }
        let held = books.openPositions.mapValues(\.position.netHundredths).filter { $0.value != 0 }
        let theirs = path.venue.positions.mapValues(\.netHundredths).filter { $0.value != 0 }
        if held != theirs { violated("in the end positions differ") }
        watchAlerts(isEnd: true)
        watchFillsEnd()
        watchPlansEnd()
        if path.executors.contains(where: { !$0.isReconciled }) { violated("in the end the books are not compared") }
        for orchestrator in orchestrators where orchestrator.engine.isLeading {
            // What an earlier life told ends after a minute in which this one did not see it.
            let open = orchestrator.toldAlerts.intersection(orchestrator.firing).map(\.rawValue).sorted()
            if !open.isEmpty { violated("in the end \(open) are still told") }
        }
    }
}
