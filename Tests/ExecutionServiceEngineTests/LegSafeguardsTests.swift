import Domain
import ExecutionServiceEngine
import Testing

/// What holds back an order of a plan (CHECKLIST N13).
struct LegSafeguardsTests {
    private let plan: ApprovedPlan

    init() throws { plan = try makePlan() }

    private func refusal(
        _ purpose: LegOrder.Purpose, leg: Int = 0, cents: Int64 = 45, contracts: Int64 = 10,
        of plan: ApprovedPlan? = nil, by safeguards: Safeguards = Safeguards(),
        _ change: (inout SendContext) -> Void = { _ in }
    ) -> SendRefusal? {
        var context = clearContext()
        change(&context)
        let plan = plan ?? self.plan
        let named = plan.signal.legs[leg]
        let order = LegOrder(
            number: 1, leg: leg, purpose: purpose, market: named.market, venue: named.venue, outcome: named.outcome,
            action: purpose == .unwind ? .sell : .buy, limit: .cents(cents), quantity: .contracts(contracts))
        return safeguards.refusal(of: order, in: plan, context)
    }

    @Test func `a slice is an entry, and both of its legs must be paid for`() throws {
        #expect(refusal(.enter) == nil)
        #expect(refusal(.enter) { $0.ordersLastMinute = 20 } == .ordersPerMinute)
        #expect(refusal(.enter) { $0.isReconciled = false } == .notReconciled)
        #expect(refusal(.enter) { $0.killSwitch = .engaged } == .killSwitch)
        #expect(refusal(.enter, contracts: 101) == .orderContracts)
        // Ten of each leg cost $9 and their fees; a tenth more makes it ten dollars and a little.
        #expect(refusal(.enter) { $0.balance = .dollars(9) } == .insufficientBalance)
        #expect(refusal(.enter) { $0.balance = .dollars(11) } == nil)
    }

    @Test func `a slice waits for nobody's price while the plan is young, and is refused without one when it is old`() {
        let old = Duration.seconds(11)
        #expect(refusal(.enter) { $0.signalAge = .seconds(10) } == nil)
        #expect(refusal(.enter) { $0.signalAge = old } == .priceUnknown)
        #expect(refusal(.enter) { ($0.signalAge, $0.ask) = (old, .cents(45)) } == nil)
        #expect(refusal(.enter) { $0.ask = .cents(47) } == .slippage)
    }

    @Test func `what covers or unwinds passes the limits of entries, within a bound of its own`() {
        for purpose in [LegOrder.Purpose.cover, .unwind] {
            let passed = refusal(purpose, cents: 97, contracts: 500) {
                ($0.ordersLastMinute, $0.ordersLastHour, $0.ordersToday) = (20, 100, 3_000)
                ($0.balance, $0.ask, $0.signalAge) = (nil, nil, nil)
                $0.heldByOthers = ["HOME-1": -100, "AWAY-1": -100]
            }
            #expect(passed == nil, "\(purpose)")
            #expect(refusal(purpose) { $0.exitsLastMinute = 60 } == .ordersPerMinute)
            #expect(refusal(purpose) { $0.isReconciled = false } == .notReconciled)
        }
    }

    @Test func `an engaged switch lets out at most what makes a position smaller`() {
        var allowing = Safeguards()
        allowing.killSwitchAllowsReducing = true
        for purpose in LegOrder.Purpose.allCases {
            let engaged: (inout SendContext) -> Void = { $0.killSwitch = .engaged }
            #expect(refusal(purpose, engaged) == .killSwitch)
            #expect(refusal(purpose, by: allowing, engaged) == (purpose == .unwind ? nil : .killSwitch), "\(purpose)")
            #expect(refusal(purpose, by: allowing) { $0.killSwitch = .unknown } == .killSwitch)
        }
    }

    @Test func `no leg is bought where others hold the other side, in either market`() throws {
        for leg in 0...1 {
            for market in ["HOME-1", "AWAY-1"] as [MarketID] {
                #expect(refusal(.enter, leg: leg) { $0.heldByOthers = [market: -1] } == .opposingPosition)
                #expect(refusal(.enter, leg: leg) { $0.heldByOthers = [market: 1] } == nil, "the same side")
            }
            #expect(refusal(.enter, leg: leg) { $0.heldByOthers = ["ANOTHER": -1] } == nil)
        }
        let sides = try [(Outcome.yes, HomeAway.home), (.no, .away)].map { outcome, team in
            try ArbitrageLeg(
                market: "HOME-1", venue: .kalshi, outcome: outcome, backs: team, price: .cents(45),
                available: .contracts(100))
        }
        let signal = try ArbitrageSignal(
            id: "arb-2", game: "game-1", sport: .nba, epoch: .first, shard: "shard-01", legs: sides,
            createdAt: tipOff, expiresAt: tipOff.advanced(by: .seconds(10)))
        let one = try ApprovedPlan(
            id: "plan-2", signal: signal, reservation: "reservation-2", quantity: .contracts(20),
            maximumLoss: .dollars(5))
        for held in [-1, 1] as [Int64] {
            #expect(refusal(.enter, of: one) { $0.heldByOthers = ["HOME-1": held] } == .opposingPosition)
        }
        #expect(refusal(.enter, of: one) { $0.heldByOthers = ["HOME-1": 0] } == nil)
    }
}
