import ChaosEngine
import Resilience
import Testing

/// One round, driven by hand on a clock of its own.
private struct Rehearsal {
    var run: ScenarioRun
    var now = MachineInstant.origin
    var effects: [ScenarioRun.Effect] = []

    init(_ scenario: Scenario, control: Finding? = nil) {
        run = ScenarioRun(scenario, round: 1, control: control, at: now)
    }

    /// Shows the same sample every 100 ms for a while; stops at the first effect.
    @discardableResult
    mutating func see(_ sample: Sample, for length: Duration) -> [ScenarioRun.Effect] {
        let end = now.advanced(by: length)
        while now < end {
            now = now.advanced(by: .milliseconds(100))
            effects = run.handle(.sample(sample), at: now)
            if !effects.isEmpty { return effects }
        }
        return []
    }

    mutating func tell(_ event: ScenarioRun.Event) { effects = run.handle(event, at: now) }

    var verdict: Verdict? {
        for case .finish(let verdict) in effects { return verdict }
        return nil
    }
}

@Suite struct ScenarioRunTests {
    private static func beat(_ name: String, _ games: [String: Int64] = [:], age: Duration = .zero) -> Sample.Beat {
        Sample.Beat(name, isHealthy: true, age: age, games: games)
    }

    private static let services = ["execution-service", "market-discovery", "orchestrator", "signal-processor"]
        .map { beat($0) }

    /// Two games on two shards, all well.
    private static let well = Sample(
        truth: Sample.Truth(
            term: 1, games: [.init("a", owner: "shard-01", epoch: 1), .init("b", owner: "shard-02", epoch: 1)],
            signals: 10, intents: 5, orders: 5, fills: 5),
        shards: [beat("shard-01", ["a": 1]), beat("shard-02", ["b": 1])], services: services,
        checks: ["redis": true, "database": true])

    /// The first shard is silent, its game on the other one.
    private static let taken: Sample = {
        var sample = well
        sample.truth?.games[0] = .init("a", owner: "shard-02", epoch: 2)
        sample.shards = [beat("shard-01", ["a": 1], age: .seconds(9)), beat("shard-02", ["a": 2, "b": 1])]
        return sample
    }()

    /// As that, and the first shard has come back and got a game.
    private static let shared: Sample = {
        var sample = taken
        sample.truth?.games[0] = .init("a", owner: "shard-01", epoch: 3)
        sample.shards = [beat("shard-01", ["a": 3]), beat("shard-02", ["b": 1])]
        return sample
    }()

    private static let silent: Sample = {
        var sample = well
        sample.shards[0] = beat("shard-01", ["a": 1], age: .seconds(2))
        return sample
    }()

    private static func scenario(_ name: String) throws -> Scenario { try #require(Scenario.named(name)) }

    /// Until the fault was made.
    private static func broken(_ name: String, control: Finding? = nil) throws -> Rehearsal {
        var rehearsal = Rehearsal(try scenario(name), control: control)
        rehearsal.see(well, for: .seconds(10))
        guard case .make = rehearsal.effects.first else {
            Issue.record("nothing was broken: \(rehearsal.effects)")
            return rehearsal
        }
        return rehearsal
    }

    @Test func `nothing is broken before the suite was steady for a while`() throws {
        var rehearsal = Rehearsal(try Self.scenario("shard-crash"))
        rehearsal.see(Self.well, for: .seconds(1))
        rehearsal.see(Self.silent, for: .milliseconds(200))
        #expect(rehearsal.see(Self.well, for: .milliseconds(1_900)).isEmpty)
        let effects = rehearsal.see(Self.well, for: .seconds(1))
        #expect(
            effects == [
                .make(0, Fault(.kill, .busiestShard), victims: ["shard-01"], undoneAfter: .seconds(6))
            ])
    }

    @Test func `a suite that is never steady fails, and is told why`() throws {
        var rehearsal = Rehearsal(try Self.scenario("shard-crash"))
        rehearsal.see(Self.silent, for: .seconds(200))
        let verdict = try #require(rehearsal.verdict)
        #expect(!verdict.passed && verdict.problems.joined().contains("a is not seen on shard-01 under epoch 1"))
    }

