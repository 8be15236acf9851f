import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// A consumer that is slow, or gone, is nobody's trouble but its own.
@Suite(.timeLimit(.minutes(3))) struct SlowConsumerTests {
    private func publish(_ count: Int, on channel: String, filler: Int = 0, by client: RedisClient) async throws {
        let tail = String(repeating: "x", count: filler)
        for first in stride(from: 1, through: count, by: 500) {
            for number in first..<min(first + 500, count + 1) {
                client.enqueue(["PUBLISH", .text(channel), "\(number)\(tail)"]) { _ in }
            }
            try await client.ping(timeout: .seconds(60))
        }
    }

    /// Publishes the last message, and waits until it has come in: who drains a queue now finds all of it.
    private func end(_ channel: String, by client: RedisClient) async throws {
        let witness = try await client.subscribe(to: ["end"])
        try await client.publish("last", on: channel)
        // Behind it on the same connection.
        try await client.publish("1", on: "end")
        #expect(await witness.next() == .messages([RedisMessage(channel: "end", payload: Array("1".utf8))]))
    }

    @Test func `5.12 a slow handler's queue is bounded by count, and says what it dropped`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(patientSettings(server.url, ["REDIS_QUEUE_MAX_MESSAGES": "100"])) { client in
            let slow = try await client.subscribe(to: ["flood"])
            let beside = try await client.subscribe(to: ["flood", "end"])
            try await collecting(beside) { collected in
                try await publish(10_000, on: "flood", by: client)
                try await client.publish("1", on: "end")
                try await eventually(within: .seconds(30), "the end") { collected.texts.contains("end=1") }
            }
            let (gaps, kept) = await slow.drain(until: "10000")
            #expect(gaps == [RedisGap(.overflow, dropped: slow.dropped)])
            #expect(kept.count <= 100)
            #expect(slow.dropped + kept.count == 10_000)
        }
    }

    @Test func `5.12 a slow handler's queue is bounded by bytes, and one message beyond the bound still arrives`()
        async throws
    {
        let server = try await OwnRedis.started()
        try await withClient(patientSettings(server.url, ["REDIS_QUEUE_MAX_BYTES": "65536"])) { client in
            let slow = try await client.subscribe(to: ["flood"])
            try await publish(1000, on: "flood", filler: 1024, by: client)
            try await end("flood", by: client)
            let (gaps, kept) = await slow.drain(until: "last")
            #expect(gaps.allSatisfy { $0.reason == .overflow })
            #expect(kept.reduce(0) { $0 + $1.count } <= 65_536)
            #expect(slow.dropped == gaps.reduce(0) { $0 + $1.dropped })
            #expect(slow.dropped + kept.count == 1001)
            try await client.publish(.bytes(Array(repeating: 1, count: 100_000)), on: "flood")
            let large = await slow.next()?.payloads
            #expect(large?.map(\.count) == [100_000])
        }
    }

    @Test func `5.27 the reader sees every PONG while a consumer stands still`() async throws {
        let server = try await OwnRedis.started()
        let settings = patientSettings(
            server.url, ["REDIS_PING_INTERVAL_MS": "50", "REDIS_QUEUE_MAX_MESSAGES": "1000"])
        try await withClient(settings) { client in
            // Nobody ever asks this subscription for anything.
            let stuck = try await client.subscribe(to: ["flood"])
            var pongs: Set<MachineInstant> = []
            var published = 0
            try await eventually(within: .seconds(60), "20 PONGs under a flood") {
                try await publish(500, on: "flood", by: client)
                published += 500
                if let pong = client.status.subscriptions.lastPong { pongs.insert(pong) }
                return pongs.count >= 20 && published > 5000
            }
            #expect(client.status.subscriptions.reconnects == 0)
            #expect(client.status.subscriptions.failures == 0)
            #expect(client.status.commands.reconnects == 0)
            try await end("flood", by: client)
            let (gaps, kept) = await stuck.drain(until: "last")
            #expect(gaps.map(\.reason) == [.overflow])
            #expect(stuck.dropped + kept.count == published + 1)
        }
    }

    @Test func `5.31 a consumer that ends, throws or is dropped leaves the others connected`() async throws {
        struct Broken: Error {}
        let server = try await OwnRedis.started()
        try await withClient(patientSettings(server.url)) { client in
            let kept = try await client.subscribe(to: ["a"])
            try await client.publish("0", on: "a")
            _ = await kept.next()

            let ending = try await client.subscribe(to: ["a"])
            ending.cancel()
            #expect(await ending.next() == nil)

            let interrupted = try await client.subscribe(to: ["a"])
            let waiting = Task { await interrupted.next() }
            waiting.cancel()
            #expect(await waiting.value == nil)

            let broken = try await client.subscribe(to: ["a"])
            let throwing = Task { for await _ in broken { throw Broken() } }
            try await client.publish("1", on: "a")
            await #expect(throws: Broken.self) { try await throwing.value }

            _ = try await client.subscribe(to: ["a"])  // dropped at once

            let watching = Task { for await _ in client.servers() {} }
            watching.cancel()
            await watching.value

            _ = await kept.next()
            for cut in 1...3 {
                _ = try await client.command("CLIENT", "KILL", "TYPE", "pubsub")
                try await eventually(within: .seconds(40), "reconnected after cut \(cut)") {
                    client.status.subscriptions.reconnects == cut && client.status.isReady
                }
                try await client.publish("after \(cut)", on: "a")
                #expect(await kept.next() == .gap(RedisGap(.reconnected)))
                let expected = RedisMessage(channel: "a", payload: Array("after \(cut)".utf8))
                #expect(await kept.next() == .messages([expected]))
            }
        }
    }

    @Test func `5.39 a stuck subscriber does not hold up our publishers, and the server drops it`() async throws {
        let limit = ["--client-output-buffer-limit", "pubsub 1mb 1mb 1"]
        let server = try await OwnRedis.started(limit)
        try await withClient(patientSettings(server.url)) { client in
            let healthy = try await client.subscribe(to: ["a"])
            let stuck = try await RawPeer.connected(to: server.port, reads: false)
            stuck.send("SUBSCRIBE", "a")
            try await eventually(within: .seconds(40), "both are subscribed") {
                try await client.subscribers(of: "a") == 2
            }
            try await collecting(healthy) { collected in
                // 16 MB is more than the kernel's buffers and the limit together.
                for round in 1...32 {
                    try await publish(500, on: "a", filler: 1024, by: client)
                    try await eventually(within: .seconds(30), "round \(round) has arrived") {
                        collected.texts.count == round * 500
                    }
                }
                try await eventually(within: .seconds(40), "the stuck one is gone") {
                    try await client.subscribers(of: "a") == 1
                }
                #expect(collected.gaps.isEmpty)
            }
            #expect(client.status.subscriptions.reconnects == 0)
            #expect(client.status.commands.reconnects == 0)
        }
    }
}
