import Bus
import Domain
import Hosting
import Postgres
import Resilience
import Runtime
import TestKit

/// Feeds a world with plans, kills its service at the points of its plan, and looks at what came of it.
struct PlanDrive: Sendable {
    /// A leg that stands alone for longer is told of.
    ///
    /// Each life that is lost meanwhile costs the start of the next one, so how long it stands depends on the machine;
    /// that nobody is told of it does not.
    static let nakedLimit = Duration.seconds(15)
    private static let open = 8
    /// Between two kills, so that some plans see none.
    private static let pace = 8

    let world: OrderWorld
    let seed: UInt64
    private let clock = MachineClock.real

    init(world: OrderWorld, seed: UInt64) {
        self.world = world
        self.seed = seed
    }

    func run(_ bus: Bus) async throws -> PlanResult {
        let feeder = PlanFeeder(pool: world.pool, account: TradingAccount(.paper), bus: bus)
        try await feeder.prepare()
        // All three end before this function does.
        let supervision = Task { try await world.supervise() }
        let telling = Task {
            var truth = false
            while !Task.isCancelled {
                await feeder.tell(truth: truth)
                truth.toggle()
                try await clock.sleep(for: .milliseconds(700))
            }
        }
        defer {
            supervision.cancel()
            telling.cancel()
        }
        try await world.venue.arm(OrderFault.usual, seed: seed)
        let stall = try await drive(feeder)
        try await world.venue.disarm()
        // What is not at its end then is found below.
        try? await eventually(within: .seconds(240), "every plan has its end") {
            try await world.count("SELECT count(*) AS n FROM plans WHERE state <> 'finished'") == 0
        }
        await world.stop()
        try await supervision.value
        return try await result(stall)
    }

    /// Until every point was hit.
    ///
    /// - Returns: why it went no further, when nothing moved.
    private func drive(_ feeder: PlanFeeder) async throws -> String? {
        var generator = SeededGenerator(seed: seed)
        var next = Self.pace
        var progress = (count: 0, at: clock.now)
        while !world.plan.isDone {
            let sent = world.venueTap.count(.submit)
            if world.plan.isWaiting, sent >= next {
                world.plan.arm()
                next = sent + Self.pace
            }
            try await feeder.feed(atMost: Self.open, &generator)
            if sent > progress.count { progress = (sent, clock.now) }
            guard progress.at.duration(to: clock.now) < .seconds(180) else {
                return "nothing was sent for three minutes, after \(sent)"
            }
            if sent > Self.pace * KillPoint.ofPlans.count * 6 { return "still to come after \(sent) orders" }
            try await clock.sleep(for: .milliseconds(200))
        }
        return nil
    }

    private func result(_ stall: String?) async throws -> PlanResult {
        var result = PlanResult()
        result.hits = world.plan.hits
        for row in try await world.pool.query("SELECT ending, count(*) AS n FROM plans GROUP BY 1") {
            result.endings[try row.textOrNil("ending") ?? "none"] = try row.int("n")
        }
        for row in try await world.pool.query("SELECT purpose, count(*) AS n FROM orders GROUP BY 1") {
            result.purposes[try row.text("purpose")] = try row.int("n")
        }
        result.worst = try Money(
            microdollars: Int64(try await world.count("SELECT coalesce(min(result), 0) AS n FROM plans")))
        result.longestAlone = .milliseconds(
            try await world.count("SELECT coalesce(max(naked_milliseconds), 0) AS n FROM plans"))
        var violations = stall.map { [$0] } ?? []
        violations += world.strangeEnds.map { "the service ended by itself: \($0)" }
        violations += try await OrderAudit(world: world).violations() + plans()
        violations += world.plan.missing.map { "no kill at \($0)" }
        result.violations = violations.map { "\(world.name): \($0)" }
        return result
    }

    /// What must hold of every plan.
    private func plans() async throws -> [String] {
        // What each has of either leg, and what it paid less what it took in.
        let books: SQL = """
            WITH traded AS (
                SELECT i.plan_id, i.leg, f.action = 'buy' AS is_bought, f.quantity, f.price * f.quantity AS value, f.fee
                FROM intents i JOIN orders o USING (intent_id) JOIN fills f USING (order_id)),
            book AS (
                SELECT p.*, (p.approved ->> 'maximumLoss')::int8 AS allowed, r.amount,
                    coalesce(sum(CASE WHEN is_bought THEN t.quantity ELSE -t.quantity END) FILTER (WHERE leg = 1), 0)
                        AS first,
                    coalesce(sum(CASE WHEN is_bought THEN t.quantity ELSE -t.quantity END) FILTER (WHERE leg = 2), 0)
                        AS second,
                    coalesce(sum(CASE WHEN is_bought THEN t.value + t.fee ELSE t.fee - t.value END), 0) AS spent
                FROM plans p JOIN reservations r USING (reservation_id) LEFT JOIN traded t USING (plan_id)
                GROUP BY p.plan_id, r.amount)
            """
        let rules: [(String, SQL)] = [
            ("plans with one leg alone", "first <> second"),
            ("plans that bought more than was approved", "first > (approved ->> 'quantity')::int8"),
            ("plans whose pairs are not what they hold", "pairs <> first"),
            ("plans whose result is not what they paid", "result <> 10000 * first - spent"),
            ("plans that lost more than they may", "result < -allowed"),
            ("plans that spent more than was reserved", "spent > amount"),
        ]
        var found: [String] = []
        for (what, rule) in rules {
            let count = try await world.count("\(books) SELECT count(*) AS n FROM book WHERE \(rule)")
            if count != 0 { found.append("\(count) \(what)") }
        }
        // The process looks each fraction of a second; twice the limit leaves it room to be starved between two looks.
        let untold = try await world.count(
            """
            SELECT count(*) AS n FROM plans p WHERE naked_milliseconds > \(Self.nakedLimit.wholeMilliseconds * 2)
                AND NOT EXISTS (
                    SELECT FROM audit_log a
                    WHERE a.event = 'leg_naked_too_long' AND a.details->>'plan' = p.plan_id::text)
            """)
        if untold != 0 { found.append("\(untold) plans with a leg alone for too long, and nobody was told") }
        return found
    }
}
