import Domain
import Foundation
import NIOConcurrencyHelpers
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing
import Wire

@testable import Bus

/// Keeps a position as a database would: as text.
private final class MemoryStore: PositionStore {
    struct Away: Error {}

    private let state = NIOLockedValueBox<(text: Data?, saves: Int, isAway: Bool)>((nil, 0, false))

    var saves: Int { state.withLockedValue { $0.saves } }
    func setAway(_ isAway: Bool) { state.withLockedValue { $0.isAway = isAway } }

    func load() async throws -> JournalPosition? {
        guard let text = state.withLockedValue({ $0.text }) else { return nil }
        return try JSONDecoder().decode(JournalPosition.self, from: text)
    }

    func save(_ position: JournalPosition) async throws {
        let text = try JSONEncoder().encode(position)
        try state.withLockedValue { state in
            guard !state.isAway else { throw Away() }
            state.text = text
            state.saves += 1
        }
    }
}

@Suite(.timeLimit(.minutes(3))) struct PositionTests {
    private static let often = BusSettings.of(["BUS_POSITION_INTERVAL_MS": "50"])
    private static let never = BusSettings.of(["BUS_POSITION_INTERVAL_MS": "600000"])

    /// One life of the consumer: handles so many messages, or up to that number, then ends as by a kill, with nothing
    /// saved on its way out.
    private static func life(
        _ server: OwnRedis, _ store: MemoryStore, bounds: BusSettings = often, handling count: Int,
        upTo last: Int? = nil, before end: @escaping @Sendable (Station) async throws -> Void = { _ in }
    ) async throws -> (numbers: [Int], gaps: [Gap]) {
        try await withBus(fastSettings(server.url), source: "consumer/1", bounds: bounds) { station in
            let subscription = try await station.bus.subscribe(to: Notes.journal, resuming: store)
            var numbers: [Int] = []
            var gaps: [Gap] = []
            var iterator = subscription.makeAsyncIterator()
            while numbers.count < count, last == nil || numbers.last != last, let delivery = await iterator.next() {
                switch delivery {
                case .message(let envelope, _): numbers.append(envelope.body.number)
                case .gap(let gap): gaps.append(gap)
                }
            }
            try await end(station)
            return (numbers, gaps)
        }
    }

    @Test func `a killed consumer goes on without loss and repeats only what was not saved`() async throws {
        let server = try await OwnRedis.started()
        let store = MemoryStore()
        try await withBus(fastSettings(server.url), source: "publisher/1") { publisher in
            for number in 1...300 { try await publisher.bus.publish(Note(number: number), on: Notes.journal) }
        }
        var handled: [Int] = []
        for (index, share) in [7, 1, 100, 42].enumerated() {
            let saves = store.saves
            let (numbers, gaps) = try await Self.life(server, store, handling: share) { _ in
                // The first delivery that is not handled is the last one handed out.
                if share > 1 {
                    try await eventually(within: .seconds(20), "saved in life \(index)") { store.saves > saves }
                }
            }
            #expect(gaps.isEmpty)
            let first = try #require(numbers.first)
            // None is left out, and at most what was not saved yet comes again.
            #expect(first <= (handled.last ?? 0) + 1)
            #expect(numbers == Array(first..<(first + share)))
            handled += numbers
        }
        let rest = try await Self.life(server, store, handling: .max, upTo: 300)
        handled += rest.numbers
        #expect(Set(handled) == Set(1...300))
    }

    @Test func `a drain saves what was handled, and a store that is away is asked again`() async throws {
        let server = try await OwnRedis.started()
        let store = MemoryStore()
        try await withBus(fastSettings(server.url), source: "publisher/1") { publisher in
            for number in 1...20 { try await publisher.bus.publish(Note(number: number), on: Notes.journal) }
        }
        let first = try await Self.life(server, store, bounds: Self.never, handling: 10) { station in
            store.setAway(true)
            await station.bus.drain(within: .milliseconds(50))
            #expect(store.saves == 1, "only the beginning")
            store.setAway(false)
            await station.bus.drain(within: .seconds(20))
        }
        let second = try await Self.life(server, store, bounds: Self.never, handling: 11)
        #expect(first.numbers == Array(1...10))
        #expect(second.numbers == Array(10...20), "the last one handed out was not handled")
    }

    @Test func `a first life that saves nothing leaves its beginning to the second`() async throws {
        let server = try await OwnRedis.started()
        let store = MemoryStore()
        try await withBus(fastSettings(server.url), source: "publisher/1") { publisher in
            try await publisher.bus.publish(Note(number: 1), on: Notes.journal)
            try await withBus(fastSettings(server.url), source: "consumer/1", bounds: Self.never) { station in
                _ = try await station.bus.subscribe(to: Notes.journal, resuming: store, first: .now)
            }
            try await publisher.bus.publish(Note(number: 2), on: Notes.journal)
        }
        let (numbers, gaps) = try await Self.life(server, store, handling: 1)
        #expect(numbers == [2] && gaps.isEmpty)
    }

    @Test func `a position older than the journal is one gap`() async throws {
        let server = try await OwnRedis.started(["--stream-node-max-entries", "5"])
        let store = MemoryStore()
        let short = Channel<Note>("notes:journal", .journaled(keeping: 10))
        try await withBus(fastSettings(server.url), source: "publisher/1") { publisher in
            for number in 1...5 { try await publisher.bus.publish(Note(number: number), on: short) }
            let saves = store.saves
            _ = try await Self.life(server, store, handling: 3) { _ in
                try await eventually(within: .seconds(20), "saved") { store.saves > saves + 1 }
            }
            for number in 6...100 { try await publisher.bus.publish(Note(number: number), on: short) }
        }
        let (numbers, gaps) = try await Self.life(server, store, handling: 10)
        #expect(gaps == [Gap(.trimmed)])
        let first = try #require(numbers.first)
        #expect(first > 5 && numbers == Array(first..<(first + 10)))
    }

    @Test func `what was handled before the server lost its data is not handled again`() async throws {
        let server = try await OwnRedis.started()
        let store = MemoryStore()
        try await withBus(fastSettings(server.url), source: "publisher/1") { publisher in
            for number in 1...20 { try await publisher.bus.publish(Note(number: number), on: Notes.journal) }
            _ = try await Self.life(server, store, handling: 12) { station in
                await station.bus.drain(within: .seconds(20))
            }
            // The publisher kept its last seconds, and repeats them.
            _ = try await publisher.client.command("FLUSHALL")
            try await eventually(within: .seconds(20), "published again") { publisher.bus.status.republished >= 20 }
            try await eventually(within: .seconds(20), "stored again") { publisher.bus.status.queued == 0 }
        }
        let (numbers, gaps) = try await Self.life(server, store, handling: 9)
        #expect(gaps == [Gap(.dataLost)])
        #expect(numbers == Array(12...20))
    }

    @Test func `a position is stored with what was seen, and one of an earlier build is read`() throws {
        let identity = JournalIdentity(runID: "r", dataID: "d")
        let marks = [SequenceTracker.Mark(source: "s/1", incarnation: "i", sequence: 9)]
        let position = JournalPosition(identity: identity, id: "5-1", seen: marks)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let text = String(decoding: try encoder.encode(position), as: UTF8.self)
        #expect(text == #"{"id":"5-1","identity":{"dataID":"d","runID":"r"},"seen":[["s/1","i",9]]}"#)
        #expect(try JSONDecoder().decode(JournalPosition.self, from: Data(text.utf8)) == position)
        let earlier = #"{"id":"5-1","identity":{"dataID":"d","runID":"r"}}"#
        let read = try JSONDecoder().decode(JournalPosition.self, from: Data(earlier.utf8))
        #expect(read == JournalPosition(identity: identity, id: "5-1"))
    }

    @Test func `a tracker goes on from the marks of another`() {
        var one = SequenceTracker()
        for (source, life, sequence) in [("a", "x", 5), ("b", "y", 7), ("a", "z", 1)] as [(String, String, Int64)] {
            _ = one.observe(source: source, incarnation: life, sequence: sequence)
        }
        var two = SequenceTracker(one.marks)
        #expect(two.marks == one.marks)
        #expect(two.observe(source: "a", incarnation: "x", sequence: 5) == .duplicate)
        #expect(two.observe(source: "a", incarnation: "z", sequence: 2) == .next)
        #expect(two.observe(source: "b", incarnation: "y", sequence: 9) == .gap(missing: 8...8))
    }
}
