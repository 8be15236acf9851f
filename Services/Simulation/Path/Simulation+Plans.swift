import Domain
import ExecutionServiceEngine
import GameShardEngine
import Resilience

/// One plan at work, as `PlanDriver` has it.
struct SimulatedDriver {
    let approved: ApprovedPlan
    var plan: LegPlan
    /// The order whose fate is not certain.
    var open: (number: Int, id: OrderID)?
    var evidence: ExecutionServiceEngine
    var permission: LegPlan.Permission?
    var look: SimulatedBooks.PlanLook?
    var outcome: LegPlanOutcome?
    var ending: String?
    var nextPage: MachineInstant?
    var nextBook: MachineInstant?
    /// An order is on its way, and its answer goes on.
    var isWaiting = false
    /// Why an order was not stored, and when; nil once one was.
    var refusal: (reason: String, at: MachineInstant)?
}

/// Another process works on the plan, or the database did not answer: it is taken up anew from what is stored.
private struct PlanDropped: Error {}

/// Carries plans of two legs out: the shell of `LegDesk` and `PlanDriver`.
extension Simulation {
    static let planLease = Duration.seconds(5)
    static let planRetry = Duration.milliseconds(250)
    static let openPlans = 10

    private func holder(_ index: Int) -> String { "e\(index)/\(path.executors[index].process.life)" }
    private func machine(_ index: Int) -> MachineInstant { clock(of: path.executors[index].process) }

    mutating func planHappens(_ happening: PathHappening) {
        switch happening {
        case .sweepPlans(let index, let life):
            guard isThere(executor: index, life, happening) else { return }
            planPath(.sweepPlans(index, life: life), after: .seconds(1))
            sweepPlans(index)
        case .drive(let index, let life, let id):
            guard isThere(executor: index, life, happening) else { return }
            work(on: id, index) { try $0.look(after: &$1, index) }
        case .legSend(let index, let life, let id, let order, let claimed, let began):
            guard isThere(executor: index, life, happening) else { return }
            sendLeg(index, id, order, claimed, since: began)
        case .legAnswered(let index, let life, let id, let order, let news):
            guard isThere(executor: index, life, happening), path.executors[index].drivers[id]?.open?.id == order
            else { return }
            let fate = fate(of: path.executors[index].process)
            let booking = fate.isDone ? carryOut(news, of: order, by: index) : nil
            guard let booking, fate.isAnswered else {
                // The answer is in our hands only.
                return planPath(happening, after: fate.patience + path.milliseconds(100...2_000))
            }
            work(on: id, index) {
                $1.isWaiting = false
                try $0.give($0.conclude(booking, &$1, index), to: &$1, index)
            }
        default: break
        }
    }

    private mutating func work(
        on id: IntentID, _ index: Int, _ body: (inout Simulation, inout SimulatedDriver) throws -> Void
    ) {
        guard var driver = path.executors[index].drivers[id] else { return }
        do {
            try body(&self, &driver)
            if let outcome = driver.outcome { return finish(driver, outcome, index) }
            path.executors[index].drivers[id] = driver
            if !driver.isWaiting {
                planPath(.drive(index, life: path.executors[index].process.life, id), after: Self.planRetry)
            }
        } catch {
            path.executors[index].drivers[id] = nil
        }
    }

    // MARK: Whose it is

    private mutating func sweepPlans(_ index: Int) {
        guard fate(of: path.executors[index].process, writes: false).isAnswered else { return }
        let driven = path.executors[index].drivers
        for id in path.books.waitingPlans(at: now) where driven[id] == nil {
            guard path.executors[index].drivers.count < Self.openPlans else { return }
            let fate = fate(of: path.executors[index].process)
            guard fate.isDone else { continue }
            let held = path.books.takePlan(id, for: holder(index), lease: Self.planLease, at: now)
            guard let held, fate.isAnswered else { continue }
            record("e\(index) takes \(id) with \(held.orders.count) orders")
            begin(held, index)
        }
    }

