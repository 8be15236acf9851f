import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Runtime
import Testing
import Wire

@testable import ExecutionService
@testable import Linesman

/// Fills of orders that we do not know, made ours because a person says so (decision 0082).
@Suite(.serialized) struct AdoptionTests {
    private static let soon = ["RECONCILIATION_CONFIRM_SECS": "0.5", "BALANCE_POLL_SECS": "1"]
    private let market: MarketID = "game-1-HOME"

    private func records(_ path: OrderPath) -> ReconciliationStore {
        ReconciliationStore(path.rig.account, at: .kalshi)
    }

    /// Asks for a look, and waits for one that began afterwards with this verdict.
    @discardableResult
    private func look(_ verdict: ReconciliationRecord.Verdict, _ path: OrderPath) async throws -> ReconciliationRecord {
        let wanted = try await records(path).request(path.rig.pool)
        var found: ReconciliationRecord?
        try await eventually("a new look: \(verdict.rawValue)") {
            found = try await records(path).read(path.rig.pool)
            return found.map { $0.lookedAt >= wanted && $0.verdict == verdict } ?? false
        }
        return try #require(found)
    }

    private func ask(_ path: OrderPath, _ fills: [String] = []) async throws -> Int64 {
        let number = try await records(path).askToAdopt(
            fills, reason: "restored a backup", by: "test", path.rig.pool)
        _ = try await records(path).request(path.rig.pool)
        return number
    }

    private func answer(to number: Int64, _ path: OrderPath) async throws -> [AdoptionLine] {
        var answer: [AdoptionLine]?
        try await eventually("an answer") {
            answer = try await records(path).adoptionAnswer(to: number, path.rig.pool)
            return answer != nil
        }
        return try #require(answer)
    }

    private func adopt(_ path: OrderPath, _ fills: [String] = []) async throws -> [AdoptionLine] {
        try await answer(to: ask(path, fills), path)
    }

    /// At 40 cents of YES.
    private func stranger(
        _ id: FillID, _ contracts: Int64, _ bought: Outcome? = .yes, of order: VenueOrderID = "by-hand",
        in market: MarketID = "game-1-HOME", fee: Money? = .cents(5)
    ) -> VenueFillState {
        VenueFillState(
            id: id, venueOrder: order, market: market, quantity: .contracts(contracts), yesPrice: .cents(40),
            bought: bought, fee: fee, at: tipOff)
    }

    private func expectWholeBooks(_ path: OrderPath) async throws {
        try await path.rig.expectBooksToBalance()
        #expect(try await BooksCheck.broken(BooksCheck.all, path.rig.pool).isEmpty)
    }

