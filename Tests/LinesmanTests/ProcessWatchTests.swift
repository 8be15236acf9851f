import Hosting
import Resilience
import Runtime
import Servers
import Testing

@testable import Linesman

/// One supervised process, on paper.
@Suite struct ProcessWatchTests {
    private func at(_ seconds: Double) -> MachineInstant { .origin.advanced(by: .seconds(seconds)) }
    private func make(isHeard: Bool = true, _ change: (inout ProcessWatch.Policy) -> Void = { _ in }) -> ProcessWatch {
        var policy = ProcessWatch.Policy()
        change(&policy)
        return ProcessWatch(policy, isHeard: isHeard, startedAt: at(0))
    }

    private let crash = ProcessWatch.Event.ended(.status(.signalled(9)))

    @Test func `a crash is restarted after its delay, and the fourth in a row raises an alert`() {
        var watch = make()
        #expect(watch.handle(.heard, at: at(1)) == [.report(.ready)])
        var now = 10.0
        for (attempt, delay) in [(1, 5.0), (2, 15), (3, 45)] {
            let effects = watch.handle(crash, at: at(now))
            #expect(
                effects == [
                    .report(
                        .ended(
                            .status(.signalled(9)), wasHung: false,
                            then: .restart(attempt: attempt, after: .seconds(delay))))
                ])
            #expect(watch.handle(.tick, at: at(now + delay - 0.1)).isEmpty && !watch.isUp)
            now += delay
            #expect(watch.handle(.tick, at: at(now)) == [.start])
            #expect(watch.state == .starting && watch.restarts == attempt)
        }
        let last = watch.handle(crash, at: at(now))
        #expect(last.last == .raise(.crashLoop(crashes: 4, .status(.signalled(9)))))
        #expect(watch.state == .coolingDown(until: at(now + 600)))
        #expect(watch.handle(.tick, at: at(now + 599)).isEmpty)
        #expect(watch.handle(.tick, at: at(now + 600)) == [.start])
    }

    // CHECKLIST R103, N23, N24: what `linesman up` does when nobody has set anything.
    @Test func `by default a trap of what ran is restarted after a second, and a start that fails after five`() {
        let budget = SupervisorSettings(SettingsReader(environment: [:])).budget
        func waits(comingUp: Bool) -> [Duration] {
            var watch = make { $0.budget = budget }
            var now = at(0)
            var waits: [Duration] = []
            for _ in 0..<4 {
                if comingUp { _ = watch.handle(.heard, at: now) }
                _ = watch.handle(.ended(.status(.signalled(5))), at: now)
                let due = watch.budget.due ?? now
                waits.append(now.duration(to: due))
                now = due
                _ = watch.handle(.tick, at: now)
            }
            return waits
        }
        #expect(waits(comingUp: true) == [.seconds(1), .seconds(15), .seconds(45), .seconds(600)])
        #expect(waits(comingUp: false) == [.seconds(5), .seconds(15), .seconds(45), .seconds(600)])
    }

    @Test func `the alert is over when the process has stayed up, and not before`() {
        var watch = make { policy in
            policy.missThreshold = 0
            policy.budget = RestartBudget(attempts: 0, cooldown: .seconds(10), stableAfter: .seconds(60))
        }
        _ = watch.handle(crash, at: at(0))
        _ = watch.handle(.tick, at: at(10))
        #expect(watch.handle(.tick, at: at(100)).isEmpty, "it was not heard yet")
        _ = watch.handle(.heard, at: at(100))
        #expect(watch.handle(.tick, at: at(101)) == [.recover])
        #expect(watch.handle(.tick, at: at(102)).isEmpty)
    }

    @Test func `three looks in a row without a sign of life mean that it hangs`() {
        var watch = make()
        _ = watch.handle(.heard, at: at(1))
        #expect(watch.handle(.tick, at: at(5)).isEmpty, "it was heard")
        #expect(watch.handle(.tick, at: at(10)).isEmpty && watch.handle(.tick, at: at(15)).isEmpty)
        _ = watch.handle(.heard, at: at(16))
        for second in [20.0, 25, 30] { #expect(watch.handle(.tick, at: at(second)).isEmpty) }
        #expect(watch.handle(.tick, at: at(35)) == [.report(.hangs(misses: 3)), .terminate])
        #expect(watch.handle(.tick, at: at(39.9)).isEmpty)
        #expect(watch.handle(.tick, at: at(40)) == [.report(.killed), .kill])
        #expect(watch.handle(.tick, at: at(41)).isEmpty, "killed once")
        let effects = watch.handle(crash, at: at(41))
        guard case .report(.ended(_, true, .restart(attempt: 1, _)))? = effects.first else {
            Issue.record("\(effects)")
            return
        }
    }

    @Test func `a supervisor that stood still itself sentences nobody`() {
        var watch = make()
        _ = watch.handle(.heard, at: at(1))
        _ = watch.handle(.tick, at: at(5))
        #expect(watch.handle(.tick, at: at(3_600)).isEmpty, "one look, however late")
        _ = watch.handle(.heard, at: at(3_600.1))
        #expect(watch.handle(.tick, at: at(3_605)).isEmpty)
        #expect(watch.state == .running)
    }

    @Test func `a start that never becomes ready hangs, and one that need not be heard never does`() {
        var watch = make { $0.readyWithin = .seconds(75) }
        #expect(watch.handle(.tick, at: at(74)).isEmpty)
        #expect(watch.handle(.tick, at: at(75)) == [.report(.isSlow(.seconds(75))), .terminate])
        var silent = make(isHeard: false)
        var never = make { $0.missThreshold = 0 }
        for second in stride(from: 0.0, to: 10_000, by: 5) {
            #expect(silent.handle(.tick, at: at(second)).isEmpty && never.handle(.tick, at: at(second)).isEmpty)
        }
    }

    @Test(arguments: [Int32(78), 64])
    func `bad settings are not tried again before somebody asks`(code: Int32) {
        var watch = make()
        let effects = watch.handle(.ended(.status(.exited(code))), at: at(1))
        #expect(
            effects == [
                .report(.ended(.status(.exited(code)), wasHung: false, then: .refused)), .raise(.refusedSettings),
            ])
        #expect(watch.handle(.tick, at: at(1_000_000)).isEmpty && watch.state == .refused && !watch.wasEverReady)
        _ = watch.handle(.retry, at: at(1_000_001))
        #expect(watch.handle(.tick, at: at(1_000_001)) == [.start])
        _ = watch.handle(.heard, at: at(1_000_002))
        #expect(watch.wasEverReady)
        #expect(watch.handle(.tick, at: at(1_000_061)).contains(.recover))
    }

    @Test func `a process whose servers are missing is tried for ever, and people are told at the third time`() {
        var watch = make()
        var now = 0.0
        for start in 1...20 {
            now += 60
            let effects = watch.handle(.ended(.status(.exited(69))), at: at(now))
            #expect(effects.contains(.raise(.serversMissing(starts: start))) == (start >= 3))
            now += 5
            #expect(watch.handle(.tick, at: at(now)) == [.start])
        }
        #expect(watch.budget.crashes(at: at(now)) == 0)
    }

    @Test func `what stops is not started again, and what has ended stays so`() {
        var watch = make()
        _ = watch.handle(.heard, at: at(1))
        #expect(watch.handle(.stop, at: at(2)).isEmpty && watch.state == .stopping)
        #expect(watch.handle(.heard, at: at(2)).isEmpty && watch.handle(.retry, at: at(2)).isEmpty)
        let end = ProcessWatch.End.status(.exited(0))
        #expect(watch.handle(.ended(end), at: at(3)) == [.report(.ended(end, wasHung: false, then: .stopped))])
        #expect(watch.handle(.ended(end), at: at(4)).isEmpty && watch.handle(.tick, at: at(99)).isEmpty)
        #expect(watch.state == .stopped)
        var waiting = make()
        _ = waiting.handle(crash, at: at(1))
        _ = waiting.handle(.stop, at: at(2))
        #expect(waiting.state == .stopped && waiting.handle(.tick, at: at(99)).isEmpty)
    }

    @Test func `what cannot be started counts as a crash`() {
        var watch = make { $0.budget = RestartBudget(delays: [.zero], attempts: 1, cooldown: .seconds(9)) }
        _ = watch.handle(crash, at: at(1))
        #expect(watch.handle(.tick, at: at(1)) == [.start])
        let effects = watch.handle(.ended(.notStarted("no memory")), at: at(1))
        #expect(effects.contains(.raise(.crashLoop(crashes: 2, .notStarted("no memory")))))
        #expect(watch.state == .coolingDown(until: at(10)))
    }
}
