import Domain
import ExecutionServiceEngine
import Resilience
import Testing

struct DecisionTests {
    private let engine = ExecutionServiceEngine(safeguards: Safeguards())

    /// One thing that is wrong, in the order of the chain (CHECKLIST R85, R87, R88).
    @Test(arguments: SendRefusal.allCases.filter { $0 != .notHeld && $0 != .opposingPosition })
    func `each safeguard refuses for its own reason`(refusal: SendRefusal) throws {
        var context = clearContext()
        var intent = try makeIntent()
        switch refusal {
        case .killSwitch: context.killSwitch = .engaged
        case .notReconciled: context.isReconciled = false
        case .databaseClock: context.isClockOff = true
        case .ordersPerMinute: context.ordersLastMinute = 20
        case .ordersPerHour: context.ordersLastHour = 100
        case .ordersPerDay: context.ordersToday = 3_000
        case .orderValue: intent = try makeIntent(cents: 90, contracts: 112)
        case .orderContracts: intent = try makeIntent(cents: 50, contracts: 101)
        case .countOffStep: intent = try makeIntent(cents: 50, count: "5.52")
        case .priceOutOfBounds: intent = try makeIntent(cents: 4)
        case .priceOffStep: (context.step, intent) = (.tenCent, try makeIntent(cents: 45))
        case .priceUnknown: context.signalAge = nil
        case .slippage: context.ask = try Price(dollars: "0.4899")
        case .balanceUnknown: context.balance = nil
        case .balanceStale: context.balanceAge = .seconds(120)
        case .insufficientBalance: context.balance = try Money(dollars: "21.999999")
        case .notHeld, .opposingPosition: break
        }
        #expect(engine.decide(intent, earlier: [], context, at: tipOff) == .refuse(refusal))
    }

    @Test func `the bounds themselves are inside`() throws {
        var context = clearContext()
        context.ordersLastMinute = 19
        context.ordersLastHour = 99
        context.ordersToday = 2_999
        context.balanceAge = .seconds(119)
        context.ask = .cents(51)
        context.balance = .dollars(22)
        #expect(engine.decide(try makeIntent(), earlier: [], context, at: tipOff) == .send(attempt: 1))
        context.balance = .dollars(110)
        (context.ask, context.signalAge) = (nil, .seconds(10))
        let largest = try makeIntent(cents: 95, contracts: 100)
        #expect(engine.decide(largest, earlier: [], context, at: tipOff) == .send(attempt: 1))
        #expect(engine.decide(try makeIntent(cents: 5), earlier: [], context, at: tipOff) == .send(attempt: 1))
    }

    @Test func `an entry goes at a price that is told, or while its signal is young, and waits otherwise`() throws {
        let intent = try makeIntent()
        func decision(ask: Int64?, signalAge: Duration?) -> SendDecision {
            var context = clearContext()
            context.ask = ask.map { .cents($0) }
            context.signalAge = signalAge
            return engine.decide(intent, earlier: [], context, at: tipOff)
        }
        let unknown = SendDecision.refuse(.priceUnknown)
        #expect(decision(ask: 50, signalAge: .seconds(3_000)) == .send(attempt: 1), "told")
        #expect(decision(ask: 50, signalAge: nil) == .send(attempt: 1), "told")
        #expect(decision(ask: nil, signalAge: .zero) == .send(attempt: 1), "young")
        #expect(decision(ask: nil, signalAge: .seconds(10)) == .send(attempt: 1), "young")
        #expect(decision(ask: nil, signalAge: .seconds(-20)) == .send(attempt: 1), "newer than all that was heard")
        #expect(decision(ask: nil, signalAge: .microseconds(10_000_001)) == unknown, "old, and nothing told")
        #expect(decision(ask: nil, signalAge: nil) == unknown)
        #expect(decision(ask: 52, signalAge: .zero) == .refuse(.slippage), "what is told counts for more")
    }

