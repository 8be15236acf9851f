import Domain
import Resilience

/// How a plan of two legs goes about a leg that is missing.
public struct LegPlanPolicy: Hashable, Sendable {
    /// How long one leg may stand alone, not counting the time in which an order's fate is unknown.
    public var nakedLimit: Duration = .seconds(30)
    /// In the first part of that time only losses up to `patientLossPercent` of the allowed one are taken.
    public var patience: Duration = .seconds(5)
    public var patientLossPercent: Int64 = 50
    /// Between two tries that traded nothing.
    public var retryInterval: Duration = .milliseconds(250)

    public init() {}
}

/// An order that a plan wants: immediate, for one leg.
public struct LegOrder: Hashable, Sendable {
    public enum Purpose: String, Hashable, Sendable, CaseIterable {
        /// The first leg of a slice, at the signal's price or better.
        case enter
        /// The other leg, for what the first one has.
        case cover
        /// Sells again what the other leg could not match.
        case unwind
    }

    /// From 1, in the order of the sending: with the plan's id it names the order to the venue.
    public let number: Int
    public let leg: Int
    public let purpose: Purpose
    public let market: MarketID
    public let venue: Venue
    public let outcome: Outcome
    public let action: Action
    public let limit: Price
    public let quantity: Quantity

    public init(
        number: Int, leg: Int, purpose: Purpose, market: MarketID, venue: Venue, outcome: Outcome, action: Action,
        limit: Price, quantity: Quantity
    ) {
        self.number = number
        self.leg = leg
        self.purpose = purpose
        self.market = market
        self.venue = venue
        self.outcome = outcome
        self.action = action
        self.limit = limit
        self.quantity = quantity
    }
}

/// What an order of a plan came to, once it is certain.
public struct LegAnswer: Hashable, Sendable {
    public let filled: Quantity
    /// Price times quantity over all its fills.
    public let value: Money
    public let fees: Money

    public init(filled: Quantity, value: Money, fees: Money) {
        self.filled = filled
        self.value = value
        self.fees = fees
    }

    /// Refused, cancelled, or proven absent.
    public static let nothing = LegAnswer(filled: .zero, value: .zero, fees: .zero)
}

public enum LegPlanEvent: Hashable, Sendable {
    /// The books that may be traded on now; a leg whose book is not among them waits.
    case books([MarketID: OrderBook])
    /// The fate of an order is certain; also for one that had been given up and traded after all.
    case answered(number: Int, LegAnswer)
    /// The answer is missing: nothing is sent until it is known.
    case unanswered(number: Int)
    /// It stands in the book, which an immediate order should not.
    case rests(number: Int)
    case permission(LegPlan.Permission)
    /// Enter nothing more: the signal has expired, or the process drains.
    case stop
    case tick
}

public enum LegPlanEffect: Hashable, Sendable {
    case send(LegOrder)
    case cancel(number: Int)
    case alert(LegPlanAlert)
    /// Nothing is open and no leg stands alone: release the rest of the reservation and the markets' locks.
    case finished(LegPlanOutcome)
}

public enum LegPlanAlert: Hashable, Sendable {
    /// A leg was missed; the plan covers or unwinds, mostly within a moment.
    case missedLeg(leg: Int, naked: Quantity)
    /// It still stands alone when the patience has ended.
    case staysNaked(leg: Int, naked: Quantity)
    /// It stands alone longer than the policy allows, and is worked on until it does not.
    case nakedTooLong(leg: Int, naked: Quantity)
    /// The kill switch holds back what would cover or unwind.
    case heldBack(leg: Int, naked: Quantity)
    /// An order that had been given up traded after all.
    case straggler(number: Int)
}

/// What a plan came to.
public struct LegPlanOutcome: Hashable, Sendable {
    public enum Ending: String, Hashable, Sendable, CaseIterable {
        /// Every pair was bought.
        case complete
        /// Fewer pairs than planned, and nothing else.
        case partial
        /// Nothing is held.
        case flat
    }

