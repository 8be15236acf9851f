import Domain
import ExecutionServiceEngine
import OrchestratorEngine
import Resilience
import SignalProcessorEngine

/// What `SignalStore` and `OrderStore` do with plans of two legs.
extension SimulatedBooks {
    struct PlanRow: Hashable {
        enum State: String {
            case approved
            case working
            case finished
        }

        let approved: ApprovedPlan
        /// By the database's clock.
        var expiresAt: MachineInstant
        let number: Int
        var state = State.approved
        var holder: String?
        var heldUntil: MachineInstant?
        var ending: String?
        var pairs = Quantity.zero

        func has(_ market: MarketID) -> Bool { approved.signal.legs.contains { $0.market == market } }
    }

    /// The word for a plan one of whose markets was paid out before its leg was matched.
    static let naked = "naked"

    enum PlanDecision: Hashable {
        case decided(PlanVerdict)
        case known
    }

    mutating func process(
        _ signal: ArbitrageSignal, from sender: Incarnation?, _ owner: Ownership, engine: SignalProcessorEngine,
        marks: [MarketID: PortfolioMark.Mark], as names: IntentNames, legs: (IntentID, Int) -> IntentID,
        at now: VenueInstant, database: MachineInstant
    ) -> PlanDecision {
        touched = []
        if signals[signal.id] != nil { return .known }
        let subject = Subject(
            game: signal.game, sport: signal.sport, shard: signal.shard,
            markets: signal.legs.map { ($0.market, $0.venue) })
        let view = view(for: subject, from: sender, owner, marks, at: now)
        let verdict = engine.decide(signal, portfolio: view, as: names, at: now)
        signals[signal.id] = verdict.name
        guard case .approved(let plan) = verdict else { return .decided(verdict) }
        reservations[plan.reservation] = ReservationRow(
            record: ReservationRecord(id: plan.reservation, amount: plan.reserved), game: signal.game,
            market: signal.legs[0].market, sport: signal.sport, plan: plan.id)
        let expiresAt = database.advanced(by: now.duration(to: signal.expiresAt))
        plans[plan.id] = PlanRow(approved: plan, expiresAt: expiresAt, number: plans.count)
        for (index, leg) in signal.legs.enumerated() {
            let id = legs(plan.id, index)
            guard
                let intent = try? ApprovedIntent(
                    id: id, signal: signal.id, reservation: plan.reservation, game: signal.game, sport: signal.sport,
                    market: leg.market, venue: leg.venue, epoch: signal.epoch, outcome: leg.outcome, action: .buy,
                    limit: leg.price, quantity: plan.quantity, expiresAt: signal.expiresAt)
            else { continue }  // a leg's price and a plan's quantity are tradable
            intents[id] = IntentRow(
                intent: intent, state: .done, expiresAt: expiresAt, signalledAt: signal.createdAt,
                number: intents.count, plan: plan.id, leg: index)
            touched.append(id)
        }
        return .decided(verdict)
    }

    /// Whether a position is a leg of an arbitrage that has not ended.
    func isAtWork(_ market: MarketID) -> Bool {
        plans.values.contains { $0.has(market) && $0.state != .finished }
    }

    /// What arbitrages hold of a market, in 1/100 contract of YES, below zero of NO; their pairs where one was paid out
    /// before its leg was matched.
    func counted(in market: MarketID) -> Int64 {
        intents.values.reduce(0) { sum, leg in
            guard leg.intent.market == market, let plan = leg.plan.flatMap({ plans[$0] }) else { return sum }
            var held = plan.pairs.hundredths
            if plan.ending != Self.naked {
                held = orders(of: leg.intent.id).reduce(0) {
                    $0 + ($1.request.action == .buy ? $1.filled.hundredths : -$1.filled.hundredths)
                }
            }
            return sum + (leg.intent.outcome == .yes ? held : -held)
        }
    }

    // MARK: What a plan has sent

    func legs(of plan: IntentID) -> [IntentRow] {
        intents.values.filter { $0.plan == plan }.sorted { $0.leg < $1.leg }
    }

