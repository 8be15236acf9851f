import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Resilience
import SignalProcessorEngine
import Testing

@testable import ExecutionService
@testable import SignalProcessor

/// What the transaction that reserves for two legs holds.
struct PlanStoreTests {
    private func verdict(
        _ signal: ArbitrageSignal, _ rig: Rig, _ limits: TradingLimits = Rig.planLimits
    ) async throws -> String {
        let engine = SignalProcessorEngine(limits: limits)
        let outcome = try await rig.signals.process(signal, trace: nil, engine: engine, at: tipOff)
        if case .decided(let verdict) = outcome { return verdict.name }
        return "known"
    }

    @Test func `a plan, its legs, its reservation and its announcement are one transaction`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let away = try await rig.addAwayMarket("game-1")
        let signal = try rig.arbitrage("a1", away: away)
        let plan = try await rig.approvedPlan(signal)
        #expect(try await rig.number("SELECT amount AS n FROM reservations") == plan.reserved.microdollars)
        #expect(try await rig.number("SELECT count(*) AS n FROM intents WHERE plan_id = \(plan.id.rawValue)") == 2)
        #expect(try await rig.text("SELECT topic AS t FROM outbox") == "execution:plans")
        #expect(
            try await rig.text("SELECT string_agg(event, ' ' ORDER BY id) AS t FROM audit_log")
                == "signal_approved execution_requested execution_requested")
        #expect(try await rig.number("SELECT count(*) AS n FROM signals WHERE verdict = 'approved'") == 2)
        #expect(try await verdict(signal, rig) == "known")
        #expect(try await rig.orders.waiting().isEmpty, "legs are the plan's, not the desk's")
        #expect(try await rig.orders.waitingPlans(limit: 10) == [plan.id])
        try await rig.expectBooksToBalance()
    }

    @Test func `what the database says of both markets is what is decided on`() async throws {
        let rig = try await Rig()
        for game in 1...4 { try await rig.addGame(GameID(stringLiteral: "game-\(game)")) }
        let away = try await rig.addAwayMarket("game-1")
        let other = try await rig.addAwayMarket("game-2", venue: .polymarket)
        let closed = try await rig.addAwayMarket("game-3")
        let elsewhere = try await rig.addAwayMarket("game-4")
        #expect(try await verdict(rig.arbitrage("a0", away: "unknown"), rig) == "no_market")
        #expect(try await verdict(rig.arbitrage("a0", away: "unknown"), rig) == "known")
        let across = try rig.arbitrage("a1", game: "game-2", away: other, venue: .polymarket)
        #expect(try await verdict(across, rig) == "different_terms")
        try await rig.pool.transaction("terms") {
            try await SameTerms.match(rig.home("game-2"), other, note: "read both", by: "test", $0)
        }
        var limits = Rig.planLimits
        limits.venues = [.kalshi]
        let again = try rig.arbitrage("a2", game: "game-2", away: other, venue: .polymarket)
        #expect(try await verdict(again, rig, limits) == "no_gateway")
        let third = try rig.arbitrage("a3", game: "game-2", away: other, venue: .polymarket)
        #expect(try await verdict(third, rig) == "approved")
        try await rig.pool.execute("UPDATE market_mappings SET status = 'closed' WHERE market_id = \(closed.rawValue)")
        #expect(try await verdict(rig.arbitrage("a4", game: "game-3", away: closed), rig) == "no_market")
        // Another event of the same venue is another question.
        try await rig.pool.execute(
            "UPDATE market_mappings SET event_ticker = 'F' WHERE market_id = \(elsewhere.rawValue)")
        #expect(try await verdict(rig.arbitrage("a5", game: "game-4", away: elsewhere), rig) == "different_terms")
        try await rig.pool.execute("UPDATE assignments SET epoch = 2 WHERE game_id = 'game-1'")
        #expect(try await verdict(rig.arbitrage("a6", away: away), rig) == "stale_epoch")
        try await rig.pool.execute("UPDATE kill_switch SET engaged = true")
        #expect(try await verdict(rig.arbitrage("a7", away: away), rig) == "kill_switch")
        #expect(try await rig.number("SELECT count(*) AS n FROM plans") == 1)
        #expect(
            try await rig.number("SELECT value AS n FROM daily_stats WHERE key = 'arbitrages:different_terms'") == 2)
    }

    @Test func `the exposure of a plan counts in both of its markets`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let away = try await rig.addAwayMarket("game-1")
        let plan = try await rig.approvedPlan(rig.arbitrage("a1", away: away))
        let view = try await rig.pool.transaction("view") { transaction in
            try await rig.signals.reader(transaction, [:])
                .view(for: PortfolioSubject(plan.signal), and: rig.account.locked, at: tipOff).1
        }
        #expect(view.marketExposure == [rig.home("game-1"): plan.reserved, away: plan.reserved])
        #expect(view.gameExposure == plan.reserved && view.totalExposure == plan.reserved)
        #expect(Set(view.holdings.map(\.backs)) == [.home, .away])
    }

    @Test func `a word on terms needs two venues and one game, is audited, and can be taken back`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        try await rig.addGame("game-2")
        let away = try await rig.addAwayMarket("game-1", venue: .polymarket)
        let same = try await rig.addAwayMarket("game-2")
        func match(_ left: MarketID, _ right: MarketID, note: String = "read both") async throws {
            try await rig.pool.transaction("terms") {
                try await SameTerms.match(left, right, note: note, by: "me", $0)
            }
        }
        let home = rig.home("game-1")
        for (left, right, note) in [(home, home, "n"), (home, "unknown", "n"), (home, same, "n"), (home, away, "")]
            as [(MarketID, MarketID, String)]
        {
            await #expect(throws: SameTerms.Refusal.self) { try await match(left, right, note: note) }
        }
        await #expect(throws: SameTerms.Refusal.self) { try await match(rig.home("game-2"), same) }
        try await match(home, away)
        try await match(away, home, note: "read again")
        #expect(try await SameTerms.list(rig.pool).map(\.note) == ["read again"])
        func unmatch() async throws -> Bool {
            try await rig.pool.transaction("terms") { try await SameTerms.unmatch(away, home, by: "me", $0) }
        }
        #expect(try await unmatch())
        #expect(try await !unmatch())
        #expect(try await rig.number("SELECT count(*) AS n FROM audit_log WHERE event LIKE 'terms%'") == 3)
    }

    /// CHECKLIST H4.
    @Test func `a hundred opportunities at once never reserve more than the limits`() async throws {
        let rig = try await Rig()
        var away: [GameID: MarketID] = [:]
        for number in 1...10 {
            let game = GameID(stringLiteral: "game-\(number)")
            try await rig.addGame(game)
            away[game] = try await rig.addAwayMarket(game)
        }
        var limits = Rig.planLimits
        limits.gameExposure = .dollars(30)
        limits.totalExposure = .dollars(140)
        limits.sportExposure = nil
        limits.trimsToLimits = false
        let engine = SignalProcessorEngine(limits: limits)
        let pools = try (0..<4).map { _ in try rig.anotherPool() }
        let signals = try (0..<100).map { number in
            let game = GameID(stringLiteral: "game-\(number % 10 + 1)")
            return try rig.arbitrage(
                SignalID(stringLiteral: "a\(number)"), game: game, away: away[game] ?? "none")
        }
        let verdicts = try await withThrowingTaskGroup(of: String.self) { group in
            for (number, signal) in signals.enumerated() {
                let store = SignalStore(
                    pool: pools[number % pools.count], account: rig.account, statistics: rig.statistics)
                group.addTask {
                    let outcome = try await store.process(signal, trace: nil, engine: engine, at: tipOff)
                    if case .decided(let verdict) = outcome { return verdict.name }
                    return "known"
                }
            }
            return try await group.reduce(into: [String: Int]()) { $0[$1, default: 0] += 1 }
        }
        for pool in pools { await pool.close() }
        let total = try await rig.number("SELECT sum(amount) AS n FROM reservations")
        #expect(total <= 140_000_000 && total > 110_000_000, "\(total)")
        let most = try await rig.number(
            "SELECT max(sum) AS n FROM (SELECT sum(amount)::int8 FROM reservations GROUP BY game_id) AS game")
        #expect(most <= 30_000_000)
        let approved = try await rig.number("SELECT count(*) AS n FROM plans")
        #expect(verdicts["approved"] == Int(approved))
        #expect(verdicts.values.reduce(0, +) == 100 && verdicts["known"] == nil)
        try await rig.expectBooksToBalance()
    }

    /// One image can be rolled back without a restore; the statement is what the build before asks at each look.
    @Test func `a build that knows no plans starts on their schema, sends nothing for a leg, and books its orders`()
        async throws
    {
        let rig = try await Rig()
        try await rig.addGame()
        let away = try await rig.addAwayMarket("game-1")
        let plan = try await rig.approvedPlan(rig.arbitrage("a1", away: away))
        #expect(try await Migrations.run(rig.pool, Array(Migration.all.prefix(12))).isEmpty)
        func waiting() async throws -> Int64 {
            try await rig.number(
                """
                SELECT count(*) AS n FROM intents i WHERE i.state = 'approved' OR (i.state = 'sending' AND NOT EXISTS (
                    SELECT FROM orders o WHERE o.intent_id = i.intent_id
                        AND NOT (o.state = 'rejected' AND o.reason IS NOT DISTINCT FROM 'not_accepted')))
                """)
        }
        #expect(try await waiting() == 0)
        let store = rig.orders
        _ = try await store.takePlan(plan.id, for: "newer", lease: .seconds(60))
        let leg = plan.signal.legs[0]
        let order = LegOrder(
            number: 1, leg: 0, purpose: .enter, market: leg.market, venue: leg.venue, outcome: leg.outcome,
            action: .buy, limit: leg.price, quantity: plan.quantity)
        let claim = try await store.claimLeg(
            order, of: plan, for: "newer", safeguards: Safeguards(), seen: .clear, at: tipOff)
        guard case .stored(let stored) = claim else { throw NeverCame(description: "\(claim)") }
        let sent = try await store.book(stored.request.id, .sent, at: tipOff).order
        #expect(try await waiting() == 0)
        // For it the intent has ended, and with its order ends what is reserved: the position counts from then on.
        let held = ReservationRecord(id: plan.reservation, amount: plan.reserved)
        var booking = OrderBooking(
            order: sent, reservation: held, position: Position(market: leg.market), intent: .done, knownFills: [])
        booking.apply(await FakeVenue().submit(sent.request, deadline: .origin))
        #expect(booking.order.state == .filled && booking.position.netHundredths == plan.quantity.hundredths)
        #expect(booking.intent == .done && booking.reservation?.held == .zero && booking.alerts.isEmpty)
        for news in [OrderNews.unanswered(reason: "no_answer"), .provenAbsent(retries: true)] {
            _ = try await store.book(sent.request.id, news, at: tipOff)
        }
        #expect(try await waiting() == 0, "an attempt that never came makes no other one")
    }

    // CHECKLIST H28.
    @Test func `a plan in the markets of another waits until that one has finished`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let away = try await rig.addAwayMarket("game-1")
        var limits = Rig.planLimits
        (limits.entriesPerSide, limits.positionsPerGame) = (10, 10)
        let engine = SignalProcessorEngine(limits: limits)
        for id in ["a1", "a2"] as [SignalID] {
            let outcome = try await rig.signals.process(
                rig.arbitrage(id, away: away), trace: nil, engine: engine, at: tipOff)
            guard case .decided(.approved) = outcome else { throw NeverCame(description: "\(outcome)") }
        }
        let store = rig.orders
        let plans = try await store.waitingPlans(limit: 10)
        #expect(plans.count == 2)
        let (first, second) = (plans[0], plans[1])
        #expect(try await store.takePlan(first, for: "one", lease: .seconds(60)) != nil)
        #expect(try await store.takePlan(second, for: "one", lease: .seconds(60)) == nil)
        #expect(try await store.takePlan(second, for: "two", lease: .seconds(60)) == nil)
        try await rig.pool.execute(
            """
            UPDATE plans SET state = 'finished', holder = NULL, held_until = NULL, ending = 'flat', pairs = 0,
                result = 0, finished_at = now() WHERE plan_id = \(first.rawValue)
            """)
        #expect(try await store.takePlan(second, for: "two", lease: .seconds(60)) != nil)
    }

    @Test func `only who holds a plan can send for it, and each number once`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let away = try await rig.addAwayMarket("game-1")
        let plan = try await rig.approvedPlan(rig.arbitrage("a1", away: away))
        let store = rig.orders
        #expect(try await store.takePlan(plan.id, for: "one", lease: .seconds(60)) != nil)
        #expect(try await store.takePlan(plan.id, for: "two", lease: .seconds(60)) == nil)
        #expect(try await store.lookAfter(plan.id, for: "two", lease: .seconds(60)) == nil)
        let leg = plan.signal.legs[0]
        func claim(_ number: Int, by holder: String, reconciled: Bool = true) async throws -> String {
            let order = LegOrder(
                number: number, leg: 0, purpose: .enter, market: leg.market, venue: leg.venue, outcome: leg.outcome,
                action: .buy, limit: leg.price, quantity: plan.quantity)
            let claim = try await store.claimLeg(
                order, of: plan, for: holder, safeguards: Safeguards(),
                seen: VenueReadings(isReconciled: reconciled), at: tipOff)
            return switch claim {
            case .stored: "stored"
            case .refused(let reason), .waits(let reason): reason
            case .lost: "lost"
            }
        }
        #expect(try await claim(1, by: "two") == "lost")
        #expect(try await claim(2, by: "one") == "lost")
        #expect(try await claim(1, by: "one", reconciled: false) == "not_reconciled")
        try await rig.pool.execute("UPDATE kill_switch SET engaged = true")
        #expect(try await claim(1, by: "one") == "kill_switch")
        try await rig.pool.execute("UPDATE kill_switch SET engaged = false")
        #expect(try await claim(1, by: "one") == "stored")
        #expect(try await claim(1, by: "one") == "lost")
        #expect(try await claim(2, by: "one") == "market_busy")
        try await rig.expectBooksToBalance()
    }

    @Test(arguments: [("linear_cent", "price_off_step"), ("deci_cent", "stored")])
    func `an order of a plan is held to the price step of its own market`(step: String, end: String) async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let away = try await rig.addAwayMarket("game-1")
        let plan = try await rig.approvedPlan(rig.arbitrage("a1", away: away))
        let store = rig.orders
        #expect(try await store.takePlan(plan.id, for: "one", lease: .seconds(60)) != nil)
        try await rig.pool.execute(
            "UPDATE market_mappings SET price_step = \(step) WHERE market_id = 'game-1-HOME'")
        try await rig.force("UPDATE intents SET limit_price = 4550 WHERE market_id = 'game-1-HOME'")
        let leg = plan.signal.legs[0]
        let order = LegOrder(
            number: 1, leg: 0, purpose: .enter, market: leg.market, venue: leg.venue, outcome: leg.outcome,
            action: .buy, limit: try Price(dollars: "0.455"), quantity: plan.quantity)
        let claim = try await store.claimLeg(
            order, of: plan, for: "one", safeguards: Safeguards(), seen: .clear, at: tipOff)
        switch claim {
        case .stored: #expect(end == "stored")
        case .refused(let reason), .waits(let reason): #expect(end == reason)
        case .lost: Issue.record("lost")
        }
        await rig.pool.close(grace: .milliseconds(100))
    }
}
