import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Resilience
import Runtime
import SignalProcessorEngine
import Testing

@testable import ExecutionService
@testable import SignalProcessor

/// Two legs from the shard's word to even positions, on real servers (CHECKLIST N13, N14, H1, H4, H5).
struct PlanTests {
    @Test func `an arbitrage becomes two even positions under one reservation`() async throws {
        try await withOrderPath { path in
            let away = try await path.startPlanning()
            let signal = try path.rig.arbitrage("a1", away: away)
            try await path.publish(signal)
            try await path.publish(signal)
            try await path.untilPlan("complete", ["game-1-HOME": 45, away: 45])
            try await path.rig.expectEvenLegs()
            // Eighty percent of the ten that rest.
            #expect(try await path.rig.number("SELECT pairs AS n FROM plans") == 800)
            #expect(try await path.rig.number("SELECT min(net_quantity) AS n FROM positions") == 800)
            #expect(path.venue.submits.count == 2)
            #expect(try await path.rig.number("SELECT count(*) AS n FROM reservations") == 1)
            #expect(try await path.rig.text("SELECT state AS t FROM reservations") == "committed")
            #expect(try await path.rig.number("SELECT count(*) AS n FROM intents WHERE state = 'done'") == 2)
            // 8 dollars back for 7.20 and two fees of 14 cents.
            #expect(try await path.rig.number("SELECT result AS n FROM plans") == 520_000)
            #expect(try await path.rig.number("SELECT count(*) AS n FROM audit_log WHERE event = 'plan_finished'") == 1)
            #expect(await path.stop() == [.ok, .ok])
        }
    }

    struct Trouble: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// How the submits after the first leg go.
        let manners: [FakeVenue.Manner]
        var failedCancels = 0
        /// What the other leg costs afterwards.
        var ask: Int64 = 45
        let ending: String

        /// What is tried before the price is known to have moved is refused.
        private static func dear(_ second: FakeVenue.Manner) -> [FakeVenue.Manner] { [second, .refuses, .refuses] }

