import Domain
import ExecutionServiceEngine
import Foundation
import Resilience
import Testing

/// One plan against two markets that move, thin out and vanish, at a venue that refuses, loses answers, fills in part.
private struct PlanRun {
    var random: SeededGenerator
    let approved: ApprovedPlan
    var plan: LegPlan
    var now = MachineInstant.origin
    var asks: [Int64]
    var outcome: LegPlanOutcome?
    var violations: [String] = []
    var kinds: Set<String> = []
    /// Orders whose fate is still to come, and when.
    var coming: (at: MachineInstant, number: Int, answer: LegAnswer)?
    /// What a database would have of it.
    var stored: [(order: LegOrder, answer: LegAnswer?)] = []
    var crashes = 0

    init(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let home = Int64.random(in: 10...80, using: &random)
        let away = Int64.random(in: 5...max(6, 91 - home), using: &random)
        let contracts = Int64.random(in: 1...60, using: &random)
        let places = (0..<2).map { _ in Venue.allCases.randomElement(using: &random) ?? .kalshi }
        let loss = Money.dollars(.random(in: 1...20, using: &random))
        let available = (0..<2).map { _ in Int64.random(in: 1...100, using: &random) }
        // Where the legs earn nothing after fees the plan cannot be made: one with the smallest prices can.
        let smallest = [home, 5]
        let wished = try? makePlan(
            home: home, away: away, contracts: contracts, loss: loss, available: available, venues: places)
        asks = wished == nil ? smallest : [home, away]
        approved =
            try wished
            ?? makePlan(home: home, away: 5, contracts: contracts, loss: loss, available: available, venues: places)
        self.random = random
        plan = LegPlan(approved)
    }

    private mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

    /// Runs to the end, or to ten simulated minutes.
    mutating func run() throws {
        try show()
        while outcome == nil || coming != nil, now < .origin.advanced(by: .seconds(600)) {
            now = now.advanced(by: .milliseconds(Int64.random(in: 20...500, using: &random)))
            if let due = coming, due.at <= now {
                coming = nil
                stored[due.number - 1].answer = due.answer
                take(plan.handle(.answered(number: due.number, due.answer), at: now))
            }
            drift()
            if chance(3) { take(plan.handle(.stop, at: now)) }
            if crashes < 2, chance(2) { crash() }
            try show()
        }
        check()
    }

    /// What is in memory is gone; the next life reads what was stored.
    private mutating func crash() {
        crashes += 1
        kinds.insert("crash")
        let before = plan
        let (resumed, effects) = LegPlan.resumed(approved, orders: stored, alone: plan.aloneFor, at: now)
        plan = resumed
        if plan.held != before.held || plan.spent != before.spent || plan.inFlight != before.inFlight {
            violations.append("resumed as \(plan) from \(before)")
        }
        take(effects)
    }

    private mutating func drift() {
        for leg in 0..<2 {
            let reach: Int64 = chance(1) ? 80 : (chance(4) ? 25 : 1)
            let step = Int64.random(in: -reach...reach, using: &random)
            asks[leg] = min(98, max(3, asks[leg] + step))
        }
    }

    /// The books as they are trusted now: now and then one is gone, thin or without one of its sides.
    private mutating func show() throws {
        var books: [MarketID: OrderBook] = [:]
        for (leg, market) in (["HOME-1", "AWAY-1"] as [MarketID]).enumerated() where !chance(15) {
            let depth = Int64.random(in: 1...80, using: &random)
            let book = try makeBook(ask: asks[leg], spread: .random(in: 1...4, using: &random), depth: depth)
            books[market] = chance(5) ? try OrderBook(yesBids: book.yes, noBids: []) : book
        }
        take(plan.handle(.books(books), at: now))
    }

    private mutating func take(_ effects: [LegPlanEffect]) {
        for effect in effects {
            if let order = effect.sent { submit(order) }
            if let finished = effect.outcome { outcome = finished }
        }
        if plan.spent > approved.reserved { violations.append("spent \(plan.spent) of \(approved.reserved)") }
        if plan.worstResult < -approved.maximumLoss {
            violations.append("could lose \(plan.worstResult) of \(approved.maximumLoss)")
        }
    }

