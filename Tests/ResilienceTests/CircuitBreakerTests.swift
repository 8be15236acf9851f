import Resilience
import Testing

@Suite struct CircuitBreakerTests {
    private func opened(probes: Int = 1, successes: Int = 1) -> CircuitBreaker {
        var breaker = CircuitBreaker(
            failureThreshold: 3, cooldown: .seconds(60), probes: probes, successThreshold: successes)
        for _ in 0..<3 { breaker.fail(at: at(0)) }
        return breaker
    }

    @Test func `it opens after the threshold of consecutive failures`() {
        // CHECKLIST R4, W4.
        var breaker = CircuitBreaker(failureThreshold: 10, cooldown: .seconds(60))
        for _ in 0..<9 { breaker.fail(at: at(0)) }
        #expect(breaker.state == .closed)
        breaker.fail(at: at(1))
        #expect(breaker.state == .open)
        #expect(breaker.openUntil == at(61))
        #expect(breaker.openings == 1)
    }

    @Test func `a success between failures starts the count over`() {
        var breaker = CircuitBreaker(failureThreshold: 2, cooldown: .seconds(1))
        breaker.fail(at: at(0))
        breaker.succeed(at: at(0))
        breaker.fail(at: at(0))
        #expect(breaker.state == .closed)
    }

    @Test func `nothing is permitted during the cooldown`() {
        var breaker = opened()
        let answers = stride(from: 0.0, to: 60, by: 0.5).map { breaker.permits(at: at($0)) }
        #expect(answers.allSatisfy { !$0 })
        #expect(breaker.wait(at: at(20)) == .seconds(40))
    }

    @Test(arguments: [1, 3]) func `half-open permits only so many probes at once`(probes: Int) {
        // CHECKLIST N27.
        var breaker = opened(probes: probes)
        let permitted = (0..<10).count { _ in breaker.permits(at: at(60)) }
        #expect(permitted == probes)
        #expect(breaker.state == .halfOpen)
    }

    @Test func `a successful probe closes it`() {
        var breaker = opened()
        _ = breaker.permits(at: at(60))
        breaker.succeed(at: at(60))
        #expect(breaker.state == .closed)
        #expect(breaker.consecutiveFailures == 0)
    }

    @Test func `it closes only after the success threshold`() {
        // CHECKLIST R48: two successes.
        var breaker = opened(successes: 2)
        _ = breaker.permits(at: at(60))
        breaker.succeed(at: at(60))
        #expect(breaker.state == .halfOpen)
        let second = breaker.permits(at: at(60))
        #expect(second)
        breaker.succeed(at: at(61))
        #expect(breaker.state == .closed)
    }

    @Test func `a failed probe opens it for another cooldown`() {
        var breaker = opened()
        _ = breaker.permits(at: at(60))
        breaker.fail(at: at(65))
        #expect(breaker.state == .open)
        #expect(breaker.openUntil == at(125))
        #expect(breaker.openings == 2)
    }

    @Test func `a probe that is never reported frees its slot after a cooldown`() {
        var breaker = opened()
        _ = breaker.permits(at: at(60))
        let early = breaker.permits(at: at(119))
        let late = breaker.permits(at: at(120))
        #expect(!early && late)
    }

    @Test func `reports that match no permitted call change nothing`() {
        var breaker = opened()
        breaker.succeed(at: at(1))
        breaker.fail(at: at(1))
        #expect(breaker.state == .open)
        #expect(breaker.openUntil == at(60))
        _ = breaker.permits(at: at(60))
        breaker.succeed(at: at(60))
        #expect(breaker.state == .closed)
        breaker.succeed(at: at(60))
        #expect(breaker.state == .closed)
    }

    @Test func `a reset closes it from anywhere`() {
        // CHECKLIST R47.
        var open = opened()
        open.reset()
        let permitted = open.permits(at: at(0))
        #expect(permitted && open.state == .closed)
    }
}

@Suite struct ReconnectionTests {
    private func machine(failureThreshold: Int = 10) -> Reconnection {
        Reconnection(
            backoff: Backoff(jitter: 0, resetAfter: .seconds(60)),
            breaker: CircuitBreaker(failureThreshold: failureThreshold, cooldown: .seconds(60)))
    }