    @Test func `no exit waits for a price, and a sale of what is not held is refused without one`() throws {
        var context = clearContext()
        context.signalAge = nil
        let bought = try makeIntent(outcome: .no)
        #expect(engine.decide(bought, earlier: [], reduces: true, context, at: tipOff) == .send(attempt: 1))
        let sale = try ApprovedIntent(
            id: "exit-1", signal: "signal-1", reservation: "none", game: "game-1", sport: .nba, market: market,
            venue: .kalshi, epoch: .first, outcome: .yes, action: .sell, limit: .cents(50), quantity: .contracts(40),
            expiresAt: tipOff.advanced(by: .seconds(60)))
        let held = try Position(
            market: market, netHundredths: 4_000, cost: .dollars(1), realised: .zero, fees: .zero)
        #expect(engine.decide(sale, earlier: [], position: held, context, at: tipOff) == .send(attempt: 1))
        let nothing = Position(market: market)
        #expect(engine.decide(sale, earlier: [], position: nothing, context, at: tipOff) == .refuse(.notHeld))
    }

    @Test(arguments: ["0.01", "0.99", "5.52"])
    func `a part of a contract is bought only where parts are traded, and what is held is sold whatever it is`(
        count: String
    ) throws {
        let part = try makeIntent(count: count)
        var context = clearContext()
        #expect(engine.decide(part, earlier: [], context, at: tipOff) == .refuse(.countOffStep))
        #expect(engine.decide(part, earlier: [], reduces: true, context, at: tipOff) == .send(attempt: 1))
        context.counts = .hundredth
        #expect(engine.decide(part, earlier: [], context, at: tipOff) == .send(attempt: 1))
    }