    @Test func `a shard's crash is measured from the fault to the first steady moment`() throws {
        var rehearsal = try Self.broken("shard-crash")
        rehearsal.see(Self.silent, for: .seconds(2))
        rehearsal.see(Self.taken, for: .seconds(6))
        #expect(rehearsal.effects == [.undo(0)])
        rehearsal.tell(.undone(0))
        rehearsal.see(Self.shared, for: .seconds(10))
        let verdict = try #require(rehearsal.verdict)
        #expect(verdict.passed, "\(verdict.problems)")
        #expect(verdict.detected == .milliseconds(2_100) && verdict.recovered == .milliseconds(2_100))
        #expect(verdict.moved == 1 && verdict.lost == 0 && verdict.duplicated == nil, "there is no venue")
    }

    @Test func `a fault that takes its time to be made is not over before it was felt`() throws {
        var rehearsal = try Self.broken("shard-crash")
        rehearsal.see(Self.well, for: .milliseconds(2_400))
        rehearsal.see(Self.taken, for: .seconds(4))
        rehearsal.tell(.undone(0))
        rehearsal.see(Self.shared, for: .seconds(10))
        let verdict = try #require(rehearsal.verdict)
        #expect(verdict.detected == .milliseconds(2_500) && verdict.recovered == .milliseconds(2_500))
    }

    @Test func `a shard that is back and gets no game again is a failure`() throws {
        var rehearsal = try Self.broken("shard-restart")
        rehearsal.see(Self.taken, for: .seconds(3))
        rehearsal.tell(.undone(0))
        var empty = Self.taken
        empty.shards[0] = Self.beat("shard-01")
        rehearsal.see(empty, for: .seconds(50))
        #expect(rehearsal.verdict == nil, "it may still get one")
        rehearsal.see(empty, for: .seconds(50))
        #expect(try #require(rehearsal.verdict).problems == ["games are not spread evenly in the end"])
    }

    @Test func `a row that is gone is lost, though a new one has come`() throws {
        var rehearsal = try Self.broken("redis-restart")
        var sample = Self.well
        sample.truth?.fills = 6
        sample.truth?.missing = 1
        rehearsal.see(sample, for: .seconds(10))
        rehearsal.tell(.undone(0))
        rehearsal.see(sample, for: .seconds(10))
        let verdict = try #require(rehearsal.verdict)
        #expect(verdict.lost == 1 && verdict.problems == ["1 rows or orders are lost"])
    }

    @Test(arguments: [(8, true), (12, false)])
    func `on a busy machine the games of the shard that dies must be elsewhere in time`(
        _ seconds: Int, _ isHeld: Bool
    ) throws {
        var rehearsal = try Self.broken("busy-machine")
        rehearsal.see(Self.well, for: .seconds(5))
        guard case .make(1, Fault(.kill, .busiestShard), ["shard-01"], _) = rehearsal.effects.first else {
            Issue.record("\(rehearsal.effects)")
            return
        }
        rehearsal.see(Self.silent, for: .seconds(seconds - 5))
        rehearsal.see(Self.taken, for: .seconds(20))
        rehearsal.tell(.undone(1))
        rehearsal.see(Self.shared, for: .seconds(20))
        rehearsal.tell(.undone(0))
        rehearsal.see(Self.shared, for: .seconds(20))
        let verdict = try #require(rehearsal.verdict)
        #expect(verdict.passed == isHeld, "\(verdict.problems)")
        #expect(verdict.detected.map { $0 > .seconds(seconds - 6) && $0 < .seconds(seconds - 4) } == true)
    }

    @Test func `a game that nobody takes is a failure`() throws {
        var rehearsal = try Self.broken("shard-crash")
        rehearsal.see(Self.silent, for: .seconds(30))
        rehearsal.tell(.undone(0))
        rehearsal.see(Self.silent, for: .seconds(100))
        let problems = try #require(rehearsal.verdict).problems
        #expect(problems.contains("not detected"))
        #expect(problems.contains { $0.hasPrefix("not recovered: a is not seen on shard-01") }, "\(problems)")
    }