    /// Takes up what an earlier life left.
    private mutating func begin(_ held: SimulatedBooks.HeldPlan, _ index: Int) {
        var approved = held.approved
        if plant == .planLossUnbounded { approved = approved.lenient }
        path.executors[index].drivers[approved.id] = SimulatedDriver(
            approved: approved, plan: LegPlan(approved), evidence: path.executors[index].engine)
        work(on: approved.id, index) { simulation, driver in
            guard !held.orders.isEmpty else { return }
            let (resumed, effects) = LegPlan.resumed(
                approved, orders: held.orders.map { ($0.leg, $0.answer) }, alone: held.alone,
                at: simulation.machine(index))
            driver.plan = resumed
            simulation.carryOut(effects, &driver, index)
            guard let left = held.orders.last(where: { $0.answer == nil }) else { return }
            let id = left.record.request.id
            driver.open = (left.leg.number, id)
            if let news = left.record.newsWhenAbandoned {
                let booking = try simulation.book(news, of: id, index)
                return try simulation.give(simulation.conclude(booking, &driver, index), to: &driver, index)
            }
            driver.evidence.missing(id, connectionClosed: true, at: simulation.machine(index))
        }
    }

    private mutating func finish(_ driver: SimulatedDriver, _ outcome: LegPlanOutcome, _ index: Int) {
        let id = driver.approved.id
        path.executors[index].drivers[id] = nil
        guard fate(of: path.executors[index].process).isDone else { return }
        let ending = driver.ending ?? outcome.ending.rawValue
        guard path.books.finishPlan(id, for: holder(index), outcome, ending: ending) else { return }
        log.add("\(id) \(ending) \(outcome.result)")
        record("e\(index) finishes \(id) \(ending): \(outcome)")
        watchFinished(id, outcome)
        watchBooks()
    }

    // MARK: What is seen

    private mutating func look(after driver: inout SimulatedDriver, _ index: Int) throws {
        guard !driver.isWaiting else { return }
        if plant == .nakedForgotten, driver.plan.naked != nil { return }
        let fate = fate(of: path.executors[index].process)
        guard fate.isAnswered else {
            // Nothing can be stored, so nothing can be sent.
            if driver.plan.naked != nil { try set(.none, of: &driver, index) }
            return
        }
        if plant == .leaseIgnored { path.books.plans[driver.approved.id]?.heldUntil = now }
        let found = path.books.lookAfter(driver.approved.id, for: holder(index), lease: Self.planLease, at: now)
        guard let found else { throw PlanDropped() }
        driver.look = found
        try observe(found, &driver, index)
        if driver.outcome == nil, driver.open != nil, !driver.isWaiting { try resolve(&driver, index) }
    }

    private mutating func observe(
        _ look: SimulatedBooks.PlanLook, _ driver: inout SimulatedDriver, _ index: Int
    ) throws {
        let here = venueClock(of: path.executors[index].process)
        if plant == .nakedIsDone, driver.plan.naked != nil, driver.open == nil {
            driver.outcome = driver.plan.outcome
            return
        }
        let hasExpired = look.hasExpired || driver.approved.signal.expiresAt <= here
        let isReconciled = path.executors[index].isReconciled
        if driver.plan.orders == 0, !isReconciled, !hasExpired { return }
        var file = KillSwitchState.released
        if path.trouble.isKillFilePresent { file = .engaged }
        if path.trouble.isKillFileUnknown { file = .unknown }
        let permission: LegPlan.Permission =
            switch file.combined(with: look.killSwitch) {
            case .released: .all
            case .reduceOnly: .reducing
            case .engaged, .unknown: .none
            }
        try set(isReconciled ? permission : .none, of: &driver, index)
        if driver.outcome == nil, hasExpired { try give(.stop, to: &driver, index) }
        if let naked = driver.plan.naked, driver.open == nil,
            look.ended.contains(driver.approved.signal.legs[naked.leg].market)
        {
            driver.ending = SimulatedBooks.naked
            driver.outcome = driver.plan.outcome
            return
        }
        if driver.outcome == nil, !driver.isWaiting {
            try give(.books(books(look, &driver, index)), to: &driver, index)
        }
    }

    private mutating func set(
        _ next: LegPlan.Permission, of driver: inout SimulatedDriver, _ index: Int
    ) throws {
        guard next != driver.permission else { return }
        driver.permission = next
        try give(.permission(next), to: &driver, index)
    }

