import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// How often is tried, and that each success wipes the slate.
@Suite(.timeLimit(.minutes(3))) struct ReconnectionTests {
    /// In which way the server does not want us.
    enum Refusal: String, CaseIterable, Sendable {
        case listenerClosed
        case acceptedThenDropped
        case droppedAfterLogin
    }

    @Test(arguments: Refusal.allCases)
    func `5.23 attempts while refused keep to the backoff`(refusal: Refusal) async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        let settings = patientSettings(
            proxy.url,
            [
                "REDIS_RECONNECT_BASE_DELAY_MS": "50", "REDIS_RECONNECT_MAX_DELAY_MS": "400",
                "REDIS_RECONNECT_JITTER_PCT": "0.2", "REDIS_RECONNECT_MAX_FAILURES": "1000",
            ])
        try await withClient(settings) { client in
            let subscription = try await client.subscribe(to: ["a"])
            let start = MachineClock.real.now
            let before = client.status.subscriptions.failures
            switch refusal {
            case .listenerClosed: try await proxy.refuse()
            case .acceptedThenDropped: try await proxy.admit(.drop)
            case .droppedAfterLogin: try await proxy.judge { $0.name == "SUBSCRIBE" ? .cutBefore : .pass }
            }
            let accepted = proxy.accepted
            try await proxy.close()
            try await eventually(within: .seconds(20), "ten failures") {
                client.status.subscriptions.failures >= before + 10
            }
            let failures = client.status.subscriptions.failures - before
            let links = refusal == .droppedAfterLogin ? 1 : 2
            let most = Self.attempts(settings.backoff, within: MachineClock.real.now.since(start)) + 1
            #expect(failures <= most)
            switch refusal {
            case .listenerClosed: #expect(proxy.accepted == accepted)
            // The link that carries commands is accepted again once after a drop behind the login.
            default: #expect(proxy.accepted - accepted <= most * links + 1)
            }
            try await proxy.pass()
            try await proxy.listen()
            try await eventually(within: .seconds(20), "live again") { client.status.isReady }
            subscription.cancel()
        }
    }

    /// The most attempts the backoff may make in that time, with every delay at its shortest.
    private static func attempts(_ backoff: Backoff, within time: Duration) -> Int {
        var schedule = backoff
        var generator = SeededGenerator(seed: 1)
        var left = time
        var attempts = 0
        while left >= .zero {
            attempts += 1
            left -= schedule.upcoming * (1 - backoff.jitter)
            _ = schedule.next(using: &generator)
        }
        return attempts
    }

    @Test func `5.26 every success wipes the slate: a found link is never given up for an old failure`() async throws {
        for seed in 1...400 { Self.checkReconnection(seed: UInt64(seed)) }
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        try await withClient(
            patientSettings(proxy.url, ["REDIS_PING_INTERVAL_MS": "50", "REDIS_PONG_TIMEOUT_MS": "2000"])
        ) { client in
            let subscription = try await client.subscribe(to: ["a"])
            for time in 1...2 {
                try await proxy.forget()
                try await eventually(within: .seconds(20), "replaced") {
                    client.status.commands.reconnects == time && client.status.subscriptions.reconnects == time
                        && client.status.isReady
                }
            }
            // From here on it holds: the missing PONGs of before count no more.
            let pong = try #require(client.status.subscriptions.lastPong)
            try await eventually(within: .seconds(20), "further PONGs") {
                (client.status.subscriptions.lastPong ?? pong).since(pong) > .seconds(2)
            }
            #expect(client.status.commands.reconnects == 2 && client.status.subscriptions.reconnects == 2)
            #expect(proxy.accepted == 6)
            subscription.cancel()
        }
    }

    /// Drives the state machine through random failures and successes and checks what must hold after each.
    private static func checkReconnection(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let backoff = Backoff(
            base: .milliseconds(100), cap: .seconds(5), jitter: 0.5, jitterOnlyShortens: true, resetAfter: .seconds(10))
        let breaker = CircuitBreaker(failureThreshold: 3, cooldown: .seconds(2))
        var machine = Reconnection(backoff: backoff, breaker: breaker)
        var now = MachineInstant.origin
        var connects = 0
        var connectedFor: Duration?
        for step in 0..<200 {
            let place: Comment = "seed \(seed), step \(step)"
            switch (machine.state, Int.random(in: 0..<3, using: &random)) {
            case (.waiting, _), (.open, _):
                let mayTry = machine.attempt(at: now)
                #expect(mayTry == (machine.state == .connecting), place)
            case (.connecting, 0):
                machine.connected(at: now)
                connects += 1
                connectedFor = .zero
                #expect(machine.state == .connected, place)
                #expect(machine.breaker.state == .closed && machine.breaker.consecutiveFailures == 0, place)
            case (.connected, 1...):
                break
            default:
                let delay = machine.failed(at: now, using: &random)
                #expect(delay <= max(backoff.cap, breaker.cooldown), place)
                if let held = connectedFor, held >= backoff.resetAfter { #expect(delay <= backoff.base, place) }
                connectedFor = nil
                // Whoever waits as told may try: no state is a dead end.
                now = now.advanced(by: delay)
                let mayTry = machine.attempt(at: now)
                #expect(mayTry, place)
            }
            let isTaken = machine.state == .connecting || machine.state == .connected
            let second = machine.attempt(at: now)
            if isTaken { #expect(!second, place) }
            #expect(machine.connects == connects && machine.reconnects == max(0, connects - 1), place)
            let passed = Duration.milliseconds(Int.random(in: 0...8000, using: &random))
            now = now.advanced(by: passed)
            if machine.state == .connected { connectedFor = (connectedFor ?? .zero) + passed }
        }
    }
}