    @Test func `a recovery later than allowed is a failure`() throws {
        var rehearsal = try Self.broken("shard-crash")
        rehearsal.see(Self.silent, for: .seconds(4))
        rehearsal.see(Self.taken, for: .seconds(6))
        rehearsal.tell(.undone(0))
        rehearsal.see(Self.shared, for: .seconds(10))
        let verdict = try #require(rehearsal.verdict)
        #expect(verdict.recovered == .milliseconds(4_100))
        #expect(verdict.problems.contains("recovered after 4100 ms, later than allowed"))
    }

    @Test(arguments: ["lost", "rule", "stale", "two owners", "epoch", "term"])
    func `each invariant can fail`(_ flaw: String) throws {
        var rehearsal = try Self.broken("shard-crash")
        var bad = Self.taken
        switch flaw {
        case "lost": bad.truth?.fills = 4
        case "rule": bad.truth?.brokenRules = ["1 intents filled by more than they asked for"]
        case "stale": bad.truth?.staleApprovals = 1
        case "two owners": bad.shards[0] = Self.beat("shard-01", ["a": 2])
        case "epoch": bad.truth?.games[1] = .init("b", owner: "shard-02", epoch: 0)
        default: bad.truth?.term = 0
        }
        rehearsal.see(bad, for: .milliseconds(100))
        rehearsal.see(Self.taken, for: .seconds(9))
        rehearsal.tell(.undone(0))
        rehearsal.see(Self.shared, for: .seconds(100))
        let verdict = try #require(rehearsal.verdict)
        #expect(!verdict.passed && verdict.problems.count == 1, "\(flaw): \(verdict.problems)")
    }

    /// Redis away: the page says so, the alert comes and ends.
    private static func redis(_ alerts: [Sample.Alert], isWell: Bool) -> Sample {
        var sample = well
        sample.alerts = alerts
        sample.checks = ["redis": isWell, "database": true]
        return sample
    }

    @Test func `an outage of Redis is measured from its end, with its alert and nothing moved`() throws {
        var rehearsal = try Self.broken("redis-kill")
        rehearsal.see(Self.redis([.init("RedisConnectivityIssue", isFiring: true)], isWell: false), for: .seconds(11))
        #expect(rehearsal.effects == [.undo(0)])
        rehearsal.tell(.undone(0))
        rehearsal.see(Self.redis([], isWell: false), for: .seconds(1))
        rehearsal.see(Self.redis([], isWell: true), for: .seconds(5))
        #expect(rehearsal.verdict == nil, "the alert's end is still to come")
        rehearsal.see(Self.redis([.init("RedisConnectivityIssue", isFiring: false)], isWell: true), for: .seconds(5))
        let verdict = try #require(rehearsal.verdict)
        #expect(verdict.passed, "\(verdict.problems)")
        #expect(verdict.detected == .milliseconds(100) && verdict.recovered == .milliseconds(1_100))
        #expect(verdict.alertsExpected == 1 && verdict.alertsReceived == 1)
    }

    @Test func `an alert that does not come, one that nobody expects, and a game that moves are failures`() throws {
        var rehearsal = try Self.broken("redis-kill")
        rehearsal.see(Self.redis([.init("AllShardsUnhealthy", isFiring: true)], isWell: false), for: .seconds(30))
        rehearsal.tell(.undone(0))
        rehearsal.see(Self.taken, for: .seconds(100))
        let problems = try #require(rehearsal.verdict).problems
        #expect(problems.contains("RedisConnectivityIssue was not told"))
        #expect(problems.contains("AllShardsUnhealthy was told without a reason"))
        #expect(problems.contains("1 games moved"), "\(problems)")
    }