    /// The top of each book as told by the shards; of a leg that stands alone and is told of no more, the venue's.
    private mutating func books(
        _ look: SimulatedBooks.PlanLook, _ driver: inout SimulatedDriver, _ index: Int
    ) -> [MarketID: OrderBook] {
        let here = venueClock(of: path.executors[index].process)
        let markets = Set(driver.approved.signal.legs.map(\.market)).subtracting(look.busy)
        var books: [MarketID: OrderBook] = [:]
        for market in markets {
            guard let price = path.executors[index].prices[market], price.at.duration(to: here) <= .seconds(30) else {
                continue
            }
            books[market] = OrderBook(top: price)
        }
        let isDue = driver.nextBook.map { machine(index) >= $0 } ?? true
        guard driver.plan.naked != nil, books.count < markets.count, isDue else { return books }
        driver.nextBook = machine(index).advanced(by: .seconds(1))
        for market in markets.sorted() where books[market] == nil && reachesVenue(forLists: false) {
            guard let listing = path.venue.listings[market], listing.isTrading else { continue }
            books[market] = listing.book
        }
        return books
    }

    // MARK: What is done

    /// Hands an event to the plan, and what follows from it, until nothing more does.
    private mutating func give(
        _ first: LegPlanEvent?, to driver: inout SimulatedDriver, _ index: Int
    ) throws {
        guard let event = first else { return }
        var next = driver.plan
        let effects = next.handle(event, at: machine(index))
        guard let order = effects.lazy.compactMap(\.order).first else {
            driver.plan = next
            return carryOut(effects, &driver, index)
        }
        let began = machine(index)
        switch try claim(order, driver, index) {
        case .stored(let record):
            driver.plan = next
            driver.refusal = nil
            carryOut(effects, &driver, index)
            driver.open = (order.number, record.request.id)
            let marked = try book(.sent, of: record.request.id, index)
            guard marked.order.state == .sent, let leg = path.books.intents[record.intent]?.intent else {
                return try give(conclude(marked, &driver, index), to: &driver, index)
            }
            driver.isWaiting = true
            let claimed = SimulatedBooks.Claimed(
                intent: leg, order: marked.order, reduces: order.purpose != .enter)
            let life = path.executors[index].process.life
            planPath(.legSend(index, life: life, driver.approved.id, order, claimed, began: began), within: 1...4)
        case .refused(let reason):
            driver.refusal = (reason, now)
            withhold(order, event, stops: order.purpose == .enter, &driver, index)
        case .waits: withhold(order, event, stops: false, &driver, index)
        case .lost: throw PlanDropped()
        }
    }

    private mutating func claim(
        _ order: LegOrder, _ driver: SimulatedDriver, _ index: Int
    ) throws -> SimulatedBooks.LegClaim {
        let executor = path.executors[index]
        let fate = fate(of: executor.process)
        guard fate.isDone else { throw PlanDropped() }
        let leg = path.books.legs(of: driver.approved.id).first { $0.leg == order.leg }
        let claim = path.books.claimLeg(
            order, of: driver.approved, for: holder(index), safeguards: executor.engine.safeguards,
            seen: readings(of: executor, leg?.intent), as: { OrderID(stringLiteral: "o\($1)-\($0)") },
            at: venueClock(of: executor.process), database: now)
        record("e\(index) claims \(order.purpose) \(order.number) of \(driver.approved.id): \(claim)")
        if case .stored(let record) = claim {
            watchLeg(order, of: driver.approved.id, by: holder(index))
            if order.purpose == .enter { watchEntry(record.request) }
        }
        watchBooks()
        guard fate.isAnswered else { throw PlanDropped() }
        return claim
    }

    /// The plan stays as it was before the order that may not be sent.
    private mutating func withhold(
        _ order: LegOrder, _ event: LegPlanEvent, stops: Bool, _ driver: inout SimulatedDriver, _ index: Int
    ) {
        let here = machine(index)
        var effects = driver.plan.handle(.books([:]), at: here)
        if stops { effects += driver.plan.handle(.stop, at: here) }
        if case .books = event {} else { effects += driver.plan.handle(event, at: here) }
        carryOut(effects, &driver, index)
    }

    private mutating func carryOut(_ effects: [LegPlanEffect], _ driver: inout SimulatedDriver, _ index: Int) {
        for effect in effects {
            switch effect {
            case .send, .alert: continue
            case .cancel:
                guard let name = driver.open.flatMap({ path.books.orders[$0.id]?.record.venueOrder }),
                    !path.trouble.isVenueDown, !path.roll(path.trouble.lostRequests)
                else { continue }
                path.venue.cancel(name)
            case .finished(let outcome): driver.outcome = outcome
            }
        }
    }

