import Domain
import ExecutionServiceEngine
import Resilience
import Testing

private func listed(
    _ name: VenueOrderID, _ key: OrderID?, filled contracts: Int64 = 0, isOpen: Bool = false
) -> VenueOrderState {
    VenueOrderState(
        venueOrder: name, key: key, market: market, filled: .contracts(contracts), isOpen: isOpen)
}

private func traded(_ id: FillID, of order: VenueOrderID, _ contracts: Int64 = 1) -> VenueFillState {
    VenueFillState(
        id: id, venueOrder: order, market: market, quantity: .contracts(contracts), yesPrice: .cents(50), bought: .yes,
        at: tipOff)
}

/// What differs, and whose business it is (CHECKLIST N12).
struct ReconciliationTests {
    private func own(_ orders: [OrderRecord] = [], fills: Set<FillID> = []) -> OwnSnapshot {
        OwnSnapshot(orders: orders, fills: fills, positions: ["A": 100], balance: .dollars(500))
    }

    private func venue(_ orders: [VenueOrderState] = [], fills: [VenueFillState] = []) -> VenueSnapshot {
        VenueSnapshot(orders: orders, fills: fills, positions: ["A": 100], balance: .dollars(500))
    }

    @Test func `equal books have no discrepancy, to the cent`() throws {
        let record = try makeOrder(state: .filled, filled: .contracts(40))
        var snapshot = venue([listed("v1", "order-1", filled: 40)], fills: [traded("f1", of: "v1", 40)])
        snapshot.balance = .dollars(500) - .cents(1)
        #expect(Reconciliation.compare(own([record], fills: ["f1"]), snapshot).isEmpty)
        #expect(Reconciliation.compare(own([try makeOrder(state: .stored)]), venue()).isEmpty, "not sent yet")
        snapshot.balance = try .dollars(500) - Money(microdollars: 10_001)
        #expect(
            Reconciliation.compare(own([record], fills: ["f1"]), snapshot).map(\.code) == ["balance"])
        snapshot.balance = nil
        #expect(Reconciliation.compare(own([record], fills: ["f1"]), snapshot).isEmpty, "no money is kept there")
    }

    @Test func `what our machinery mends is told from what halts`() throws {
        let unknown = try makeOrder("o1", state: .unknown)
        let ended = try makeOrder("o2", state: .rejected)
        let gone = try makeOrder("o3", state: .resting)
        let found = Reconciliation.compare(
            own([unknown, ended, gone]),
            venue([listed("v1", "o1", filled: 3), listed("v2", "o2", isOpen: true)]))
        #expect(
            found == [
                .unbookedFills("o1", ours: .zero, venues: .contracts(3)), .openAtVenue("o2", "v2"), .absentOrder("o3"),
            ])
        #expect(found.filter { !$0.isMended }.isEmpty)
    }

    @Test func `what nobody of ours did halts, and is named`() throws {
        var theirs = venue(
            [listed("v8", nil, isOpen: true), listed("v9", "other")], fills: [traded("f9", of: "v9")])
        theirs.positions = ["A": 100, "B": -50]
        theirs.balance = .dollars(499)
        let found = Reconciliation.compare(own(fills: ["f1"]), theirs)
        #expect(
            found == [
                .foreignOrder("v8", market), .foreignFill("f9", "v9", market), .missingFill("f1"),
                .position(PositionDifference(market: "B", ours: 0, venues: -50)),
                .balance(ours: .dollars(500), venues: .dollars(499)),
            ])
        #expect(found.filter(\.isMended).isEmpty)
        #expect(Set(found.map(\.name)).count == found.count)
        #expect(found.map(\.name).first == "foreign_order:v8")
    }

    @Test func `what the venue may only have paid out could not be read, unless something else differs`() throws {
        var theirs = venue()
        theirs.positions = [:]
        theirs.balance = .dollars(501)
        let unread = Reconciliation.look(own(), theirs, unread: ["A"])
        #expect(unread == .unreachable(reason: "what became of A could not be read"))
        theirs.positions = ["B": 1]
        let other = ReconciliationLook.compared(
            [.position(PositionDifference(market: "B", ours: 0, venues: 1))], inFlight: 0, open: 0)
        #expect(Reconciliation.look(own(), theirs, unread: ["A"]) == other)
        #expect(Reconciliation.look(own(), venue(), unread: ["A"]) == .compared([], inFlight: 0, open: 0))
        let ended = try makeOrder("o2", state: .rejected)
        theirs.positions = [:]
        theirs.orders = [listed("v2", "o2", isOpen: true)]
        #expect(
            Reconciliation.look(own([ended]), theirs, unread: ["A"])
                == .unreachable(reason: "what became of A could not be read"), "what is mended permits nothing more")
        guard case .compared(let found, _, _) = Reconciliation.look(own(), theirs) else {
            Issue.record("read")
            return
        }
        #expect(found.map(\.code).contains("position") && found.map(\.code).contains("balance"))
    }

    @Test func `what the venue may only have taken back is no difference until we were told`() throws {
        var ours = own([try makeOrder("o1", state: .filled, filled: .contracts(40))])
        ours.expectedFills = ["f1"]
        ours.provisional = [ProvisionalFill(id: "f1", order: "o1", market: "A")]
        var theirs = venue([listed("v1", "o1", filled: 39)])
        theirs.positions = [:]
        theirs.balance = .dollars(501)
        let doubt = Reconciliation.look(ours, theirs)
        #expect(doubt == .unreachable(reason: "what became of f1 could not be read"))
        theirs.positions = ["A": 100, "B": 1]
        guard case .compared(let other, _, _) = Reconciliation.look(ours, theirs) else {
            Issue.record("another market differs")
            return
        }
        #expect(other.map(\.code) == ["position"])
        ours.provisional = []
        theirs.positions = ["A": 100]
        guard case .compared(let found, _, _) = Reconciliation.look(ours, theirs) else {
            Issue.record("it was certain")
            return
        }
        #expect(found.map(\.code) == ["fills_taken_back", "missing_fill", "balance"])
        ours.provisional = [ProvisionalFill(id: "f1", order: "o1", market: "A")]
        theirs = venue([listed("v1", "o1", filled: 40)], fills: [traded("f1", of: "v1", 40)])
        ours.fills = ["f1"]
        #expect(Reconciliation.look(ours, theirs) == .compared([], inFlight: 0, open: 0), "it is still there")
    }

    @Test func `our key on two orders, and fewer fills than we booked, are differences`() throws {
        let filled = try makeOrder("o1", state: .filled, filled: .contracts(40))
        let twice = Reconciliation.compare(
            own([filled], fills: ["f1"]),
            venue(
                [listed("v1", "o1", filled: 40), listed("v2", "o1", filled: 40)],
                fills: [traded("f1", of: "v1", 40), traded("f2", of: "v2", 40)]))
        #expect(twice == [.duplicateOrder("o1", "v2"), .foreignFill("f2", "v2", market)])
        let less = Reconciliation.compare(own([filled]), venue([listed("v1", "o1", filled: 39)]))
        #expect(less == [.fillsTakenBack("o1", ours: .contracts(40), venues: .contracts(39))])
        #expect((twice + less).filter(\.isMended).isEmpty)
    }

    @Test func `a fill of an order that is listed no longer is booked by the order's name`() throws {
        let ended = OrderRecord(
            request: try makeOrder("o1").request, intent: "intent-1", attempt: 1, venueOrder: "v1", state: .cancelled)
        let found = Reconciliation.compare(own([ended]), venue(fills: [traded("f1", of: "v1", 2)]))
        #expect(found == [.unbookedFills("o1", ours: .zero, venues: .contracts(2))])
    }

    @Test func `an open order leaves out its market and the balance, and nothing else`() throws {
        let open = try makeOrder("o1", state: .resting)
        var mine = own([open])
        mine.positions = ["A": 100, market: 5]
        var theirs = venue([listed("v1", "o1", isOpen: true)])
        theirs.balance = .dollars(1)
        #expect(Reconciliation.compare(mine, theirs).isEmpty)
        theirs.positions = ["A": 101]
        #expect(
            Reconciliation.compare(mine, theirs)
                == [.position(PositionDifference(market: "A", ours: 100, venues: 101))])
    }

    @Test func `what a person accepted is no difference until it changes again`() throws {
        var theirs = venue(fills: [traded("f9", of: "v9")])
        theirs.positions = ["A": 100, "B": -50]
        theirs.balance = .dollars(700)
        let accepted = Accepted(names: ["foreign_fill:f9"], positions: ["B": -50], balance: .dollars(200))
        #expect(Reconciliation.compare(own(), theirs, accepted: accepted).isEmpty)
        theirs.positions["B"] = -60
        theirs.balance = .dollars(690)
        #expect(Reconciliation.compare(own(), theirs, accepted: accepted).map(\.code) == ["position", "balance"])
        theirs.positions["B"] = nil
        theirs.balance = .dollars(700)
        #expect(Reconciliation.compare(own(), theirs, accepted: accepted).isEmpty, "paid out")
        let first = Accepted(balance: nil)
        theirs.fills = []
        #expect(Reconciliation.compare(own(), theirs, accepted: first).isEmpty, "the first comparison sets it")
    }

    @Test func `markets that differ are named, and what is missing counts as nothing`() {
        let differences = Reconciliation.differences(
            ours: ["A": 100, "B": -200, "C": 0], venues: ["A": 100, "B": 200, "D": 50])
        #expect(
            differences == [
                PositionDifference(market: "B", ours: -200, venues: 200),
                PositionDifference(market: "D", ours: 0, venues: 50),
            ])
    }
}