    struct PlanOrder: Hashable {
        let leg: LegOrder
        let record: OrderRecord
        let answer: LegAnswer?
        let closedFor: Duration
    }

    func orders(ofPlan plan: IntentID, at database: MachineInstant) -> [PlanOrder] {
        orders.values.compactMap { row -> PlanOrder? in
            guard let intent = intents[row.record.intent], intent.plan == plan, let purpose = row.purpose else {
                return nil
            }
            let request = row.record.request
            let leg = LegOrder(
                number: row.record.attempt, leg: intent.leg, purpose: purpose, market: request.market,
                venue: intent.intent.venue, outcome: request.outcome, action: request.action, limit: request.limit,
                quantity: request.quantity)
            return PlanOrder(
                leg: leg, record: row.record,
                answer: row.record.state.isTerminal ? answer(of: request.id) : nil,
                closedFor: row.closedAt.map { database.since($0) } ?? .zero)
        }
        .sorted { $0.leg.number < $1.leg.number }
    }

    /// What an order of a plan came to.
    func answer(of order: OrderID) -> LegAnswer {
        let traded = fills.values.filter { $0.order == order && !reversed.contains($0.id) }
        return LegAnswer(
            filled: traded.reduce(.zero) { $0 + $1.quantity },
            value: traded.reduce(.zero) { $0 + $1.price * $1.quantity },
            fees: traded.reduce(.zero) { $0 + $1.fee })
    }

    /// How much more of the first leg is held than of the second, in 1/100 contract.
    func unevenness(of plan: IntentID) -> Int64 {
        orders(ofPlan: plan, at: databaseNow).reduce(0) { sum, order in
            let filled = order.record.filled.hundredths
            return sum + ((order.leg.leg == 0) == (order.leg.action == .buy) ? filled : -filled)
        }
    }

    // MARK: Whose a plan is

    /// Plans that nobody works on, the oldest first.
    func waitingPlans(at database: MachineInstant) -> [IntentID] {
        plans.values.filter { row in
            guard row.heldUntil.map({ $0 < database }) ?? true else { return false }
            return wantsWork(row)
        }
        .sorted { $0.number < $1.number }.map(\.approved.id)
    }

    /// Whether a plan has not ended, or an order that was given up has traded after all.
    private func wantsWork(_ row: PlanRow) -> Bool {
        row.state != .finished || (row.ending != Self.naked && unevenness(of: row.approved.id) != 0)
    }

    struct HeldPlan: Hashable {
        let approved: ApprovedPlan
        let orders: [PlanOrder]

        /// For how long a leg has stood alone: since the order that made it so.
        var alone: Duration { LegPlan.alone(after: orders.map { ($0.leg, $0.answer, $0.closedFor) }) }
    }

    /// Makes a plan a process' for a lease; nil when it is another's or has ended, or its markets are another plan's.
    mutating func takePlan(
        _ id: IntentID, for holder: String, lease: Duration, at database: MachineInstant
    ) -> HeldPlan? {
        guard let row = plans[id],
            row.heldUntil.map({ $0 < database }) ?? true || row.holder == holder || plant == .leaseIgnored,
            wantsWork(row)
        else { return nil }
        let orders = orders(ofPlan: id, at: database)
        let markets = row.approved.signal.legs.map(\.market)
        let isShutOut = plans.values.contains { other in
            other.state == .working && other.number != row.number && markets.contains(where: other.has)
        }
        if orders.isEmpty, isShutOut, !isPast(row.expiresAt, database) { return nil }
        plans[id]?.state = .working
        plans[id]?.holder = holder
        plans[id]?.heldUntil = database.advanced(by: lease)
        return HeldPlan(approved: row.approved, orders: orders)
    }

    struct PlanLook: Hashable {
        var killSwitch: KillSwitchState
        var hasExpired: Bool
        var busy: Set<MarketID>
        var ended: Set<MarketID>
    }

