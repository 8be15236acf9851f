import Domain
import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Runtime
import TestKit
import Testing
import Wire

@testable import Bus

/// Long journals, trimmed ones, and servers that forget.
@Suite(.timeLimit(.minutes(4))) struct ReplayTests {
    /// Publishes numbers in groups, many at once, each group in order.
    private static func publish(
        _ numbers: ClosedRange<Int>, on channel: Channel<Note> = Notes.journal, _ bus: Bus
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for number in numbers {
                if number - numbers.lowerBound >= 64 { try await tasks.next() }
                tasks.addTask { try await bus.publish(Note(number: number), on: channel) }
            }
            try await tasks.waitForAll()
        }
    }

    @Test func `twelve thousand entries are paged through under traffic that goes on`() async throws {
        let server = try await OwnRedis.started()
        let settings = fastSettings(server.url, ["REDIS_QUEUE_MAX_MESSAGES": "200"])
        try await withBus(settings, source: "publisher/1") { publisher in
            try await Self.publish(1...12_000, publisher.bus)
            try await withBus(settings, source: "subscriber/1") { subscriber in
                let subscription = try await subscriber.bus.subscribe(to: Notes.journal, from: .beginning)
                try await collecting([subscription]) { received in
                    // The live queue overflows while pages are read: that is no loss, since the journal has it all.
                    try await Self.publish(12_001...15_000, publisher.bus)
                    try await eventually(within: .seconds(60), "all") { received[0].numbers.count >= 15_000 }
                    let numbers = received[0].numbers
                    #expect(numbers.count == 15_000 && Set(numbers).count == 15_000, "none twice")
                    #expect(Set(numbers) == Set(1...15_000))
                    #expect(received[0].gaps.isEmpty)
                }
                #expect(subscriber.bus.status.replayed >= 12_000)
            }
        }
    }

    @Test func `a page of a journal is no larger than a reply may be, however large its entries are`() async throws {
        let server = try await OwnRedis.started()
        let text = String(repeating: "x", count: 60_000)
        try await withBus(patientSettings(server.url), source: "publisher/1") { publisher in
            for number in 1...300 {
                // Small ones first: the size of a page is guessed from the page before.
                let note = Note(number: number, text: number <= 100 ? "" : text)
                try await publisher.bus.publish(note, on: Notes.journal)
            }
            let settings = patientSettings(server.url, ["REDIS_MAX_REPLY_BYTES": "\(1 << 20)"])
            try await withBus(settings, source: "subscriber/1") { subscriber in
                let subscription = try await subscriber.bus.subscribe(to: Notes.journal, from: .beginning)
                try await collecting([subscription]) { received in
                    try await eventually(within: .seconds(60), "all") { received[0].numbers.count >= 300 }
                    #expect(received[0].numbers == Array(1...300))
                    #expect(received[0].gaps.isEmpty)
                }
                // Too large are the page that follows the last small ones, a quarter of it, and no later one.
                #expect(subscriber.client.status.commands.reconnects <= 4)
            }
        }
    }

    @Test func `a journal trimmed under its reader is one gap, and what is left comes in order`() async throws {
        let server = try await OwnRedis.started(["--stream-node-max-entries", "10"])
        let settings = fastSettings(server.url)
        try await withBus(settings, source: "publisher/1") { publisher in
            for number in 1...2_000 { try await publisher.bus.publish(Note(number: number), on: Notes.journal) }
            try await withBus(settings, source: "subscriber/1") { subscriber in
                let subscription = try await subscriber.bus.subscribe(to: Notes.journal, from: .beginning)
                var iterator = subscription.makeAsyncIterator()
                var numbers: [Int] = []
                var gaps: [Gap] = []
                while numbers.last != 2_000, let delivery = await iterator.next() {
                    switch delivery {
                    case .message(let envelope, _): numbers.append(envelope.body.number)
                    case .gap(let gap): gaps.append(gap)
                    }
                    // Between two pages: the reader holds the first 256.
                    if numbers.count == 100, gaps.isEmpty {
                        let stream = JournalScript.stream(Notes.journal.name)
                        _ = try await subscriber.client.command("XTRIM", stream, "MAXLEN", "500")
                    }
                }
                #expect(gaps == [Gap(.trimmed)])
                #expect(numbers == numbers.sorted() && Set(numbers).count == numbers.count)
                #expect(numbers.starts(with: 1...256) && numbers.suffix(500) == Array(1_501...2_000)[...])
            }
        }
    }

    @Test func `who comes after a restart without files gets the last seconds again, once`() async throws {
        let server = try await OwnRedis.started()
        let settings = fastSettings(server.url)
        try await withBus(settings, source: "publisher/1") { publisher in
            let witness = try await publisher.bus.subscribe(to: Notes.journal)
            try await collecting([witness]) { received in
                for number in 1...50 { try await publisher.bus.publish(Note(number: number), on: Notes.journal) }
                try await eventually(within: .seconds(20), "the witness has all") { received[0].numbers.count == 50 }
                try await server.restart()
                try await eventually(within: .seconds(20), "published again") {
                    publisher.bus.status.republished >= 50 && publisher.bus.status.queued == 0
                }
                try await withBus(settings, source: "late/1") { late in
                    let subscription = try await late.bus.subscribe(to: Notes.journal, from: .beginning)
                    try await publisher.bus.publish(Note(number: 51), on: Notes.journal)
                    try await collecting([subscription]) { lately in
                        try await eventually(within: .seconds(20), "the last") { lately[0].numbers.last == 51 }
                        #expect(lately[0].numbers == Array(1...51))
                        #expect(lately[0].gaps.isEmpty)
                    }
                }
                try await eventually(within: .seconds(20), "the witness goes on") { received[0].numbers.last == 51 }
                #expect(received[0].numbers == Array(1...51), "none twice")
                #expect(received[0].gaps == [Gap(.dataLost)])
            }
        }
    }
}
