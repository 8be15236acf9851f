import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Runtime
import SignalProcessorEngine
import Testing

@testable import ExecutionService
@testable import SignalProcessor

/// Where hedging is allowed, bets and the legs of an arbitrage may want both sides of one market, and its venue nets
/// them (decision 0074).
struct OpposingBetTests {
    private static let limits: TradingLimits = {
        var limits = Rig.planLimits
        (limits.allowsHedging, limits.entriesPerSide, limits.positionsPerGame) = (true, 10, 10)
        limits.gameExposure = .dollars(1_000)
        return limits
    }()

    /// An approved plan that nobody works on yet.
    private func withPlan(
        _ body: (Rig, ApprovedPlan, _ away: MarketID) async throws -> Void
    ) async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let away = try await rig.addAwayMarket("game-1")
        try await body(rig, rig.approvedPlan(rig.arbitrage("a1", away: away)), away)
        try await rig.expectBooksToBalance()
        await rig.pool.close(grace: .milliseconds(100))
    }

    /// A purchase of two contracts of NO whose answer was lost, and that was given up.
    private func loseBet(on market: MarketID, _ rig: Rig) async throws -> OrderRecord {
        let intent = try await rig.approve(-2, name: "bet")
        try await rig.force(
            "UPDATE intents SET market_id = \(market.rawValue) WHERE intent_id = \(intent.rawValue)")
        let claim = try await rig.orders.claim(
            intent, engine: ExecutionServiceEngine(safeguards: Safeguards()), seen: .clear, at: tipOff)
        let order = try #require(claim.claimed).order
        for news in [OrderNews.sent, .unanswered(reason: "timeout"), .provenAbsent(retries: false)] {
            _ = try await rig.orders.book(order.request.id, news, at: tipOff)
        }
        return order
    }

    /// It traded after all.
    private func trade(_ bet: OrderRecord, at venue: FakeVenue = FakeVenue(), _ rig: Rig) async throws {
        let news = await venue.submit(bet.request, deadline: .origin)
        _ = try await rig.orders.book(bet.request.id, news, at: tipOff)
    }

    /// What the signal-processor says to a bet.
    private func verdict(
        _ id: SignalID, on market: MarketID, _ outcome: Outcome, _ rig: Rig
    ) async throws -> String {
        let signal = try Signal(
            id: id, kind: outcome == .yes ? .modelEdgeYes : .modelEdgeNo, game: "game-1", sport: .nba, market: market,
            venue: .kalshi, epoch: .first, shard: "shard-01", outcome: outcome, probability: Probability(0.6),
            price: .cents(50), available: .contracts(1_000), edgeBasisPoints: 1_800, play: nil, createdAt: tipOff,
            expiresAt: tipOff.advanced(by: .seconds(60)))
        let mark = try #require(PortfolioMark.Mark(yesBid: .cents(45), yesAsk: .cents(46), at: tipOff))
        let decided = try await rig.signals.process(
            signal, trace: nil, engine: SignalProcessorEngine(limits: Self.limits),
            marks: [rig.home("game-1"): mark, "game-1-AWAY": mark], at: tipOff)
        guard case .decided(let verdict) = decided else { throw NeverCame(description: "\(decided)") }
        return verdict.name
    }

    private func claim(
        _ number: Int, leg: Int, _ purpose: LegOrder.Purpose = .enter, of plan: ApprovedPlan, _ rig: Rig
    ) async throws -> LegClaim {
        let named = plan.signal.legs[leg]
        let order = LegOrder(
            number: number, leg: leg, purpose: purpose, market: named.market, venue: named.venue,
            outcome: named.outcome, action: .buy, limit: named.price, quantity: .contracts(2))
        return try await rig.orders.claimLeg(
            order, of: plan, for: "me", safeguards: Safeguards(), seen: .clear, at: tipOff)
    }

    private func fill(_ claim: LegClaim, _ rig: Rig) async throws {
        guard case .stored(let order) = claim else { throw NeverCame(description: "an order: \(claim)") }
        _ = try await rig.orders.book(order.request.id, .sent, at: tipOff)
        let news = await FakeVenue().submit(order.request, deadline: .origin)
        _ = try await rig.orders.book(order.request.id, news, at: tipOff)
    }

    /// Ends a plan where it stands.
    private func finish(_ plan: ApprovedPlan, as ending: String, _ rig: Rig) async throws {
        let held = try #require(try await rig.orders.takePlan(plan.id, for: "me", lease: .seconds(60)))
        let stood = LegPlan.resumed(plan, orders: held.orders.map { ($0.leg, $0.answer) }, at: .origin).plan
        #expect(
            try await rig.orders.finishPlan(
                plan, for: "me", stood.outcome, ending: ending, refusal: nil, at: tipOff))
    }

    private func isOpposed(_ claim: LegClaim) -> Bool {
        if case .refused("opposing_position") = claim { true } else { false }
    }

    @Test func `nobody bets against a leg, neither before its plan begins nor after it has bought pairs`()
        async throws
    {
        try await withPlan { rig, plan, away in
            #expect(try await verdict("s1", on: rig.home("game-1"), .no, rig) == "opposing_position")
            #expect(try await verdict("s2", on: away, .no, rig) == "opposing_position")
            #expect(try await verdict("s3", on: rig.home("game-1"), .yes, rig) == "approved", "the leg's own side")
            #expect(try await rig.orders.takePlan(plan.id, for: "me", lease: .seconds(60)) != nil)
            try await fill(claim(1, leg: 0, of: plan, rig), rig)
            try await fill(claim(2, leg: 1, .cover, of: plan, rig), rig)
            let other = try await verdict("s4", on: away, .no, rig)
            #expect(other == "opposing_position")
            try await finish(plan, as: "partial", rig)
            #expect(try await verdict("s5", on: away, .no, rig) == "opposing_position", "the other leg would be alone")
        }
    }

    @Test func `where a plan came to nothing both sides may be bought again`() async throws {
        try await withPlan { rig, plan, _ in
            #expect(try await rig.orders.takePlan(plan.id, for: "me", lease: .seconds(60)) != nil)
            try await fill(claim(1, leg: 0, of: plan, rig), rig)
            try await finish(plan, as: "naked", rig)
            #expect(try await verdict("s1", on: rig.home("game-1"), .no, rig) == "approved")
        }
    }

    @Test(arguments: [HomeAway.home, .away])
    func `a leg is not bought where a bet on the other side has traded since the approval`(
        team: HomeAway
    ) async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let away = try await rig.addAwayMarket("game-1")
        let bet = try await loseBet(on: team == .home ? rig.home("game-1") : away, rig)
        let plan = try await rig.approvedPlan(rig.arbitrage("a1", away: away))
        try await trade(bet, rig)
        #expect(try await rig.orders.takePlan(plan.id, for: "me", lease: .seconds(60)) != nil)
        for leg in 0...1 {
            let claim = try await claim(1, leg: leg, of: plan, rig)
            #expect(isOpposed(claim), "leg \(leg)")
        }
        #expect(try await rig.number("SELECT count(*) AS n FROM orders WHERE purpose IS NOT NULL") == 0)
        try await rig.expectBooksToBalance()
        await rig.pool.close(grace: .milliseconds(100))
    }

    @Test func `what a plan has itself closes nothing, and what trades meanwhile ends its entering`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let away = try await rig.addAwayMarket("game-1")
        let bet = try await loseBet(on: rig.home("game-1"), rig)
        let plan = try await rig.approvedPlan(rig.arbitrage("a1", away: away))
        #expect(try await rig.orders.takePlan(plan.id, for: "me", lease: .seconds(60)) != nil)
        try await fill(claim(1, leg: 0, of: plan, rig), rig)
        try await fill(claim(2, leg: 1, .cover, of: plan, rig), rig)
        try await fill(claim(3, leg: 0, of: plan, rig), rig)
        // Two of NO beside four of YES are two of YES: the side is the plan's, and two of its own are gone.
        try await trade(bet, rig)
        #expect(try await rig.number("SELECT net_quantity AS n FROM positions WHERE market_id = 'game-1-HOME'") == 200)
        try await fill(claim(4, leg: 1, .cover, of: plan, rig), rig)
        let next = try await claim(5, leg: 0, of: plan, rig)
        #expect(isOpposed(next))
        try await rig.expectBooksToBalance()
        await rig.pool.close(grace: .milliseconds(100))
    }

    @Test func `a plan whose market holds a bet by now ends flat, says why, and leaves the bet alone`() async throws {
        try await withOrderPath { path in
            let away = try await path.rig.addAwayMarket("game-1")
            let bet = try await loseBet(on: away, path.rig)
            let plan = try await path.rig.approvedPlan(path.rig.arbitrage("a1", away: away))
            try await trade(bet, at: path.venue, path.rig)
            path.startExecution(OrderPath.planSettings)
            try await path.untilPlan("flat", ["game-1-HOME": 45, away: 45])
            #expect(path.venue.submits == [bet.request.id])
            #expect(
                try await path.rig.text("SELECT details->>'reason' AS t FROM audit_log WHERE event = 'plan_finished'")
                    == "opposing_position")
            let refused = path.counted(
                "plan_orders_refused_total", ["reason": "opposing_position"], by: "execution-service")
            #expect(refused == 1)
            try await eventually("the refusal is written down, as an intent's is") {
                try await path.rig.number(
                    """
                    SELECT count(*) AS n FROM audit_log WHERE event = 'intent_refused'
                        AND details->>'plan' = \(plan.id.rawValue) AND details->>'reason' = 'opposing_position'
                    """) == 1
            }
            let held = "SELECT net_quantity AS n FROM positions WHERE market_id = \(away.rawValue)" as SQL
            #expect(try await path.rig.number(held) == -200)
            let reservation = try await path.rig.text(
                "SELECT state AS t FROM reservations WHERE reservation_id = \(plan.reservation.rawValue)")
            #expect(reservation == "released")
        }
    }
}
