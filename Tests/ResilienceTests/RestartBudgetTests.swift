import Resilience
import Testing

/// CHECKLIST R103, N24: 5, 15, 45 s, then a cooldown of 600 s.
@Suite struct RestartBudgetTests {
    private func at(_ seconds: Double) -> MachineInstant { .origin.advanced(by: .seconds(seconds)) }

    /// Crashes at once after every restart; returns the waits, in seconds.
    private func waits(_ budget: inout RestartBudget, _ count: Int, from start: Double = 0) -> [Double] {
        var now = at(start)
        return (0..<count).map { _ in
            let due = budget.crashed(at: now) ?? now
            let wait = now.duration(to: due).inSeconds
            now = due
            let started = budget.start(at: now)
            #expect(started)
            return wait
        }
    }

    @Test func `a crash loop gets three restarts, a cooldown, and then its whole budget again`() {
        var budget = RestartBudget()
        #expect(waits(&budget, 8) == [5, 15, 45, 600, 5, 15, 45, 600])
        #expect(budget.restarts == 8)
    }

    // CHECKLIST N23: back within five seconds.
    @Test func `what had come up waits no longer than the prompt delay at its first crash, and as ever at the next`() {
        var budget = RestartBudget(prompt: .seconds(1))
        var now = at(0)
        var waits: [Double] = []
        for _ in 0..<8 {
            let due = budget.crashed(at: now, hadComeUp: true) ?? now
            waits.append(now.duration(to: due).inSeconds)
            now = due
            _ = budget.start(at: now)
        }
        #expect(waits == [1, 15, 45, 600, 1, 15, 45, 600])
        #expect(budget.crashed(at: now.advanced(by: .seconds(601))) == now.advanced(by: .seconds(606)), "not come up")
        var quick = RestartBudget(delays: [.milliseconds(200)], prompt: .seconds(1))
        let due = quick.crashed(at: at(0), hadComeUp: true)
        #expect(due == at(0).advanced(by: .milliseconds(200)), "it makes no wait longer")
    }

    @Test func `crashes longer ago than the window no longer count`() {
        var budget = RestartBudget()
        #expect(waits(&budget, 2) == [5, 15])
        #expect(budget.crashes(at: at(21)) == 2)
        #expect(budget.crashes(at: at(600)) == 1, "the first was at 0 s")
        #expect(budget.crashes(at: at(605)) == 0)
        #expect(waits(&budget, 1, from: 621) == [5])
        var slow = RestartBudget()
        for crash in 0..<20 { #expect(waits(&slow, 1, from: Double(crash) * 601) == [5]) }
        #expect(!slow.isLooping)
    }

    @Test func `more attempts than delays use the last delay, and no attempt cools down at once`() {
        var budget = RestartBudget(delays: [.seconds(1), .seconds(2)], attempts: 4)
        #expect(waits(&budget, 5) == [1, 2, 2, 2, 600])
        var none = RestartBudget(attempts: 0, cooldown: .seconds(7))
        #expect(waits(&none, 2) == [7, 7])
    }

    @Test func `what is down cannot crash, and nothing starts before it is due or twice`() {
        var budget = RestartBudget()
        var started = budget.start(at: at(0))
        #expect(!started && budget.state == .up && budget.restarts == 0)
        #expect(budget.crashed(at: at(10)) == at(15))
        #expect(budget.crashed(at: at(11)) == nil && budget.excused(at: at(11)) == nil)
        #expect(budget.state == .waiting(until: at(15)))
        started = budget.start(at: at(14.9))
        #expect(!started)
        started = budget.start(at: at(15))
        #expect(started)
        started = budget.start(at: at(16))
        #expect(!started && budget.restarts == 1)
    }

    @Test func `a loop is over once it has been up for long enough after its cooldown, and is told once`() {
        var budget = RestartBudget()
        _ = waits(&budget, 3)
        #expect(!budget.isLooping)
        #expect(budget.crashed(at: at(65)) == at(665))
        #expect(budget.isLooping && budget.state == .coolingDown(until: at(665)))
        var isSettled = budget.settled(at: at(660))
        #expect(!isSettled, "it is not up")
        _ = budget.start(at: at(665))
        isSettled = budget.settled(at: at(724.9))
        #expect(!isSettled)
        _ = budget.crashed(at: at(724.9))
        _ = budget.start(at: at(729.9))
        isSettled = budget.settled(at: at(789))
        #expect(!isSettled, "a crash begins the time anew")
        isSettled = budget.settled(at: at(789.9))
        #expect(isSettled && !budget.isLooping)
        isSettled = budget.settled(at: at(900))
        #expect(!isSettled)
    }

    @Test func `an end that is excused costs nothing, however often`() {
        var budget = RestartBudget()
        var now = at(0)
        for _ in 0..<50 {
            let due = budget.excused(at: now)
            #expect(due == now.advanced(by: .seconds(5)))
            now = due ?? now
            _ = budget.start(at: now)
        }
        #expect(budget.crashes(at: now) == 0 && !budget.isLooping)
        #expect(budget.crashed(at: now) == now.advanced(by: .seconds(5)))
    }

    @Test func `an operator brings a start forward, with the whole budget`() {
        var budget = RestartBudget()
        budget.hasten(at: at(0))
        #expect(budget.state == .up, "it is up already")
        _ = waits(&budget, 3)
        _ = budget.crashed(at: at(65))
        budget.hasten(at: at(70))
        let started = budget.start(at: at(70))
        #expect(started)
        #expect(waits(&budget, 4, from: 70) == [5, 15, 45, 600])
    }
}
