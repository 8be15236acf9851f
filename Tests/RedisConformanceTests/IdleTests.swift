import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// Silence is normal; a lost connection is not.
@Suite(.timeLimit(.minutes(3))) struct IdleTests {
    @Test func `5.20 a channel with a message now and then loses none, and no silent drop stays unseen`() async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        let settings = patientSettings(
            proxy.url, ["REDIS_PING_INTERVAL_MS": "20", "REDIS_PONG_TIMEOUT_MS": "4000"])
        try await withClient(settings) { client in
            let subscription = try await client.subscribe(to: ["sparse"])
            try await collecting(subscription) { collected in
                for number in 1...10 {
                    try await pings(20, through: proxy)
                    #expect(try await server.publish("\(number)", on: "sparse") == 1)
                }
                try await eventually(within: .seconds(20), "all ten") { collected.texts.count == 10 }
                #expect(collected.numbers(on: "sparse") == Array(1...10))
                #expect(proxy.accepted == 2)
                // One silent drop, in a silence: the consumer learns of it although no message follows.
                try await proxy.forget()
                try await eventually(within: .seconds(20), "told") { collected.texts.last == "gap" }
                try await pings(20, through: proxy)
                #expect(try await server.publish("11", on: "sparse") == 1)
                try await eventually(within: .seconds(20), "heard") { collected.texts.last == "sparse=11" }
                #expect(collected.gaps.count == 1)
            }
        }
    }

    /// Waits until so many more PINGs have passed on each of two links: a silence measured in the client's own time.
    private func pings(_ count: Int, through proxy: FaultProxy) async throws {
        let before = proxy.commands.count
        try await eventually(within: .seconds(60), "\(count) PINGs, \(proxy.forgotten) links forgotten") {
            let pings = proxy.commands.dropFirst(before).filter { $0.name == "PING" }
            return Dictionary(grouping: pings, by: \.link).values.count { $0.count >= count } >= 2
        }
    }

    @Test func `5.22 a device that forgets idle links is kept awake by PING, or found out by PONG`() async throws {
        let server = try await OwnRedis.started()
        let awake = try await FaultProxy.start(to: server.port)
        try await withClient(patientSettings(awake.url, ["REDIS_PING_INTERVAL_MS": "200"])) { client in
            let subscription = try await client.subscribe(to: ["a"])
            try await awake.forgetIdle(after: .seconds(5))
            try await pings(30, through: awake)
            #expect(awake.forgotten == 0 && client.status.subscriptions.reconnects == 0)
            #expect(try await server.publish("1", on: "a") == 1)
            #expect(await subscription.next() == .messages([RedisMessage(channel: "a", payload: Array("1".utf8))]))
        }
        let asleep = try await FaultProxy.start(to: server.port)
        try await withClient(
            patientSettings(
                asleep.url, ["REDIS_PING_INTERVAL_MS": "1500", "REDIS_PONG_TIMEOUT_MS": "1000"])
        ) { client in
            let subscription = try await client.subscribe(to: ["a"])
            try await collecting(subscription) { collected in
                try await asleep.forgetIdle(after: .milliseconds(200))
                try await eventually(within: .seconds(20), "both forgotten") { asleep.forgotten >= 2 }
                try await asleep.pass()
                try await eventually(within: .seconds(20), "both replaced") {
                    client.status.commands.reconnects >= 1 && client.status.subscriptions.reconnects >= 1
                        && client.status.isReady
                }
                _ = try await server.publish("2", on: "a")
                try await eventually(within: .seconds(20), "heard") { collected.texts.last == "a=2" }
                #expect(collected.gaps.first == RedisGap(.reconnected))
            }
        }
    }

    @Test func `5.25 an hour of idleness costs no connection`() async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        let time = ManualTime()
        // A PING every second on each connection, as by default; the answers come in real time.
        let settings = patientSettings(proxy.url, ["REDIS_PING_INTERVAL_MS": "1000"])
        try await withClient(settings, clock: .manual(time)) { client in
            let subscription = try await client.subscribe(to: ["a"])
            let before = proxy.commands.count
            await time.untilSleepers(2)
            for second in 1...3600 {
                time.advance(by: .seconds(1))
                await time.untilSleepers(2)
                try await eventually(within: .seconds(20), "PONGs of second \(second)") {
                    client.status.commands.lastPong == time.now && client.status.subscriptions.lastPong == time.now
                }
            }
            let pings = proxy.commands.dropFirst(before).count { $0.name == "PING" }
            #expect(pings == 7200)
            #expect(client.status.commands.reconnects == 0 && client.status.subscriptions.reconnects == 0)
            #expect(proxy.accepted == 2)
            #expect(try await server.publish("1", on: "a") == 1)
            #expect(await subscription.next() == .messages([RedisMessage(channel: "a", payload: Array("1".utf8))]))
        }
    }
}
