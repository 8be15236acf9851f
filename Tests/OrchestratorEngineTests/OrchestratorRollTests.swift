import Domain
import OrchestratorEngine
import Resilience
import Testing

@Suite struct OrchestratorRollTests {
    private let start = MachineInstant.origin.advanced(by: .seconds(1_000))
    private func at(_ seconds: Double) -> MachineInstant { start.advanced(by: .seconds(seconds)) }

    private func beat(
        _ instance: String, _ incarnation: Incarnation, _ status: ReportedStatus = .healthy,
        service: String = "orchestrator"
    ) -> ServiceHeartbeat {
        ServiceHeartbeat(service: service, instance: instance, incarnation: incarnation, status: status)
    }

    private func roll() -> OrchestratorRoll { OrchestratorRoll(own: "mine", timeout: .seconds(10)) }

    // CHECKLIST N35.
    @Test func `one that is silent is missed once, and back with its next life`() {
        var roll = roll()
        #expect(roll.heard(beat("2", "a"), isLeading: false, at: at(0)) == [.seen(instance: "2")])
        #expect(roll.heard(beat("2", "a"), isLeading: false, at: at(0)) == [])
        #expect(roll.tick(isLeading: true, hearingSince: start, at: at(9.9)) == [])
        #expect(roll.tick(isLeading: true, hearingSince: start, at: at(10)) == [.missing(instance: "2", .silent)])
        #expect(roll.tick(isLeading: true, hearingSince: start, at: at(11)) == [])
        #expect(roll.missing == ["2"])
        #expect(roll.heard(beat("2", "b", .degraded), isLeading: false, at: at(30)) == [])
        #expect(roll.heard(beat("2", "c"), isLeading: false, at: at(31)) == [.back(instance: "2", after: .seconds(31))])
        #expect(roll.missing == [])
    }

    @Test func `a leader whose place was taken is missed at once, and back once it has been well for a while`() {
        var roll = roll()
        _ = roll.heard(beat("1", "a"), isLeading: true, at: at(0))
        #expect(roll.succeeded("a", at: at(3)) == [.missing(instance: "1", .lostLead)])
        #expect(roll.succeeded("a", at: at(3)) == [])
        // Cut off from PostgreSQL alone its heartbeats go on, the first of them from before it knew.
        #expect(roll.heard(beat("1", "a"), isLeading: true, at: at(3.1)) == [])
        #expect(roll.heard(beat("1", "a", .degraded), isLeading: false, at: at(20)) == [])
        #expect(roll.tick(isLeading: true, hearingSince: start, at: at(40)) == [])
        let back = roll.heard(beat("1", "a"), isLeading: false, at: at(41))
        #expect(back == [.back(instance: "1", after: .seconds(38))])
    }

    @Test func `a leader is heard when its own word says so, and is newer than the question`() {
        var roll = roll()
        _ = roll.heard(beat("1", "a"), isLeading: true, at: at(1))
        _ = roll.heard(beat("2", "b"), isLeading: false, at: at(5))
        _ = roll.heard(beat("3", "mine"), isLeading: true, at: at(6))
        #expect(roll.hearsLeader(since: at(1)) && !roll.hearsLeader(since: at(1.1)))
        _ = roll.heard(beat("1", "a"), isLeading: false, at: at(2))
        #expect(!roll.hearsLeader(since: at(0)))
    }

    @Test func `who says that it stops, or was never heard, is not missed`() {
        var roll = roll()
        _ = roll.heard(beat("1", "a", .stopping), isLeading: false, at: at(0))
        #expect(roll.succeeded("a", at: at(1)) == [] && roll.succeeded("unknown", at: at(1)) == [])
        #expect(roll.tick(isLeading: true, hearingSince: start, at: at(60)) == [])
        #expect(roll.missing == [])
    }

    @Test func `our own heartbeats and those of other services are nobody's`() {
        var roll = roll()
        _ = roll.heard(beat("1", "mine"), isLeading: true, at: at(0))
        _ = roll.heard(beat("1", "x", service: "market-discovery"), isLeading: false, at: at(0))
        #expect(roll.tick(isLeading: true, hearingSince: start, at: at(60)) == [])
    }

    @Test func `who cannot hear misses nobody, and gives everybody time to be heard again`() {
        var roll = roll()
        _ = roll.heard(beat("2", "a"), isLeading: false, at: at(0))
        #expect(roll.tick(isLeading: true, hearingSince: nil, at: at(60)) == [])
        #expect(roll.tick(isLeading: true, hearingSince: at(55), at: at(60)) == [])
        #expect(roll.tick(isLeading: true, hearingSince: at(55), at: at(65)) == [.missing(instance: "2", .silent)])
    }

    @Test func `a standby leaves it to a leader, and speaks up when there is none`() {
        var roll = roll()
        _ = roll.heard(beat("1", "a"), isLeading: true, at: at(0))
        _ = roll.heard(beat("3", "c"), isLeading: false, at: at(0))
        _ = roll.heard(beat("1", "a"), isLeading: true, at: at(8))
        #expect(roll.tick(isLeading: false, hearingSince: start, at: at(12)) == [])
        let changes = roll.tick(isLeading: false, hearingSince: start, at: at(18))
        #expect(changes == [.missing(instance: "1", .silent), .missing(instance: "3", .silent)])
    }

    @Test func `more names than a suite can have are not kept`() {
        var roll = roll()
        for number in 0..<500 { _ = roll.heard(beat("i\(number)", "a"), isLeading: false, at: at(0)) }
        #expect(roll.tick(isLeading: true, hearingSince: start, at: at(60)).count == OrchestratorRoll.memberLimit)
    }
}
