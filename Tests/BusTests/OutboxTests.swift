import Domain
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing
import Wire

@testable import Bus

@Suite(.timeLimit(.minutes(2))) struct OutboxTests {
    @Test func `without a server journaled messages queue, bounded, and are stored in order later`() async throws {
        let server = try await OwnRedis.started()
        let bounds = BusSettings.of(["BUS_OUTBOX_MAX_MESSAGES": "50"])
        try await withBus(fastSettings(server.url), bounds: bounds) { station in
            let subscription = try await station.bus.subscribe(to: Notes.journal)
            try await station.bus.publish(Note(number: 0), on: Notes.journal)
            await server.kill()
            try await eventually(within: .seconds(20), "down") { !station.client.status.commands.isConnected }
            for number in 1...50 {
                let published = try await station.bus.publish(Note(number: number), on: Notes.journal)
                #expect(published == .queued)
            }
            do {
                try await station.bus.publish(Note(number: 51), on: Notes.journal)
                Issue.record("accepted beyond the bound")
            } catch let error as BusError {
                #expect(error.code == .outboxFull)
            }
            #expect(station.bus.status.queued == 50)
            try await server.start()
            try await collecting([subscription]) { received in
                try await eventually(within: .seconds(20), "all") { received[0].numbers.last == 50 }
                #expect(received[0].numbers == Array(0...50))
            }
            #expect(station.bus.status.queued == 0)
        }
    }

    @Test func `a cut during publishing is retried and stored once`() async throws {
        let server = try await OwnRedis.started()
        try await withBus(fastSettings(server.url)) { station in
            let subscription = try await station.bus.subscribe(to: Notes.journal)
            try await withClient(fastSettings(server.url), name: "cutter") { cutter in
                for number in 1...30 {
                    _ = try await cutter.command("CLIENT", "KILL", "TYPE", "normal")
                    try await station.bus.publish(Note(number: number), on: Notes.journal)
                }
            }
            try await collecting([subscription]) { received in
                try await eventually(within: .seconds(20), "all") { received[0].numbers.last == 30 }
                #expect(received[0].numbers == Array(1...30))
                #expect(received[0].gaps.isEmpty)
            }
            #expect(station.bus.status.retries > 0)
            #expect(station.bus.status.stored == 30)
        }
    }

    @Test func `a batch is tried three times, 50 and 100 ms apart, and each try is counted`() async throws {
        // CHECKLIST R7.
        let server = try await OwnRedis.started()
        let time = ManualTime()
        let metrics = MetricsRegistry()
        try await withClient(patientSettings(server.url)) { client in
            let bus = Bus(
                client: client, identity: BusIdentity(source: "test/1", incarnation: "life-1"), clock: .manual(time),
                log: LogCapture().logger(), metrics: metrics)
            let running = Task { try await bus.run() }
            defer { running.cancel() }
            try await eventually(within: .seconds(20), "a running bus") { bus.status.isRunning }
            try await bus.publish(Note(number: 0), on: Notes.journal)
            let retries = { @Sendable in metrics.snapshot()["bus_publish_retries_total"] }
            #expect(retries() == 0)
            // A full server refuses at once, so that nothing passes but the time of the retries.
            _ = try await client.command("CONFIG", "SET", "maxmemory", "1")
            let outcome = Promise<Published>()
            let publisher = Task { outcome.fulfil(try await bus.publish(Note(number: 1), on: Notes.journal)) }
            for (attempt, pause) in [(1, 50), (2, 100), (3, 100)] {
                try await eventually(within: .seconds(20), "\(pause) ms after attempt \(attempt)") {
                    time.nextDeadline == time.now.advanced(by: .milliseconds(pause)) && retries() == Double(attempt)
                }
                if attempt < 3 { time.advance(by: .milliseconds(pause)) }
            }
            #expect(await outcome.value() == .queued, "its publisher waits no longer")
            _ = try await client.command("CONFIG", "SET", "maxmemory", "0")
            time.advance(by: .milliseconds(100))
            try await eventually(within: .seconds(20), "stored") { bus.status.stored == 2 && bus.status.queued == 0 }
            #expect(retries() == 3)
            _ = await publisher.result
        }
    }

    @Test func `a repeated sequence keeps its first id and is not published again`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(fastSettings(server.url)) { client in
            let identity = BusIdentity(source: "s", incarnation: "i")
            try await client.set(JournalScript.dataKey, to: "mark")
            func store(_ sequences: [Int64], mark: String = "mark") async throws -> [String]? {
                let head: [RedisArgument] = [.text(mark), "c", 100, 8192, 60_000]
                return try await client.evaluate(
                    JournalScript.append,
                    keys: [JournalScript.stream("c"), JournalScript.memory("c", identity), JournalScript.dataKey],
                    arguments: head + sequences.flatMap { [.integer($0), "p\($0)"] }
                ).array?.compactMap(\.text)
            }
            let live = try await client.subscribe(to: ["c"])
            let first = try #require(try await store([1, 2]))
            let again = try #require(try await store([1, 2, 3]))
            #expect(Array(again.prefix(2)) == first)
            #expect(Set(again).count == 3)
            let refused = try await store([4], mark: "other")
            #expect(refused == nil)
            let entries = try await client.range(of: JournalScript.stream("c"), count: 10)
            #expect(entries.map(\.id) == again)
            #expect(entries.map { $0["p"].map { String(decoding: $0, as: UTF8.self) } } == ["0-0", again[0], again[1]])
            var frames: [String] = []
            while frames.count < 3, case .messages(let messages)? = await live.next() {
                frames += messages.map(\.text)
            }
            #expect(frames == ["\(again[0]) 0-0 p1", "\(again[1]) \(again[0]) p2", "\(again[2]) \(again[1]) p3"])
        }
    }

    @Test func `a drain waits for what is queued, and counts what it must leave`() async throws {
        let server = try await OwnRedis.started()
        try await withBus(fastSettings(server.url)) { station in
            try await station.bus.publish(Note(number: 0), on: Notes.journal)
            await server.kill()
            try await eventually(within: .seconds(20), "down") { !station.client.status.commands.isConnected }
            for number in 1...7 { try await station.bus.publish(Note(number: number), on: Notes.journal) }
            await station.bus.drain(within: .milliseconds(50))
            #expect(station.bus.status.abandoned == 7)
            try await server.start()
            await station.bus.drain(within: .seconds(20))
            #expect(station.bus.status.queued == 0 && station.bus.status.abandoned == 7)
        }
    }

    @Test func `a message that is too large is refused, and takes no sequence`() async throws {
        let server = try await OwnRedis.started()
        let bounds = BusSettings.of(["BUS_MESSAGE_MAX_BYTES": "2048"])
        try await withBus(fastSettings(server.url), bounds: bounds) { station in
            let subscriptions = [
                try await station.bus.subscribe(to: Notes.hint), try await station.bus.subscribe(to: Notes.journal),
            ]
            let large = Note(number: 1, text: String(repeating: "x", count: 2048))
            for channel in [Notes.hint, Notes.journal] {
                let error = await #expect(throws: BusError.self) { try await station.bus.publish(large, on: channel) }
                #expect(error?.code == .tooLarge)
                try await station.bus.publish(Note(number: 2), on: channel)
            }
            try await collecting(subscriptions) { received in
                try await eventually(within: .seconds(20), "what fits") { received.allSatisfy { $0.numbers == [2] } }
                #expect(received.allSatisfy { $0.gaps.isEmpty })
            }
        }
    }

    @Test func `what is kept for publishing again is bounded, and what goes too early is counted`() {
        var lane = OutboxLane(journalLength: 10)
        let payload = [UInt8](repeating: 0, count: 1 << 20)
        for _ in 1...12 { lane.append(payload, completion: nil) }
        _ = lane.confirm(12, at: .origin)
        #expect(lane.kept.count == OutboxLane.keptByteLimit >> 20)
        #expect(lane.kept.first?.sequence == 5 && lane.keptDropped == 4)
    }

    @Test func `publishing without a running bus queues at once`() async throws {
        let settings = fastSettings("redis://127.0.0.1:1")
        let client = RedisClient(
            settings: settings, name: "idle", clock: .real, random: .seeded(1), log: LogCapture().logger(),
            metrics: MetricsRegistry())
        let bus = Bus(
            client: client, identity: BusIdentity(source: "s/1", incarnation: "i"), clock: .real,
            log: LogCapture().logger(), metrics: MetricsRegistry())
        let journaled = try await bus.publish(Note(number: 1), on: Notes.journal)
        let hint = try await bus.publish(Note(number: 1), on: Notes.hint)
        #expect(journaled == .queued)
        #expect(hint == .dropped)
    }

    @Test func `a lane publishes what it kept again, in front, when the data began anew`() {
        var lane = OutboxLane(journalLength: 10)
        let old = JournalIdentity(runID: "a", dataID: "1")
        let new = JournalIdentity(runID: "b", dataID: "2")
        _ = lane.adopt(old)
        for number in 1...4 { lane.append([UInt8(number)], completion: nil) }
        _ = lane.confirm(3, at: .origin)
        lane.prune(at: .origin.advanced(by: .seconds(60)), seen: new)
        let again = lane.adopt(new)
        #expect(again.map(\.sequence) == [1, 2, 3])
        #expect(lane.batch.map(\.sequence) == [1, 2, 3, 4])
        _ = lane.confirm(4, at: .origin.advanced(by: .seconds(60)))
        lane.prune(at: .origin.advanced(by: .seconds(66)), seen: new)
        let nothing = lane.adopt(old)
        #expect(nothing.isEmpty)
    }
}