        static let each = [
            Trouble(testDescription: "rejected, then covered", manners: [.refuses], ending: "complete"),
            Trouble(testDescription: "rejected and dear: sold again", manners: dear(.refuses), ask: 80, ending: "flat"),
            Trouble(testDescription: "request lost", manners: [.losesRequest], ending: "complete"),
            Trouble(testDescription: "answer lost", manners: [.losesAnswer], ending: "complete"),
            Trouble(testDescription: "filled in part", manners: [.fillsInPart(3)], ending: "complete"),
            Trouble(
                testDescription: "in part, then dear: the rest sold again", manners: dear(.fillsInPart(3)), ask: 80,
                ending: "partial"),
            Trouble(
                testDescription: "rests, and cancels fail", manners: [.rests], failedCancels: 2, ending: "complete"),
            Trouble(
                testDescription: "everything goes wrong once", manners: [.refuses, .losesAnswer, .losesRequest],
                ending: "complete"),
        ]
    }

    @Test(arguments: Trouble.each)
    func `a second leg that goes wrong is covered or sold again`(trouble: Trouble) async throws {
        try await withOrderPath { path in
            let away = try await path.startPlanning()
            path.venue.will(.fills)
            for manner in trouble.manners { path.venue.will(manner) }
            path.venue.failCancels(trouble.failedCancels)
            let signal = try path.rig.arbitrage("a1", away: away)
            try await path.publish(signal)
            // The thinner or cheaper leg goes first: by name where they are alike.
            try await path.telling(["game-1-HOME": 45, away: 45], until: "the second leg is sent") {
                path.venue.submits.count >= 2
            }
            try await path.untilPlan(trouble.ending, ["game-1-HOME": 45, away: trouble.ask])
            try await path.rig.expectEvenLegs()
            #expect(Set(path.venue.submits).count == path.venue.submits.count)
            #expect(path.venue.cancels.count > trouble.failedCancels || trouble.failedCancels == 0)
        }
    }

    @Test func `a missed leg that is covered within the patience is audited, and alerts nobody`() async throws {
        try await withOrderPath { path in
            let away = try await path.startPlanning(["NAKED_PATIENCE_SECS": "600", "MAX_NAKED_SECS": "600"])
            path.venue.will(.fills, .refuses)
            try await path.publish(path.rig.arbitrage("a1", away: away))
            try await path.untilPlan("complete", ["game-1-HOME": 45, away: 45])
            #expect(try await path.rig.number("SELECT count(*) AS n FROM audit_log WHERE event = 'leg_missed'") == 1)
            #expect(try path.alerts("nakedLeg:game-1") == 0)
        }
    }

    @Test func `a leg that stays alone is told once for its game, and again when it is even`() async throws {
        try await withOrderPath { path in
            let away = try await path.startPlanning(["NAKED_PATIENCE_SECS": "0"])
            path.venue.will(.fills, .refuses)
            try await path.publish(path.rig.arbitrage("a1", away: away))
            try await path.telling(["game-1-HOME": 45, away: 45], until: "the second leg is refused") {
                path.venue.submits.count >= 2
            }
            // Without a bid there is no way out, nor a book to cover on.
            try await eventually("it is told of") {
                for market in ["game-1-HOME", away] { try await path.tell(market, ask: 45, hasBid: false) }
                return try path.alerts("nakedLeg:game-1") >= 1
            }
            try await path.telling(["game-1-HOME": 45, away: 45], until: "that it is even is told") {
                try path.alerts("nakedLeg:game-1") == 2
            }
            try await path.untilPlan("complete", ["game-1-HOME": 45, away: 45])
            try await path.rig.expectEvenLegs()
        }
    }

    @Test func `a leg that stands alone is alerted, held back by the kill switch, counted, and covered after it`()
        async throws
    {
        try await withOrderPath { path in
            let away = try await path.rig.addAwayMarket("game-1")
            let (plan, _) = try await path.abandon(at: .booked, away: away)
            try await path.rig.pool.execute("UPDATE kill_switch SET engaged = true")
            path.venue.hold(nil)
            path.startExecution(OrderPath.planSettings)
            try await path.untilAlert("nakedLegHeldBack:\(plan.signal.game)")
            let sent = path.venue.submits.count
            #expect(try await path.rig.text("SELECT state AS t FROM reservations") == "held")
            let exposed = try await path.rig.number(
                """
                SELECT (SELECT sum(amount - released) FROM reservations)::int8 + (SELECT sum(cost) FROM positions)::int8
                    AS n
                """)
            #expect(exposed <= plan.reserved.microdollars && exposed >= plan.reserved.microdollars - 1_000_000)
            #expect(path.venue.submits.count == sent)
            try await path.rig.pool.execute("UPDATE kill_switch SET engaged = false")
            try await path.untilPlan("complete", ["game-1-HOME": 45, away: 45])
            try await path.rig.expectEvenLegs()
        }
    }

    @Test func `a market that ends under a naked leg ends the plan, told and counted`() async throws {
        try await withOrderPath { path in
            let away = try await path.rig.addAwayMarket("game-1")
            let (plan, _) = try await path.abandon(at: .booked, away: away)
            try await path.rig.pool.execute("UPDATE kill_switch SET engaged = true")
            path.venue.hold(nil)
            path.startExecution(OrderPath.planSettings)
            path.venue.settle("game-1-HOME", at: .one)
            try await eventually("the plan ends naked") {
                try await path.rig.text("SELECT ending AS t FROM plans") == "naked"
            }
            try await path.untilAlert("nakedLegSettled:\(plan.signal.game)")
            #expect(try await path.rig.number("SELECT count(*) AS n FROM reservations WHERE state = 'held'") == 0)
            #expect(try await path.rig.number("SELECT value AS n FROM daily_stats WHERE key = 'plans:naked'") == 1)
        }
    }

    @Test func `a drain waits until no leg stands alone`() async throws {
        try await withOrderPath { path in
            // A second between two tries: what ends at once leaves the leg alone.
            let away = try await path.startPlanning(["PLAN_RETRY_MS": "1000", "PLAN_LEASE_MS": "5000"])
            path.venue.will(.fills, .refuses)
            try await path.publish(path.rig.arbitrage("a1", away: away))
            try await path.telling(["game-1-HOME": 45, away: 45], until: "the second leg is refused") {
                try await path.rig.number("SELECT count(*) AS n FROM orders WHERE state = 'rejected'") == 1
            }
            #expect(await path.stop() == [.ok, .ok])
            #expect(try await path.rig.text("SELECT ending AS t FROM plans") == "complete")
            try await path.rig.expectEvenLegs()
        }
    }

    @Test func `a plan that has not begun ends with the drain, and enters nothing`() async throws {
        try await withOrderPath { path in
            let away = try await path.startPlanning()
            // Nobody tells a price: it waits for the books as long as it lives.
            try await path.publish(path.rig.arbitrage("a1", away: away))
            try await eventually("it is worked on") {
                try await path.rig.number("SELECT count(*) AS n FROM plans WHERE state = 'working'") == 1
            }
            #expect(await path.stop() == [.ok, .ok])
            #expect(try await path.rig.text("SELECT ending AS t FROM plans") == "flat")
            #expect(path.venue.submits.isEmpty)
            try await path.rig.expectEvenLegs()
        }
    }

    @Test(arguments: CrashPoint.allCases)
    func `a process that dies at any step is followed by one that makes the legs even`(point: CrashPoint) async throws {
        try await withOrderPath { path in
            let away = try await path.rig.addAwayMarket("game-1")
            let (_, sent) = try await path.abandon(at: point, away: away)
            path.venue.hold(nil)
            path.startExecution(OrderPath.planSettings)
            try await path.untilPlan(point.ending, ["game-1-HOME": 45, away: 45])
            try await path.rig.expectEvenLegs()
            let submits = path.venue.submits
            #expect(Set(submits).count == submits.count && Array(submits.prefix(sent.count)) == sent)
            #expect(try await path.rig.number("SELECT coalesce(max(net_quantity), 0) AS n FROM positions") <= 800)
        }
    }

    @Test func `two processes share the plans: each order is sent once`() async throws {
        try await withOrderPath { path in
            let away = try await path.startPlanning()
            path.startExecution(OrderPath.planSettings.merging(["SERVICE_INSTANCE": "2"]) { $1 })
            for number in 1...3 {
                let id = SignalID(stringLiteral: "a\(number)")
                try await path.publish(path.rig.arbitrage(id, away: away))
            }
            // An order that was given up on a slow machine and trades after all opens its plan once more.
            try await path.telling(["game-1-HOME": 45, away: 45], until: "three plans are over, and nothing is open") {
                try await path.rig.number(
                    """
                    SELECT count(*) AS n FROM (VALUES (1)) AS one
                    WHERE (SELECT count(*) FROM plans WHERE state = 'finished') = 3
                        AND NOT EXISTS (SELECT FROM orders WHERE state IN ('stored', 'sent', 'unknown', 'resting'))
                        AND NOT EXISTS (SELECT FROM reservations WHERE state = 'held')
                    """) == 1
            }
            try await path.rig.expectEvenLegs()
            #expect(Set(path.venue.submits).count == path.venue.submits.count)
            let orders = try await path.rig.text(
                """
                SELECT string_agg(concat_ws(' ', market_id, attempt, state, reason), ', ' ORDER BY stored_at) AS t
                FROM orders WHERE sent_at IS NOT NULL
                """)
            // What was held up between its mark and the write was not written.
            let marked = try await path.rig.number(
                "SELECT count(*) AS n FROM orders WHERE sent_at IS NOT NULL AND reason IS DISTINCT FROM 'held_up'")
            #expect(marked == path.venue.submits.count, "\(orders ?? "none")")
        }
    }

    @Test func `an order that was given up and trades after all opens its plan again`() async throws {
        try await withOrderPath { path in
            let away = try await path.startPlanning()
            // Both times the first leg is lost: proven absent, and the plan is flat.
            path.venue.will(.losesRequest)
            try await path.publish(path.rig.arbitrage("a1", away: away))
            try await path.untilPlan("flat", ["game-1-HOME": 45, away: 45])
            let row = try await path.rig.pool.first("SELECT * FROM orders")
            let order = try #require(try row.map { try OrderRecord($0) })
            let fill = try Fill(
                id: "late", order: order.request.id, market: order.request.market, outcome: .yes, action: .buy,
                price: .cents(45), quantity: .contracts(8), fee: .cents(14), at: tipOff)
            _ = try await path.rig.orders.book(
                order.request.id, .accepted("venue-late", fills: [fill], reported: .contracts(8), rests: false),
                at: tipOff)
            try await path.untilPlan("complete", ["game-1-HOME": 45, away: 45])
            try await path.rig.expectEvenLegs()
        }
    }
}