    @Test func `a control passes when nothing recovered while its fault held, and fails otherwise`() throws {
        for isHealing in [false, true] {
            var rehearsal = try Self.broken("redis-kill", control: .unsteady)
            // Not felt at once.
            rehearsal.see(Self.well, for: .seconds(3))
            rehearsal.see(isHealing ? Self.well : Self.redis([], isWell: false), for: .seconds(60))
            #expect(rehearsal.effects == [.undo(0)])
            rehearsal.tell(.undone(0))
            rehearsal.see(Self.well, for: .seconds(10))
            let verdict = try #require(rehearsal.verdict)
            #expect(verdict.passed == !isHealing && verdict.isControl, "\(verdict.problems)")
        }
    }

    @Test func `what cannot be broken or healed ends the round`() throws {
        var rehearsal = Rehearsal(try Self.scenario("shard-crash"))
        rehearsal.see(Self.well, for: .seconds(10))
        rehearsal.tell(.failed(0, "no such container"))
        #expect(rehearsal.verdict?.problems == ["kill of busiestShard: no such container"])
        var second = try Self.broken("redis-kill")
        second.see(Self.redis([], isWell: false), for: .seconds(20))
        second.tell(.failed(0, "docker is gone"))
        #expect(second.verdict?.passed == false)
        second.tell(.sample(Self.well))
        #expect(second.effects.isEmpty, "over is over")
    }

    @Test(arguments: ["unsteady from the start", "not broken", "not undone"])
    func `a control that did not come to its end has caught nothing`(_ why: String) throws {
        var rehearsal = Rehearsal(try Self.scenario("redis-kill"), control: .unsteady)
        if why == "unsteady from the start" {
            rehearsal.see(Self.silent, for: .seconds(200))
        } else {
            rehearsal.see(Self.well, for: .seconds(10))
            if why == "not undone" { rehearsal.see(Self.redis([], isWell: false), for: .seconds(60)) }
            rehearsal.tell(.failed(0, "no such container"))
        }
        let verdict = try #require(rehearsal.verdict)
        #expect(!verdict.passed && verdict.recovered == nil && !verdict.problems.isEmpty)
    }

    @Test func `a zombie is a failure while it stays, however well its game is watched elsewhere`() throws {
        for isLetGo in [false, true] {
            var rehearsal = try Self.broken("shard-freeze")
            rehearsal.see(Self.taken, for: .seconds(8))
            #expect(rehearsal.effects == [.undo(0)])
            rehearsal.tell(.undone(0))
            var woken = Self.taken
            // Without its books nobody would trade on it; it is a zombie all the same.
            woken.shards[0] = Sample.Beat("shard-01", isHealthy: true, age: .zero, watched: ["a": 1])
            rehearsal.see(woken, for: .seconds(4))
            #expect(rehearsal.verdict == nil)
            rehearsal.see(isLetGo ? Self.shared : woken, for: .seconds(100))
            let problems = [
                "games are not spread evenly in the end",
                "not steady in the end: a is a zombie on shard-01, under epoch 1",
            ]
            #expect(try #require(rehearsal.verdict).problems == (isLetGo ? [] : problems))
        }
    }

    @Test func `percentiles are values that were measured`() throws {
        let durations = (1...100).map { Duration.milliseconds($0) }
        let percentiles = try #require(Percentiles(durations.reversed()))
        #expect(percentiles.median == .milliseconds(50) && percentiles.p99 == .milliseconds(99))
        #expect(percentiles.maximum == .milliseconds(100))
        #expect(Percentiles([.seconds(3)])?.p99 == .seconds(3) && Percentiles([]) == nil)
    }

    @Test func `scenarios have names of their own and bounds that can be met`() {
        #expect(Set(Scenario.all.map(\.name)).count == Scenario.all.count)
        for scenario in Scenario.all {
            // What is started again at once may well heal itself afterwards.
            let lasting = scenario.steps(in: 1).filter { $0.fault.kind != .restart }.map(\.holds)
            let isHeldLongEnough = lasting.allSatisfy {
                scenario.recovery == .undo || $0 > scenario.recoverWithin + ScenarioRun.calm
            }
            #expect(isHeldLongEnough, "\(scenario.name) is undone before it can have healed itself")
        }
        #expect(Scenario.core.allSatisfy { Scenario.named($0) != nil })
    }