    public let ending: Ending
    public let pairs: Quantity
    /// What it earns whoever wins, fees deducted; negative is a loss.
    public let result: Money
    /// The longest that a leg stood alone, less the time in which an order's fate was unknown.
    public let nakedFor: Duration
    public let orders: Int
}

/// Buys both legs of an arbitrage one after the other, in slices so small that a leg which is never matched loses no
/// more than the plan may lose, whatever the market does (CHECKLIST N13, H1).
///
/// Legal phases: `entering -> recovering -> finished`, `entering -> finished`; a straggler leads from `finished` to
/// `recovering` again. At most one order is in flight. Invariants: what was spent, less what was sold, stays within
/// `plan.reserved`; what is lost if the naked leg ends worthless stays within `plan.maximumLoss`; while a leg stands
/// alone nothing is entered; after a leg was missed nothing is entered any more.
public struct LegPlan: Hashable, Sendable {
    public enum Phase: String, Hashable, Sendable, CaseIterable {
        case entering
        case recovering
        case finished
    }

    /// What the kill switch lets through.
    public enum Permission: String, Hashable, Sendable, CaseIterable {
        case all
        /// Only what makes a position smaller (`KILL_SWITCH_ALLOWS_REDUCING`).
        case reducing
        case none
    }

    public let plan: ApprovedPlan
    public let policy: LegPlanPolicy
    public private(set) var phase = Phase.entering
    /// What is held of each leg.
    public private(set) var held: [Quantity]
    /// What was paid less what was taken in, fees included.
    public private(set) var spent = Money.zero
    public private(set) var inFlight: LegOrder?
    public private(set) var orders = 0

    private let first: Int
    private var books: [MarketID: OrderBook] = [:]
    private var permission = Permission.all
    private var isStopped = false
    private var isUnknown = false
    private var clock = NakedClock()
    private var nextTry: MachineInstant?
    private var sent: [LegOrder] = []
    private var hasAlertedStays = false
    private var hasAlertedTooLong = false
    private var hasAlertedHeldBack = false

    public init(_ plan: ApprovedPlan, policy: LegPlanPolicy = LegPlanPolicy()) {
        self.plan = plan
        self.policy = policy
        held = plan.signal.legs.map { _ in .zero }
        // The thinner leg first: it is the one that is likely to be missed, and then nothing is held.
        let legs = plan.signal.legs
        first = (legs[0].available, legs[0].price) <= (legs[1].available, legs[1].price) ? 0 : 1
    }

    /// A plan as it was stored, after a restart.
    ///
    /// What is open is unknown, nothing more is entered, and a leg that stands alone is covered or unwound.
    ///
    /// - Parameters:
    ///   - plan: as it was approved.
    ///   - policy: of today.
    ///   - orders: all that it sent, in the order of their numbers, from 1 on; those without an answer are still open.
    ///   - alone: for how long a leg has stood alone by what was stored, as that counts against the policy.
    ///   - now: machine time of this life.
    /// - Returns: the plan, and what it wants done now.
    public static func resumed(
        _ plan: ApprovedPlan, policy: LegPlanPolicy = LegPlanPolicy(), orders: [(order: LegOrder, answer: LegAnswer?)],
        alone: Duration = .zero, at now: MachineInstant
    ) -> (plan: LegPlan, effects: [LegPlanEffect]) {
        var resumed = LegPlan(plan, policy: policy)
        resumed.isStopped = true
        for (index, stored) in orders.enumerated() {
            precondition(stored.order.number == index + 1, "order \(stored.order.number) at \(index)")
            resumed.orders += 1
            resumed.sent.append(stored.order)
            if let answer = stored.answer {
                resumed.take(answer, of: stored.order)
            } else {
                resumed.inFlight = stored.order
                resumed.isUnknown = true
            }
        }
        var effects: [LegPlanEffect] = []
        if let naked = resumed.naked {
            resumed.phase = .recovering
            resumed.clock = NakedClock(alone: alone)
            effects.append(.alert(.missedLeg(leg: naked.leg, naked: naked.quantity)))
        }
        return (resumed, effects + resumed.handle(.tick, at: now))
    }