/// From look to look: what halts, what lasts, what is waited for.
struct ReconciliationEngineTests {
    private static let one = Discrepancy.position(PositionDifference(market: "A", ours: 0, venues: 1))
    private static let other = Discrepancy.position(PositionDifference(market: "A", ours: 0, venues: 2))
    private static let equal = ReconciliationLook.compared([], inFlight: 0, open: 0)

    private struct Run {
        var engine = ReconciliationEngine(at: .origin)
        var now = MachineInstant.origin

        mutating func look(
            _ look: ReconciliationLook, after pause: Duration = .zero
        ) -> ReconciliationJudgement {
            now = now.advanced(by: pause)
            return engine.judge(look, startedAt: now, at: now)
        }

        mutating func difference(
            _ discrepancy: Discrepancy, after pause: Duration = .zero
        ) -> ReconciliationJudgement { look(.compared([discrepancy], inFlight: 0, open: 0), after: pause) }
    }

    @Test func `nothing is permitted before the books were equal once, and each hour they are looked at`() {
        var run = Run()
        #expect(run.look(.moved).permitsOrders == false)
        #expect(run.look(.compared([], inFlight: 1, open: 0)).verdict == .waiting)
        #expect(run.look(.compared([], inFlight: 0, open: 1)).permitsOrders == false, "an open order at the start")
        let equal = run.look(Self.equal)
        #expect(equal.verdict == .equal && equal.permitsOrders && equal.pause == .seconds(3_600))
        #expect(run.look(.nothingToCompare).permitsOrders)
    }