    @Test func `a kill switch that cannot be read is engaged`() throws {
        #expect(
            engine.decide(try makeIntent(), earlier: [], SendContext(), at: tipOff) == .refuse(.killSwitch))
        #expect(KillSwitchState.released.combined(with: .unknown) == .unknown)
        #expect(KillSwitchState.unknown.combined(with: .engaged) == .engaged)
        #expect(KillSwitchState.released.combined(with: .released) == .released)
        #expect(KillSwitchState.reduceOnly.combined(with: .released) == .reduceOnly)
        #expect(KillSwitchState.reduceOnly.combined(with: .unknown) == .unknown)
        #expect(KillSwitchState.engaged.combined(with: .reduceOnly) == .engaged)
        #expect(KillSwitchState.allCases.filter(\.permitsOrders) == [.released])
        #expect(KillSwitchState.allCases.filter(\.isEngaged) == [.engaged, .reduceOnly])
    }

    @Test func `an exit passes the limits of entries, and an engaged switch only when that is allowed`() throws {
        var context = clearContext()
        context.balance = nil
        let large = try makeIntent(cents: 97, contracts: 500)
        #expect(engine.decide(large, earlier: [], reduces: true, context, at: tipOff) == .send(attempt: 1))
        context.killSwitch = .engaged
        #expect(engine.decide(large, earlier: [], reduces: true, context, at: tipOff) == .refuse(.killSwitch))
        var safeguards = Safeguards()
        safeguards.killSwitchAllowsReducing = true
        let allowing = ExecutionServiceEngine(safeguards: safeguards)
        #expect(allowing.decide(large, earlier: [], reduces: true, context, at: tipOff) == .send(attempt: 1))
        #expect(allowing.decide(large, earlier: [], context, at: tipOff) == .refuse(.killSwitch))
        context.killSwitch = .reduceOnly
        #expect(engine.decide(large, earlier: [], reduces: true, context, at: tipOff) == .send(attempt: 1))
        #expect(allowing.decide(large, earlier: [], context, at: tipOff) == .refuse(.killSwitch))
        context.killSwitch = .unknown
        #expect(allowing.decide(large, earlier: [], reduces: true, context, at: tipOff) == .refuse(.killSwitch))
    }

    @Test func `an exit is what cannot open the other side, has its own bound and is not starved by entries`() throws {
        let exit = try ApprovedIntent(
            id: "exit-1", signal: "signal-1", reservation: "none", game: "game-1", sport: .nba, market: market,
            venue: .kalshi, epoch: .first, outcome: .yes, action: .sell, limit: .cents(3), quantity: .contracts(40),
            expiresAt: tipOff.advanced(by: .seconds(60)))
        func decision(held: Int64, exits: Int = 0) throws -> SendDecision {
            var context = clearContext()
            (context.ordersLastMinute, context.ordersLastHour, context.exitsLastMinute) = (20, 100, exits)
            context.ordersToday = 3_000
            let position = try Position(
                market: market, netHundredths: held * 100, cost: held == 0 ? .zero : .dollars(1), realised: .zero,
                fees: .zero)
            return engine.decide(exit, earlier: [], position: position, context, at: tipOff)
        }
        #expect(try decision(held: 40) == .send(attempt: 1))
        #expect(try decision(held: 39) == .refuse(.ordersPerMinute), "one contract of it would open the other side")
        #expect(try decision(held: 0) == .refuse(.ordersPerMinute))
        #expect(try decision(held: -40) == .refuse(.ordersPerMinute))
        #expect(try decision(held: 40, exits: 60) == .refuse(.ordersPerMinute))
    }

    @Test func `a sale of what is not held is refused when nothing else stops it`() throws {
        let sale = try ApprovedIntent(
            id: "exit-1", signal: "signal-1", reservation: "none", game: "game-1", sport: .nba, market: market,
            venue: .kalshi, epoch: .first, outcome: .yes, action: .sell, limit: .cents(50), quantity: .contracts(40),
            expiresAt: tipOff.advanced(by: .seconds(60)))
        func decision(held: Int64, counted: Int64 = 0) throws -> SendDecision {
            let position = try Position(
                market: market, netHundredths: held * 100, cost: held == 0 ? .zero : .dollars(1), realised: .zero,
                fees: .zero)
            return engine.decide(
                sale, earlier: [], position: position, counted: counted * 100, clearContext(), at: tipOff)
        }
        #expect(try decision(held: 40) == .send(attempt: 1))
        #expect(try decision(held: 50, counted: 10) == .send(attempt: 1))
        #expect(try decision(held: 49, counted: 10) == .refuse(.notHeld), "a leg of an arbitrage is among it")
        for held: Int64 in [39, 0, -40] { #expect(try decision(held: held) == .refuse(.notHeld)) }
        let other = engine.decide(sale, earlier: [], position: Position(market: "OTHER"), clearContext(), at: tipOff)
        #expect(other == .refuse(.notHeld))
    }

    @Test func `what could not be read is waited for, and an exit waits for everything`() {
        let waiting = SendRefusal.allCases.filter { $0.passes(reduces: false) }
        #expect(waiting == [.notReconciled, .priceUnknown, .balanceUnknown, .balanceStale])
        #expect(!SendRefusal.allCases.contains { !$0.passes(reduces: true) })
    }

    @Test func `an intent past its time is expired, but never while an order of it is open`() throws {
        let late = tipOff.advanced(by: .seconds(60))
        #expect(engine.decide(try makeIntent(), earlier: [], clearContext(), at: late) == .expire)
        for state in OrderState.allCases where state != .rejected {
            let open = try makeOrder(state: state)
            #expect(engine.decide(try makeIntent(), earlier: [open], clearContext(), at: late) == .wait, "\(state)")
        }
    }

    @Test func `another attempt needs proof that the one before was never accepted`() throws {
        let refused = try makeOrder(state: .rejected, reason: "invalid_price")
        let absent = try makeOrder(state: .rejected, reason: OrderRecord.notAccepted)
        let intent = try makeIntent()
        #expect(engine.decide(intent, earlier: [refused], clearContext(), at: tipOff) == .wait)
        #expect(engine.decide(intent, earlier: [absent], clearContext(), at: tipOff) == .send(attempt: 2))
        #expect(engine.decide(intent, earlier: [absent, absent], clearContext(), at: tipOff) == .expire)
    }

    @Test func `an attempt that was called absent and has traded was the last, and frees its reservation`() throws {
        var straggler = makeBooking(try makeOrder(state: .rejected, reason: OrderRecord.notAccepted))
        let fill = try makeFill("f1", of: straggler.order, contracts: 10)
        straggler.apply(.accepted("v", fills: [fill], reported: .contracts(10), rests: false))
        let (intent, open) = (try makeIntent(), try makeOrder(state: .unknown))
        #expect(engine.decide(intent, earlier: [straggler.order], clearContext(), at: tipOff) == .expire)
        #expect(engine.decide(intent, earlier: [straggler.order, open], clearContext(), at: tipOff) == .wait)
    }
}

