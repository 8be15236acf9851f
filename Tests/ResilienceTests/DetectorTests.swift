import Resilience
import Testing

@Suite struct DetectorTests {
    @Test func `restart intensity permits so many in the window and no more`() {
        var intensity = RestartIntensity(atMost: 10, within: .seconds(600))
        let permitted = (0..<12).count { intensity.permits(at: at(Double($0))) }
        #expect(permitted == 10)
        let later = intensity.permits(at: at(600))
        #expect(later, "the first restart left the window")
        #expect(intensity.count(at: at(600)) == 10)
    }

    @Test func `silence beyond the timeout is overdue`() {
        var detector = DeadlineDetector<String>(timeout: .seconds(2))
        detector.heard("b", at: at(0))
        detector.heard("a", at: at(0))
        #expect(detector.verdict(of: "a", at: at(1.99)) == .live)
        #expect(detector.verdict(of: "a", at: at(2)) == .overdue(since: at(2)))
        #expect(detector.overdue(at: at(2)) == ["a", "b"])
        detector.heard("a", at: at(2.5))
        #expect(detector.overdue(at: at(2.5)) == ["b"])
    }

    @Test func `who was never heard is unknown, not overdue`() {
        var detector = DeadlineDetector<String>(timeout: .seconds(2))
        #expect(detector.verdict(of: "a", at: at(100)) == .unknown)
        detector.heard("a", at: at(0))
        detector.forget("a")
        #expect(detector.verdict(of: "a", at: at(100)) == .unknown)
        #expect(detector.known.isEmpty)
    }

    @Test func `an old sign of life does not set the clock back`() {
        var detector = DeadlineDetector<String>(timeout: .seconds(2))
        detector.heard("a", at: at(10))
        detector.heard("a", at: at(5))
        #expect(detector.deadline(of: "a") == at(12))
    }

    @Test func `nobody is judged while excused`() {
        var detector = DeadlineDetector<String>(timeout: .seconds(2))
        detector.heard("a", at: at(0))
        detector.excuse(until: at(10))
        detector.excuse(until: at(4))
        #expect(detector.overdue(at: at(9.9)).isEmpty)
        #expect(detector.overdue(at: at(10)) == ["a"])
    }

    @Test func `a lease runs from when the granted heartbeat was sent`() {
        var lease = Lease(length: .seconds(2))
        #expect(!lease.isHeld(at: at(0)))
        lease.granted(sentAt: at(1))
        #expect(lease.isHeld(at: at(2.9)))
        #expect(!lease.isHeld(at: at(3)))
        #expect(lease.remaining(at: at(2)) == .seconds(1))
        #expect(lease.remaining(at: at(4)) == .zero)
    }

    @Test func `an older grant never shortens a lease and a revoke ends it`() {
        var lease = Lease(length: .seconds(2))
        lease.granted(sentAt: at(5))
        lease.granted(sentAt: at(4))
        #expect(lease.expires == at(7))
        lease.revoke()
        #expect(!lease.isHeld(at: at(5)) && lease.expires == nil)
    }

    @Test func `a value is stale when never confirmed, too old or invalidated`() {
        var staleness = Staleness<MachineInstant>(limit: .seconds(30))
        #expect(staleness.isStale(at: at(0)))
        staleness.confirm(at: at(0))
        #expect(!staleness.isStale(at: at(30)))
        #expect(staleness.isStale(at: at(30.001)))
        staleness.confirm(at: at(20))
        staleness.confirm(at: at(10))
        #expect(staleness.age(at: at(25)) == .seconds(5))
        staleness.invalidate()
        #expect(staleness.isStale(at: at(25)))
    }
}

@Suite struct LimiterTests {
    @Test func `a bucket gives a burst and then one per interval`() {
        var limiter = RateLimiter(burst: 3, interval: .seconds(1))
        let first = (0..<5).count { _ in limiter.take(at: at(0)) }
        #expect(first == 3)
        #expect(limiter.wait(at: at(0)) == .seconds(1))
        #expect(limiter.available(at: at(2.5)) == 2)
        let later = (0..<5).count { _ in limiter.take(at: at(2.5)) }
        #expect(later == 2)
        let full = (0..<9).count { _ in limiter.take(at: at(1000)) }
        #expect(full == 3)
    }

    @Test func `a bucket keeps its rate over a long run`() {
        var limiter = RateLimiter(perSecond: 20, burst: 5)
        var taken = 0
        for step in 0..<100_000 where limiter.take(at: at(Double(step) * 0.001)) { taken += 1 }
        #expect((2000...2005).contains(taken))
    }

    @Test func `more than a burst is never there`() {
        var limiter = RateLimiter(burst: 3, interval: .seconds(1))
        let taken = limiter.take(4, at: at(0))
        #expect(!taken && limiter.available(at: at(0)) == 3)
    }

