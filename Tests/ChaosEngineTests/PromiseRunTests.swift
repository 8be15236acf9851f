import ChaosEngine
import Resilience
import Testing

/// What a round says of orders that must not leave, of alert files, and of books that nobody reads.
@Suite struct PromiseRunTests {
    private static func well(taken: Int = 0, filed: [Sample.Alert]? = nil, booksAge: Duration? = .zero) -> Sample {
        var sample = Sample.steady
        sample.filed = filed
        sample.orders = Sample.Orders(taken: taken)
        sample.booksAge = booksAge
        return sample
    }

    /// The verdict of a round whose sample follows from the time since the fault and whether it stands; at most 300 s.
    private static func verdict(
        _ name: String, control: Finding? = nil, needsOrders: Bool = false, _ sample: (Duration, Bool) -> Sample
    ) throws -> Verdict {
        var round = HeldRound(try #require(Scenario.named(name)), control: control, needsOrders: needsOrders)
        let verdict = round.held(within: .seconds(300), sample)
        return try #require(verdict, "the round has no end")
    }

    /// Orders, one in half a second, until the clock was found to be wrong.
    private static func orders(_ since: Duration, until last: Duration) -> Int {
        Int(min(since, last).wholeMilliseconds / 500)
    }

    @Test func `orders that go on under a fault that forbids them are a failure`() throws {
        let still = try Self.verdict("clock-step") { since, _ in
            Self.well(taken: Self.orders(since, until: .seconds(3)))
        }
        #expect(still.passed && still.ordersMeanwhile == 0, "\(still.problems)")
        let deaf = try Self.verdict("clock-step") { since, _ in
            Self.well(taken: Self.orders(since, until: .seconds(100)))
        }
        #expect(!deaf.passed && deaf.ordersMeanwhile > 5, "a clock that was not moved shows here")
        #expect(deaf.problems == ["\(deaf.ordersMeanwhile) orders left though none may"])
    }

    @Test func `what flows again after the undoing is no failure`() throws {
        let verdict = try Self.verdict("clock-step") { since, stands in
            Self.well(taken: stands ? 0 : Self.orders(since, until: .seconds(100)))
        }
        #expect(verdict.passed, "\(verdict.problems)")
    }

    @Test func `the control of it must find orders`() throws {
        for flows in [true, false] {
            let verdict = try Self.verdict("clock-step", control: .orders) { since, _ in
                Self.well(taken: flows ? Self.orders(since, until: .seconds(100)) : 0)
            }
            #expect(verdict.passed == flows, "\(verdict.problems)")
        }
    }

    /// Without an orchestrator; the outside watcher was called until then.
    private static func alone(_ since: Duration, _ stands: Bool, taken: Int) -> Sample {
        var sample = well(taken: taken)
        sample.truth?.orders = taken
        sample.watcherAge = .milliseconds(200)
        guard stands, since > .zero else { return sample }
        sample.checks = nil
        sample.watcherAge = since
        sample.services.removeAll { $0.name == "orchestrator" }
        // Without a grant no shard calls itself well.
        sample.shards = sample.shards.map {
            Sample.Beat($0.name, isHealthy: false, age: .zero, games: $0.games)
        }
        return sample
    }

    @Test(arguments: ["orchestrator-alone-kill", "orchestrator-alone-freeze", "orchestrator-alone-stop"])
    func `without an orchestrator orders must go on`(_ name: String) throws {
        for last in [Duration.seconds(100), .seconds(3)] {
            let verdict = try Self.verdict(name, needsOrders: true) { since, stands in
                Self.alone(since, stands, taken: Self.orders(since, until: last))
            }
            let expected = last > .seconds(3) ? [] : ["no order left while the fault stood"]
            #expect(verdict.problems == expected)
            // A call a second is missed when three have not come.
            #expect(verdict.detected.map { $0 >= .seconds(3) && $0 < .milliseconds(3_200) } == true)
        }
        // Nobody trades all the time on a deployment.
        let quiet = try Self.verdict(name) { since, stands in Self.alone(since, stands, taken: 0) }
        #expect(quiet.passed, "\(quiet.problems)")
    }

    @Test(arguments: [(2, true), (5, false)])
    func `without an orchestrator games must be watched, but for a moment`(_ seconds: Int, _ isHeld: Bool) throws {
        let verdict = try Self.verdict("orchestrator-alone-kill") { since, stands in
            var sample = Self.alone(since, stands, taken: 0)
            if stands, since > .seconds(5), since < .seconds(5 + seconds) {
                sample.shards[0] = Sample.Beat("shard-01", isHealthy: true, age: .zero)
            }
            return sample
        }
        #expect(verdict.problems == (isHeld ? [] : ["a was not watched"]))
    }

    @Test func `a page that is silent while the outside watcher is called is no absence of orchestrators`() throws {
        for isCalled in [true, false] {
            let verdict = try Self.verdict("orchestrator-alone-kill") { since, stands in
                var sample = Self.alone(since, stands, taken: 0)
                // Where nobody sees the watcher the pages must do.
                sample.watcherAge = isCalled ? .milliseconds(900) : nil
                return sample
            }
            #expect(verdict.problems == (isCalled ? ["not detected"] : []))
        }
    }

    @Test func `the control of orders that must go on must find none`() throws {
        for flows in [true, false] {
            let verdict = try Self.verdict("orchestrator-alone-freeze", control: .standstill) { since, _ in
                Self.well(taken: flows ? Self.orders(since, until: .seconds(100)) : 3)
            }
            #expect(verdict.passed == !flows, "\(verdict.problems)")
        }
        let unseen = try Self.verdict("orchestrator-alone-freeze", control: .standstill) { _, _ in
            var sample = Self.well()
            sample.orders = nil
            return sample
        }
        #expect(!unseen.passed, "who has not looked has found nothing")
    }

    @Test func `the only orchestrator's scenarios want no second one, and hurt nobody else`() throws {
        for name in ["orchestrator-alone-kill", "orchestrator-alone-freeze", "orchestrator-alone-stop"] {
            let scenario = try #require(Scenario.named(name))
            #expect(scenario.standby == .absent && scenario.alerts.isEmpty && scenario.mayAlert.isEmpty)
            #expect(scenario.steps(in: 1).map(\.fault.part) == [.orchestrators])
            #expect(scenario.controls == [.unsteady, .standstill])
        }
        for scenario in Scenario.all where scenario.standby == .absent { #expect(scenario.goesOnAfter != nil) }
    }

    @Test(arguments: [(true, true), (true, false), (false, true)])
    func `a Redis that takes no writes must be seen and told`(_ isSeen: Bool, _ isTold: Bool) throws {
        let verdict = try Self.verdict("redis-memory") { since, stands in
            var sample = Self.well()
            let isFull = stands && since > .seconds(1)
            sample.checks = ["redis": true, "redis-writes": !(isSeen && isFull)]
            if isTold, since > .seconds(2) { sample.alerts = [.init("RedisConnectivityIssue", isFiring: stands)] }
            return sample
        }
        #expect(verdict.passed == (isSeen && isTold), "\(verdict.problems)")
        #expect(verdict.problems.contains("not detected") == !isSeen)
        #expect(verdict.problems.contains("RedisConnectivityIssue was not told") == !isTold)
    }

    @Test func `memory runs out of two processes, one after the other, and each is put back`() throws {
        let scenario = try #require(Scenario.named("out-of-memory"))
        let steps = scenario.steps(in: 1)
        #expect(steps.map(\.fault) == [Fault(.exhaust, .busiestShard), Fault(.exhaust, .executionService)])
        #expect(steps[1].after > steps[0].holds, "one is back before the next is gone")
        #expect(scenario.faults.contains(Fault(.kill, .allShards)), "its control")
    }

    @Test func `an alert that only a file knows is false where nobody expects it`() throws {
        let verdict = try Self.verdict("shard-crash") { since, _ in
            let alert = Sample.Alert("crashLoop", isFiring: true, summary: "It starts again and again.")
            return Self.well(filed: since > .seconds(2) ? [alert] : [])
        }
        #expect(verdict.falseAlerts == ["crashLoop"])
        let problem = "crashLoop was told without a reason: It starts again and again."
        #expect(verdict.problems.contains(problem), "\(verdict.problems)")
    }

    @Test(arguments: [true, false], ["dailyLossWarning", "dailyLossExceeded", "killSwitchEngaged"])
    func `a deployment that plays a game may lose on it, a suite of our own may not`(
        isOwn: Bool, kind: String
    ) throws {
        let verdict = try Self.verdict("shard-crash", needsOrders: isOwn) { since, _ in
            let alert = Sample.Alert(kind, isFiring: true)
            return Self.well(
                taken: Self.orders(since, until: .seconds(300)), filed: since > .seconds(2) ? [alert] : [])
        }
        #expect(verdict.falseAlerts == (isOwn ? [kind] : []))
    }

    @Test(arguments: [(3, true), (12, false), (nil, false)] as [(Int?, Bool)])
    func `an alert must be in a file in time`(_ filedAfter: Int?, _ isHeld: Bool) throws {
        let verdict = try Self.verdict("all-shards-dead") { since, stands in
            var sample = Self.well(filed: [])
            let isTold = since > .seconds(3)
            sample.alerts = isTold ? [.init("AllShardsUnhealthy", isFiring: stands)] : []
            if let filedAfter, since > .seconds(filedAfter) {
                sample.filed = [.init("AllShardsUnhealthy", isFiring: true)]
            }
            if stands, since > .zero { sample.shards = [] }
            return sample
        }
        let problems = verdict.problems.filter { $0.contains("file") }
        #expect(problems.isEmpty == isHeld, "\(verdict.problems)")
    }

    @Test func `books that nobody held against their rules since are a failure`() throws {
        for age in [Duration.zero, .seconds(500)] + [nil] as [Duration?] {
            let verdict = try Self.verdict("redis-restart") { _, _ in Self.well(booksAge: age) }
            let expected = age == .zero ? [] : ["nobody held the books against their rules in the end"]
            #expect(verdict.problems.filter { $0.contains("books") } == expected, "\(verdict.problems)")
        }
    }
}
