import Bus
import Domain
import Foundation
import Redis
import RedisTestKit
import TestKit
import Testing
import Wire

@Suite(.timeLimit(.minutes(2))) struct HintTests {
    @Test func `hints arrive on channels and patterns with who said them`() async throws {
        let server = try await OwnRedis.started()
        try await withBus(fastSettings(server.url), source: "game-shard/shard-01") { station in
            let direct = try await station.bus.subscribe(to: Notes.hint)
            let matching = try await station.bus.subscribe(matching: ChannelPattern<Note>("notes:h*"))
            let published = try await station.bus.publish(Note(number: 1), on: Notes.hint, trace: "trace-1")
            #expect(published == .sent(receivers: 2))
            for subscription in [direct, matching] {
                var iterator = subscription.makeAsyncIterator()
                guard case .message(let envelope, let channel)? = await iterator.next() else {
                    Issue.record("no message")
                    return
                }
                #expect(channel == "notes:hint")
                #expect(envelope.source == "game-shard/shard-01")
                #expect(envelope.sequence == 1)
                #expect(envelope.trace == "trace-1")
                #expect(envelope.body == Note(number: 1))
            }
        }
    }

    @Test func `a jump of the sequence is a gap, a repetition is dropped`() async throws {
        let server = try await OwnRedis.started()
        try await withBus(fastSettings(server.url)) { station in
            let subscription = try await station.bus.subscribe(to: Notes.hint)
            for sequence in [1, 2, 2, 5, 4, 6] {
                let envelope = Envelope(
                    source: "other/1", incarnation: "x", sequence: Int64(sequence), trace: nil, sentAt: 0,
                    body: Note(number: sequence))
                try await station.client.publish(.bytes(Array(JSONEncoder().encode(envelope))), on: "notes:hint")
            }
            try await collecting([subscription]) { received in
                try await eventually(within: .seconds(20), "the last one") { received[0].numbers.last == 6 }
                #expect(received[0].numbers == [1, 2, 5, 6])
                #expect(received[0].gaps == [Gap(.sequence, missed: 2)])
            }
            #expect(station.bus.status.duplicates == 1)
            #expect(station.bus.status.late == 1)
        }
    }

    @Test func `a reconnect is exactly one gap`() async throws {
        let server = try await OwnRedis.started()
        try await withBus(fastSettings(server.url)) { station in
            let subscription = try await station.bus.subscribe(to: Notes.hint)
            try await collecting([subscription]) { received in
                try await station.bus.publish(Note(number: 1), on: Notes.hint)
                try await eventually(within: .seconds(20), "first") { received[0].numbers == [1] }
                await server.kill()
                try await eventually(within: .seconds(20), "down") { !station.client.status.commands.isConnected }
                let published = try await station.bus.publish(Note(number: 2), on: Notes.hint)
                #expect(published == .dropped)
                try await server.start()
                try await eventually(within: .seconds(20), "live again") {
                    station.client.status.isReady && station.client.status.subscriptions.reconnects == 1
                }
                try await station.bus.publish(Note(number: 3), on: Notes.hint)
                try await eventually(within: .seconds(20), "third") { received[0].numbers == [1, 3] }
                #expect(received[0].gaps.map(\.reason) == [.reconnected])
            }
            #expect(station.bus.status.hintsDropped == 1)
        }
    }

    @Test func `what a publisher without a connection drops is a gap, although no next hint comes`() async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        try await withBus(fastSettings(server.url), source: "subscriber/1") { subscriber in
            let direct = try await subscriber.bus.subscribe(to: Notes.hint)
            let matching = try await subscriber.bus.subscribe(matching: ChannelPattern<Note>("notes:h*"))
            try await withBus(fastSettings(proxy.url), source: "publisher/1") { publisher in
                try await collecting([direct, matching]) { received in
                    // Nothing was heard of this publisher when it loses its first hints.
                    for (first, last) in [(1, 2), (4, 6)] {
                        try await proxy.refuse()
                        try await proxy.close()
                        try await eventually(within: .seconds(20), "cut off") { publisher.client.server == nil }
                        for number in first...last {
                            let published = try await publisher.bus.publish(Note(number: number), on: Notes.hint)
                            #expect(published == .dropped)
                        }
                        try await proxy.listen()
                        let expected = first == 1 ? [2] : [2, 3]
                        try await eventually(within: .seconds(20), "the loss is reported before anything is sent") {
                            received.allSatisfy { $0.gaps.map(\.missed) == expected }
                        }
                        let next = try await publisher.bus.publish(Note(number: last + 1), on: Notes.hint)
                        #expect(next == .sent(receivers: 2))
                    }
                    try await eventually(within: .seconds(20), "the hints after the losses") {
                        received.allSatisfy { $0.numbers == [3, 7] }
                    }
                    #expect(received.allSatisfy { $0.gaps == [Gap(.sequence, missed: 2), Gap(.sequence, missed: 3)] })
                }
            }
        }
    }

    @Test func `a restarted publisher is a new life and no gap`() async throws {
        let server = try await OwnRedis.started()
        try await withBus(fastSettings(server.url), source: "subscriber/1") { subscriber in
            let subscription = try await subscriber.bus.subscribe(to: Notes.hint)
            try await collecting([subscription]) { received in
                for life in ["one", "two", "three"] as [Incarnation] {
                    try await withBus(fastSettings(server.url), source: "publisher/1", incarnation: life) { publisher in
                        for number in 1...3 { try await publisher.bus.publish(Note(number: number), on: Notes.hint) }
                    }
                }
                try await eventually(within: .seconds(20), "all") { received[0].numbers.count == 9 }
                #expect(received[0].numbers == [1, 2, 3, 1, 2, 3, 1, 2, 3])
                #expect(received[0].gaps.isEmpty)
            }
        }
    }

    @Test func `a server that loses its data is one gap per subscriber, on hints and journals alike`() async throws {
        let server = try await OwnRedis.started()
        try await withBus(fastSettings(server.url)) { station in
            let subscriptions = [
                try await station.bus.subscribe(to: Notes.hint),
                try await station.bus.subscribe(matching: ChannelPattern<Note>("notes:h*")),
                try await station.bus.subscribe(to: Notes.journal),
            ]
            try await collecting(subscriptions) { received in
                for round in 1...3 {
                    _ = try await station.client.command("FLUSHALL")
                    try await eventually(within: .seconds(20), "every subscriber knows") {
                        received.allSatisfy { $0.gaps.count == round }
                    }
                    try await station.bus.publish(Note(number: round), on: Notes.hint)
                    try await station.bus.publish(Note(number: round), on: Notes.journal)
                    try await eventually(within: .seconds(20), "what follows") {
                        received.allSatisfy { $0.numbers == Array(1...round) }
                    }
                    #expect(received.allSatisfy { $0.gaps == Array(repeating: Gap(.dataLost), count: round) })
                }
            }
        }
    }

    @Test func `what cannot be decoded is a dead letter, and the next message arrives`() async throws {
        let server = try await OwnRedis.started()
        try await withBus(fastSettings(server.url), bounds: .of(["BUS_DEAD_LETTERS": "2"])) { station in
            let subscription = try await station.bus.subscribe(to: Notes.hint)
            for text in ["one", "two", "{\"type\":\"three\"}"] {
                try await station.client.publish(.text(text), on: "notes:hint")
            }
            let journal = try await station.bus.subscribe(to: Notes.journal)
            try await station.client.publish("no frame", on: "notes:journal")
            try await station.bus.publish(Note(number: 1), on: Notes.hint)
            try await station.bus.publish(Note(number: 2), on: Notes.journal)
            for (subscription, number) in [(subscription, 1), (journal, 2)] {
                try await collecting([subscription]) { received in
                    try await eventually(within: .seconds(20), "message \(number)") { received[0].numbers == [number] }
                }
            }
            #expect(station.bus.status.deadLetters == 4)
            let letters = station.bus.deadLetters
            #expect(letters.count == 2)
            #expect(letters.contains { $0.channel == "notes:journal" && $0.payloadPrefix == "no frame" })
        }
    }
}