    @Test func `a sliding window never lets more than its limit pass in any window`() {
        // CHECKLIST R85.
        var limiter = SlidingWindowLimiter(limit: 20, window: .seconds(60))
        var times: [Double] = []
        var random = SeededGenerator(seed: 5)
        var now = 0.0
        for _ in 0..<2000 {
            now += Double.random(in: 0...2, using: &random)
            if limiter.take(at: at(now)) { times.append(now) }
        }
        for (index, time) in times.enumerated() where index >= 20 { #expect(time - times[index - 20] >= 60 - 1e-6) }
        #expect(times.count > 500)
    }

    @Test func `the limit of a sliding window comes back one by one`() {
        var limiter = SlidingWindowLimiter(limit: 2, window: .seconds(60))
        let answers = [0, 30, 59, 60, 61, 90].map { limiter.take(at: at($0)) }
        #expect(answers == [true, true, false, true, false, true])
        #expect(limiter.available(at: at(200)) == 2)
    }
}

@Suite struct SequenceTrackerTests {
    @Test func `next, duplicate and gap are told apart`() {
        var tracker = SequenceTracker()
        func see(_ sequence: Int64, _ incarnation: String = "a") -> SequenceTracker.Verdict {
            tracker.observe(source: "shard-01", incarnation: incarnation, sequence: sequence)
        }
        #expect(see(7) == .next, "joining midway promises nothing about before")
        #expect(see(8) == .next)
        #expect(see(8) == .duplicate)
        #expect(see(11) == .gap(missing: 9...10))
        #expect(see(9) == .late)
        #expect(see(8) == .duplicate)
        #expect(see(12) == .next)
    }

    @Test func `a new incarnation of a known source begins at 1`() {
        var tracker = SequenceTracker()
        _ = tracker.observe(source: "s", incarnation: "a", sequence: 50)
        #expect(tracker.observe(source: "s", incarnation: "b", sequence: 1) == .next)
        #expect(tracker.observe(source: "s", incarnation: "a", sequence: 50) == .duplicate)
        #expect(tracker.observe(source: "s", incarnation: "c", sequence: 3) == .gap(missing: 1...2))
    }

    @Test func `a forgotten source starts again, and memory is bounded`() {
        var tracker = SequenceTracker(sourcesKept: 2)
        for source in ["a", "b", "c"] { _ = tracker.observe(source: source, incarnation: "i", sequence: 5) }
        #expect(tracker.observe(source: "c", incarnation: "i", sequence: 5) == .duplicate)
        #expect(tracker.observe(source: "a", incarnation: "i", sequence: 9) == .next, "the longest unused went first")
        tracker.forget(source: "c")
        #expect(tracker.observe(source: "c", incarnation: "i", sequence: 99) == .next)
    }

    @Test func `sequences at the end of the range do not trap`() {
        var tracker = SequenceTracker()
        _ = tracker.observe(source: "s", incarnation: "a", sequence: .min)
        _ = tracker.observe(source: "s", incarnation: "a", sequence: .max)
        #expect(tracker.observe(source: "s", incarnation: "a", sequence: .max) == .duplicate)
    }
}

@Suite struct RetryPolicyTests {
    @Test func `attempts are bounded and delays follow the list`() {
        var random = SeededGenerator(seed: 1)
        let policy = RetryPolicy(attempts: 4, delays: [.milliseconds(50), .milliseconds(100)])
        let delays = (1...5).map { policy.delay(afterAttempt: $0, using: &random) }
        #expect(delays == [.milliseconds(50), .milliseconds(100), .milliseconds(100), nil, nil])
    }

    @Test func `the database's delays carry jitter`() {
        var random = SeededGenerator(seed: 1)
        let delays = (0..<50).compactMap { _ in RetryPolicy.database.delay(afterAttempt: 2, using: &random) }
        #expect(delays.allSatisfy { (Duration.milliseconds(180)...(.milliseconds(220))).contains($0) })
        #expect(Set(delays).count > 40)
    }
}

@Suite struct InstantTests {
    @Test func `arithmetic saturates instead of trapping`() {
        let end = MachineInstant(nanoseconds: .max)
        #expect(end.advanced(by: .seconds(1)) == end)
        #expect(MachineInstant.origin.advanced(by: .seconds(Int64.max)) == end)
        #expect(MachineInstant(nanoseconds: .min).duration(to: end) == .nanoseconds(Int64.max))
        #expect(at(1).since(at(2)) == .zero)
    }

    @Test func `a generator repeats for its seed and matches the published sequence`() {
        var first = SeededGenerator(seed: 1_234_567)
        let numbers = (0..<3).map { _ in first.next() }
        #expect(numbers == [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423])
    }
}
