import Domain
import ExecutionServiceEngine
import Hosting
import Logging
import Postgres
import Resilience
import Runtime
import Venues
import Wire

/// Another process works on the plan: what we know of it is old.
struct PlanLost: Error {}

/// Carries one plan from where it stands to its end.
///
/// `LegPlan` says what to do; each order is stored, marked as sent, written and booked as every order is. Nothing but
/// how long a leg has stood alone is kept here: a process that dies is followed by one that reads the rest.
struct PlanDriver {
    private static let bookInterval = Duration.seconds(1)

    private let parts: LegDeskParts
    private let approved: ApprovedPlan
    private let held: HeldPlan
    private var plan: LegPlan
    /// The order whose fate is not certain.
    private var open: (number: Int, id: OrderID)?
    private var evidence: ExecutionServiceEngine
    private var permission: LegPlan.Permission?
    private var look: PlanLook?
    private var outcome: LegPlanOutcome?
    private var ending: String?
    private var refusal: String?
    private var nextPage: MachineInstant?
    private var nextBook: MachineInstant?
    /// Whether an earlier life may have told of legs that stand alone.
    private var followsEarlierLife = false
    /// What was told of and is not in the audit yet, because the database was away.
    private var unrecorded: [(event: AuditEvent, details: [String: String])] = []

    init(_ held: HeldPlan, _ parts: LegDeskParts) {
        self.parts = parts
        self.held = held
        approved = held.approved
        plan = LegPlan(held.approved, policy: parts.policy)
        evidence = parts.engine
    }

    private var host: ServiceHost { parts.host }
    private var store: OrderStore { parts.store }

    /// - Throws: `PlanLost`, or a `PostgresError` after which the plan is to be taken up anew.
    mutating func run() async throws {
        try await begin()
        while outcome == nil {
            try Task.checkCancellation()
            do {
                look = try await store.lookAfter(approved.id, for: parts.holder, lease: parts.settings.planLease)
            } catch let error as PostgresError where error.mayPass {
                // Nothing can be stored, so nothing can be sent; the leg that stands alone is told of.
                host.log.warning("plan not looked after", metadata: ["plan": "\(approved.id)", Key.reason: "\(error)"])
                if plan.naked != nil { try await set(.none) }
                try await host.clock.sleep(for: plan.policy.retryInterval)
                continue
            }
            guard let look else { throw PlanLost() }
            try await record()
            try await observe(look)
            if outcome == nil, open != nil { try await resolve() }
            if outcome == nil { try await host.clock.sleep(for: plan.policy.retryInterval) }
        }
        try await finish()
    }

    /// Takes up what an earlier life left.
    private mutating func begin() async throws {
        guard !held.orders.isEmpty else { return }
        followsEarlierLife = true
        let (resumed, effects) = LegPlan.resumed(
            approved, policy: parts.policy, orders: held.orders.map { ($0.leg, $0.answer) }, alone: held.alone,
            at: host.clock.now)
        plan = resumed
        try await carryOut(effects)
        guard let left = held.orders.last(where: { $0.answer == nil }) else { return }
        let id = left.record.request.id
        open = (left.leg.number, id)
        if let news = left.record.newsWhenAbandoned { return try await give(conclude(book(id, news))) }
        parts.orders.alarm.see(left.record)
        evidence.missing(id, connectionClosed: true, at: host.clock.now)
    }

    // MARK: What is seen

    private mutating func observe(_ look: PlanLook) async throws {
        let hasExpired = look.hasExpired || approved.signal.expiresAt <= host.venueClock.now
        let isReconciled = await parts.orders.isReconciled
        // Nothing is dropped because something could not be read yet.
        if plan.orders == 0, !isReconciled, !hasExpired, !parts.isDraining() { return }
        var switches = host.killSwitch.file.read().combined(with: look.killSwitch)
        if host.killSwitch.current.isNoticed { switches = .engaged }
        switch switches {
        case .released: try await set(isReconciled ? .all : .none)
        case .engaged: try await set(parts.settings.killSwitchAllowsReducing && isReconciled ? .reducing : .none)
        case .reduceOnly: try await set(isReconciled ? .reducing : .none)
        case .unknown: try await set(.none)
        }
        if outcome == nil, hasExpired || parts.isDraining() { try await give(.stop) }
        if let naked = plan.naked, open == nil, look.ended.contains(approved.signal.legs[naked.leg].market) {
            return endNaked(naked)
        }
        if outcome == nil { try await give(.books(await books(look))) }
    }