    @Test func `the first connect is not a reconnect`() {
        // CHECKLIST R8.
        var machine = machine()
        var random = SeededGenerator(seed: 1)
        _ = machine.attempt(at: at(0))
        _ = machine.failed(at: at(0), using: &random)
        _ = machine.attempt(at: at(1))
        machine.connected(at: at(1))
        #expect(machine.reconnects == 0 && machine.connects == 1 && machine.failures == 1)
        _ = machine.failed(at: at(100), using: &random)
        _ = machine.attempt(at: at(101))
        machine.connected(at: at(101))
        #expect(machine.reconnects == 1)
        #expect(machine.failures == 1, "losing a stable connection is not a failed attempt")
    }

    @Test func `accept-then-drop backs off`() {
        // CHECKLIST W8.
        var machine = machine()
        var random = SeededGenerator(seed: 1)
        var delays: [Duration] = []
        for round in 0..<7 {
            let now = at(Double(round) * 100)
            let began = machine.attempt(at: now)
            #expect(began)
            machine.connected(at: now)
            delays.append(machine.failed(at: now, using: &random))
        }
        #expect(delays == [1, 2, 4, 8, 16, 32, 60].map { .seconds($0) })
    }

    @Test func `the breaker's cooldown takes over after so many failures`() {
        // CHECKLIST R4, W4, W9.
        var machine = machine(failureThreshold: 3)
        var random = SeededGenerator(seed: 1)
        var last = Duration.zero
        for _ in 0..<3 {
            _ = machine.attempt(at: at(0))
            #expect(machine.state == .connecting)
            last = machine.failed(at: at(0), using: &random)
        }
        #expect(machine.state == .open)
        #expect(last == .seconds(60))
        let early = machine.attempt(at: at(59))
        let due = machine.attempt(at: at(60))
        let second = machine.attempt(at: at(60))
        #expect(!early && due && !second)
        machine.connected(at: at(60))
        #expect(machine.state == .connected && machine.breaker.state == .closed)
    }

    @Test func `a peer that was reached another way is tried at once, and not while it is tried`() {
        var machine = machine(failureThreshold: 1)
        var random = SeededGenerator(seed: 1)
        _ = machine.attempt(at: at(0))
        let early = machine.reachable()
        #expect(!early && machine.state == .connecting)
        _ = machine.failed(at: at(0), using: &random)
        #expect(machine.state == .open)
        let reachable = machine.reachable()
        let begins = machine.attempt(at: at(1))
        #expect(reachable && begins && machine.breaker.state == .closed)
        machine.connected(at: at(1))
        let late = machine.reachable()
        #expect(!late && machine.state == .connected)
    }

    @Test func `a connection that was given up is no failure, and is opened again before long`() {
        var machine = machine(failureThreshold: 3)
        var random = SeededGenerator(seed: 1)
        var delays: [Duration] = []
        for round in 0..<6 {
            let now = at(Double(round) * 10)
            let begins = machine.attempt(at: now)
            #expect(begins)
            machine.connected(at: now)
            delays.append(machine.gaveUp(at: now, waitingAtMost: .seconds(3), using: &random))
        }
        #expect(delays == [1, 2, 3, 3, 3, 3].map { .seconds($0) })
        #expect(machine.failures == 0 && machine.breaker.state == .closed && machine.state == .waiting)
        _ = machine.attempt(at: at(100))
        let delay = machine.gaveUp(at: at(100), waitingAtMost: .seconds(3), using: &random)
        #expect(delay == .seconds(60) && machine.failures == 1, "what was never connected has failed")
    }

    @Test func `illegal reports change nothing`() {
        var machine = machine()
        var random = SeededGenerator(seed: 1)
        machine.connected(at: at(0))
        #expect(machine.state == .waiting && machine.connects == 0)
        _ = machine.failed(at: at(0), using: &random)
        #expect(machine.failures == 0)
        _ = machine.attempt(at: at(0))
        machine.connected(at: at(0))
        let again = machine.attempt(at: at(1))
        #expect(!again && machine.state == .connected)
    }
}
