import Domain
import ExecutionServiceEngine
import Resilience
import Testing

/// One plan with two books, driven by hand.
private struct Driven {
    var plan: LegPlan
    var now = MachineInstant.origin
    var alerts: [LegPlanAlert] = []
    var outcome: LegPlanOutcome?
    var order: LegOrder?

    init(_ plan: ApprovedPlan) { self.plan = LegPlan(plan) }

    mutating func handle(_ event: LegPlanEvent, after: Duration = .milliseconds(10)) {
        now = now.advanced(by: after)
        for effect in plan.handle(event, at: now) {
            if let sent = effect.sent { order = sent }
            if let alert = effect.alert { alerts.append(alert) }
            if let finished = effect.outcome { outcome = finished }
        }
    }

    mutating func books(home: Int64, away: Int64, depth: Int64 = 100, after: Duration = .milliseconds(10)) throws {
        let books: [MarketID: OrderBook] = [
            "HOME-1": try makeBook(ask: home, depth: depth), "AWAY-1": try makeBook(ask: away, depth: depth),
        ]
        handle(.books(books), after: after)
    }

    /// Answers the order in flight with so many contracts at its limit.
    mutating func answer(_ contracts: Int64) throws {
        let sent = try #require(order)
        order = nil
        handle(
            .answered(
                number: sent.number,
                ExecutionServiceEngineTests.answer(contracts, at: sent.limit, venue: sent.venue)))
    }
}

/// A leg that is missing is cancelled, covered or unwound, and counted all the while (CHECKLIST H1, N13).
struct LegPlanTests {
    @Test func `both legs are bought in equal shares, slice by slice, the thinner leg first`() throws {
        var driven = Driven(try makePlan())
        #expect(driven.order == nil)
        try driven.books(home: 45, away: 45)
        var bought: [Int: Int64] = [:]
        while let order = driven.order {
            #expect(order.purpose == (order.number % 2 == 1 ? .enter : .cover))
            #expect(order.leg == (order.number % 2 == 1 ? 1 : 0), "60 rest on the away leg, 100 on the home leg")
            #expect(order.limit == .cents(45) && order.action == .buy)
            bought[order.leg, default: 0] += order.quantity.hundredths / 100
            try driven.answer(order.quantity.hundredths / 100)
            #expect(driven.plan.worstResult >= .dollars(-5))
        }
        let outcome = try #require(driven.outcome)
        #expect(bought[0] == bought[1] && outcome.pairs == .contracts(19), "the cents of rounded slices cost one pair")
        #expect(outcome.ending == .partial && outcome.result > .dollars(1))
        #expect(driven.alerts.isEmpty)
        // $5 buy at most ten contracts of the first leg at a time.
        #expect(outcome.orders == 4)
    }

    @Test func `a first leg that trades nothing ends the plan with nothing`() throws {
        var driven = Driven(try makePlan())
        try driven.books(home: 45, away: 45)
        try driven.answer(0)
        #expect(driven.outcome?.ending == .flat && driven.outcome?.result == .zero && driven.alerts.isEmpty)
    }

    @Test func `a price that has moved, a thin, one-sided, crossed or missing book begins nothing`() throws {
        for (home, away) in [(46, 45), (45, 46)] as [(Int64, Int64)] {
            var driven = Driven(try makePlan())
            try driven.books(home: home, away: away)
            #expect(driven.order == nil && driven.outcome?.ending == .flat)
        }
        let whole = try makeBook(ask: 45)
        let oneSided = try OrderBook(yesBids: [], noBids: whole.no)
        let crossed = try OrderBook(
            yesBids: [BookLevel(price: .cents(60), quantity: .contracts(100))], noBids: whole.no)
        for bad in [oneSided, crossed, .empty] {
            var driven = Driven(try makePlan())
            driven.handle(.books(["HOME-1": whole, "AWAY-1": bad]))
            #expect(driven.order == nil && driven.outcome?.ending == .flat)
        }
        var waiting = Driven(try makePlan())
        waiting.handle(.books(["HOME-1": whole]))
        #expect(waiting.order == nil && waiting.outcome == nil, "the other book may still come")
        waiting.handle(.stop)
        #expect(waiting.outcome?.ending == .flat)
        var thin = Driven(try makePlan())
        thin.handle(.books(["HOME-1": try makeBook(ask: 45, depth: 3), "AWAY-1": whole]))
        #expect(thin.order?.quantity == .contracts(3), "sized on what can fill")
    }

