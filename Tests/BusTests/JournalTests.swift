import Bus
import Foundation
import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Runtime
import TestKit
import Testing
import Wire

@Suite(.timeLimit(.minutes(4))) struct JournalTests {
    /// Publishes numbers until cancelled.
    ///
    /// - Returns: all attempted, and those whose storing was acknowledged.
    private static func traffic(_ bus: Bus, until stop: NIOLockedValueBox<Bool>) async throws -> (Int, Set<Int>) {
        var attempted = 0
        var acknowledged: Set<Int> = []
        while !stop.withLockedValue({ $0 }) {
            attempted += 1
            if case .stored = try await bus.publish(Note(number: attempted), on: Notes.journal) {
                acknowledged.insert(attempted)
            }
            try await MachineClock.real.sleep(for: .milliseconds(1))
        }
        return (attempted, acknowledged)
    }

    /// Two publishers and a subscriber of its own process, while `faults` happen to the server.
    private static func contract(
        _ server: OwnRedis, faults: @escaping @Sendable (Station, Received) async throws -> Void
    ) async throws -> [Gap] {
        let stop = NIOLockedValueBox(false)
        let settings = fastSettings(server.url)
        return try await withBus(settings, source: "subscriber/1") { subscriber in
            let subscription = try await subscriber.bus.subscribe(to: Notes.journal)
            let gaps = NIOLockedValueBox<[Gap]>([])
            try await collecting([subscription]) { received in
                try await withThrowingTaskGroup(of: (String, Int, Set<Int>).self) { tasks in
                    for source in ["publisher/1", "publisher/2"] {
                        tasks.addTask {
                            try await withBus(settings, source: source) { publisher in
                                let (attempted, acknowledged) = try await traffic(publisher.bus, until: stop)
                                try await eventually(within: .seconds(20), "empty outbox") {
                                    publisher.bus.status.queued == 0
                                }
                                return (source, attempted, acknowledged)
                            }
                        }
                    }
                    try await faults(subscriber, received[0])
                    stop.withLockedValue { $0 = true }
                    for try await (source, attempted, acknowledged) in tasks {
                        try await eventually(within: .seconds(20), "\(source) is complete") {
                            received[0].numbers(from: source).last == attempted
                        }
                        let numbers = received[0].numbers(from: source)
                        #expect(numbers == numbers.sorted(), "\(source) in order")
                        #expect(Set(numbers).count == numbers.count, "none twice")
                        #expect(acknowledged.isSubset(of: numbers), "acknowledged ⊆ received")
                        #expect(!acknowledged.isEmpty)
                    }
                }
                gaps.withLockedValue { $0 = received[0].gaps }
            }
            return gaps.withLockedValue { $0 }
        }
    }

    @Test func `cut connections lose nothing, repeat nothing and make no gap`() async throws {
        let server = try await OwnRedis.started()
        let gaps = try await Self.contract(server) { station, received in
            for cut in 1...10 {
                let before = received.numbers.count
                let kind = cut.isMultiple(of: 2) ? "pubsub" : "normal"
                _ = try? await station.client.command("CLIENT", "KILL", "TYPE", kind)  // it may kill itself
                try await eventually(within: .seconds(20), "goes on after cut \(cut)") {
                    received.numbers.count > before + 20
                }
            }
        }
        #expect(gaps.isEmpty)
    }

    @Test func `a restart that keeps its files loses nothing and is one gap`() async throws {
        let server = try await OwnRedis.started(appendOnly: true)
        let gaps = try await Self.contract(server) { _, received in
            try await eventually(within: .seconds(20), "traffic") { received.numbers.count > 100 }
            try await server.restart()
            let before = received.numbers.count
            try await eventually(within: .seconds(20), "goes on") { received.numbers.count > before + 50 }
        }
        #expect(gaps == [Gap(.dataLost)])
    }

    @Test func `a restart without files loses nothing that was acknowledged and is one gap`() async throws {
        let server = try await OwnRedis.started()
        let gaps = try await Self.contract(server) { _, received in
            try await eventually(within: .seconds(20), "traffic") { received.numbers.count > 100 }
            try await server.restart()
            let before = received.numbers.count
            try await eventually(within: .seconds(20), "goes on") { received.numbers.count > before + 50 }
        }
        #expect(gaps == [Gap(.dataLost)])
    }

    @Test func `lost data under traffic is one gap`() async throws {
        let server = try await OwnRedis.started()
        let gaps = try await Self.contract(server) { station, received in
            try await eventually(within: .seconds(20), "traffic") { received.numbers.count > 100 }
            _ = try await station.client.command("FLUSHALL")
            let before = received.numbers.count
            try await eventually(within: .seconds(20), "goes on") { received.numbers.count > before + 50 }
        }
        #expect(gaps == [Gap(.dataLost)])
    }

    @Test func `lost data is one gap per subscriber even when nobody publishes`() async throws {
        let server = try await OwnRedis.started()
        try await withBus(fastSettings(server.url)) { station in
            let subscriptions = [
                try await station.bus.subscribe(to: Notes.journal), try await station.bus.subscribe(to: Notes.journal),
                try await station.bus.subscribe(to: Notes.short),
            ]
            try await collecting(subscriptions) { received in
                try await station.bus.publish(Note(number: 1), on: Notes.journal)
                try await eventually(within: .seconds(20), "first") {
                    received[0].numbers == [1] && received[1].numbers == [1]
                }
                _ = try await station.client.command("FLUSHALL")
                try await eventually(within: .seconds(5), "every subscriber knows") {
                    received.allSatisfy { $0.gaps == [Gap(.dataLost)] }
                }
                try await station.bus.publish(Note(number: 2), on: Notes.journal)
                try await eventually(within: .seconds(20), "second") {
                    received[0].numbers == [1, 2] && received[1].numbers == [1, 2]
                }
                #expect(received.allSatisfy { $0.gaps == [Gap(.dataLost)] })
            }
        }
    }

    @Test func `a slow subscriber reads the journal and misses nothing`() async throws {
        let server = try await OwnRedis.started()
        try await withBus(fastSettings(server.url, ["REDIS_QUEUE_MAX_MESSAGES": "20"])) { station in
            let subscription = try await station.bus.subscribe(to: Notes.journal)
            for number in 1...1000 { try await station.bus.publish(Note(number: number), on: Notes.journal) }
            try await collecting([subscription]) { received in
                try await eventually(within: .seconds(20), "all") { received[0].numbers.count >= 1000 }
                #expect(received[0].numbers == Array(1...1000))
                #expect(received[0].gaps.isEmpty)
            }
            #expect(station.bus.status.replayed > 0)
        }
    }

    @Test func `a subscription begins now, at the beginning, or where another ended`() async throws {
        let server = try await OwnRedis.started()
        try await withBus(fastSettings(server.url)) { station in
            let first = try await station.bus.subscribe(to: Notes.journal)
            for number in 1...10 { try await station.bus.publish(Note(number: number), on: Notes.journal) }
            var iterator = first.makeAsyncIterator()
            for _ in 1...4 { _ = await iterator.next() }
            let position = try #require(first.position)
            let stored = try JSONDecoder().decode(JournalPosition.self, from: JSONEncoder().encode(position))
            let subscriptions = [
                try await station.bus.subscribe(to: Notes.journal),
                try await station.bus.subscribe(to: Notes.journal, from: .beginning),
                try await station.bus.subscribe(to: Notes.journal, from: .position(stored)),
            ]
            try await station.bus.publish(Note(number: 11), on: Notes.journal)
            try await collecting(subscriptions) { received in
                try await eventually(within: .seconds(20), "the last") { received.allSatisfy { $0.numbers.last == 11 } }
                #expect(received.map(\.numbers) == [[11], Array(1...11), Array(5...11)])
                #expect(received.allSatisfy { $0.gaps.isEmpty })
            }
        }
    }

    @Test func `a journal that no longer reaches back is one gap`() async throws {
        let server = try await OwnRedis.started(["--stream-node-max-entries", "5"])
        try await withBus(fastSettings(server.url, ["REDIS_QUEUE_MAX_MESSAGES": "5"])) { station in
            let subscription = try await station.bus.subscribe(to: Notes.short)
            for number in 1...100 { try await station.bus.publish(Note(number: number), on: Notes.short) }
            try await collecting([subscription]) { received in
                try await eventually(within: .seconds(20), "the last") { received[0].numbers.last == 100 }
                #expect(received[0].gaps == [Gap(.trimmed)])
                let numbers = received[0].numbers
                #expect(numbers == Array((numbers.first ?? 0)...100))
                #expect(numbers.count >= 10)
            }
            let late = try await station.bus.subscribe(to: Notes.short, from: .beginning)
            try await collecting([late]) { received in
                try await eventually(within: .seconds(20), "the last") { received[0].numbers.last == 100 }
                #expect(received[0].gaps.isEmpty)
            }
        }
    }
}