    /// For how long a leg has stood alone by what was stored: since the order that made it so.
    ///
    /// - Parameter orders: all that the plan sent, in the order of their numbers, and how long ago the fate of each
    ///   became certain.
    /// - Returns: zero while no leg stands alone; else a value for `resumed(_:policy:orders:alone:at:)`.
    public static func alone(after orders: [(order: LegOrder, answer: LegAnswer?, closedFor: Duration)]) -> Duration {
        var naked: Int64 = 0
        var alone = Duration.zero
        for stored in orders {
            guard let filled = stored.answer?.filled.hundredths, filled > 0 else { continue }
            if naked == 0 { alone = stored.closedFor }
            naked += (stored.order.leg == 0) == (stored.order.action == .buy) ? filled : -filled
        }
        return naked == 0 ? .zero : alone
    }

    /// Pairs that pay their dollar whoever wins.
    public var pairs: Quantity { min(held[0], held[1]) }

    /// The leg that stands alone, and how much of it; it counts as exposure all the while.
    public var naked: (leg: Int, quantity: Quantity)? {
        if held[0] == held[1] { return nil }
        let leg = held[0] > held[1] ? 0 : 1
        return (leg, held[leg].subtracting(held[1 - leg]))
    }

    /// For how long a leg has stood alone, as that counts against the policy.
    public var aloneFor: Duration { clock.current }

    /// What the plan earns if the naked leg ends worthless; never below the allowed loss.
    public var worstResult: Money { Price.one * pairs - spent }

    public mutating func handle(_ event: LegPlanEvent, at now: MachineInstant) -> [LegPlanEffect] {
        var effects: [LegPlanEffect] = []
        switch event {
        case .books(let books): self.books = books
        case .answered(let number, let answer): book(number, answer, at: now, into: &effects)
        case .unanswered(let number):
            if inFlight?.number == number { isUnknown = true }
        case .rests(let number):
            if inFlight?.number == number { effects.append(.cancel(number: number)) }
        case .permission(let permission): self.permission = permission
        case .stop: isStopped = true
        case .tick: break
        }
        clock.observe(isNaked: naked != nil, isWaiting: isUnknown, at: now)
        if inFlight == nil { proceed(at: now, into: &effects) }
        alert(into: &effects)
        return effects
    }

    /// Takes over what an order came to.
    private mutating func book(
        _ number: Int, _ answer: LegAnswer, at now: MachineInstant, into effects: inout [LegPlanEffect]
    ) {
        guard sent.indices.contains(number - 1) else { return }
        let order = sent[number - 1]
        if inFlight?.number == number {
            inFlight = nil
            isUnknown = false
            if answer.filled.isZero {
                nextTry = now.advanced(by: policy.retryInterval)
                // What rested there is gone: another slice would chase the price.
                if order.purpose == .enter { isStopped = true }
            }
        } else if answer.filled.isZero {
            return
        } else {
            effects.append(.alert(.straggler(number: number)))
            isStopped = true
        }
        take(answer, of: order)
        guard let naked else { return }
        // The first leg alone is how every slice begins; anything else is a leg that was missed.
        if order.purpose == .enter && order.leg == naked.leg && phase == .entering { return }
        isStopped = true
        if phase != .recovering {
            phase = .recovering
            effects.append(.alert(.missedLeg(leg: naked.leg, naked: naked.quantity)))
        }
    }

    private mutating func take(_ answer: LegAnswer, of order: LegOrder) {
        if order.action == .buy {
            held[order.leg] += answer.filled
            spent += answer.value + answer.fees
        } else {
            held[order.leg] = held[order.leg].subtracting(answer.filled)
            spent -= answer.value - answer.fees
        }
    }

    private mutating func proceed(at now: MachineInstant, into effects: inout [LegPlanEffect]) {
        if let naked {
            guard permission != .none, nextTry.map({ now >= $0 }) ?? true else { return }
            if let order = repair(naked.leg, naked.quantity) { send(order, into: &effects) }
        } else if phase == .entering, !isStopped, permission == .all, let order = entry() {
            send(order, into: &effects)
        } else if phase == .finished || (phase == .entering && canWait) {
            return
        } else {
            phase = .finished
            effects.append(.finished(outcome))
        }
    }

