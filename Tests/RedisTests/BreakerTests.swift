import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// The breaker and the backoff in front of a real socket, on a clock that the test moves.
@Suite(.timeLimit(.minutes(2))) struct BreakerTests {
    @Test func `no connection is tried during the cool-down, and one per link after it`() async throws {
        // CHECKLIST R4, W4, N27.
        let fake = try await FakeRedis.start { _ in .close }
        let time = ManualTime()
        let settings = patientSettings(
            fake.url,
            [
                "REDIS_RECONNECT_MAX_FAILURES": "3", "REDIS_BREAKER_COOLDOWN_MS": "60000",
                "REDIS_RECONNECT_JITTER_PCT": "0",
            ])
        try await withClient(settings, clock: .manual(time), awaitsConnection: false) { client in
            let links = { @Sendable in [client.status.commands, client.status.subscriptions] }
            for attempt in 1...3 {
                try await eventually(within: .seconds(20), "attempt \(attempt)") {
                    links().allSatisfy { $0.failures == attempt }
                }
                await time.untilSleepers(2)
                if attempt < 3 { time.advance(by: .milliseconds(100)) }
            }
            let open = links().allSatisfy { $0.breaker == .open && $0.openings == 1 }
            #expect(open && fake.accepted == 6)
            for _ in 1...59 {
                time.advance(by: .seconds(1))
                await time.untilSleepers(2)
            }
            #expect(fake.accepted == 6, "nobody knocks while it is open")
            time.advance(by: .seconds(1))
            try await eventually(within: .seconds(20), "one probe each") { links().allSatisfy { $0.failures == 4 } }
            await time.untilSleepers(2)
            #expect(fake.accepted == 8)
            let again = links().allSatisfy { $0.breaker == .open && $0.openings == 2 }
            #expect(again, "a failed probe opens it for another cool-down")
        }
    }

    @Test func `a connection that finds the server has the other one try at once, whatever that waits for`()
        async throws
    {
        // Refuses whoever subscribes until it is mended, and cuts the commands off when it is asked to.
        let (isMended, commands) = (NIOLockedValueBox(false), NIOLockedValueBox<Int?>(nil))
        let cut = NIOLockedValueBox(false)
        let fake = try await FakeRedis.start { command in
            if command.words.starts(with: ["CLIENT", "SETNAME"]) {
                guard command.words.last?.hasSuffix(":commands") == true else {
                    return isMended.withLockedValue { $0 } ? nil : .close
                }
                commands.withLockedValue { $0 = command.link }
            }
            let isCut = command.link == commands.withLockedValue { $0 } && cut.withLockedValue { $0 }
            guard isCut, command.words.first == "PING" else { return nil }
            cut.withLockedValue { $0 = false }
            return .close
        }
        let settings = patientSettings(
            fake.url,
            [
                "REDIS_RECONNECT_MAX_FAILURES": "3", "REDIS_BREAKER_COOLDOWN_MS": "80000000",
                "REDIS_RECONNECT_BASE_DELAY_MS": "10", "REDIS_RECONNECT_MAX_DELAY_MS": "10",
                "REDIS_PING_INTERVAL_MS": "10",
            ])
        try await withClient(settings, awaitsConnection: false) { client in
            try await eventually(within: .seconds(20), "one works, the other has given up for a day") {
                client.status.commands.isConnected && client.status.subscriptions.breaker == .open
            }
            isMended.withLockedValue { $0 = true }
            cut.withLockedValue { $0 = true }
            try await eventually(within: .seconds(20), "both work") {
                client.status.commands.reconnects >= 1 && client.status.subscriptions.isConnected
            }
            #expect(client.status.subscriptions.breaker == .closed)
        }
    }

    @Test func `an attempt that hangs has waited already, for its delay and for the breaker`() async throws {
        // As between containers, where what is sent before the server has its address is lost.
        let (asked, time) = (NIOLockedValueBox(0), ManualTime())
        let locator: RedisLocator = {
            asked.withLockedValue { $0 += 1 }
            try await MachineClock.real.sleep(for: .seconds(600))
            throw RedisError(.connectFailed, "nobody is there")
        }
        let settings = patientSettings(
            "redis://127.0.0.1:9",
            [
                "REDIS_CONNECT_TIMEOUT_MS": "1000", "REDIS_RECONNECT_BASE_DELAY_MS": "1000",
                "REDIS_RECONNECT_MAX_DELAY_MS": "1000", "REDIS_RECONNECT_JITTER_PCT": "0",
                "REDIS_RECONNECT_MAX_FAILURES": "3", "REDIS_BREAKER_COOLDOWN_MS": "1000",
            ])
        try await withClient(settings, locator: locator, clock: .manual(time), awaitsConnection: false) { client in
            for attempt in 1...6 {
                try await eventually(within: .seconds(20), "attempt \(attempt) of both") {
                    asked.withLockedValue { $0 } == 2 * attempt
                }
                await time.untilSleepers(2)
                time.advance(by: .seconds(1))
            }
            try await eventually(within: .seconds(20), "the breaker was open in between") {
                client.status.commands.openings >= 2 && client.status.subscriptions.openings >= 2
            }
        }
    }

    @Test func `by default a server is asked after 1, 2, 4 up to 60 s, and found within a minute of its return`()
        async throws
    {
        // CHECKLIST R1, R2.
        let isAway = NIOLockedValueBox(true)
        let fake = try await FakeRedis.start { _ in isAway.withLockedValue { $0 } ? .close : nil }
        let time = ManualTime()
        let environment = [
            "REDIS_URL": fake.url, "REDIS_RECONNECT_JITTER_PCT": "0", "REDIS_CONNECT_TIMEOUT_MS": "15000",
            "REDIS_PING_INTERVAL_MS": "600000",
        ]
        let settings = RedisSettings(SettingsReader(environment: environment))
        try await withClient(settings, clock: .manual(time), awaitsConnection: false) { client in
            let links = { @Sendable in [client.status.commands, client.status.subscriptions] }
            for (index, delay) in [1, 2, 4, 8, 16, 32, 60, 60].enumerated() {
                try await eventually(within: .seconds(20), "attempt \(index + 1) of both has failed") {
                    links().allSatisfy { $0.failures == index + 1 && $0.breaker == .closed }
                }
                await time.untilSleepers(2)
                #expect(time.nextDeadline == time.now.advanced(by: .seconds(delay)))
                if index == 7 { isAway.withLockedValue { $0 = false } }
                time.advance(by: .seconds(delay))
            }
            try await eventually(within: .seconds(20), "found") { client.status.isReady }
            #expect(client.status.commands.reconnects == 0, "it was never there before")
        }
    }

    @Test func `who lets us log in and drops us is backed off from, up to the cap`() async throws {
        // CHECKLIST W3, W8, N27.
        let pings = NIOLockedValueBox<[Int: Int]>([:])
        let fake = try await FakeRedis.start { command in
            guard command.words.first == "PING" else { return nil }
            let number = pings.withLockedValue { counts in
                counts[command.link, default: 0] += 1
                return counts[command.link, default: 0]
            }
            // The first belongs to the login.
            return number == 1 ? nil : .close
        }
        let settings = patientSettings(
            fake.url,
            [
                "REDIS_PING_INTERVAL_MS": "10", "REDIS_RECONNECT_BASE_DELAY_MS": "10",
                "REDIS_RECONNECT_MAX_DELAY_MS": "100", "REDIS_RECONNECT_JITTER_PCT": "0",
                "REDIS_RECONNECT_MAX_FAILURES": "100000",
            ])
        try await withClient(settings, awaitsConnection: false) { client in
            try await hearing(client) { heard in
                let delays = { @Sendable in
                    heard.events.compactMap { event -> Duration? in
                        if case .lost(.commands, _, let delay) = event { delay } else { nil }
                    }
                }
                try await eventually(within: .seconds(30), "at the cap") { delays().count >= 7 }
                // The listener may have come after the first.
                let series = [10, 20, 40, 80, 100, 100, 100, 100].map { Duration.milliseconds($0) }
                let seen = Array(delays().prefix(7))
                #expect(seen == Array(series.prefix(7)) || seen == Array(series.dropFirst().prefix(7)))
            }
        }
    }
}