struct NonAcceptanceProofTests {
    private func at(_ seconds: Int64) -> MachineInstant { .origin.advanced(by: .seconds(seconds)) }

    @Test func `a closed connection, ten seconds and two full pagings prove it`() {
        var proof = NonAcceptanceProof()
        #expect(proof.nextPagingAt == nil)
        proof.pagedWithoutIt(startedAt: at(100))
        #expect(proof.pagings == 0, "the connection is still open")
        proof.connectionClosed(at: at(100))
        #expect(proof.nextPagingAt == at(110))
        proof.pagedWithoutIt(startedAt: at(109))
        #expect(proof.pagings == 0, "begun too early")
        proof.pagedWithoutIt(startedAt: at(110))
        #expect(!proof.isProven)
        proof.pagedWithoutIt(startedAt: at(111))
        #expect(proof.isProven)
        #expect(proof.nextPagingAt == nil)
    }

    @Test func `only the first close counts`() {
        var proof = NonAcceptanceProof()
        proof.connectionClosed(at: at(0))
        proof.connectionClosed(at: at(50))
        #expect(proof.nextPagingAt == at(10))
    }

    @Test func `the engine pages until it is proven, then gives up or tries again by the intent's life`() throws {
        var engine = ExecutionServiceEngine(safeguards: Safeguards())
        let order = try makeOrder(state: .unknown)
        let expires = tipOff.advanced(by: .seconds(60))
        func step(_ venue: VenueInstant) -> UnknownStep {
            engine.next(for: order, intentExpiresAt: expires, at: venue, machine: at(0))
        }
        #expect(step(tipOff) == .wait, "nobody reported it yet")
        engine.missing("order-1", connectionClosed: true, at: at(0))
        #expect(engine.unknownOrders == ["order-1"])
        #expect(step(tipOff) == .page)
        engine.pagedWithout("order-1", startedAt: at(10))
        engine.pagedWithout("order-1", startedAt: at(11))
        #expect(step(tipOff) == .absent(retries: true))
        #expect(step(expires) == .absent(retries: false))
        let second = try makeOrder(attempt: 2, state: .unknown)
        #expect(
            engine.next(for: second, intentExpiresAt: expires, at: tipOff, machine: at(0)) == .absent(retries: false))
        engine.resolved("order-1")
        #expect(step(tipOff) == .wait)
        let resting = try makeOrder(state: .resting)
        #expect(engine.next(for: resting, intentExpiresAt: expires, at: tipOff, machine: at(0)) == .page)
    }

    @Test func `an order that showed a fill is looked for until it is whole, whatever the pagings say`() throws {
        var engine = ExecutionServiceEngine(safeguards: Safeguards())
        let order = try makeOrder(state: .unknown, filled: .contracts(3))
        engine.missing("order-1", connectionClosed: true, at: at(0))
        for second in 10..<20 { engine.pagedWithout("order-1", startedAt: at(Int64(second))) }
        let step = engine.next(for: order, intentExpiresAt: tipOff, at: tipOff, machine: at(100))
        #expect(step == .page)
    }
}