    /// The venue's fate of an order: at once or late, whole, in part, or not at all; silent one time in ten.
    private mutating func submit(_ order: LegOrder) {
        stored.append((order, nil))
        if coming != nil || order.quantity.isZero { violations.append("two at once: \(order)") }
        let market = asks[order.leg]
        let crosses = order.action == .buy ? order.limit >= .cents(market) : order.limit <= .cents(max(1, market - 4))
        var contracts = order.quantity.hundredths / 100
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<15: (contracts, _) = (0, kinds.insert("refused \(order.purpose)"))
        case 15..<40:
            contracts = .random(in: 0...contracts, using: &random)
            kinds.insert("partial \(order.purpose)")
        default: kinds.insert("filled \(order.purpose)")
        }
        if !crosses { contracts = min(contracts, .random(in: 0...2, using: &random)) }
        let better = Int64.random(in: 0...2, using: &random) * 100
        let raw = order.limit.tenThousandths + (order.action == .buy ? -better : better)
        let price = (try? Price(tenThousandths: raw)).flatMap { $0.isTradable ? $0 : nil } ?? order.limit
        let answer =
            contracts == 0
            ? LegAnswer.nothing : ExecutionServiceEngineTests.answer(contracts, at: price, venue: order.venue)
        var delay = Duration.milliseconds(Int64.random(in: 30...800, using: &random))
        if chance(10) {
            kinds.insert("timed out \(order.purpose)")
            // Silence, then ten seconds and two pagings until it is certain.
            _ = plan.handle(.unanswered(number: order.number), at: now)
            delay = .milliseconds(Int64.random(in: 2_000...16_000, using: &random))
        }
        coming = (now.advanced(by: delay), order.number, answer)
    }

    private mutating func check() {
        guard let outcome else {
            return violations.append("never at its end: \(plan.phase), naked \(String(describing: plan.naked))")
        }
        if plan.held[0] != plan.held[1] { violations.append("one leg stands alone at the end") }
        if outcome.nakedFor > plan.policy.nakedLimit { violations.append("naked for \(outcome.nakedFor)") }
        if outcome.result < -approved.maximumLoss { violations.append("lost \(outcome.result)") }
        if outcome.pairs > approved.quantity { violations.append("more than planned: \(outcome.pairs)") }
    }
}

struct LegPlanPropertyTests {
    /// A part in `make test`, 50,000 by `make soak-orders`.
    static let runs = Int(ProcessInfo.processInfo.environment["LINESMAN_PLAN_RUNS"] ?? "") ?? 2_000

    @Test func `leg two refused, silent or filled in part: flat or paired within the bounds`() throws {
        var endings: [LegPlanOutcome.Ending: Int] = [:]
        var kinds: [String: Int] = [:]
        var worst = Money.zero
        var worstShare = 0.0
        var naked: [Duration] = []
        for seed in 0..<Self.runs {
            var run = try PlanRun(seed: UInt64(seed))
            try run.run()
            #expect(run.violations.isEmpty, "seed \(seed): \(run.violations.prefix(3))")
            if !run.violations.isEmpty { break }
            guard let outcome = run.outcome else { continue }
            endings[outcome.ending, default: 0] += 1
            for kind in run.kinds { kinds[kind, default: 0] += 1 }
            worst = min(worst, outcome.result)
            worstShare = max(
                worstShare, -outcome.result.approximateDollars / run.approved.maximumLoss.approximateDollars)
            naked.append(outcome.nakedFor)
        }
        for purpose in LegOrder.Purpose.allCases {
            for kind in ["refused", "partial", "filled", "timed out"] {
                #expect(kinds["\(kind) \(purpose)", default: 0] > 0, "\(kind) \(purpose) never happened")
            }
        }
        #expect(kinds["crash", default: 0] > 0)
        for ending in LegPlanOutcome.Ending.allCases { #expect(endings[ending, default: 0] > 0, "\(ending)") }
        naked.sort()
        let report =
            "\(Self.runs) plans: \(endings.map { "\($0.key.rawValue) \($0.value)" }.sorted()), worst \(worst.rounded),"
            + " \(Int(worstShare * 100)) % of what was allowed, alone p99 \(naked[naked.count * 99 / 100]),"
            + " at most \(naked.last ?? .zero); \(kinds.sorted { $0.key < $1.key })"
        Self.tell(report)
    }

    /// For whoever runs the soak: the figures of the run.
    private static func tell(_ report: String) {
        FileHandle.standardError.write(Data((report + "\n").utf8))
    }
}
