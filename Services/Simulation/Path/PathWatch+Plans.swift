import Domain
import ExecutionServiceEngine
import OrchestratorEngine
import Resilience
import SignalProcessorEngine

/// What must hold of plans of two legs, looked at from the orders and fills that there are.
extension Simulation {
    mutating func watchPlanSignal(
        _ signal: ArbitrageSignal, _ verdict: PlanVerdict, marks: [MarketID: PortfolioMark.Mark]
    ) {
        if !path.watch.decides(signal.id) { violated("\(signal.id) is decided twice") }
        guard case .approved(let plan) = verdict else { return }
        path.watch.plans += 1
        if database.rows[signal.game]?.seat != Seat(shard: signal.shard, epoch: signal.epoch) {
            violated("\(plan.id) is traded by \(signal.shard) under \(signal.epoch), who does not own it")
        }
        if path.books.killSwitch != .released { violated("\(plan.id) is approved past the kill switch") }
        watchDay(plan.id, marks)
    }

    /// What a plan has spent and may lose, whose it is, and what is held for it.
    mutating func watchPlan(_ id: IntentID) {
        guard let row = path.books.plans[id] else { return violated("\(id) has legs and is no plan") }
        let plan = row.approved
        var spent = Money.zero
        var held = [Quantity.zero, .zero]
        let orders = path.books.orders(ofPlan: id, at: now)
        for order in orders {
            let answer = path.books.answer(of: order.record.request.id)
            if order.leg.action == .buy {
                spent += answer.value + answer.fees
                held[order.leg.leg] += answer.filled
            } else {
                spent -= answer.value - answer.fees
                held[order.leg.leg] = held[order.leg.leg].subtracting(answer.filled)
            }
        }
        if spent > plan.reserved { violated("\(id) has spent \(spent) of \(plan.reserved)") }
        let worst = Price.one * min(held[0], held[1]) - spent
        if worst < -plan.maximumLoss {
            violated("\(id) may come to \(worst), of which it may lose \(plan.maximumLoss)")
        }
        if orders.count(where: { !$0.record.state.isTerminal }) > 1 { violated("\(id) has two open orders") }
        if orders.map(\.leg.number) != Array(1..<orders.count + 1) { violated("\(id) has orders of one number") }
        // What a plan that had ended still has to mend is not reserved again.
        guard row.ending == nil, let reservation = path.books.reservations[plan.reservation]?.record.state else {
            return
        }
        if reservation != .held { violated("\(id) is \(row.state) while its reservation is \(reservation)") }
    }

    /// Nobody bets against a leg that another leg counts on: its venue would close it.
    mutating func watchBet(_ intent: ApprovedIntent) {
        let isHeld = path.books.positions[intent.market].map { $0.state == .open && !$0.position.isFlat } ?? false
        for (id, row) in path.books.plans.sorted(by: { $0.key < $1.key }) {
            let counts = row.state != .finished || (isHeld && !row.pairs.isZero)
            let legs = row.approved.signal.legs
            if counts, legs.contains(where: { $0.market == intent.market && $0.outcome != intent.outcome }) {
                violated("\(intent.id) bets against a leg of \(id)")
            }
        }
    }

    /// No slice is bought where the other side is held: its venue would close that.
    private mutating func watchSlice(_ plan: ApprovedPlan) {
        for leg in plan.signal.legs where path.books.positions[leg.market]?.state != .settled {
            let others = path.books.fills.values.filter { fill in
                let intent = path.books.orders[fill.order]?.record.intent
                return fill.market == leg.market && !path.books.reversed.contains(fill.id)
                    && intent.flatMap { path.books.intents[$0]?.plan } != plan.id
            }
            .reduce(Int64(0)) { sum, fill in
                let buysYes = (fill.outcome == .yes) == (fill.action == .buy)
                return sum + (buysYes ? fill.quantity.hundredths : -fill.quantity.hundredths)
            }
            if leg.outcome == .yes ? others < 0 : others > 0 {
                violated("a leg of \(plan.id) would close what others hold in \(leg.market), \(others)")
            }
        }
    }

    /// Only who holds a plan stores an order of it.
    mutating func watchLeg(_ order: LegOrder, of id: IntentID, by holder: String) {
        if order.purpose == .enter, let plan = path.books.plans[id]?.approved { watchSlice(plan) }
        watchClaim(reduces: order.purpose == .unwind)
        watchBudget(.order)
        let known = path.books.plans[id]?.holder
        if known != holder { violated("\(holder) stores an order while \(known ?? "nobody") is at work on \(id)") }
    }

    mutating func watchFinished(_ id: IntentID, _ outcome: LegPlanOutcome) {
        if path.books.reservations.values.contains(where: { $0.plan == id && $0.record.state == .held }) {
            violated("\(id) is finished while its reservation is held")
        }
        let isNaked = path.books.plans[id]?.ending == SimulatedBooks.naked
        if !isNaked, path.books.unevenness(of: id) != 0 { violated("\(id) is finished, and a leg stands alone") }
        let open = path.books.orders(ofPlan: id, at: now).contains { !$0.record.state.isTerminal }
        if open { violated("\(id) is finished with an open order") }
    }

    /// Whether somebody works on a leg that nobody takes within the loss allowed: no play moves its book any more.
    ///
    /// Nobody does when the plan itself, told what the venue's books are, would send nothing; and where the minute has
    /// its orders, it waits for the next one.
    func standsStill(_ plan: IntentID) -> Bool {
        guard path.books.unevenness(of: plan) != 0 else { return false }
        return path.executors.contains { executor in
            guard let driver = executor.drivers[plan], !driver.isWaiting, driver.open == nil else { return false }
            // It asks four times a second: who has stopped to ask does not wait.
            if let refusal = driver.refusal, refusal.reason == SendRefusal.ordersPerMinute.rawValue,
                now.since(refusal.at) <= .seconds(1)
            {
                return true
            }
            var books: [MarketID: OrderBook] = [:]
            for market in Set(driver.approved.signal.legs.map(\.market)) {
                guard let listing = path.venue.listings[market], listing.isTrading else { continue }
                books[market] = listing.book
            }
            var known = driver.plan
            let here = clock(of: executor.process)
            var effects = known.handle(.books(books), at: here)
            if driver.permission != .all { effects += known.handle(.permission(.all), at: here) }
            return !effects.contains { if case .send = $0 { true } else { false } }
        }
    }

    /// After calm every plan has ended, with both legs even, or with a market that was paid out before.
    mutating func watchPlansEnd() {
        for (id, row) in path.books.plans.sorted(by: { $0.key < $1.key }) {
            if standsStill(id) { continue }
            if row.state != .finished { violated("in the end \(id) is \(row.state)") }
            if row.ending != SimulatedBooks.naked, path.books.unevenness(of: id) != 0 {
                violated("in the end a leg of \(id) stands alone")
            }
        }
    }
}
