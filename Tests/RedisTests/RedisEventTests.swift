import Logging
import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// What an operator is told: typed events, counters and the status.
@Suite(.timeLimit(.minutes(3))) struct RedisEventTests {
    @Test func `a restart is told as a loss, a gap that opens and closes, and a reconnect`() async throws {
        // CHECKLIST R8; PITFALLS 5.8.
        let server = try await OwnRedis.started()
        let metrics = MetricsRegistry()
        try await withClient(fastSettings(server.url), metrics: metrics) { client in
            let label = "{connection=\"commands\"}"
            #expect(metrics.snapshot()["redis_reconnects_total" + label] == 0, "the first connect is no reconnect")
            #expect(metrics.snapshot()["redis_connects_total" + label] == 1)
            let subscriptions = [
                try await client.subscribe(to: ["a"]), try await client.subscribe(to: ["b"], matching: ["p*"]),
            ]
            try await hearing(client) { heard in
                await server.kill()
                try await eventually(within: .seconds(20), "open") { client.status.gapSince != nil }
                #expect(!client.status.isReady)
                try await server.start()
                try await eventually(within: .seconds(20), "closed") {
                    heard.events.contains { if case .gapClosed = $0 { true } else { false } }
                }
                #expect(client.status.gapSince == nil)
                let opened = heard.events.compactMap { event -> (MachineInstant, Int)? in
                    if case .gapOpened(let since, let count) = event { (since, count) } else { nil }
                }
                let lengths = heard.events.compactMap { event -> Duration? in
                    if case .gapClosed(let length) = event { length } else { nil }
                }
                #expect(opened.map(\.1) == [2] && lengths.count == 1, "one gap, however many attempts")
                let first = try #require(opened.first)
                #expect(first.0 <= MachineClock.real.now && lengths[0] <= MachineClock.real.now.since(first.0))
                for role in RedisLinkRole.allCases {
                    let lost = heard.events.count { if case .lost(role, _, _) = $0 { true } else { false } }
                    let again = heard.events.count { if case .connected(role, _, true) = $0 { true } else { false } }
                    #expect(lost == 1 && again == 1, "\(role)")
                }
            }
            try await eventually("counted") { metrics.snapshot()["redis_reconnects_total" + label] == 1 }
            #expect(metrics.snapshot()["redis_events_total{event=\"gap_closed\"}"] == 1)
            #expect(metrics.snapshot()["redis_connected" + label] == 1)
            for subscription in subscriptions { subscription.cancel() }
        }
    }

    @Test func `without subscriptions there is no gap, and one that is cancelled in it ends it`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(fastSettings(server.url)) { client in
            try await hearing(client) { heard in
                try await server.restart()
                try await eventually(within: .seconds(20), "back") {
                    client.status.isReady && client.status.subscriptions.reconnects == 1
                }
                #expect(client.status.gapSince == nil)
                let subscription = try await client.subscribe(to: ["a"])
                await server.kill()
                try await eventually(within: .seconds(20), "open") { client.status.gapSince != nil }
                subscription.cancel()
                #expect(client.status.gapSince == nil)
                try await eventually("told") {
                    heard.events.contains { if case .gapClosed = $0 { true } else { false } }
                }
                let opened = heard.events.count { if case .gapOpened = $0 { true } else { false } }
                #expect(opened == 1)
            }
        }
    }

    @Test func `a subscription that was never live gets no gap for a connection it never had`() async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        try await withClient(fastSettings(proxy.url)) { client in
            let cuts = NIOLockedValueBox(3)
            try await proxy.judge { command in
                guard command.name == "SUBSCRIBE" else { return .pass }
                return cuts.withLockedValue { left in
                    left -= 1
                    return left >= 0 ? .cutBefore : .pass
                }
            }
            let subscription = try await client.subscribe(to: ["a"], timeout: .seconds(30))
            #expect(client.status.subscriptions.reconnects >= 3)
            try await client.publish("1", on: "a")
            #expect(await subscription.next() == .messages([RedisMessage(channel: "a", payload: Array("1".utf8))]))
        }
    }

    @Test func `output buffers that are too small are told at the login, and bound what is published`() async throws {
        // PITFALLS 5.33, 5.35.
        let server = try await OwnRedis.started(["--client-output-buffer-limit", "pubsub 64kb 32kb 60"])
        let log = LogCapture()
        let metrics = MetricsRegistry()
        try await withClient(patientSettings(server.url), log: log, metrics: metrics) { client in
            let status = client.status
            #expect(status.isPubsubLimitTooLow)
            #expect(status.pubsubLimit == OutputBufferLimit(hard: 65_536, soft: 32_768, softSeconds: 60))
            #expect(status.serverVersion?.hasPrefix("7.") == true)
            #expect(status.largestMessage == 8192 && client.largestMessage == 8192)
            #expect(metrics.snapshot()["redis_events_total{event=\"output_buffer_limit_too_low\"}"] == 1)
            try await client.publish(.bytes([UInt8](repeating: 0, count: 8192)), on: "a")
            let error = await #expect(throws: RedisError.self) {
                try await client.publish(.bytes([UInt8](repeating: 0, count: 8193)), on: "a")
            }
            #expect(error?.code == .messageTooLarge && error?.isTransient == false)
            let outcome = NIOLockedValueBox<RedisError.Code?>(nil)
            client.enqueue(["PUBLISH", "a", .bytes([UInt8](repeating: 0, count: 9000))]) { result in
                if case .failure(let error) = result { outcome.withLockedValue { $0 = error.code } }
            }
            #expect(outcome.withLockedValue { $0 } == .messageTooLarge)
            #expect(metrics.snapshot()["redis_messages_too_large_total"] == 2)
            #expect(throws: RedisError.self) { try client.requireSendable(messageOf: 8193) }
            // What is stored is not bound by what subscribers bear.
            try await client.set("large", to: .bytes([UInt8](repeating: 0, count: 100_000)))
        }
    }

    @Test func `the server's default buffers are enough, and a message may be a quarter of the smaller`() async throws {
        let server = try await OwnRedis.started()
        let metrics = MetricsRegistry()
        // Beyond what the server bears: 32 MiB at once, 8 MiB for a minute.
        let settings = patientSettings(server.url, ["REDIS_MAX_MESSAGE_BYTES": "\(32 << 20)"])
        try await withClient(settings, metrics: metrics) { client in
            #expect(!client.status.isPubsubLimitTooLow && client.largestMessage == 2 << 20)
            #expect(metrics.snapshot()["redis_events_total{event=\"output_buffer_limit_too_low\"}"] == 0)
        }
    }

    @Test func `a reader that is too slow for the events loses the oldest, and it is counted`() async throws {
        let metrics = MetricsRegistry()
        // Nobody listens there: each attempt is refused at once.
        let settings = fastSettings(
            "redis://127.0.0.1:1", ["REDIS_RECONNECT_BASE_DELAY_MS": "1", "REDIS_RECONNECT_MAX_DELAY_MS": "1"])
        try await withClient(settings, metrics: metrics, awaitsConnection: false) { client in
            let unread = client.events()
            try await eventually(within: .seconds(60), "more than it may keep") {
                (metrics.snapshot()["redis_events_dropped_total"] ?? 0) > 10
            }
            withExtendedLifetime(unread) {}
        }
    }
}
