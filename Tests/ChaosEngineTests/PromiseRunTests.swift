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
        _ name: String, control: Finding? = nil, _ sample: (Duration, Bool) -> Sample
    ) throws -> Verdict {
        var run = ScenarioRun(try #require(Scenario.named(name)), round: 1, control: control, at: .origin)
        var now = MachineInstant.origin
        var made: MachineInstant?
        var stands = true
        while now < .origin.advanced(by: .seconds(300)) {
            now = now.advanced(by: .milliseconds(100))
            let since = made.map { now.since($0) } ?? .zero
            var effects = run.handle(.sample(sample(since, stands)), at: now)
            while let effect = effects.first {
                effects.removeFirst()
                switch effect {
                case .make: made = made ?? now
                case .undo(let step):
                    stands = false
                    effects += run.handle(.undone(step), at: now)
                case .finish(let verdict): return verdict
                }
            }
        }
        return try #require(nil as Verdict?, "the round has no end")
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

    @Test func `an alert that only a file knows is false where nobody expects it`() throws {
        let verdict = try Self.verdict("shard-crash") { since, _ in
            Self.well(filed: since > .seconds(2) ? [.init("crashLoop", isFiring: true)] : [])
        }
        #expect(verdict.falseAlerts == ["crashLoop"])
        #expect(verdict.problems.contains("crashLoop was told without a reason"), "\(verdict.problems)")
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