    @Test func `a missed leg is covered where that is cheaper`() throws {
        var driven = Driven(try makePlan())
        try driven.books(home: 45, away: 45)
        try driven.answer(10)
        // The home leg is at 47 now: covering still earns 8 cents a pair, selling the away leg loses its spread.
        try driven.books(home: 47, away: 45)
        try driven.answer(4)
        #expect(driven.alerts == [.missedLeg(leg: 1, naked: .contracts(6))])
        driven.handle(.tick)
        #expect(driven.order?.purpose == .cover && driven.order?.limit == .cents(47))
        #expect(driven.order?.quantity == .contracts(6))
        try driven.answer(6)
        #expect(driven.outcome?.ending == .partial && driven.outcome?.pairs == .contracts(10))
        #expect(driven.plan.naked == nil)
    }

    @Test func `a missed leg is unwound where that is cheaper, and nothing is entered afterwards`() throws {
        var driven = Driven(try makePlan())
        try driven.books(home: 45, away: 45)
        try driven.answer(10)
        try driven.books(home: 80, away: 45)
        try driven.answer(0)
        driven.handle(.tick, after: .milliseconds(250))
        let order = try #require(driven.order)
        #expect(order.purpose == .unwind && order.action == .sell && order.leg == 1 && order.limit == .cents(43))
        try driven.answer(10)
        let outcome = try #require(driven.outcome)
        #expect(outcome.ending == .flat && outcome.result < .zero && outcome.result >= .dollars(-5))
        #expect(driven.plan.phase == .finished)
        try driven.books(home: 45, away: 45)
        #expect(driven.order == nil)
    }

    @Test func `a patient plan does not take half of the allowed loss, an impatient one takes what there is`() throws {
        var driven = Driven(try makePlan())
        try driven.books(home: 45, away: 45)
        try driven.answer(10)
        // Both ways out cost more than $2.50: the away leg is bid at 10 cents, the home leg asked at 95.
        try driven.books(home: 95, away: 12)
        try driven.answer(0)
        try driven.books(home: 95, away: 12, after: .seconds(1))
        #expect(driven.order == nil)
        try driven.books(home: 95, away: 12, after: .seconds(5))
        #expect(driven.order?.purpose == .unwind && driven.order?.limit == .cents(10))
        try driven.answer(10)
        #expect(driven.plan.worstResult >= .dollars(-5) && driven.outcome?.ending == .flat)
    }

    @Test func `while an order's fate is unknown nothing is sent, and that time does not count`() throws {
        var driven = Driven(try makePlan())
        try driven.books(home: 45, away: 45)
        try driven.answer(10)
        let cover = try #require(driven.order)
        driven.order = nil
        driven.handle(.unanswered(number: cover.number))
        driven.handle(.tick, after: .seconds(60))
        try driven.books(home: 80, away: 45)
        #expect(driven.order == nil && driven.alerts.isEmpty)
        #expect(driven.plan.naked?.quantity == .contracts(10), "counted all the while")
        driven.handle(.answered(number: cover.number, .nothing))
        driven.handle(.tick, after: .milliseconds(250))
        #expect(driven.order?.purpose == .unwind)
        try driven.answer(10)
        #expect((driven.outcome?.nakedFor ?? .seconds(60)) < .seconds(1))
    }

