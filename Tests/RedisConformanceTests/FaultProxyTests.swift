import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// The proxy breaks what it says it breaks; otherwise the tests that use it prove nothing.
@Suite(.timeLimit(.minutes(2))) struct FaultProxyTests {
    /// Settings whose PING never interferes.
    private func calm(_ url: String) -> RedisSettings {
        patientSettings(url, ["REDIS_PING_INTERVAL_MS": "600000"])
    }

    private func set(_ client: RedisClient, to value: String) async throws {
        _ = try await client.send(["SET", "k", .text(value)], timeout: .milliseconds(300))
    }

    @Test func `a stalled link closes nothing, and delivers what was held when it passes again`() async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        try await withClient(calm(proxy.url)) { client in
            #expect(proxy.accepted == 2)
            try await proxy.stall([.toClient])
            await #expect(throws: RedisError.self) { try await set(client, to: "arrived") }
            try await eventually(within: .seconds(20), "the server has it") {
                try await server.ask("GET", "k") == ["arrived"]
            }
            try await proxy.stall()
            await #expect(throws: RedisError.self) { try await set(client, to: "late") }
            #expect(try await server.ask("GET", "k") == ["arrived"])
            try await proxy.pass()
            try await eventually(within: .seconds(20), "held bytes arrive") {
                try await server.ask("GET", "k") == ["late"]
            }
            #expect(try await client.get("k") == Array("late".utf8))
            #expect(client.status.commands.reconnects == 0 && proxy.accepted == 2 && proxy.open == 2)
        }
        try await eventually(within: .seconds(20), "closed with the client") { proxy.open == 0 }
    }

    @Test func `commands are recorded in order, cut before they pass, or robbed of their reply`() async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        try await withClient(calm(proxy.url)) { client in
            try await proxy.judge { command in
                switch command.words.last {
                case "before": .cutBefore
                case "reply": .cutAtReply
                default: .pass
                }
            }
            for (cuts, word, stored) in [(0, "plain", "plain"), (1, "before", "plain"), (2, "reply", "reply")] {
                // Two of the three are lost.
                try? await client.set("k", to: .text(word))
                #expect(try await server.ask("GET", "k") == [stored])
                try await eventually(within: .seconds(20), "connected") {
                    client.status.commands.reconnects == cuts && client.status.isReady
                }
            }
            let sets = proxy.commands.filter { $0.name == "SET" }
            #expect(sets.map(\.words) == [["SET", "k", "plain"], ["SET", "k", "before"], ["SET", "k", "reply"]])
        }
    }

    @Test func `links are cut after so many bytes, closed, reset, refused, dropped, ignored`() async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        let settings = fastSettings(
            proxy.url, ["REDIS_CONNECT_TIMEOUT_MS": "1000", "REDIS_RECONNECT_MAX_DELAY_MS": "20"])
        try await withClient(settings) { client in
            func again(after reconnects: Int) async throws {
                try await eventually(within: .seconds(20), "connected again") {
                    client.status.commands.reconnects > reconnects && client.status.isReady
                }
            }
            var reconnects = client.status.commands.reconnects
            try await proxy.close()
            try await again(after: reconnects)
            reconnects = client.status.commands.reconnects
            try await proxy.reset()
            try await again(after: reconnects)
            reconnects = client.status.commands.reconnects
            try await proxy.cut(after: 20, .toClient)
            _ = try? await client.command("ECHO", "more than the twenty bytes that may pass")
            try await eventually(within: .seconds(20), "login cut") { client.status.commands.failures > 2 }
            try await proxy.pass()
            try await again(after: reconnects)

            let accepted = proxy.accepted
            try await proxy.refuse()
            try await proxy.close()
            try await eventually(within: .seconds(20), "refused") {
                client.status.commands.lastError == .connectFailed
            }
            #expect(proxy.accepted == accepted)
            try await proxy.admit(.drop)
            try await proxy.listen()
            try await eventually(within: .seconds(20), "dropped") {
                client.status.commands.lastError == .connectionLost
            }
            try await proxy.admit(.ignore)
            try await eventually(within: .seconds(20), "ignored") {
                [.connectTimedOut, .commandTimedOut].contains(client.status.commands.lastError)
            }
            try await proxy.pass()
            try await eventually(within: .seconds(20), "connected") { client.status.isReady }
        }
    }

    @Test func `bytes are delayed in order, and an idle link is forgotten in silence`() async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        try await withClient(calm(proxy.url)) { client in
            try await proxy.delay(.milliseconds(30))
            let started = MachineClock.real.now
            for number in 1...5 {
                #expect(try await client.command("ECHO", "\(number)").text == "\(number)")
            }
            #expect(MachineClock.real.now.since(started) >= .milliseconds(300))
            try await proxy.pass()
            try await proxy.forgetIdle(after: .milliseconds(100))
            try await eventually(within: .seconds(20), "forgotten") { proxy.forgotten == 2 }
            await #expect(throws: RedisError.self) { try await client.ping(timeout: .milliseconds(300)) }
            #expect(client.status.commands.isConnected && proxy.open == 2)
        }
    }
}