    /// The last looks, directly before the write.
    private mutating func sendLeg(
        _ index: Int, _ id: IntentID, _ order: LegOrder, _ claimed: SimulatedBooks.Claimed,
        since began: MachineInstant
    ) {
        let process = path.executors[index].process
        func refuse(_ reason: String) {
            planPath(
                .legAnswered(index, life: process.life, id, claimed.order.request.id, .refused(reason: reason)),
                after: .zero)
        }
        guard clock(of: process).since(began) < Self.nonAcceptanceWait / 2 else { return refuse("held_up") }
        if plant != .killFileUnread, path.trouble.isKillFilePresent || path.trouble.isKillFileUnknown {
            return refuse("kill_switch_file")
        }
        submit(index, claimed, within: Self.submitTimeout)
    }

    private mutating func book(_ news: OrderNews, of id: OrderID, _ index: Int) throws -> OrderBooking {
        let fate = fate(of: path.executors[index].process)
        let booking = fate.isDone ? carryOut(news, of: id, by: index) : nil
        guard let booking, fate.isAnswered else { throw PlanDropped() }
        return booking
    }

    /// What a booking means to the plan.
    private mutating func conclude(
        _ booking: OrderBooking, _ driver: inout SimulatedDriver, _ index: Int
    ) throws -> LegPlanEvent? {
        tell(booking.alerts)
        let id = booking.order.request.id
        guard let number = driver.open?.number else { return nil }
        switch booking.order.state {
        case .stored, .sent: return nil
        case .unknown, .resting:
            driver.evidence.missing(id, connectionClosed: true, at: machine(index))
            return booking.order.state == .unknown ? .unanswered(number: number) : .rests(number: number)
        case .filled, .partiallyFilled, .cancelled, .rejected, .expired:
            driver.evidence.resolved(id)
            driver.open = nil
            if let look = driver.look {
                let books = books(look, &driver, index)
                carryOut(driver.plan.handle(.books(books), at: machine(index)), &driver, index)
            }
            guard fate(of: path.executors[index].process, writes: false).isAnswered else { throw PlanDropped() }
            return .answered(number: number, path.books.answer(of: id))
        }
    }

    /// Looks for the order whose fate is not known, until it is found or proven absent.
    private mutating func resolve(_ driver: inout SimulatedDriver, _ index: Int) throws {
        guard let id = driver.open?.id, driver.nextPage.map({ machine(index) >= $0 }) ?? true else { return }
        driver.nextPage = machine(index).advanced(by: .seconds(1))
        guard let order = path.books.orders[id]?.record else { throw PlanDropped() }
        if order.state.isTerminal { return try settle(.sent, of: id, &driver, index) }
        let process = path.executors[index].process
        let step = driver.evidence.next(
            for: order, intentExpiresAt: driver.approved.signal.expiresAt, at: venueClock(of: process),
            machine: machine(index))
        switch step {
        case .wait: return
        case .absent:
            watchProof(order)
            try settle(.provenAbsent(retries: false), of: id, &driver, index)
        case .page:
            guard reachesVenue() else { return }
            if let news = path.venue.find(order, at: now) {
                try settle(news, of: id, &driver, index)
            } else {
                driver.evidence.pagedWithout(id, startedAt: machine(index))
            }
        }
    }

    private mutating func settle(
        _ news: OrderNews, of id: OrderID, _ driver: inout SimulatedDriver, _ index: Int
    ) throws {
        let booking = try book(news, of: id, index)
        try give(conclude(booking, &driver, index), to: &driver, index)
    }
}

extension LegPlanEffect {
    fileprivate var order: LegOrder? { if case .send(let order) = self { order } else { nil } }
}

extension OrderBook {
    /// A book of one price on each side, which is all that is told of it; nil when it cannot be one.
    fileprivate init?(top price: PricePublication) {
        let no = price.yesAsk.flatMap { try? BookLevel(price: $0.price.complement, quantity: $0.quantity) }
        guard let book = try? OrderBook(yesBids: price.yesBid.map { [$0] } ?? [], noBids: no.map { [$0] } ?? []) else {
            return nil
        }
        self = book
    }
}

extension ApprovedPlan {
    /// The planted mistake of those who reserve for one loss and take another.
    fileprivate var lenient: ApprovedPlan {
        let more = try? ApprovedPlan(
            id: id, signal: signal, reservation: reservation, quantity: quantity, maximumLoss: maximumLoss + maximumLoss
        )
        return more ?? self
    }
}
