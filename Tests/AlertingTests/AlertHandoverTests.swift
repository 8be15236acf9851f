import Resilience
import Testing

@testable import Alerting

/// Who tells an alert of a service: the orchestrator, or the service itself.
@Suite struct AlertHandoverTests {
    private func request(_ id: String, _ fingerprint: String = "order:1", isLasting: Bool = true) -> AlertRequest {
        AlertRequest(
            id: id, kind: "orderUnknown", fingerprint: fingerprint, summary: "lost", source: "execution-service/1",
            at: 0, isLasting: isLasting)
    }

    private func at(_ seconds: Double) -> MachineInstant { .origin.advanced(by: .seconds(seconds)) }

    @Test func `taken by the orchestrator in time, nothing is told here`() {
        var handover = AlertHandover(timeout: .seconds(2))
        #expect(handover.handle(.fire(request("1")), at: at(0)) == [.publish(request("1"), .firing)])
        #expect(handover.handle(.acknowledged(id: "1"), at: at(1.9)) == [])
        #expect(handover.handle(.tick, at: at(60)) == [])
        #expect(handover.handle(.resolve(request("2")), at: at(61)) == [.publish(request("2"), .recovered)])
        #expect(handover.handle(.acknowledged(id: "2"), at: at(62)) == [])
        #expect(handover.handle(.tick, at: at(90)) == [] && handover.waiting == 0)
    }

    // CHECKLIST N28, DESIGN 6.
    @Test func `not acknowledged within two seconds it is told here, and so are its repeats and its end`() {
        var handover = AlertHandover(timeout: .seconds(2))
        _ = handover.handle(.fire(request("1")), at: at(0))
        #expect(handover.nextDeadline == at(2))
        #expect(handover.handle(.tick, at: at(1.9)) == [])
        #expect(handover.handle(.tick, at: at(2)) == [.fireHere(request("1"))])
        #expect(handover.handle(.acknowledged(id: "1"), at: at(3)) == [])
        #expect(handover.handle(.fire(request("2")), at: at(4)) == [.fireHere(request("2"))])
        #expect(
            handover.handle(.resolve(request("3")), at: at(5)) == [
                .publish(request("3"), .recovered), .resolveHere(request("3")),
            ])
    }

    @Test func `the orchestrator told it and is gone by the end: the end is told here, with its length`() {
        var handover = AlertHandover(timeout: .seconds(2))
        _ = handover.handle(.fire(request("1")), at: at(0))
        _ = handover.handle(.acknowledged(id: "1"), at: at(1))
        _ = handover.handle(.resolve(request("2")), at: at(30))
        #expect(handover.handle(.tick, at: at(32)) == [.tellRecovery(request("2"), lasted: .seconds(30))])
    }

    @Test func `over before anybody took it: beginning and end are told by the same`() {
        var lost = AlertHandover(timeout: .seconds(2))
        _ = lost.handle(.fire(request("1")), at: at(0))
        _ = lost.handle(.resolve(request("2")), at: at(1))
        #expect(lost.handle(.tick, at: at(2)) == [.fireHere(request("1"))])
        #expect(lost.handle(.tick, at: at(3)) == [.resolveHere(request("2"))])

        var taken = AlertHandover(timeout: .seconds(2))
        _ = taken.handle(.fire(request("1")), at: at(0))
        _ = taken.handle(.resolve(request("2")), at: at(1))
        _ = taken.handle(.acknowledged(id: "1"), at: at(1.5))
        _ = taken.handle(.acknowledged(id: "2"), at: at(1.6))
        #expect(taken.handle(.tick, at: at(9)) == [])

        // The word for the firing was lost, the word for its end was not.
        var half = AlertHandover(timeout: .seconds(2))
        _ = half.handle(.fire(request("1")), at: at(0))
        _ = half.handle(.resolve(request("2")), at: at(1))
        _ = half.handle(.acknowledged(id: "2"), at: at(1.6))
        #expect(half.handle(.tick, at: at(9)) == [.fireHere(request("1")), .resolveHere(request("2"))])
    }

    @Test func `what merely happened leaves nothing behind, and what waits is bounded`() {
        var handover = AlertHandover(timeout: .seconds(2))
        var toldHere = 0
        for number in 0..<1_500 {
            let effects = handover.handle(
                .fire(request("\(number)", "order:\(number)", isLasting: false)), at: at(0))
            toldHere += effects.count { if case .fireHere = $0 { true } else { false } }
        }
        #expect(handover.waiting == 1_000 && toldHere == 500)
        #expect(handover.handle(.tick, at: at(2)).count == 1_000)
        #expect(handover.waiting == 0)
    }

    /// Whatever is acknowledged and whenever, each firing is told by somebody, and nobody ends what he did not tell.
    @Test func `by no schedule is an alert told by nobody`() {
        for seed in UInt64(0)..<2_000 {
            var random = SeededGenerator(seed: seed)
            var handover = AlertHandover(timeout: .seconds(2))
            var now = at(0)
            var (fired, told): (Set<String>, Set<String>) = ([], [])
            var unanswered: [String] = []
            func take(_ effects: [AlertHandover.Effect]) {
                for effect in effects {
                    if case .fireHere(let request) = effect { told.insert(request.id) }
                    if case .publish(let request, .firing) = effect { unanswered.append(request.id) }
                }
            }
            for number in 0..<40 {
                now = now.advanced(by: .milliseconds(Int64.random(in: 0...1_500, using: &random)))
                let fingerprint = "f\(Int.random(in: 0..<4, using: &random))"
                switch Int.random(in: 0..<4, using: &random) {
                case 0, 1:
                    fired.insert("\(number)")
                    take(handover.handle(.fire(request("\(number)", fingerprint)), at: now))
                case 2: take(handover.handle(.resolve(request("r\(number)", fingerprint)), at: now))
                default:
                    if let id = unanswered.randomElement(using: &random) {
                        told.insert(id)
                        take(handover.handle(.acknowledged(id: id), at: now))
                    }
                }
            }
            take(handover.handle(.tick, at: now.advanced(by: .seconds(10))))
            #expect(told.isSuperset(of: fired), "seed \(seed)")
        }
    }
}