    @Test(arguments: Outcome.allCases)
    func `the fills of one order are one order of ours, and the next look is equal`(bought: Outcome) async throws {
        try await withOrderPath { path in
            let rig = path.rig
            path.venue.trade(stranger("f1", 3, bought), stranger("f2", 2, bought))
            path.venue.hold([market: bought == .yes ? 500 : -500])
            path.startExecution(Self.soon)
            try await look(.differs, path)
            try await eventually("engaged") {
                try await rig.number("SELECT count(*) AS n FROM kill_switch WHERE engaged") == 1
            }
            let lines = try await adopt(path)
            #expect(lines.map(\.fill) == ["f1", "f2"] && lines.filter { !$0.isAdopted }.isEmpty)
            #expect(Set(lines.map(\.order)).count == 1 && lines.filter(\.isFeeComputed).isEmpty)
            #expect(lines.map(\.fee) == [50_000, 50_000])
            try await look(.equal, path)

            #expect(
                try await rig.text(
                    """
                    SELECT concat_ws(' ', state, venue_order_id, outcome, action, limit_price, quantity, filled) AS t
                    FROM orders
                    """) == "filled by-hand \(bought.rawValue) buy \(bought == .yes ? 4_000 : 6_000) 500 500")
            #expect(try await rig.text("SELECT state AS t FROM intents") == "done")
            #expect(try await rig.text("SELECT state AS t FROM reservations") == "committed")
            #expect(
                try await rig.number("SELECT net_quantity AS n FROM positions WHERE state = 'open'")
                    == (bought == .yes ? 500 : -500))
            let cost: Int64 = bought == .yes ? 2_000_000 : 3_000_000
            #expect(try await rig.number("SELECT cash AS n FROM bankroll") == 1_000_000_000 - cost - 100_000)
            #expect(try await rig.number("SELECT value AS n FROM daily_stats WHERE key = 'paper:fees'") == 100_000)
            #expect(try await rig.number("SELECT value AS n FROM daily_stats WHERE key = 'paper:orders:kalshi'") == 1)
            #expect(
                try await rig.text("SELECT string_agg(event, ' ' ORDER BY id) AS t FROM audit_log WHERE order_id <> ''")
                    == "order_stored order_filled order_adopted")
            #expect(
                try await rig.number("SELECT count(*) AS n FROM outbox WHERE topic = \(Channels.positions.name)") == 1)
            #expect(try await records(path).foreignFills(limit: 10, rig.pool).isEmpty, "they are listed no more")
            #expect(
                try await rig.number("SELECT count(*) AS n FROM kill_switch WHERE engaged") == 1, "it stays as it is")
            try await path.untilCounted(2, "fills_adopted_total", by: "execution-service")
            let order = try #require(lines.first?.order)
            let why = try await Story.find(order, in: rig.pool).text
            #expect(why.contains("adopted by test: \(bought.rawValue.uppercased()) of game-1-HOME"), "\(why)")
            #expect(why.contains("restored a backup") && why.contains("order_adopted"), "\(why)")
            let chain = AuditChain(rig.pool)
            while case .sealed(_, isWhole: false) = try await chain.seal() {}
            #expect(try await chain.verify().findings.isEmpty)
            try await expectWholeBooks(path)
        }
    }

    @Test func `what was adopted is not adopted again`() async throws {
        try await withOrderPath { path in
            path.venue.trade(stranger("f1", 3), stranger("f2", 2))
            path.venue.hold([market: 500])
            path.startExecution(Self.soon)
            let first = try await adopt(path, ["f2"])
            #expect(first.map(\.fill) == ["f1", "f2"], "an order goes as a whole")
            try await look(.equal, path)
            let again = try await adopt(path, ["f1"])
            #expect(again.map(\.refusal) == ["adopted", "adopted"])
            #expect(again.map(\.order) == first.map(\.order))
            #expect(try await adopt(path).isEmpty)
            #expect(try await path.rig.number("SELECT count(*) AS n FROM orders") == 1)
            #expect(try await path.rig.number("SELECT net_quantity AS n FROM positions") == 500)
            try await expectWholeBooks(path)
        }
    }

    @Test func `what cannot be ours is said why, and holds up nothing else`() async throws {
        try await withOrderPath { path in
            path.venue.trade(
                stranger("good", 1, of: "o1", fee: nil), stranger("nowhere", 1, of: "o2", in: "NEVER-TRADED"),
                stranger("sideless", 1, nil, of: "o3"), stranger("open", 1, of: "o4"), stranger("part", 1, of: "o5"))
            path.venue.list(
                VenueOrderState(venueOrder: "o4", key: nil, market: market, filled: .contracts(1), isOpen: true),
                VenueOrderState(venueOrder: "o5", key: "lost", market: market, filled: .contracts(2), isOpen: false))
            path.venue.hold([market: 100])
            path.startExecution(Self.soon)
            try await look(.differs, path)
            let lines = try await adopt(path)
            let refusals = Dictionary(uniqueKeysWithValues: lines.map { ($0.fill, $0.refusal ?? "") })
            #expect(
                refusals == [
                    "good": "", "nowhere": "market_unknown", "sideless": "side_unknown", "open": "order_open",
                    "part": "fills_missing",
                ])
            let good = try #require(lines.first { $0.fill == "good" })
            let fee = FeeSchedule.kalshi.fee(.contracts(1), at: .cents(40))
            #expect(good.isFeeComputed && good.fee == fee.microdollars)
            let left = try await records(path).foreignFills(limit: 10, path.rig.pool)
            #expect(Set(left.map(\.fill)) == ["nowhere", "sideless", "open", "part"])
            #expect(try await adopt(path, ["never"]).map(\.refusal) == ["not_kept"])
            #expect(try await path.rig.number("SELECT count(*) AS n FROM orders") == 1)

            // What has ended meanwhile is adopted with all that it came to.
            path.venue.trade(stranger("rest", 1, of: "o5"))
            path.venue.hold([market: 300])
            try await eventually("both are kept") {
                try await path.rig.number("SELECT count(*) AS n FROM foreign_fills WHERE venue_order_id = 'o5'") == 2
            }
            let whole = try await adopt(path, ["part"])
            #expect(whole.map(\.refusal) == [nil, nil])
            #expect(Set(whole.map(\.order)) == ["lost"], "the name that it was sent under is taken")
            #expect(try await path.rig.number("SELECT net_quantity AS n FROM positions") == 300)
            try await expectWholeBooks(path)
        }
    }

    @Test func `what was accepted stays somebody else's`() async throws {
        try await withOrderPath { path in
            path.venue.trade(stranger("f1", 3))
            path.venue.hold([market: 300])
            path.startExecution(Self.soon)
            try await look(.differs, path)
            let accepted = try await path.rig.pool.transaction("accept") {
                try await records(path).acceptAll(reason: "bought by hand", by: "test", $0)
            }
            #expect(accepted.count == 2)
            try await look(.equal, path)
            #expect(try await adopt(path).isEmpty)
            #expect(try await adopt(path, ["f1"]).map(\.refusal) == ["accepted"])
            #expect(try await path.rig.number("SELECT count(*) AS n FROM orders") == 0)

            // Nor is another fill of the same market ours: the contracts are counted apart already.
            path.venue.trade(stranger("f2", 2, of: "another"))
            path.venue.hold([market: 500])
            try await look(.differs, path)
            #expect(try await adopt(path, ["f2"]).map(\.refusal) == ["accepted"])
            #expect(try await path.rig.number("SELECT count(*) AS n FROM positions") == 0)
        }
    }

    @Test func `what was adopted cannot be accepted before it is compared again`() async throws {
        try await withOrderPath { path in
            path.venue.trade(stranger("f1", 3))
            path.venue.hold([market: 300])
            path.startExecution(Self.soon)
            try await look(.differs, path)
            let sight = ForeignSight(
                [.foreignFill("f1", "by-hand", market)],
                VenueSnapshot(orders: [], fills: [stranger("f1", 3)], positions: [:], balance: nil))
            await path.stop()
            let rig = path.rig
            let store = OrderStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
            _ = try await ask(path)
            let asked = try await VenueBalances.now(rig.pool)
            let requests = try await records(path).adoptionsAsked(before: asked, rig.pool)
            let request = try #require(requests.first)
            for isFirst in [true, false] {
                let answer = try await store.adopt(request, sight, records(path), by: "test", at: tipOff)
                #expect((answer?.bookings.count == 1) == isFirst, "an answered request is nobody's")
            }
            let accepted = try await rig.pool.transaction("accept") {
                try await records(path).acceptAll(reason: "by hand", by: "test", $0)
            }
            #expect(accepted.isEmpty)
            try await expectWholeBooks(path)
        }
    }

    @Test func `a settlement pays what was adopted`() async throws {
        try await withOrderPath { path in
            path.venue.trade(stranger("f1", 5))
            path.venue.hold([market: 500])
            path.startExecution(Self.soon)
            try await look(.differs, path)
            #expect(try await adopt(path).map(\.refusal) == [nil])
            try await look(.equal, path)
            path.venue.settle(market, at: .one)
            path.venue.hold([:])
            try await eventually("settled") {
                try await path.rig.text("SELECT state AS t FROM positions") == "settled"
            }
            // Bought for 2.00 and 0.05, paid out at 5.00.
            #expect(try await path.rig.number("SELECT cash AS n FROM bankroll") == 1_002_950_000)
            try await look(.equal, path)
        }
    }

    @Test func `what closes a position of ours is sold from it`() async throws {
        try await withOrderPath { path in
            path.startSignalProcessor()
            path.startExecution(Self.soon)
            try await path.publish(try path.rig.signal("s1"))
            try await path.untilOrder(.filled)
            try await look(.equal, path)
            let held = try await path.rig.number("SELECT net_quantity AS n FROM positions")
            path.venue.trade(stranger("f1", 10, .no))
            path.venue.hold([market: held - 1_000])
            try await look(.differs, path)
            #expect(try await adopt(path).map(\.refusal) == [nil])
            try await look(.equal, path)
            #expect(try await path.rig.number("SELECT net_quantity AS n FROM positions") == held - 1_000)
            #expect(
                try await path.rig.text("SELECT reduces::text AS t FROM orders WHERE venue_order_id = 'by-hand'")
                    == "true")
            try await expectWholeBooks(path)
        }
    }

    // A standby that took over without the last commit: the cover was sent, and nobody knows.
    @Test func `an arbitrage that misses what is adopted is over, and is not covered again`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let away = try await rig.addAwayMarket("game-1")
        let plan = try await rig.approvedPlan(rig.arbitrage("a1", away: away))
        let (store, records) = (rig.orders, ReconciliationStore(rig.account, at: .kalshi))
        _ = try await store.takePlan(plan.id, for: "one", lease: .seconds(60))
        func order(_ number: Int, _ leg: Int) -> LegOrder {
            let wanted = plan.signal.legs[leg]
            return LegOrder(
                number: number, leg: leg, purpose: number == 1 ? .enter : .cover, market: wanted.market,
                venue: wanted.venue, outcome: wanted.outcome, action: .buy, limit: wanted.price,
                quantity: plan.quantity)
        }
        func claim(_ order: LegOrder) async throws -> LegClaim {
            try await store.claimLeg(
                order, of: plan, for: "one", safeguards: Safeguards(), seen: .clear, at: tipOff)
        }
        guard case .stored(let first) = try await claim(order(1, 0)) else { throw NeverCame(description: "an order") }
        let lost = VenueFillState(
            id: "f1", venueOrder: "v-lost", market: away, quantity: plan.quantity, yesPrice: .cents(45), bought: .yes,
            fee: .cents(5), at: tipOff)
        let listed = VenueOrderState(
            venueOrder: "v-lost", key: "k-lost", market: away, filled: plan.quantity, isOpen: false)
        let sight = ForeignSight(
            [.foreignFill("f1", "v-lost", away)],
            VenueSnapshot(orders: [listed], fills: [lost], positions: [:], balance: nil))
        _ = try await rig.pool.transaction("keep") {
            try await records.keep(
                [
                    ForeignFill(
                        fill: "f1", venueOrder: "v-lost", market: away.rawValue, bought: "yes", yesPrice: 4_500,
                        quantity: plan.quantity.hundredths, fee: 50_000, venueAt: tipOff.microseconds)
                ], $0)
        }
        func adopt() async throws -> [String?] {
            _ = try await records.askToAdopt([], reason: "a standby", by: "test", rig.pool)
            let requests = try await records.adoptionsAsked(before: VenueBalances.now(rig.pool), rig.pool)
            let request = try #require(requests.last)
            return try await store.adopt(request, sight, records, by: "test", at: tipOff)?.lines.map(\.refusal) ?? []
        }
        _ = try await store.book(first.request.id, .sent, at: tipOff)
        #expect(try await adopt() == ["plan_at_work"])
        #expect(try await rig.text("SELECT state AS t FROM plans") == "working")
        _ = try await store.book(
            first.request.id, await FakeVenue().submit(first.request, deadline: .origin), at: tipOff)
        #expect(try await adopt() == [nil])
        #expect(try await rig.text("SELECT concat_ws(' ', state, ending, pairs) AS t FROM plans") == "finished naked 0")
        #expect(try await rig.number("SELECT count(*) AS n FROM reservations WHERE state = 'held'") == 0)
        guard case .lost = try await claim(order(2, 1)) else { throw NeverCame(description: "nothing to cover") }
        #expect(try await store.waitingPlans(limit: 10).isEmpty)
        #expect(try await rig.text("SELECT order_id AS t FROM orders WHERE venue_order_id = 'v-lost'") == "k-lost")
        let held = try await rig.number("SELECT net_quantity AS n FROM positions WHERE market_id = \(away.rawValue)")
        #expect(held == plan.quantity.hundredths)
        #expect(try await BooksCheck.broken(BooksCheck.all, rig.pool).isEmpty)
        await rig.pool.close(grace: .milliseconds(100))
    }

    @Test func `a request outlives the process that was to carry it out`() async throws {
        try await withOrderPath { path in
            path.venue.trade(stranger("f1", 3))
            path.venue.hold([market: 300])
            path.startExecution(Self.soon)
            try await look(.differs, path)
            await path.stop()
            let number = try await ask(path)
            let late = try await ask(path)
            try await path.rig.pool.execute(
                "UPDATE adoption_requests SET asked_at = now() - interval '2 hours' WHERE number = \(late)")
            path.startExecution(Self.soon)
            #expect(try await answer(to: number, path).map(\.refusal) == [nil])
            try await look(.equal, path)
            #expect(try await records(path).adoptionAnswer(to: late, path.rig.pool) == nil, "nobody wants it any more")
            try await expectWholeBooks(path)
        }
    }
}