    /// Before the first slice a book may still be missing; afterwards a plan that cannot go on is at its end.
    private var canWait: Bool { !isStopped && orders == 0 && permission == .all && !hasBooks }

    private var hasBooks: Bool { plan.signal.legs.allSatisfy { books[$0.market] != nil } }

    private mutating func send(_ order: LegOrder, into effects: inout [LegPlanEffect]) {
        orders += 1
        sent.append(order)
        inFlight = order
        nextTry = nil
        effects.append(.send(order))
    }

    /// What it has come to so far.
    public var outcome: LegPlanOutcome {
        LegPlanOutcome(
            ending: pairs.isZero ? .flat : (pairs >= plan.quantity ? .complete : .partial), pairs: pairs,
            result: worstResult, nakedFor: clock.longest, orders: orders)
    }

    private mutating func alert(into effects: inout [LegPlanEffect]) {
        guard let naked else {
            (hasAlertedStays, hasAlertedTooLong, hasAlertedHeldBack) = (false, false, false)
            return
        }
        if clock.current >= policy.patience, phase == .recovering, !hasAlertedStays {
            hasAlertedStays = true
            effects.append(.alert(.staysNaked(leg: naked.leg, naked: naked.quantity)))
        }
        if clock.current > policy.nakedLimit, !hasAlertedTooLong {
            hasAlertedTooLong = true
            effects.append(.alert(.nakedTooLong(leg: naked.leg, naked: naked.quantity)))
        }
        if permission != .all, inFlight == nil, !hasAlertedHeldBack {
            hasAlertedHeldBack = true
            effects.append(.alert(.heldBack(leg: naked.leg, naked: naked.quantity)))
        }
    }
}

// MARK: - What to send

extension LegPlan {
    /// The next slice: as much as rests at both legs' prices, as may be lost on one leg, and as is still reserved.
    private func entry() -> LegOrder? {
        var most = plan.quantity.subtracting(pairs)
        for leg in plan.signal.legs {
            guard let book = books[leg.market], book.isTwoSided else { return nil }
            let asks = book.asks(leg.outcome).prefix { $0.price <= leg.price }
            most = min(most, asks.reduce(.zero) { $0 + $1.quantity })
        }
        let leg = plan.signal.legs[first]
        let left = plan.reserved - plan.maximumLoss - spent
        // Cents that rounding has cost already are part of what may be lost.
        let atRisk = plan.maximumLoss + min(.zero, worstResult)
        let contracts = largest(upTo: most.hundredths / 100) { contracts in
            let quantity = Quantity.contracts(contracts)
            return leg.cost(of: quantity) <= atRisk
                && plan.signal.legs.reduce(.zero) { $0 + $1.cost(of: quantity) } <= left
        }
        // The fee of a slice is rounded up for itself, so a small one may earn nothing.
        let quantity = Quantity.contracts(contracts)
        guard contracts > 0, plan.signal.profit(of: quantity) >= .zero else { return nil }
        return order(first, .enter, .buy, limit: leg.price, quantity)
    }

    private func largest(upTo most: Int64, where holds: (Int64) -> Bool) -> Int64 {
        var (low, high): (Int64, Int64) = (0, most)
        while low < high {
            let middle = (low + high + 1) / 2
            if holds(middle) { low = middle } else { high = middle - 1 }
        }
        return low
    }

