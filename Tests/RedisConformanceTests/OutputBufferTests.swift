import Bus
import Redis
import RedisTestKit
import Runtime
import TestKit
import Testing
import Wire

/// The server ends a subscriber that is too far behind: rarely for a good reason, never in silence.
@Suite(.timeLimit(.minutes(3))) struct OutputBufferTests {
    /// Sends numbered messages of `size` bytes from a client that goes to the server directly.
    private func flood(_ server: OwnRedis, _ channel: String, count: Int, size: Int) async throws {
        let tail = " " + String(repeating: "x", count: size)
        try await withClient(patientSettings(server.url), name: "flood") { client in
            for first in stride(from: 1, through: count, by: 500) {
                for number in first..<min(first + 500, count + 1) {
                    client.enqueue(["PUBLISH", .text(channel), "\(number)\(tail)"]) { _ in }
                }
                try await client.ping(timeout: .seconds(60))
            }
        }
    }

    @Test(arguments: [1 << 20, 8 << 20])
    func `5.33 a large message twice trips the server's soft limit, and one below a quarter of it does not`(
        size: Int
    ) async throws {
        // The server of redis#3893 forgets to start the time anew when the buffer has run empty: the second message
        // above the soft limit, here five seconds after the first instead of a minute, ends the connection.
        let server = try await OwnRedis.started(["--client-output-buffer-limit", "pubsub 32mb 4mb 5"])
        // An answer to PING behind what is left of the first message would make the server look again in between.
        try await withClient(patientSettings(server.url, ["REDIS_PING_INTERVAL_MS": "60000"])) { client in
            let subscription = try await client.subscribe(to: ["large"])
            let payload = String(repeating: "x", count: size)
            let start = try await time(of: client)
            _ = try await server.publish(payload, on: "large")
            let first = await subscription.next()
            #expect(first?.payloads.map(\.count) == [size])
            try await eventually(within: .seconds(60), "the server's clock is beyond the soft limit") {
                try await time(of: client) >= start + 7
            }
            _ = try await server.publish(payload, on: "large")
            let second = await subscription.next()
            if size <= 1 << 20 {
                #expect(second?.payloads.map(\.count) == [size])
                #expect(client.status.subscriptions.reconnects == 0)
            } else {
                #expect(second?.gap?.reason == .reconnected)
                #expect(client.status.subscriptions.reconnects == 1)
                _ = try await server.publish("after", on: "large")
                let third = await subscription.next()
                #expect(third?.payloads == [Array("after".utf8)])
            }
        }
    }

    @Test func `5.33 a message the server's subscribers could not bear is refused, and not sent`() async throws {
        let server = try await OwnRedis.started(["--client-output-buffer-limit", "pubsub 32mb 2mb 60"])
        try await withStation(patientSettings(server.url), source: "speaker/1") { station in
            let subscription = try await station.client.subscribe(to: ["a"])
            let largest = 512 << 10
            #expect(station.client.largestMessage == largest)
            let bytes = { @Sendable (count: Int) in RedisArgument.bytes(Array(repeating: 7, count: count)) }
            for tooLarge in [largest + 1, 8 << 20] {
                let error = await #expect(throws: RedisError.self) {
                    try await station.client.publish(bytes(tooLarge), on: "a")
                }
                #expect(error?.code == .messageTooLarge)
            }
            let journal = Channel<Note>("notes:journal", .journaled(keeping: 1000))
            // Within the bus's own bound of 1 MiB, and a script is no PUBLISH.
            let note = Note(number: 1, text: String(repeating: "x", count: largest))
            for channel in [journal, Channel<Note>("notes:hint", .hint)] {
                let error = await #expect(throws: BusError.self) { try await station.bus.publish(note, on: channel) }
                #expect(error?.code == .tooLarge)
            }
            #expect(try await station.client.command("EXISTS", "journal:stream:notes:journal").integer == 0)
            try await station.client.publish(bytes(largest), on: "a")
            let delivery = await subscription.next()
            #expect(delivery?.payloads.map(\.count) == [largest])
            #expect(station.client.status.subscriptions.reconnects == 0)
        }
    }

    /// What the subscriptions went through first, up to the end of the gap.
    private func firstEvents(of events: AsyncStream<RedisEvent>) async -> [String] {
        var seen: [String] = []
        for await event in events {
            switch event {
            case .lost(.subscriptions, _, _): seen.append("lost")
            case .gapOpened: seen.append("gap opened")
            case .connected(.subscriptions, _, isReconnect: true): seen.append("connected")
            case .gapClosed: return seen + ["gap closed"]
            default: continue
            }
        }
        return seen
    }

    private func time(of client: RedisClient) async throws -> Int64 {
        try await client.command("TIME").array?.first?.integer ?? 0
    }

    @Test(arguments: [true, false])
    func `5.34 a hundred thousand small messages to a paused reader end in one gap or in none`(
        kicked: Bool
    ) async throws {
        let limit = kicked ? "pubsub 1mb 0 0" : "pubsub 0 0 0"
        let server = try await OwnRedis.started(["--client-output-buffer-limit", limit])
        let proxy = try await FaultProxy.start(to: server.port)
        let settings = patientSettings(
            proxy.url, ["REDIS_PING_INTERVAL_MS": "600000", "REDIS_QUEUE_MAX_MESSAGES": "200000"])
        try await withClient(settings) { client in
            let subscription = try await client.subscribe(to: ["small"])
            try await collecting(subscription) { collected in
                let total = 100_000
                try await proxy.stall([.toClient])
                try await flood(server, "small", count: total, size: 100)
                if kicked {
                    try await eventually(within: .seconds(40), "the server has dropped the reader") {
                        try await server.subscribers(of: "small") == 0
                    }
                }
                try await proxy.pass()
                try await eventually(within: .seconds(60), "live again, or never gone") {
                    try await server.subscribers(of: "small") == 1 && client.status.isReady
                }
                try await eventually(within: .seconds(60), "the message after it all") {
                    _ = try await server.publish("0", on: "small")
                    return collected.texts.last == "small=0"
                }
                let numbers = collected.texts.compactMap { text in
                    text.hasPrefix("small=") ? text.dropFirst(6).split(separator: " ").first.flatMap { Int($0) } : nil
                }
                let flooded = Array(numbers.prefix { $0 != 0 })
                #expect(flooded == Array(1..<(flooded.count + 1)))
                if kicked {
                    #expect(flooded.count < total)
                    #expect(collected.gaps.map(\.reason) == [.reconnected])
                    #expect(client.status.subscriptions.reconnects == 1)
                } else {
                    #expect(flooded.count == total)
                    #expect(collected.gaps.isEmpty)
                    #expect(client.status.subscriptions.reconnects == 0)
                }
            }
        }
    }

    @Test func `5.36 a subscriber kicked for its output buffer comes back, replays and reports it`() async throws {
        let server = try await OwnRedis.started()
        let journal = Channel<Note>("notes:journal", .journaled(keeping: 1000))
        let hint = Channel<Note>("notes:hint", .hint)
        let large = String(repeating: "x", count: 200_000)
        try await withStation(patientSettings(server.url), source: "listener/1") { listener in
            try await withStation(patientSettings(server.url), source: "speaker/1") { speaker in
                let journaled = try await listener.bus.subscribe(to: journal)
                let hinted = try await listener.bus.subscribe(to: hint)
                let events = listener.client.events()
                // Lowered when the speaker has read it: it would not send so large a message otherwise.
                _ = try await server.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 65536 0 0")
                try await noting(journaled, hinted) { notes in
                    for round in 0..<3 {
                        let first = round * 10
                        try await speaker.bus.publish(Note(number: first + 1), on: journal)
                        try await speaker.bus.publish(Note(number: first + 1), on: hint)
                        try await eventually(within: .seconds(40), "the small ones of round \(round)") {
                            notes[0].numbers.last == first + 1 && notes[1].numbers.last == first + 1
                        }
                        try await speaker.bus.publish(Note(number: first + 2, text: large), on: journal)
                        try await eventually(within: .seconds(40), "kick \(round) and the way back") {
                            listener.client.status.subscriptions.reconnects == round + 1
                                && listener.client.status.isReady && notes[0].numbers.last == first + 2
                                && notes[1].gaps.count == round + 1
                        }
                    }
                    #expect(notes[0].numbers == [1, 2, 11, 12, 21, 22])
                    #expect(notes[0].gaps.isEmpty)
                    #expect(notes[1].numbers == [1, 11, 21])
                    #expect(notes[1].gaps.map(\.reason) == [.reconnected, .reconnected, .reconnected])
                    #expect(listener.bus.status.gaps == 3)
                    let told = await firstEvents(of: events)
                    #expect(told.sorted() == ["connected", "gap closed", "gap opened", "lost"], "\(told)")
                    #expect(told.last == "gap closed")
                    #expect(speaker.client.status.subscriptions.reconnects == 0)
                }
            }
        }
    }
}
