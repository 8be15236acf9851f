import Alerting
import Resilience
import Testing

@Suite struct AlertLimiterTests {
    private let start = MachineInstant(nanoseconds: 0)
    private func at(_ seconds: Int) -> MachineInstant { start.advanced(by: .seconds(seconds)) }

    @Test func `the first of a fingerprint is told, the next are held back and counted`() {
        var limiter = AlertLimiter(window: .seconds(300))
        let verdicts = [0, 1, 299, 300].map { limiter.fire("database", at: at($0)) }
        #expect(verdicts == [.tell(suppressed: 0), .suppress, .suppress, .tell(suppressed: 2)])
    }

    @Test func `another fingerprint of the same kind is told at once`() {
        var limiter = AlertLimiter(window: .seconds(300))
        _ = limiter.fire("shard:1", at: at(0))
        let other = limiter.fire("shard:2", at: at(1))
        #expect(other == .tell(suppressed: 0))
        #expect(limiter.firing == ["shard:1", "shard:2"])
    }

    @Test func `a recovery is told once, with the length, and only after a firing`() {
        var limiter = AlertLimiter(window: .seconds(300))
        let before = limiter.recover("database", at: at(0))
        _ = limiter.fire("database", at: at(10))
        _ = limiter.fire("database", at: at(12))
        let recovery = limiter.recover("database", at: at(40))
        let again = limiter.recover("database", at: at(41))
        #expect(before == .ignore)
        #expect(recovery == .tellRecovery(lasted: .seconds(30), suppressed: 1))
        #expect(again == .ignore)
        let refired = limiter.fire("database", at: at(50))
        #expect(refired == .tell(suppressed: 0))
    }
}