    /// The cheaper way to stand alone no longer: the other leg, or back out of this one; nil when neither is to be had
    /// within what may be lost now.
    private func repair(_ leg: Int, _ naked: Quantity) -> LegOrder? {
        let isPatient = clock.current < policy.patience
        let allowed = isPatient ? plan.maximumLoss.scaled(policy.patientLossPercent, over: 100) : plan.maximumLoss
        let other = plan.signal.legs[1 - leg]
        var ways: [(result: Money, order: LegOrder)] = []
        if permission == .all, let book = books[other.market], book.isTwoSided {
            // What a good plan would have earned is not reserved, so it may not be spent on a dear cover.
            let left = plan.reserved - spent
            let asks = book.asks(other.outcome).filter {
                $0.price <= Self.dearest && $0.price * naked + other.fees.fee(naked, at: $0.price) <= left
            }
            if let way = fit(asks, naked, { Price.one * $1 - $0 }, fees: other.fees, allowed: allowed) {
                // At the signal's own price it is what was planned; a slice that began there may end there.
                let limit = max(way.limit, asks[0].price <= other.price ? other.price : .zero)
                ways.append((way.result, order(1 - leg, .cover, .buy, limit: limit, naked)))
            }
        }
        let own = plan.signal.legs[leg]
        if let book = books[own.market], !book.isCrossed {
            let bids = book.bids(own.outcome).reversed().filter { $0.price >= Self.dearest.complement }
            if let way = fit(bids, naked, { value, _ in value }, fees: own.fees, allowed: allowed) {
                ways.append((way.result, order(leg, .unwind, .sell, limit: way.limit, naked)))
            }
        }
        return ways.max { $0.result < $1.result }?.order
    }

    /// Within these bounds a contract that is covered or sold brings its fee at least, however it is rounded.
    private static let dearest = Price.cents(99)

    /// Walks levels from the best one as far as the loss of the plan stays allowed.
    ///
    /// - Parameters:
    ///   - levels: what can be traded, best first.
    ///   - naked: how much is wanted.
    ///   - gain: what trading a value and a quantity brings, before its fee.
    ///   - fees: of the leg's venue.
    ///   - allowed: the loss that the plan may come to now.
    /// - Returns: the price to go to, and what the plan comes to with all of it; what the levels do not hold is
    ///   counted as worthless.
    private func fit(
        _ levels: [BookLevel], _ naked: Quantity, _ gain: (Money, Quantity) -> Money, fees: FeeSchedule, allowed: Money
    ) -> (limit: Price, result: Money)? {
        var value = Money.zero
        var taken = Quantity.zero
        var parts: [BookLevel] = []
        var found: (limit: Price, result: Money)?
        for level in levels {
            let quantity = min(level.quantity, naked.subtracting(taken))
            guard !quantity.isZero, let part = try? BookLevel(price: level.price, quantity: quantity) else { break }
            parts.append(part)
            taken += quantity
            value += level.price * quantity
            // All of it at this price is the most that it can cost, or the least that it can bring.
            let fee = max(fees.fees(for: parts).reduce(.zero, +), fees.fee(taken, at: level.price))
            let result = worstResult + gain(value, taken) - fee
            let whole = worstResult + gain(level.price * naked, naked) - fees.fee(naked, at: level.price)
            // Out of patience anything that brings more than its fee is better than a leg that stands alone.
            guard whole >= -allowed, found.map({ result >= $0.result }) ?? true else { break }
            found = (level.price, result)
            if taken == naked { break }
        }
        return found
    }

    private func order(
        _ leg: Int, _ purpose: LegOrder.Purpose, _ action: Action, limit: Price, _ quantity: Quantity
    ) -> LegOrder {
        let named = plan.signal.legs[leg]
        return LegOrder(
            number: orders + 1, leg: leg, purpose: purpose, market: named.market, venue: named.venue,
            outcome: named.outcome, action: action, limit: limit, quantity: quantity)
    }
}

/// How long a leg has stood alone, not counting the time spent waiting for an order's fate.
private struct NakedClock: Hashable, Sendable {
    private(set) var current = Duration.zero
    private(set) var longest = Duration.zero
    private var lastAt: MachineInstant?
    private var counts = false

    /// - `alone`: what has passed already.
    init(alone: Duration = .zero) {
        current = alone
        longest = alone
    }

    mutating func observe(isNaked: Bool, isWaiting: Bool, at now: MachineInstant) {
        if let lastAt, counts { current += now.since(lastAt) }
        longest = max(longest, current)
        if !isNaked { current = .zero }
        (lastAt, counts) = (now, isNaked && !isWaiting)
    }
}
