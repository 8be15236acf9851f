import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Runtime
import Testing
import Wire

@testable import ExecutionService
@testable import SignalProcessor

/// What everybody else leaves alone while two legs belong together (CHECKLIST N13).
struct PlanHedgeTests {
    private let later = tipOff.advanced(by: .seconds(20))

    /// A plan that this life works on, in a store whose fills may be taken back, after a bet in its first market.
    private func withPlan(
        after bet: Int64 = 0, _ body: (Rig, OrderStore, ApprovedPlan, _ away: MarketID) async throws -> Void
    ) async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let away = try await rig.addAwayMarket("game-1")
        if bet > 0 { try await rig.buy(bet, at: 50, rig.orders, name: "bet") }
        let plan = try await rig.approvedPlan(rig.arbitrage("a1", away: away), marks: rig.mark(45, of: "game-1"))
        var store = rig.orders
        store.fillStanding = .provisional
        #expect(try await store.takePlan(plan.id, for: "me", lease: .seconds(60)) != nil)
        try await body(rig, store, plan, away)
        try await rig.expectBooksToBalance()
        await rig.pool.close(grace: .milliseconds(100))
    }

    private func claim(
        _ leg: Int, number: Int, of plan: ApprovedPlan, _ store: OrderStore
    ) async throws -> LegClaim {
        let named = plan.signal.legs[leg]
        let order = LegOrder(
            number: number, leg: leg, purpose: .enter, market: named.market, venue: named.venue,
            outcome: named.outcome, action: .buy, limit: named.price, quantity: plan.quantity)
        return try await store.claimLeg(
            order, of: plan, for: "me", safeguards: Safeguards(), seen: .clear, at: tipOff)
    }

    /// One order of a plan that its venue fills.
    @discardableResult
    private func buy(
        _ leg: Int, number: Int, of plan: ApprovedPlan, _ store: OrderStore
    ) async throws -> OrderRecord {
        guard case .stored(let order) = try await claim(leg, number: number, of: plan, store) else {
            throw NeverCame(description: "order \(number)")
        }
        _ = try await store.book(order.request.id, .sent, at: tipOff)
        let news = await FakeVenue().submit(order.request, deadline: .origin)
        return try await store.book(order.request.id, news, at: tipOff).order
    }

    /// Ends a plan where it stands.
    private func finish(_ plan: ApprovedPlan, _ store: OrderStore) async throws {
        let held = try #require(try await store.takePlan(plan.id, for: "me", lease: .seconds(60)))
        let outcome = LegPlan.resumed(
            plan, orders: held.orders.map { ($0.leg, $0.answer) }, at: .origin
        ).plan.outcome
        #expect(
            try await store.finishPlan(
                plan, for: "me", outcome, ending: outcome.ending.rawValue, refusal: nil, at: tipOff))
    }

    @Test func `no exit breaks a hedge, neither while it is made nor afterwards`() async throws {
        try await withPlan { rig, store, plan, _ in
            let crash = try rig.price(of: "game-1", bid: 20, ask: 22, at: later)
            func exit() async throws -> OrderQueue.Item? {
                try await store.askExit(of: "game-1-HOME", ExitPolicy(), price: crash, at: later)
            }
            try await buy(0, number: 1, of: plan, store)
            #expect(try await exit() == nil, "the plan's driver sees to the leg that stands alone")
            try await buy(1, number: 2, of: plan, store)
            try await finish(plan, store)
            #expect(try await exit() == nil, "the pair pays its dollar whoever wins")
            #expect(try await store.heldPositions().isEmpty)
            #expect(try await store.waitingPlans(limit: 10).isEmpty)
        }
    }

    /// CHECKLIST N33.
    @Test func `an earlier bet keeps its stop when pairs are bought beside it, and the pairs stay`() async throws {
        try await withPlan(after: 40) { rig, store, plan, _ in
            let crash = try rig.price(of: "game-1", bid: 20, ask: 22, at: later)
            func exit() async throws -> OrderQueue.Item? {
                try await store.askExit(of: "game-1-HOME", ExitPolicy(), price: crash, at: later)
            }
            func sell(_ intent: IntentID) async throws -> (refusal: SendDecision, order: OrderRecord?) {
                let engine = ExecutionServiceEngine(safeguards: Safeguards())
                let claim = try await store.claim(intent, engine: engine, seen: .clear, at: tipOff)
                guard let order = claim.claimed?.order else { return (claim.decision, nil) }
                _ = try await store.book(order.request.id, .sent, at: tipOff)
                let news = await FakeVenue().submit(order.request, deadline: .origin)
                return (claim.decision, try await store.book(order.request.id, news, at: tipOff).order)
            }
            try await buy(0, number: 1, of: plan, store)
            #expect(try await exit() == nil, "the plan's driver sees to the market")
            try await buy(1, number: 2, of: plan, store)
            try await finish(plan, store)
            #expect(try await store.heldPositions()["game-1-HOME"]?.free == .contracts(40))
            let all = try #require(try await exit())
            #expect(all.priority == .stopLoss)

            // Something else is sold before it is stored: the rest would not leave the leg of 8 whole.
            let other = try await sell(rig.addExit("other", contracts: 5))
            #expect(other.order?.filled == .contracts(5))
            let late = try await sell(all.intent)
            #expect(late.refusal == .refuse(.notHeld) && late.order == nil)
            let whole = try await sell(rig.addExit("whole", contracts: 43))
            #expect(whole.refusal == .refuse(.notHeld), "nor is it sold on any other's word")

            let rest = try #require(try await exit())
            let sold = try await sell(rest.intent)
            #expect(sold.order?.filled == .contracts(35))
            let left = try await rig.number(
                "SELECT net_quantity AS n FROM positions WHERE market_id = 'game-1-HOME'")
            #expect(left == plan.quantity.hundredths)
            #expect(try await exit() == nil)
            #expect(try await store.heldPositions().isEmpty)
        }
    }

    @Test func `a position that no pair hedges is sold, also where a plan once was`() async throws {
        try await withPlan { rig, store, plan, _ in
            try await finish(plan, store)
            try await rig.buy(96, at: 50, store)
            let crash = try rig.price(of: "game-1", bid: 20, ask: 22, at: later)
            #expect(try await store.heldPositions().keys.sorted() == ["game-1-HOME"])
            #expect(try await store.askExit(of: "game-1-HOME", ExitPolicy(), price: crash, at: later) != nil)
        }
    }

    @Test func `the desk leaves legs to their plan, and its own intents wait for the plan's markets`() async throws {
        try await withPlan { rig, store, plan, _ in
            let engine = ExecutionServiceEngine(safeguards: Safeguards())
            guard case .stored = try await claim(0, number: 1, of: plan, store) else {
                throw NeverCame(description: "an order")
            }
            let open = try await store.work().open
            #expect(open.map(\.isPartOfPlan) == [true])
            #expect(try await store.waiting().isEmpty)
            let leg = try #require(open.first?.record.intent)
            let taken = try await store.claim(leg, engine: engine, seen: .clear, at: tipOff)
            #expect(taken.decision == .wait && taken.claimed == nil)
            // Between two orders of the plan nothing is open in either market.
            _ = try await store.book(open[0].record.request.id, .notSent(reason: "test"), at: tipOff)
            let own = try await rig.approve(8)
            #expect(try await store.waitingIntents() == [own])
            #expect(try await store.claim(own, engine: engine, seen: .clear, at: tipOff).claimed == nil)
            try await finish(plan, store)
            #expect(try await store.claim(own, engine: engine, seen: .clear, at: tipOff).claimed != nil)
        }
    }

    @Test func `a leg takes from the account's budget, and waits for it`() async throws {
        try await withPlan { rig, store, plan, _ in
            var store = store
            let limits = try AccountBudget.Limits(tokensPerSecond: 1, burst: 30, reserve: 20)
            store.budget = BudgetStore(account: rig.account, limits: limits)
            try await buy(0, number: 1, of: plan, store)
            guard case .waits = try await claim(1, number: 2, of: plan, store) else {
                throw NeverCame(description: "a leg that waits")
            }
            #expect(try await rig.number("SELECT count(*) AS n FROM orders") == 1)
        }
    }

    @Test func `for how long a leg has stood alone is read from what is stored`() async throws {
        try await withPlan { rig, store, plan, _ in
            func alone() async throws -> Duration? {
                try await store.takePlan(plan.id, for: "me", lease: .seconds(60))?.alone
            }
            #expect(try await alone() == .zero)
            try await buy(0, number: 1, of: plan, store)
            try await rig.force("UPDATE orders SET closed_at = closed_at - interval '40 seconds'")
            #expect(try #require(try await alone()) >= .seconds(40))
            try await buy(1, number: 2, of: plan, store)
            #expect(try await alone() == .zero)
        }
    }

    /// Between finding it and taking it, another process may have ended it; to end it again would count it twice.
    @Test func `a plan that has ended since it was found waiting is nobody's`() async throws {
        try await withPlan { rig, store, plan, _ in
            try await buy(0, number: 1, of: plan, store)
            try await buy(1, number: 2, of: plan, store)
            try await finish(plan, store)
            for holder in ["me", "another"] {
                #expect(try await store.takePlan(plan.id, for: holder, lease: .seconds(60)) == nil)
            }
            #expect(try await rig.text("SELECT state AS t FROM plans") == "finished")
            #expect(try await rig.number("SELECT value AS n FROM daily_stats WHERE key = 'plans'") == 1)
        }
    }

    @Test func `a fill that is taken back counts no more for its plan, and opens it again`() async throws {
        try await withPlan { rig, store, plan, _ in
            try await buy(0, number: 1, of: plan, store)
            let second = try await buy(1, number: 2, of: plan, store)
            #expect(try await store.answer(of: second.request.id).filled == plan.quantity)
            try await finish(plan, store)
            let fills = try await store.provisionalFills().filter { $0.order == second.request.id }.map(\.id)
            #expect(try await store.reverse(Set(fills), of: second.request.id, now: later) != nil)
            #expect(try await store.answer(of: second.request.id) == .nothing)
            #expect(try await store.waitingPlans(limit: 10) == [plan.id])
            let held = try #require(try await store.takePlan(plan.id, for: "me", lease: .seconds(60)))
            #expect(held.orders.map { $0.answer?.filled } == [plan.quantity, .zero])
            let resumed = LegPlan.resumed(
                plan, orders: held.orders.map { ($0.leg, $0.answer) }, at: .origin
            ).plan
            #expect(resumed.naked?.leg == 0 && resumed.naked?.quantity == plan.quantity)
        }
    }
}
