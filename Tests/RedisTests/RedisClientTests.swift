import Foundation
import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Runtime
import TestKit
import Testing

@Suite(.timeLimit(.minutes(3))) struct RedisClientTests {
    @Test func `commands are answered in order, and channels and patterns deliver`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(fastSettings(server.url)) { client in
            try await client.set("k", to: "v", expires: .seconds(60))
            let reply1 = try await client.get("k")
            #expect(reply1 == Array("v".utf8))
            let reply2 = try await client.get("absent")
            #expect(reply2 == nil)
            let subscription = try await client.subscribe(to: ["a", "b"], matching: ["p:*"])
            try await collecting(subscription) { collected in
                let reply3 = try await client.publish("1", on: "a")
                #expect(reply3 == 1)
                let reply4 = try await client.publish("2", on: "p:x")
                #expect(reply4 == 1)
                try await client.publish("3", on: "b")
                try await client.publish("nobody", on: "c")
                try await eventually(within: .seconds(20), "three messages") { collected.texts.count == 3 }
                #expect(collected.texts == ["a=1", "p:x=2", "b=3"])
            }
            #expect(client.status.commands.reconnects == 0)
        }
    }

    @Test func `many tasks share one connection and each gets its own reply`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(fastSettings(server.url)) { client in
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for number in 0..<64 {
                    tasks.addTask {
                        for round in 0..<50 {
                            let text = "\(number).\(round)"
                            let reply5 = try await client.command("ECHO", text).text
                            #expect(reply5 == text)
                        }
                    }
                }
                try await tasks.waitForAll()
            }
        }
    }

    @Test func `a restart restores every subscription under traffic, with one gap`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(fastSettings(server.url)) { client in
            let subscription = try await client.subscribe(to: ["a", "b"], matching: ["p:*"])
            try await collecting(subscription) { collected in
                try await withThrowingTaskGroup(of: Void.self) { tasks in
                    tasks.addTask {
                        var number = 0
                        while !Task.isCancelled {
                            number += 1
                            // Without a connection it is lost: that is what the gap says.
                            _ = try? await client.publish("\(number)", on: "a")
                            try await MachineClock.real.sleep(for: .milliseconds(1))
                        }
                    }
                    try await eventually(within: .seconds(20), "traffic") { collected.texts.count > 20 }
                    try await server.restart()
                    try await eventually(within: .seconds(20), "live again") {
                        // Whoever has not noticed yet seems to be ready still.
                        let status = client.status
                        return status.isReady && status.commands.reconnects == 1
                            && status.subscriptions.reconnects == 1
                    }
                    let numbers = try await client.command("PUBSUB", "NUMSUB", "a", "b").array
                    #expect(numbers?.compactMap(\.integer) == [1, 1])
                    let reply6 = try await client.command("PUBSUB", "NUMPAT").integer
                    #expect(reply6 == 1)
                    try await client.publish("last", on: "b")
                    try await client.publish("last", on: "p:x")
                    try await eventually(within: .seconds(20), "both arrive") {
                        collected.texts.contains("b=last") && collected.texts.contains("p:x=last")
                    }
                    tasks.cancelAll()
                }
                #expect(collected.gaps == [RedisGap(.reconnected, dropped: collected.gaps.first?.dropped ?? 0)])
                let numbers = collected.texts.filter { $0.hasPrefix("a=") }.compactMap { Int($0.dropFirst(2)) }
                #expect(numbers == numbers.sorted())
                #expect(Set(numbers).count == numbers.count)
            }
            #expect(client.status.commands.reconnects == 1)
            #expect(client.status.subscriptions.reconnects == 1)
        }
    }

    @Test func `fifty cuts leave as many connections as before and every subscription live`() async throws {
        let server = try await OwnRedis.started()
        let settings = fastSettings(server.url, ["REDIS_RECONNECT_MAX_DELAY_MS": "20"])
        try await withClient(settings, name: "cuts") { client in
            let subscription = try await client.subscribe(to: ["a"], matching: ["p:*"])
            let reply7 = try await client.connectionsSeen("cuts")
            #expect(reply7 == 2)
            for cut in 1...50 {
                _ = try await client.command("CLIENT", "KILL", "TYPE", "pubsub")
                try await eventually(within: .seconds(20), "reconnected \(cut) times") {
                    client.status.subscriptions.reconnects == cut && client.status.isReady
                }
            }
            let reply8 = try await client.connectionsSeen("cuts")
            #expect(reply8 == 2)
            let reply9 = try await client.command("PUBSUB", "NUMSUB", "a").array?.last?.integer
            #expect(reply9 == 1)
            #expect(await subscription.next() == .gap(RedisGap(.reconnected)))
        }
    }

    @Test func `a stopped server is found by the missing PONG`() async throws {
        let server = try await OwnRedis.started()
        let settings = fastSettings(server.url, ["REDIS_PONG_TIMEOUT_MS": "300", "REDIS_CONNECT_TIMEOUT_MS": "300"])
        try await withClient(settings) { client in
            let subscription = try await client.subscribe(to: ["a"])
            server.pause()
            try await eventually(within: .seconds(5), "both connections are given up") {
                !client.status.commands.isConnected && !client.status.subscriptions.isConnected
            }
            await #expect(throws: RedisError.self) { try await client.ping() }
            server.resume()
            try await eventually(within: .seconds(20), "live again") { client.status.isReady }
            #expect(await subscription.next() == .gap(RedisGap(.reconnected)))
            try await client.publish("1", on: "a")
            #expect(await subscription.next() == .messages([RedisMessage(channel: "a", payload: Array("1".utf8))]))
        }
    }

    @Test func `a slow consumer gets one gap and holds up nobody`() async throws {
        let server = try await OwnRedis.started()
        let settings = fastSettings(server.url, ["REDIS_QUEUE_MAX_MESSAGES": "100"])
        try await withClient(settings) { client in
            let slow = try await client.subscribe(to: ["flood"])
            let quick = try await client.subscribe(to: ["other"])
            for number in 1...2000 { client.enqueue(["PUBLISH", "flood", "\(number)"]) { _ in } }
            try await client.publish("through", on: "other")
            #expect(await quick.next() != nil)
            #expect(await slow.next() == .gap(RedisGap(.overflow, dropped: slow.dropped)))
            guard case .messages(let rest)? = await slow.next() else {
                Issue.record("no messages behind the gap")
                return
            }
            #expect(rest.count + slow.dropped == 2000)
            #expect(rest.last?.text == "2000")
            #expect(client.status.subscriptions.reconnects == 0)
        }
    }

    @Test func `subscriptions come and go and leave nothing behind`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(fastSettings(server.url), name: "cycle") { client in
            let kept = try await client.subscribe(to: ["shared"])
            for number in 1...200 {
                let passing = try await client.subscribe(to: ["shared", "passing:\(number % 3)"], matching: ["q:*"])
                passing.cancel()
            }
            try await eventually(within: .seconds(20), "only one name is left") {
                let status = client.status
                return status.desired == 1 && status.observed == 1
            }
            let reply10 = try await client.command("PUBSUB", "CHANNELS").array?.compactMap(\.text)
            #expect(reply10 == ["shared"])
            let reply11 = try await client.command("PUBSUB", "NUMPAT").integer
            #expect(reply11 == 0)
            let reply12 = try await client.connectionsSeen("cycle")
            #expect(reply12 == 2)
            try await client.publish("1", on: "shared")
            #expect(await kept.next() != nil)
        }
    }

    @Test func `a command that timed out does not shift the replies of the next`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(fastSettings(server.url, ["REDIS_PONG_TIMEOUT_MS": "5000"])) { client in
            await #expect(throws: RedisError(.commandTimedOut, "no reply in time")) {
                try await client.send(["BLPOP", "empty", "0.4"], timeout: .milliseconds(50))
            }
            let reply13 = try await client.command("ECHO", "mine").text
            #expect(reply13 == "mine")
            let cancelled = Task { try await client.send(["BLPOP", "empty", "0.2"]) }
            cancelled.cancel()
            await #expect(throws: RedisError.self) { try await cancelled.value }
            let reply14 = try await client.command("ECHO", "mine too").text
            #expect(reply14 == "mine too")
            #expect(client.status.commands.reconnects == 0)
        }
    }

    @Test func `a server that starts late is found, and the first connect is no reconnect`() async throws {
        let server = try OwnRedis()
        try await withClient(fastSettings(server.url), awaitsConnection: false) { client in
            try await eventually(within: .seconds(20), "attempts") { client.status.commands.failures > 2 }
            await #expect(throws: RedisError.self) { try await client.ping() }
            await #expect(throws: RedisError.self) {
                try await client.subscribe(to: ["a"], timeout: .milliseconds(100))
            }
            #expect(client.status.desired == 0)
            try await server.start()
            try await client.subscribe(to: ["a"]).cancel()
            try await eventually(within: .seconds(20), "connected") { client.status.isReady }
            #expect(client.status.commands.reconnects == 0)
        }
    }

    @Test func `the breaker opens after the failures and closes when the server is back`() async throws {
        let server = try OwnRedis()
        let settings = fastSettings(server.url, ["REDIS_RECONNECT_MAX_FAILURES": "3"])
        try await withClient(settings, awaitsConnection: false) { client in
            try await eventually(within: .seconds(20), "open") { client.status.commands.breaker == .open }
            try await server.start()
            try await eventually(within: .seconds(20), "closed") {
                client.status.commands.breaker == .closed && client.status.commands.isConnected
            }
        }
    }
}