    @Test(arguments: [
        (Sample.Orders(taken: 9, strange: 2), 0, 0), (Sample.Orders(taken: 9, strange: 3), 0, 1),
        (Sample.Orders(taken: 9, strange: 2, missing: 1), 1, 0),
        // The last was taken when all was steady already, the one before was not.
        (Sample.Orders(taken: 8, waiting: [7], strange: 2), 1, 0),
    ])
    func `an order that only the venue knows, and one that only we know, are found`(
        _ end: Sample.Orders, _ lost: Int, _ duplicated: Int
    ) throws {
        var before = Self.well
        // Of the rounds before this one.
        before.orders = Sample.Orders(taken: 5, waiting: [4], strange: 2)
        var rehearsal = Rehearsal(try Self.scenario("signal-processor-kill"))
        rehearsal.see(before, for: .seconds(10))
        var away = before
        away.services.removeLast()
        rehearsal.see(away, for: .seconds(6))
        rehearsal.tell(.undone(0))
        var after = before
        after.orders = end
        rehearsal.see(after, for: .seconds(100))
        let verdict = try #require(rehearsal.verdict)
        #expect(verdict.lost == lost && verdict.duplicated == duplicated, "\(verdict.problems)")
        #expect(verdict.passed == (lost + duplicated == 0))
    }

    @Test func `a round waits until each order that was taken is known, however slow the machine`() throws {
        var sample = Self.well
        sample.orders = Sample.Orders(taken: 5)
        var rehearsal = Rehearsal(try Self.scenario("signal-processor-kill"))
        rehearsal.see(sample, for: .seconds(10))
        var away = sample
        away.services.removeLast()
        rehearsal.see(away, for: .seconds(6))
        rehearsal.tell(.undone(0))
        sample.orders = Sample.Orders(taken: 7, waiting: [6])
        rehearsal.see(sample, for: .seconds(20))
        #expect(rehearsal.verdict == nil)
        sample.orders = Sample.Orders(taken: 8, waiting: [7])
        rehearsal.see(sample, for: .seconds(1))
        #expect(try #require(rehearsal.verdict).passed)
    }

    @Test func `a fault that nobody knows of yet stands longer, and no longer than it must`() throws {
        for (late, problem) in [
            (Duration.seconds(4), "detected after 12100 ms, later than allowed"), (.seconds(40), "not detected"),
        ] {
            var rehearsal = try Self.broken("redis-kill")
            let told = Self.redis([.init("RedisConnectivityIssue", isFiring: true)], isWell: true)
            rehearsal.see(told, for: .seconds(8) + min(late, .seconds(19)))
            #expect(rehearsal.effects.isEmpty)
            rehearsal.see(Self.redis([], isWell: late > .seconds(20)), for: .seconds(2))
            #expect(rehearsal.effects == [.undo(0)])
            rehearsal.tell(.undone(0))
            rehearsal.see(
                Self.redis([.init("RedisConnectivityIssue", isFiring: false)], isWell: true), for: .seconds(9))
            #expect(try #require(rehearsal.verdict).problems == [problem])
        }
    }

    @Test func `a round without an order waits for one, and fails without`() throws {
        for isTraded in [true, false] {
            var rehearsal = Rehearsal(try Self.scenario("signal-processor-kill"))
            rehearsal.run = ScenarioRun(rehearsal.run.scenario, round: 1, needsOrders: true, at: rehearsal.now)
            rehearsal.see(Self.well, for: .seconds(10))
            var away = Self.well
            away.services.removeLast()
            rehearsal.see(away, for: .seconds(6))
            rehearsal.tell(.undone(0))
            rehearsal.see(Self.well, for: .seconds(20))
            #expect(rehearsal.verdict == nil)
            var traded = Self.well
            if isTraded { traded.truth?.orders = 6 }
            rehearsal.see(traded, for: .seconds(100))
            let verdict = try #require(rehearsal.verdict)
            #expect(verdict.orders == (isTraded ? 1 : 0))
            #expect(verdict.problems == (isTraded ? [] : ["no order was made meanwhile"]))
        }
    }