    /// Renews the lease and reads what stands in the plan's way; nil when it is another process' plan by now.
    mutating func lookAfter(
        _ id: IntentID, for holder: String, lease: Duration, at database: MachineInstant
    ) -> PlanLook? {
        guard let row = plans[id], row.state == .working, row.holder == holder || plant == .leaseIgnored else {
            return nil
        }
        plans[id]?.heldUntil = database.advanced(by: lease)
        let mine = Set(row.approved.signal.legs.map(\.market))
        let busy = orders.values.filter { order in
            !order.record.state.isTerminal && mine.contains(order.record.request.market)
                && intents[order.record.intent]?.plan != id
        }
        return PlanLook(
            killSwitch: killSwitch, hasExpired: isPast(row.expiresAt, database),
            busy: Set(busy.map(\.record.request.market)),
            ended: mine.filter { markets[$0]?.isActive == false })
    }

    enum LegClaim: Hashable {
        case stored(OrderRecord)
        case refused(String)
        case waits
        case lost
    }

    /// Stores an order of a plan under its venue key before anything is sent, if it may be sent.
    mutating func claimLeg(
        _ order: LegOrder, of plan: ApprovedPlan, for holder: String, safeguards: Safeguards, seen: Readings,
        as name: (IntentID, Int) -> OrderID, at now: VenueInstant, database: MachineInstant
    ) -> LegClaim {
        touched = []
        let legs = legs(of: plan.id)
        guard let row = plans[plan.id], row.state == .working, row.holder == holder || plant == .leaseIgnored,
            orders(ofPlan: plan.id, at: database).count == order.number - 1, legs.indices.contains(order.leg)
        else { return .lost }
        let isBusy = orders.values.contains {
            $0.record.request.market == order.market && !$0.record.state.isTerminal
        }
        if isBusy { return .refused("market_busy") }
        let hasExpired = isPast(row.expiresAt, database) || plan.signal.expiresAt <= now
        if order.purpose == .enter, hasExpired { return .refused("expired") }
        let leg = legs[order.leg]
        var context = context(leg, seen, at: now)
        context.heldByOthers = heldByOthers(besides: plan)
        if let reason = safeguards.refusal(of: order, in: plan, context) { return .refused(reason.rawValue) }
        if case .wait = take(.order, at: database) { return .waits }
        let id = name(plan.id, order.number)
        guard
            let request = try? OrderRequest(
                id: id, market: order.market, outcome: order.outcome, action: order.action, limit: order.limit,
                quantity: order.quantity, timeInForce: .immediateOrCancel)  // the plan asks for what can be traded
        else { return .lost }
        let record = OrderRecord(request: request, intent: leg.intent.id, attempt: order.number)
        orders[id] = OrderRow(
            record: record, venueAt: now, reduces: order.purpose != .enter, number: orders.count,
            purpose: order.purpose)
        mark += 1
        touched = [leg.intent.id]
        return .stored(record)
    }

    /// What the plan's markets hold that is not its own.
    func heldByOthers(besides plan: ApprovedPlan) -> [MarketID: Int64] {
        var others: [MarketID: Int64] = [:]
        for market in Set(plan.signal.legs.map(\.market)) {
            guard let row = positions[market], row.state != .settled else { continue }
            others[market] = orders.values.reduce(row.position.netHundredths) { sum, order in
                let request = order.record.request
                guard request.market == market, intents[order.record.intent]?.plan == plan.id else { return sum }
                let filled = order.record.filled.hundredths
                return sum - ((request.outcome == .yes) == (request.action == .buy) ? filled : -filled)
            }
        }
        return others
    }

    /// Ends a plan, once, and what is left of its reservation; false when another process works on it by now.
    mutating func finishPlan(
        _ id: IntentID, for holder: String, _ outcome: LegPlanOutcome, ending: String
    ) -> Bool {
        touched = []
        guard let row = plans[id], row.state == .working, row.holder == holder else { return false }
        if var reservation = reservations[row.approved.reservation]?.record {
            reservation.close()
            write(reservation)
        }
        plans[id]?.state = .finished
        plans[id]?.holder = nil
        plans[id]?.heldUntil = nil
        plans[id]?.ending = ending
        plans[id]?.pairs = outcome.pairs
        touched = legs(of: id).map(\.intent.id)
        return true
    }
}