    @Test func `a difference halts at once, and lasts when it is there again later, figure by figure`() {
        var run = Run()
        _ = run.look(Self.equal)
        let first = run.difference(Self.one)
        #expect(first.verdict == .differs && !first.permitsOrders && first.lasting.isEmpty)
        #expect(first.pause == .seconds(1))
        #expect(run.difference(Self.one, after: .milliseconds(1_999)).lasting.isEmpty, "too soon to last")
        #expect(run.difference(Self.other, after: .seconds(10)).lasting.isEmpty, "it moves: it is on its way")
        #expect(run.difference(Self.one, after: .seconds(10)).lasting.isEmpty, "and is counted anew")
        #expect(run.look(.unreachable(reason: "timeout"), after: .seconds(1)).lasting.isEmpty)
        let lasting = run.difference(Self.one, after: .seconds(1))
        #expect(lasting.lasting == [Self.one] && !lasting.permitsOrders)
        let gone = run.look(Self.equal, after: .seconds(1))
        #expect(gone.verdict == .equal && gone.permitsOrders)
        #expect(run.difference(Self.one, after: .seconds(60)).lasting.isEmpty, "a new episode")
    }

    @Test func `one look however long after the other is needed twice`() {
        var run = Run()
        #expect(run.difference(Self.one, after: .seconds(600)).lasting.isEmpty)
        #expect(run.difference(Self.one, after: .seconds(600)).lasting == [Self.one])
    }