/// Where a process dies that works on a plan.
enum CrashPoint: String, Sendable, CaseIterable {
    case taken, stored, sent, accepted, booked, coverStored, coverSent, coverAccepted

    /// An entry that never left ends the plan; nothing more is entered after a restart.
    var ending: String { self == .stored || self == .sent ? "flat" : "complete" }
}

extension OrderPath {
    /// Carries a plan as far as the point, as a process that dies there; its lease ends soon.
    ///
    /// - Returns: the plan, and the orders that the venue was sent.
    func abandon(at point: CrashPoint, away: MarketID) async throws -> (ApprovedPlan, [OrderID]) {
        let plan = try await rig.approvedPlan(rig.arbitrage("a1", away: away))
        let store = rig.orders
        var sent: [OrderID] = []
        let held = try await store.takePlan(plan.id, for: "dead", lease: .milliseconds(300))
        #expect(held?.orders.isEmpty == true)
        let steps = CrashPoint.allCases
        func reaches(_ step: CrashPoint) -> Bool {
            (steps.firstIndex(of: point) ?? 0) >= (steps.firstIndex(of: step) ?? 0)
        }
        for (number, purpose, points) in [
            (1, LegOrder.Purpose.enter, [CrashPoint.stored, .sent, .accepted, .booked]),
            (2, .cover, [.coverStored, .coverSent, .coverAccepted]),
        ] where reaches(points[0]) {
            let leg = plan.signal.legs[number - 1]
            let order = LegOrder(
                number: number, leg: number - 1, purpose: purpose, market: leg.market, venue: leg.venue,
                outcome: leg.outcome, action: .buy, limit: leg.price, quantity: plan.quantity)
            let claim = try await store.claimLeg(
                order, of: plan, for: "dead", safeguards: Safeguards(), seen: VenueReadings(isReconciled: true),
                at: tipOff)
            guard case .stored(let record) = claim else { throw NeverCame(description: "\(claim)") }
            guard reaches(points[1]) else { break }
            _ = try await store.book(record.request.id, .sent, at: tipOff)
            guard reaches(points[2]) else { break }
            let news = await venue.submit(record.request, deadline: .origin)
            sent.append(record.request.id)
            guard points.count > 3, reaches(points[3]) else { break }
            _ = try await store.book(record.request.id, news, at: tipOff)
        }
        return (plan, sent)
    }
}