    private mutating func set(_ next: LegPlan.Permission) async throws {
        guard next != permission else { return }
        permission = next
        if next != .all, plan.naked == nil { refusal = "kill_switch" }
        try await give(.permission(next))
    }

    /// The top of each book as told by the shards; of a leg that stands alone and is told of no more, the venue's.
    private mutating func books(_ look: PlanLook) async -> [MarketID: OrderBook] {
        let markets = Set(approved.signal.legs.map(\.market)).subtracting(look.busy)
        var books: [MarketID: OrderBook] = [:]
        for market in markets {
            books[market] = parts.prices.fresh(market, at: host.venueClock.now).flatMap { OrderBook(top: $0) }
        }
        let missing = markets.subtracting(books.keys).sorted()
        let isDue = nextBook.map { host.clock.now >= $0 } ?? true
        guard plan.naked != nil, !missing.isEmpty, isDue else { return books }
        nextBook = host.clock.now.advanced(by: Self.bookInterval)
        for market in missing {
            do {
                books[market] = try await parts.venue.book(of: market)
            } catch {
                host.log.warning("book not read", metadata: ["market": "\(market)", Key.reason: "\(error)"])
            }
        }
        return books
    }

    // MARK: What is done

    /// Hands an event to the plan, and what follows from it, until nothing more does.
    private mutating func give(_ first: LegPlanEvent?) async throws {
        var pending = first
        while let event = pending {
            pending = nil
            var next = plan
            let effects = next.handle(event, at: host.clock.now)
            guard let order = effects.lazy.compactMap(\.order).first else {
                plan = next
                try await carryOut(effects)
                continue
            }
            let began = host.clock.now
            switch try await claim(order) {
            case .stored(let record):
                plan = next
                try await carryOut(effects)
                pending = try await send(order, record, since: began)
            case .refused(let reason):
                host.refusals.note(
                    Refusal(.planOrder, from: reason, event: .closing(as: .refused, reason: reason)),
                    ["plan": approved.id.rawValue, "market": order.market.rawValue, "reason": reason])
                try await carryOut(withhold(order, event, reason, stops: order.purpose == .enter))
            case .waits(let reason):
                try await carryOut(withhold(order, event, reason, stops: false))
            case .lost: throw PlanLost()
            }
        }
    }

    private func claim(_ order: LegOrder) async throws -> LegClaim {
        let seen = VenueReadings(
            isReconciled: await parts.orders.isReconciled, prices: parts.prices,
            balance: parts.balance.reading(at: host.clock.now), isClockOff: host.databaseClock.isOff)
        return try await store.claimLeg(
            order, of: approved, for: parts.holder, safeguards: parts.engine.safeguards, seen: seen,
            at: host.venueClock.now)
    }

    /// The plan stays as it was before the order that may not be sent: a slice that is refused ends the entering, and
    /// anything else is tried again at the next look.
    private mutating func withhold(
        _ order: LegOrder, _ event: LegPlanEvent, _ reason: String, stops: Bool
    ) -> [LegPlanEffect] {
        host.context.metrics
            .counter("plan_orders_refused_total", "Orders of arbitrages not sent.", labels: ["reason": reason])
            .increment()
        host.log.info("leg not sent", metadata: ["plan": "\(approved.id)", Key.reason: "\(reason)"])
        if stops { refusal = reason }
        // Without books it asks for nothing else meanwhile.
        var effects = plan.handle(.books([:]), at: host.clock.now)
        if stops { effects += plan.handle(.stop, at: host.clock.now) }
        if case .books = event { return effects }
        effects += plan.handle(event, at: host.clock.now)
        return effects
    }