    @Test func `what was heard before the undoing is no recovery`() throws {
        var rehearsal = try Self.broken("redis-flush")
        rehearsal.see(Self.well, for: .seconds(2))
        rehearsal.tell(.undone(0))
        var old = Self.well
        for step in 1...10 {
            old.services[0] = Self.beat("execution-service", age: .milliseconds(400 + step * 100))
            rehearsal.see(old, for: .milliseconds(100))
        }
        rehearsal.see(Self.well, for: .seconds(10))
        #expect(try #require(rehearsal.verdict).recovered == .milliseconds(1_100))
    }

    @Test func `a shard that does not come back is a failure, though its games are watched`() throws {
        var rehearsal = try Self.broken("shard-crash")
        rehearsal.see(Self.taken, for: .seconds(7))
        rehearsal.tell(.undone(0))
        rehearsal.see(Self.taken, for: .seconds(100))
        #expect(try #require(rehearsal.verdict).problems == ["only 1 of 2 shards are back"])
    }

    @Test func `an alert that never reaches the sink is a failure, and the time of its arrival is kept`() throws {
        for arrives in [true, false] {
            var rehearsal = try Self.broken("redis-kill")
            var away = Self.redis([.init("RedisConnectivityIssue", isFiring: true)], isWell: false)
            away.delivered = []
            rehearsal.see(away, for: .seconds(2))
            if arrives { away.delivered = ["RedisConnectivityIssue"] }
            rehearsal.see(away, for: .seconds(8))
            rehearsal.tell(.undone(0))
            var well = Self.redis([.init("RedisConnectivityIssue", isFiring: false)], isWell: true)
            well.delivered = []
            rehearsal.see(well, for: .seconds(100))
            let verdict = try #require(rehearsal.verdict)
            #expect(verdict.passed == arrives, "\(verdict.problems)")
            #expect(verdict.delivered == (arrives ? .milliseconds(2_100) : nil))
        }
    }

    @Test func `steps are made and undone each in its time, and the round is healed when all are`() throws {
        var rehearsal = try Self.broken("busy-machine")
        #expect(rehearsal.effects.count == 1, "the second is not due yet")
        rehearsal.see(Self.well, for: .seconds(6))
        #expect(
            rehearsal.effects == [
                .make(1, Fault(.kill, .busiestShard), victims: ["shard-01"], undoneAfter: .seconds(6))
            ])
        rehearsal.see(Self.taken, for: .seconds(7))
        #expect(rehearsal.effects == [.undo(1)])
        rehearsal.tell(.undone(1))
        #expect(rehearsal.see(Self.taken, for: .seconds(5)) == [.undo(0)])
        #expect(rehearsal.verdict == nil)
        rehearsal.tell(.undone(0))
        rehearsal.see(Self.shared, for: .seconds(10))
        #expect(try #require(rehearsal.verdict).passed, "\(rehearsal.effects)")
    }

    @Test func `a drawn round is the same for the same number, and never hurts one part twice at a time`() throws {
        let soak = try Self.scenario("soak")
        #expect(soak.steps(in: 7) == soak.steps(in: 7) && soak.steps(in: 7) != soak.steps(in: 8))
        var strikesOrders = 0
        for round in 1...200 {
            let steps = soak.steps(in: round)
            #expect(steps.count == 8)
            // Where nobody promises orders nothing waits for one.
            let others = steps.filter { $0.fault.kind != .loseAcknowledgements }
            #expect(soak.steps(in: round, withOrders: false) == others)
            strikesOrders += steps.count - others.count
            for (index, step) in steps.enumerated() {
                #expect(soak.faults.contains(step.fault))
                let others = steps[..<index].filter { $0.after + $0.holds > step.after }
                #expect(others.count < 3 && !others.contains { $0.fault.part == step.fault.part }, "round \(round)")
            }
        }
        #expect(strikesOrders > 10)
    }
}
