import Foundation
import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// What the doc comments of `RedisClient` and `RedisSubscription` promise, held against a real server.
@Suite(.timeLimit(.minutes(2))) struct PromiseTests {
    /// One sentence of the documentation.
    enum Promise: String, CaseIterable, Sendable {
        case nothingEarly = "Nothing is connected before `run` is called."
        case keepsBoth = "Keeps both connections until the task is cancelled."
        case saysWhatIsMissing = "A client that loses its connection, gets it back, and says what was missed."
        case failsAtOnce = "`notConnected` at once without that connection"
        case namedConnection = "`server` is the connection it must go out on"
        case order = "commands go out in the order of these calls"
        case completesOnce = "`completion` is called once"
        case acknowledged = "waits until the server has acknowledged every name"
        case inTime = "`notAcknowledged` when that takes longer than `timeout`"
        case released = "Ends when cancelled or released."
        case nobodyElse = "Unsubscribes from the names nobody else wants"
        case slowConsumer = "a consumer that is too slow loses what is queued, is told so by one gap"
        case interjected = "Puts a gap behind what is queued"
        case watched = "The server of each command connection from now on, the present one first."
        case scripts = "Runs a script by its digest, and by its source where the server does not know it yet."
    }

    /// The doc comments of the module as running text.
    private static let documentation: String = {
        let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let module = tests.deletingLastPathComponent().appending(path: "Shared/Redis")
        let files = (try? FileManager.default.contentsOfDirectory(atPath: module.path)) ?? []
        let texts = files.sorted().compactMap { try? String(contentsOf: module.appending(path: $0), encoding: .utf8) }
        let lines = texts.joined(separator: "\n").split(separator: "\n").map { $0.trimmingPrefix { $0 == " " } }
        let comments = lines.filter { $0.hasPrefix("///") }
        return comments.map { $0.dropFirst(3).trimmingPrefix { $0 == " " } }.joined(separator: " ")
    }()

    @Test(arguments: Promise.allCases)
    func `5.21 the client does what its documentation says`(promise: Promise) async throws {
        #expect(Self.documentation.contains(promise.rawValue), "the documentation has changed: change this test too")
        let server = try await OwnRedis.started()
        switch promise {
        case .nothingEarly, .keepsBoth: try await beginningAndEnd(server)
        case .saysWhatIsMissing: try await saysWhatIsMissing(server)
        case .failsAtOnce, .namedConnection, .watched: try await namedConnection(server)
        case .order, .completesOnce: try await orderAndCompletion(server)
        case .acknowledged, .inTime: try await acknowledgement(server)
        case .released, .nobodyElse: try await releaseAndCancellation(server)
        case .slowConsumer, .interjected: try await gaps(server)
        case .scripts: try await scripts(server)
        }
    }

    private func beginningAndEnd(_ server: OwnRedis) async throws {
        let client = RedisClient(
            settings: patientSettings(server.url), name: "kept", clock: .real, random: .seeded(1),
            log: LogCapture().logger(), metrics: MetricsRegistry())
        func seen() async throws -> Int { try await server.ask("CLIENT", "LIST").count { $0.contains("name=kept:") } }
        #expect(try await seen() == 0)
        #expect(!client.status.commands.isConnected && !client.status.subscriptions.isConnected)
        let run = Task { try await client.run() }
        try await eventually(within: .seconds(20), "both are there") { client.status.isReady }
        #expect(try await seen() == 2)
        run.cancel()
        await #expect(throws: CancellationError.self) { try await run.value }
        try await eventually(within: .seconds(20), "both are gone") { try await seen() == 0 }
    }

    private func saysWhatIsMissing(_ server: OwnRedis) async throws {
        try await withClient(patientSettings(server.url)) { client in
            let subscription = try await client.subscribe(to: ["a"])
            try await server.restart()
            try await eventually(within: .seconds(20), "again") {
                client.status.subscriptions.reconnects == 1 && client.status.isReady
            }
            #expect(try await server.publish("1", on: "a") == 1)
            #expect(await subscription.next() == .gap(RedisGap(.reconnected)))
            #expect(await subscription.next() == .messages([RedisMessage(channel: "a", payload: Array("1".utf8))]))
        }
    }

    private func namedConnection(_ server: OwnRedis) async throws {
        try await withClient(patientSettings(server.url)) { client in
            var servers = client.servers().makeAsyncIterator()
            let first = try #require(await servers.next())
            #expect(first == client.server && first.connection == 1)
            _ = try await client.send(["SET", "k", "1"], on: first)
            await server.kill()
            try await eventually(within: .seconds(20), "noticed") { client.server == nil }
            await #expect(throws: RedisError(.notConnected, "there is no connection")) {
                try await client.send(["PING"], timeout: .seconds(600))
            }
            try await server.start()
            let second = try #require(await servers.next())
            #expect(second.connection == 2 && second.runID != first.runID && second == client.server)
            // The old connection is gone for good, however alive the new one is.
            await #expect(throws: RedisError(.notConnected, "there is no connection")) {
                try await client.send(["SET", "k", "2"], on: first)
            }
            #expect(try await client.send(["GET", "k"], on: second).isNull)
        }
    }

    private func orderAndCompletion(_ server: OwnRedis) async throws {
        try await withClient(patientSettings(server.url)) { client in
            let calls = NIOLockedValueBox([Int](repeating: 0, count: 2000))
            for number in 0..<1000 {
                client.enqueue(["RPUSH", "list", RedisArgument(number)]) { _ in
                    calls.withLockedValue { $0[number] += 1 }
                }
            }
            let list = try await client.send(["LRANGE", "list", "0", "-1"]).array?.compactMap(\.integer)
            #expect(list == (0..<1000).map { Int64($0) })
            // The second thousand loses its connection: each still hears once.
            server.pause()
            for number in 1000..<2000 {
                client.enqueue(["RPUSH", "list", RedisArgument(number)]) { _ in
                    calls.withLockedValue { $0[number] += 1 }
                }
            }
            await server.kill()
            try await eventually(within: .seconds(20), "all have heard") {
                calls.withLockedValue { $0.allSatisfy { $0 > 0 } }
            }
            try await eventually(within: .seconds(20), "noticed") { !client.status.commands.isConnected }
            #expect(calls.withLockedValue { $0 } == [Int](repeating: 1, count: 2000))
        }
    }

    private func acknowledgement(_ server: OwnRedis) async throws {
        try await withClient(patientSettings(server.url)) { client in
            for round in 0..<20 {
                let names = (0..<5).map { "\(round):\($0)" }
                let subscription = try await client.subscribe(to: names, matching: ["\(round):*"])
                // At once: no waiting here.
                let counts = try await server.ask(["PUBSUB", "NUMSUB"] + names)
                #expect(counts == names.flatMap { [$0, "1"] })
                subscription.cancel()
            }
            await server.kill()
            try await eventually(within: .seconds(20), "noticed") { !client.status.subscriptions.isConnected }
            do {
                _ = try await client.subscribe(to: ["late"], timeout: .milliseconds(100))
                Issue.record("subscribed without a server")
            } catch let error as RedisError {
                #expect(error.code == .notAcknowledged)
            }
            #expect(client.status.desired == 0)
        }
    }

    private func releaseAndCancellation(_ server: OwnRedis) async throws {
        try await withClient(patientSettings(server.url)) { client in
            let kept = try await client.subscribe(to: ["shared"])
            do {
                let released = try await client.subscribe(to: ["shared", "released"])
                #expect(try await server.subscribers(of: "released") == 1)
                _ = released
            }
            let cancelled = try await client.subscribe(to: ["shared", "cancelled"])
            let end = Task { await cancelled.next() }
            cancelled.cancel()
            #expect(await end.value == nil)
            #expect(await cancelled.next() == nil)
            try await eventually(within: .seconds(20), "unsubscribed") {
                try await server.ask("PUBSUB", "CHANNELS") == ["shared"]
            }
            #expect(try await server.publish("1", on: "shared") == 1)
            #expect(await kept.next() == .messages([RedisMessage(channel: "shared", payload: Array("1".utf8))]))
        }
    }

    private func gaps(_ server: OwnRedis) async throws {
        try await withClient(patientSettings(server.url, ["REDIS_QUEUE_MAX_MESSAGES": "10"])) { client in
            let slow = try await client.subscribe(to: ["a"])
            let quick = try await client.subscribe(to: ["end"])
            for number in 1...100 { client.enqueue(["PUBLISH", "a", RedisArgument(number)]) { _ in } }
            try await client.publish("all are out", on: "end")
            #expect(await quick.next() != nil)
            slow.interject(RedisGap(.dataLost))
            #expect(await slow.next() == .gap(RedisGap(.overflow, dropped: slow.dropped)))
            guard case .messages(let rest)? = await slow.next() else {
                Issue.record("nothing behind the gap")
                return
            }
            #expect(rest.count + slow.dropped == 100)
            #expect(await slow.next() == .gap(RedisGap(.dataLost)))
        }
    }

    private func scripts(_ server: OwnRedis) async throws {
        let script = RedisScript("return ARGV[1]")
        try await withClient(patientSettings(server.url)) { client in
            for round in 1...2 {
                #expect(try await client.evaluate(script, keys: [], arguments: ["\(round)"]).text == "\(round)")
                let known = try await server.ask("SCRIPT", "EXISTS", script.digest)
                #expect(known == ["1"])
                try await server.restart()
                try await eventually(within: .seconds(20), "again") {
                    client.status.commands.reconnects == round && client.status.isReady
                }
            }
        }
    }
}