    private mutating func carryOut(_ effects: [LegPlanEffect]) async throws {
        for effect in effects {
            switch effect {
            case .send: continue
            case .cancel: await cancel()
            case .alert(let alert):
                parts.alarm.raise(alert, of: approved)
                let (event, details) = PlanAlarm.record(alert, of: approved)
                if let event { unrecorded.append((event, details)) }
            case .finished(let end): outcome = end
            }
        }
        if plan.naked == nil {
            parts.alarm.even(approved, afterEarlierLife: followsEarlierLife)
            followsEarlierLife = false
        }
        try await record()
    }

    /// Writes down what was told; while the database is away it waits for the next look.
    private mutating func record() async throws {
        while let next = unrecorded.first {
            do {
                try await store.recordPlan(approved, next.event, next.details)
            } catch let error as PostgresError where error.mayPass {
                host.log.warning("plan event waits", metadata: ["plan": "\(approved.id)", Key.reason: "\(error)"])
                return
            }
            unrecorded.removeFirst()
        }
    }

    /// One order from its mark to what is known of it.
    private mutating func send(
        _ order: LegOrder, _ record: OrderRecord, since began: MachineInstant
    ) async throws -> LegPlanEvent? {
        let id = record.request.id
        open = (order.number, id)
        if parts.settings.host.trading.mode == .shadow {
            return try await conclude(book(id, .notSent(reason: OrderRecord.shadow)))
        }
        let marked = try await book(id, .sent)
        // Somebody who took it for abandoned was faster: then nothing is written.
        guard marked.order.state == .sent else { return try await conclude(marked) }
        let news: OrderNews
        let window = parts.settings.window
        let passes = order.purpose == .unwind && parts.settings.killSwitchAllowsReducing
        let look = LastLook.send(since: began, passes: passes, host, window)
        // An entry is answered within the signal's life, or it is unknown; what makes legs even takes its time.
        let life = host.venueClock.now.duration(to: approved.signal.expiresAt)
        let isBound = order.purpose == .enter && !host.venueClock.isReplay
        let limit = isBound ? min(window.timeout, life) : window.timeout
        if limit <= .zero {
            news = .refused(reason: "expired")
        } else if let reason = look.refusal() {
            news = .refused(reason: reason)
        } else {
            news = await parts.venue.submit(record.request, within: limit, host.clock, lastLook: look)
        }
        return try await conclude(settle(id, news))
    }

    private func book(_ id: OrderID, _ news: OrderNews) async throws -> OrderBooking {
        try await store.book(id, news, at: host.venueClock.now)
    }

    /// Books an answer, and goes on trying while the database is away: the answer is in our hands only.
    private func settle(_ id: OrderID, _ news: OrderNews) async throws -> OrderBooking {
        var backoff = Backoff(base: .milliseconds(100), cap: .seconds(2), multiplier: 2, jitter: 0.1)
        while true {
            do {
                return try await book(id, news)
            } catch let error as PostgresError where error.mayPass && !Task.isCancelled {
                host.log.error("answer waits for the database", metadata: ["order": "\(id)", Key.reason: "\(error)"])
                let delay = host.context.random.withGenerator { backoff.next(using: &$0) }
                try await host.clock.sleep(for: delay)
            }
        }
    }

    /// What a booking means to the plan.
    private mutating func conclude(_ booking: OrderBooking) async throws -> LegPlanEvent? {
        host.outbox()
        let order = booking.order
        let id = order.request.id
        host.context.metrics
            .counter("orders_total", "Orders by state.", labels: ["state": order.state.rawValue]).increment()
        host.log.info(
            "leg booked",
            metadata: [
                "plan": "\(approved.id)", "order": "\(id)", "state": "\(order.state.rawValue)",
                "filled": "\(order.filled)", Key.reason: "\(order.reason ?? "")",
            ])
        for alert in booking.alerts { parts.orders.alarm.raise(alert) }
        parts.orders.alarm.see(order)
        guard let number = open?.number else { return nil }
        switch order.state {
        case .stored, .sent: return nil
        case .unknown, .resting:
            evidence.missing(id, connectionClosed: true, at: host.clock.now)
            return order.state == .unknown ? .unanswered(number: number) : .rests(number: number)
        case .filled, .partiallyFilled, .cancelled, .rejected, .expired:
            evidence.resolved(id)
            open = nil
            // What is known of the books now; nothing is sent while the order counts as in flight.
            if let look { try await carryOut(plan.handle(.books(await books(look)), at: host.clock.now)) }
            return .answered(number: number, try await store.answer(of: id))
        }
    }