    @Test func `an engaged kill switch holds back and is told; reducing lets only the way out through`() throws {
        for permission in [LegPlan.Permission.none, .reducing] {
            var driven = Driven(try makePlan())
            try driven.books(home: 45, away: 45)
            try driven.answer(10)
            driven.handle(.permission(permission))
            try driven.answer(0)
            driven.handle(.tick, after: .seconds(1))
            #expect(driven.order?.purpose == (permission == .none ? nil : .unwind))
            if permission == .reducing { continue }
            driven.handle(.tick, after: .seconds(40))
            #expect(
                driven.alerts == [
                    .missedLeg(leg: 1, naked: .contracts(10)), .heldBack(leg: 1, naked: .contracts(10)),
                    .staysNaked(leg: 1, naked: .contracts(10)), .nakedTooLong(leg: 1, naked: .contracts(10)),
                ])
            driven.handle(.permission(.all))
            #expect(driven.order != nil)
        }
        var fresh = Driven(try makePlan())
        fresh.handle(.permission(.reducing))
        try fresh.books(home: 45, away: 45)
        #expect(fresh.order == nil && fresh.outcome?.ending == .flat)
    }

    @Test func `an order that was given up and traded after all is taken up again`() throws {
        var driven = Driven(try makePlan())
        try driven.books(home: 45, away: 45)
        try driven.answer(0)
        #expect(driven.outcome?.ending == .flat)
        driven.outcome = nil
        driven.handle(.answered(number: 1, answer(10, at: .cents(45), venue: .polymarket)))
        #expect(driven.alerts == [.straggler(number: 1), .missedLeg(leg: 1, naked: .contracts(10))])
        #expect(driven.plan.phase == .recovering)
        driven.handle(.tick, after: .milliseconds(250))
        #expect(driven.order?.quantity == .contracts(10))
        try driven.answer(10)
        #expect(driven.outcome != nil && driven.plan.naked == nil)
    }

    @Test func `a plan goes on after a restart from what was stored, and enters nothing more`() throws {
        var driven = Driven(try makePlan())
        try driven.books(home: 45, away: 45)
        let enter = try #require(driven.order)
        try driven.answer(10)
        let cover = try #require(driven.order)
        let filled = answer(10, at: .cents(45), venue: enter.venue)

        var (plan, effects) = LegPlan.resumed(
            driven.plan.plan, orders: [(enter, filled), (cover, nil)], at: driven.now)
        #expect(effects == [.alert(.missedLeg(leg: 1, naked: .contracts(10)))])
        #expect(plan.inFlight == cover && plan.naked?.quantity == .contracts(10))
        effects = plan.handle(
            .answered(number: 2, answer(10, at: .cents(45), venue: cover.venue)), at: driven.now)
        #expect(effects.first?.outcome?.pairs == .contracts(10) && plan.phase == .finished)

        let late = LegPlan.resumed(
            driven.plan.plan, orders: [(enter, filled)], alone: .seconds(31), at: driven.now)
        #expect(late.plan.aloneFor == .seconds(31))
        #expect(
            late.effects == [
                .alert(.missedLeg(leg: 1, naked: .contracts(10))), .alert(.staysNaked(leg: 1, naked: .contracts(10))),
                .alert(.nakedTooLong(leg: 1, naked: .contracts(10))),
            ], "what passed before the restart counts")

        let fresh = LegPlan.resumed(driven.plan.plan, orders: [], at: driven.now)
        #expect(fresh.effects.first?.outcome?.ending == .flat)
    }

    @Test func `how long a leg has stood alone counts from the order that made it so`() throws {
        func stored(
            _ leg: Int, _ contracts: Int64?, _ action: Action = .buy, closedFor seconds: Int64
        ) -> (order: LegOrder, answer: LegAnswer?, closedFor: Duration) {
            let order = LegOrder(
                number: 1, leg: leg, purpose: .enter, market: leg == 0 ? "HOME-1" : "AWAY-1", venue: .kalshi,
                outcome: .yes, action: action, limit: .cents(45), quantity: .contracts(10))
            return (order, contracts.map { answer($0, at: .cents(45), venue: .kalshi) }, .seconds(seconds))
        }
        #expect(LegPlan.alone(after: []) == .zero)
        let even = [stored(0, 10, closedFor: 90), stored(1, 10, closedFor: 80)]
        #expect(LegPlan.alone(after: even) == .zero)
        let later = even + [stored(1, 5, closedFor: 40), stored(0, 2, closedFor: 30)]
        #expect(LegPlan.alone(after: later) == .seconds(40), "a cover in part does not begin it anew")
        #expect(LegPlan.alone(after: later + [stored(1, 3, .sell, closedFor: 20)]) == .zero, "sold again")
        let open = [stored(0, nil, closedFor: 0), stored(0, 0, closedFor: 50), stored(1, 4, closedFor: 10)]
        #expect(LegPlan.alone(after: open) == .seconds(10), "what is uncertain or traded nothing begins nothing")
    }

    @Test func `an order that rests is cancelled, and one that is not ours changes nothing`() throws {
        var driven = Driven(try makePlan())
        try driven.books(home: 45, away: 45)
        let before = driven.plan
        let effects = driven.plan.handle(.rests(number: 1), at: driven.now)
        #expect(effects == [.cancel(number: 1)])
        driven.handle(.answered(number: 7, answer(10, at: .cents(45), venue: .kalshi)), after: .zero)
        driven.handle(.answered(number: 0, answer(10, at: .cents(45), venue: .kalshi)), after: .zero)
        #expect(driven.plan.held == before.held && driven.plan.spent == before.spent)
    }
}
