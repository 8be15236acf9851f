import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// What a PING costs, and that nothing breaks when the connection ends under one.
@Suite(.timeLimit(.minutes(3))) struct PingTests {
    @Test func `5.28 a PING goes out once per interval and connection, and not oftener`() async throws {
        let server = try await OwnRedis.started()
        let interval = Duration.milliseconds(100)
        let quick = patientSettings(server.url, ["REDIS_PING_INTERVAL_MS": "\(interval.wholeMilliseconds)"])
        let slow = patientSettings(server.url, ["REDIS_PING_INTERVAL_MS": "600000"])
        try await withClient(slow) { _ in
            try await withClient(quick) { client in
                let clock = MachineClock.real
                let start = clock.now
                let before = try await client.calls(of: "ping")
                try await eventually(within: .seconds(60), "40 PINGs") {
                    try await client.calls(of: "ping") >= before + 40
                }
                let sent = try await client.calls(of: "ping") - before
                let intervals = Double(clock.now.since(start).wholeNanoseconds) / Double(interval.wholeNanoseconds)
                #expect(Double(sent) <= 2 * (intervals + 1))
            }
        }
    }

    @Test func `5.28 a PING costs 21 bytes, 34 with subscriptions, and nothing else is sent`() async throws {
        let reader = SettingsReader(environment: [:])
        _ = RedisSettings(reader)
        let documented = try #require(reader.declared.first { $0.key == "REDIS_PING_INTERVAL_MS" }?.help)
        #expect(documented.contains("21 bytes, 34 with subscriptions"))
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        let settings = patientSettings(
            proxy.url, ["REDIS_PING_INTERVAL_MS": "20", "REDIS_ROLE_CHECK_PINGS": "1000000"])
        try await withClient(settings) { client in
            let subscription = try await client.subscribe(to: ["a"])
            let subscribing = try #require(proxy.commands.last { $0.name == "SUBSCRIBE" }?.link)
            let expected = { @Sendable in
                proxy.commands.filter { $0.name == "PING" }.reduce(0) { $0 + ($1.link == subscribing ? 34 : 21) }
            }
            let total = { @Sendable in proxy.bytes(.toServer) + proxy.bytes(.toClient) }
            let (firstExpected, firstTotal) = (expected(), total())
            try await eventually(within: .seconds(60), "50 PINGs on each") { expected() - firstExpected >= 50 * 55 }
            // One on each connection may be under way at the beginning and at the end.
            let surplus = total() - firstTotal - (expected() - firstExpected)
            #expect(abs(surplus) <= 2 * 55)
            #expect(client.status.commands.reconnects == 0 && client.status.subscriptions.reconnects == 0)
            subscription.cancel()
        }
    }

    /// How a connection ends while its PING is unanswered.
    enum Ending: CaseIterable, Sendable {
        case closed, reset, cancelled, silent
    }

    @Test(arguments: Ending.allCases)
    func `5.49 a connection that ends under a PING ends nothing else`(ending: Ending) async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        let settings = patientSettings(
            proxy.url,
            [
                "REDIS_PING_INTERVAL_MS": "10", "REDIS_RECONNECT_MAX_DELAY_MS": "20",
                "REDIS_PONG_TIMEOUT_MS": ending == .silent ? "100" : "60000",
            ])
        for _ in 1...5 {
            try await withClient(settings) { client in
                for round in 1...5 {
                    let before = client.status
                    try await leaveOnePingUnanswered(on: proxy)
                    // The client ends with its PINGs unanswered.
                    if ending == .cancelled { return }
                    let caller = Task { try await client.ping() }
                    if ending == .closed { try await proxy.close() }
                    if ending == .reset { try await proxy.reset() }
                    try await eventually(within: .seconds(30), "back after round \(round)") {
                        let status = client.status
                        return status.isReady && status.commands.reconnects > before.commands.reconnects
                            && status.subscriptions.reconnects > before.subscriptions.reconnects
                    }
                    // Answered, if it was sent late enough, or told; never left waiting.
                    _ = await caller.result
                    try await eventually(within: .seconds(40), "answers") { (try? await client.ping()) != nil }
                }
            }
            try await eventually(within: .seconds(40), "no socket is left") { try openSockets(to: proxy.port) == 0 }
        }
    }

    /// Makes two links fall silent, each with a PING on its way; later links pass.
    private func leaveOnePingUnanswered(on proxy: FaultProxy) async throws {
        let silenced = NIOLockedValueBox<Set<Int>>([])
        try await proxy.judge { command in
            guard command.name == "PING" else { return .pass }
            return silenced.withLockedValue { links in
                guard links.count < 2 else { return .pass }
                links.insert(command.link)
                return .stallAfter
            }
        }
        try await eventually(within: .seconds(30), "a PING is under way on both connections") {
            silenced.withLockedValue { $0.count } == 2
        }
        try await proxy.pass()
    }
}