    private func cancel() async {
        guard let id = open?.id, let order = try? await store.order(id), let venueOrder = order.venueOrder else {
            return
        }
        let deadline = host.clock.now.advanced(by: CancelAll.patience)
        let isGone = await parts.venue.cancel(venueOrder, deadline: deadline)
        host.log.notice("leg that rests is taken back", metadata: ["order": "\(id)", "gone": "\(isGone)"])
    }

    // MARK: Unknown orders

    /// Looks for the order whose fate is not known, until it is found or proven absent.
    private mutating func resolve() async throws {
        guard let id = open?.id, nextPage.map({ host.clock.now >= $0 }) ?? true else { return }
        nextPage = host.clock.now.advanced(by: parts.settings.unknownInterval)
        guard let order = try await store.order(id) else { throw PlanLost() }
        if order.state.isTerminal { return try await give(conclude(book(id, .sent))) }
        let step = evidence.next(
            for: order, intentExpiresAt: approved.signal.expiresAt, at: host.venueClock.now, machine: host.clock.now)
        switch step {
        case .wait: return
        case .absent: try await give(conclude(book(id, .provenAbsent(retries: false))))
        case .page:
            let started = host.clock.now
            do {
                if let news = try await parts.venue.find(order) {
                    try await give(conclude(book(id, news)))
                } else {
                    evidence.pagedWithout(id, startedAt: started)
                }
            } catch let error where !(error is PostgresError) && !(error is PlanLost) && !Task.isCancelled {
                // A failed look proves nothing.
                host.log.warning(
                    "unknown leg could not be looked for", metadata: ["order": "\(id)", Key.reason: "\(error)"])
            }
        }
    }

    // MARK: The end

    private mutating func endNaked(_ naked: (leg: Int, quantity: Quantity)) {
        parts.alarm.endedNaked(approved, naked)
        ending = PlanEnding.naked
        outcome = plan.outcome
    }

    private func finish() async throws {
        guard let outcome else { return }
        let word = ending ?? outcome.ending.rawValue
        let isOurs = try await store.finishPlan(
            approved, for: parts.holder, outcome, ending: word, refusal: refusal, at: host.venueClock.now)
        guard isOurs else { throw PlanLost() }
        host.outbox()
        host.context.metrics
            .counter("plans_total", "Arbitrages by how they ended.", labels: ["ending": word]).increment()
        host.context.metrics
            .histogram("plan_naked_seconds", "The longest that a leg of an arbitrage stood alone.", labels: [:])
            .observe(outcome.nakedFor)
        host.log.info(
            "plan finished",
            metadata: [
                "plan": "\(approved.id)", "ending": "\(word)", "pairs": "\(outcome.pairs)",
                "result": "\(outcome.result)", "naked_ms": "\(outcome.nakedFor.wholeMilliseconds)",
            ])
    }
}

extension LegPlanEffect {
    fileprivate var order: LegOrder? { if case .send(let order) = self { order } else { nil } }
}

extension OrderBook {
    /// A book of one price on each side, which is all that is told of it; nil when it cannot be one.
    fileprivate init?(top price: PriceUpdate) {
        do {
            try self.init(
                yesBids: price.yesBid.map { [$0] } ?? [],
                noBids: try price.yesAsk.map { [try BookLevel(price: $0.price.complement, quantity: $0.quantity)] }
                    ?? [])
        } catch {
            return nil
        }
    }
}