    @Test func `a venue that cannot be read permits nothing, and is overdue in time`() {
        var run = Run()
        _ = run.look(Self.equal)
        let away = run.look(.unreachable(reason: "timeout"), after: .seconds(3_600))
        #expect(away.verdict == .unreachable && !away.permitsOrders && !away.isOverdue)
        #expect(!run.look(.unreachable(reason: "timeout"), after: .seconds(59)).isOverdue)
        #expect(run.look(.unreachable(reason: "timeout"), after: .seconds(1)).isOverdue)
        for _ in 0..<20 { _ = run.look(.moved) }
        #expect(run.look(.moved).pause == .seconds(15), "the looks grow rarer")
        let back = run.look(Self.equal)
        #expect(back.permitsOrders && !back.isOverdue)
    }

    @Test func `trading that never stands still is held back for one quiet look, an order that rests holds nobody`() {
        for busy in [ReconciliationLook.moved, .compared([], inFlight: 2, open: 0)] {
            var run = Run()
            _ = run.look(Self.equal)
            #expect(run.look(busy, after: .seconds(3_600)).permitsOrders)
            #expect(run.look(busy, after: .milliseconds(4_999)).permitsOrders)
            #expect(!run.look(busy, after: .milliseconds(1)).permitsOrders, "\(busy)")
            #expect(run.look(Self.equal).permitsOrders)
        }
        var run = Run()
        _ = run.look(Self.equal)
        let resting = run.look(.compared([.absentOrder("o1")], inFlight: 0, open: 1), after: .seconds(3_600))
        #expect(resting.permitsOrders && resting.verdict == .waiting)
        let later = run.look(.compared([.absentOrder("o1")], inFlight: 0, open: 1), after: .seconds(600))
        #expect(later.permitsOrders && later.isOverdue && later.lasting.isEmpty)
    }

    @Test func `what was halted for is no news until the books were equal, whatever came between`() {
        var (run, halt) = (Run(), ReconciliationHalt())
        func observe(_ judgement: ReconciliationJudgement) -> [Discrepancy] { halt.observe(judgement) }
        let name = Self.one.name
        #expect(observe(run.difference(Self.one)).isEmpty, "it does not last yet")
        #expect(observe(run.difference(Self.one, after: .seconds(3))) == [Self.one])
        #expect(observe(run.difference(Self.one, after: .seconds(3))).isEmpty)
        let busy = ReconciliationLook.compared([], inFlight: 1, open: 0)
        for between in [ReconciliationLook.unreachable(reason: "timeout"), .moved, busy] {
            #expect(observe(run.look(between, after: .seconds(1))).isEmpty && halt.names == [name], "\(between)")
            _ = observe(run.difference(Self.one, after: .seconds(3)))
            #expect(observe(run.difference(Self.one, after: .seconds(3))).isEmpty, "\(between)")
        }
        let foreign = Discrepancy.foreignOrder("theirs", "B")
        let both = ReconciliationLook.compared([Self.one, foreign], inFlight: 0, open: 0)
        _ = observe(run.look(both, after: .seconds(3)))
        #expect(observe(run.look(both, after: .seconds(3))) == [foreign], "what is new is news")
        #expect(halt.names == [name, foreign.name])

        // A life that begins in the middle goes on from what was stored.
        var (next, later) = (Run(), ReconciliationHalt(halt.names))
        for look in [ReconciliationLook.unreachable(reason: "timeout"), both, both] {
            let news = later.observe(next.look(look, after: .seconds(3)))
            #expect(news.isEmpty)
        }
        for equal in [Self.equal, .nothingToCompare] {
            var halted = halt
            let news = halted.observe(run.look(equal))
            #expect(news.isEmpty && halted.names.isEmpty)
            _ = halted.observe(run.difference(Self.one, after: .seconds(3)))
            let again = halted.observe(run.difference(Self.one, after: .seconds(3)))
            #expect(again == [Self.one], "a new episode")
        }
    }

    @Test func `what should have been mended and is not becomes a difference`() {
        let unbooked = Discrepancy.unbookedFills("o1", ours: .zero, venues: .contracts(1))
        var run = Run()
        _ = run.look(Self.equal)
        #expect(run.difference(unbooked).verdict == .waiting)
        #expect(run.difference(unbooked, after: .seconds(59)).permitsOrders)
        let late = run.difference(unbooked, after: .seconds(1))
        #expect(late.verdict == .differs && late.lasting == [unbooked] && !late.permitsOrders)
    }
}
