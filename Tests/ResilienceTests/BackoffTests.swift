import Resilience
import Testing

@Suite struct BackoffTests {
    @Test func `delays double from the base to the cap`() {
        // CHECKLIST R2, S2.
        var backoff = Backoff(base: .seconds(1), cap: .seconds(60), jitter: 0)
        var random = SeededGenerator(seed: 1)
        let delays = (0..<8).map { _ in backoff.next(using: &random) }
        #expect(delays == [1, 2, 4, 8, 16, 32, 60, 60].map { .seconds($0) })
    }

    @Test func `the short test series of the seed is kept`() {
        // CHECKLIST W3.
        var backoff = Backoff(base: .milliseconds(10), cap: .milliseconds(100), jitter: 0)
        var random = SeededGenerator(seed: 1)
        let delays = (0..<5).map { _ in backoff.next(using: &random) }
        #expect(delays == [10, 20, 40, 80, 100].map { .milliseconds($0) })
    }

    @Test func `jitter spreads both ways, at the cap as well`() {
        // CHECKLIST R3: 200 delays within ±10 %.
        var backoff = Backoff(base: .seconds(60), cap: .seconds(60), jitter: 0.1)
        var random = SeededGenerator(seed: 7)
        let delays = (0..<200).map { _ in backoff.next(using: &random).inSeconds }
        #expect(delays.allSatisfy { (54...66).contains($0) })
        #expect(delays.contains { $0 > 63 } && delays.contains { $0 < 57 })
        #expect(Set(delays).count > 190)
    }

    @Test func `five processes that lost the server together do not come back together`() {
        // CHECKLIST R3.
        /// When the process tries again, counted from the loss.
        func instants(seed: UInt64) -> [Duration] {
            var backoff = Backoff()
            var random = SeededGenerator(seed: seed)
            var elapsed = Duration.zero
            return (0..<10).map { _ in
                elapsed += backoff.next(using: &random)
                return elapsed
            }
        }
        for group in 1...40 {
            let processes = (0..<5).map { instants(seed: UInt64(group * 100 + $0)) }
            // From the third attempt on they have drifted apart, whatever was drawn first.
            for attempt in 2..<10 {
                let sorted = processes.map { $0[attempt] }.sorted()
                #expect(sorted[4] - sorted[0] > .milliseconds(50), "attempt \(attempt + 1), seeds from \(group)00")
            }
        }
    }

    @Test func `jitter that only shortens never exceeds the delay`() {
        var backoff = Backoff(base: .seconds(1), cap: .seconds(1), jitter: 0.5, jitterOnlyShortens: true)
        var random = SeededGenerator(seed: 7)
        let delays = (0..<200).map { _ in backoff.next(using: &random).inSeconds }
        #expect(delays.allSatisfy { (0.5...1).contains($0) })
        #expect(delays.contains { $0 < 0.6 } && delays.contains { $0 > 0.9 })
    }

    @Test func `the same seed gives the same delays and another seed others`() {
        func delays(seed: UInt64) -> [Duration] {
            var backoff = Backoff()
            var random = SeededGenerator(seed: seed)
            return (0..<5).map { _ in backoff.next(using: &random) }
        }
        #expect(delays(seed: 3) == delays(seed: 3))
        #expect(delays(seed: 3) != delays(seed: 4))
    }

    @Test func `only a stable connection starts it over`() {
        // CHECKLIST W8, S3.
        var backoff = Backoff(jitter: 0, resetAfter: .seconds(60))
        var random = SeededGenerator(seed: 1)
        for _ in 0..<3 { _ = backoff.next(using: &random) }
        backoff.connected(at: at(0))
        backoff.disconnected(at: at(59.9))
        #expect(backoff.upcoming == .seconds(8))
        backoff.connected(at: at(100))
        backoff.disconnected(at: at(160))
        #expect(backoff.upcoming == .seconds(1))
    }

    @Test func `a disconnect without a connect changes nothing`() {
        var backoff = Backoff(jitter: 0, resetAfter: .zero)
        var random = SeededGenerator(seed: 1)
        _ = backoff.next(using: &random)
        backoff.disconnected(at: at(1000))
        #expect(backoff.upcoming == .seconds(2))
    }

    @Test func `a huge number of attempts stays at the cap`() {
        var backoff = Backoff(base: .nanoseconds(1), cap: .seconds(60), multiplier: 1, jitter: 0)
        var random = SeededGenerator(seed: 1)
        for _ in 0..<20_000 { _ = backoff.next(using: &random) }
        #expect(backoff.upcoming == .nanoseconds(1))
    }
}
