import Bus
import Foundation
import Redis
import RedisTestKit
import TestKit
import Testing
import Wire

@testable import Bus

/// What a reader must not forgive, and must not wait for, once the server has begun a new life.
@Suite(.timeLimit(.minutes(2))) struct RestartTests {
    private static let stream = JournalScript.stream(Notes.journal.name)

    @Test func `after a restart the next loss is a gap of its own`() async throws {
        let server = try await OwnRedis.started(appendOnly: true)
        let proxy = try await FaultProxy.start(to: server.port)
        try await withBus(fastSettings(proxy.url)) { station in
            let subscription = try await station.bus.subscribe(to: Notes.journal)
            try await collecting([subscription]) { received in
                try await station.bus.publish(Note(number: 1), on: Notes.journal)
                try await eventually(within: .seconds(20), "first") { received[0].numbers == [1] }
                let before = proxy.commands.count
                try await server.restart()
                try await eventually(within: .seconds(20), "the restart") { received[0].gaps.count == 1 }
                try await eventually(within: .seconds(20), "the reader has looked for the end") {
                    proxy.commands.dropFirst(before).contains { $0.name == "XREVRANGE" }
                }
                // Behind the reader's question on the same connection, so the answer is there as well.
                _ = try await station.client.command("PING")
                // Two entries that nobody publishes, of which the first is gone before the reader looks.
                let script = """
                    local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][1]
                    local lost = redis.call('XADD', KEYS[1], '*', 'p', last, 'm', 'x')
                    redis.call('XADD', KEYS[1], '*', 'p', lost, 'm', 'y')
                    return redis.call('XDEL', KEYS[1], lost)
                    """
                _ = try await server.ask("EVAL", script, "1", Self.stream)
                try await station.bus.publish(Note(number: 2), on: Notes.journal)
                try await eventually(within: .seconds(20), "goes on") { received[0].numbers == [1, 2] }
                #expect(received[0].gaps == [Gap(.dataLost), Gap(.trimmed)])
            }
        }
    }

    @Test func `what is published behind the gap arrives although the server's clock was set back`() async throws {
        let server = try await OwnRedis.started(appendOnly: true)
        try await withBus(fastSettings(server.url)) { station in
            let subscription = try await station.bus.subscribe(to: Notes.journal)
            // Of a server whose clock is far ahead; then its end is lost.
            let envelope = Envelope(
                source: "other/1", incarnation: "x", sequence: 1, trace: nil, sentAt: 0, body: Note(number: 1))
            let payload = String(decoding: try JSONEncoder().encode(envelope), as: UTF8.self)
            let script = """
                redis.call('XADD', KEYS[1], '99999999999999-0', 'p', '0-0', 'm', ARGV[1])
                redis.call('PUBLISH', ARGV[2], '99999999999999-0 0-0 ' .. ARGV[1])
                return redis.call('DEL', KEYS[1])
                """
            _ = try await server.ask("EVAL", script, "1", Self.stream, payload, Notes.journal.name)
            var iterator = subscription.makeAsyncIterator()
            #expect(await iterator.next()?.number == 1)
            try await server.restart()
            #expect(await iterator.next()?.gap == Gap(.dataLost))
            // Stored before the subscription has looked at the journal again.
            try await Self.store(2, on: station.bus)
            #expect(await iterator.next()?.number == 2)
            try await Self.store(3, on: station.bus)
            #expect(await iterator.next()?.number == 3)
        }
    }

    @Test func `a stored position beyond the end of the journal goes on from its end`() async throws {
        let server = try await OwnRedis.started()
        try await withBus(fastSettings(server.url)) { station in
            try await Self.store(1, on: station.bus)
            let present = try #require(try await station.bus.subscribe(to: Notes.journal).position)
            let identity = JournalIdentity(runID: "an earlier one", dataID: present.identity.dataID)
            let position = JournalPosition(identity: identity, id: "99999999999999-0")
            let subscription = try await station.bus.subscribe(to: Notes.journal, from: .position(position))
            var iterator = subscription.makeAsyncIterator()
            #expect(await iterator.next()?.gap == Gap(.dataLost))
            try await Self.store(2, on: station.bus)
            #expect(await iterator.next()?.number == 2)
        }
    }

    private static func store(_ number: Int, on bus: Bus) async throws {
        let published = try await bus.publish(Note(number: number), on: Notes.journal)
        guard case .stored = published else { return try #require(Bool(false), "\(number) was \(published)") }
    }
}

extension Delivery<Note> {
    /// Nil for a gap.
    fileprivate var number: Int? {
        guard case .message(let envelope, _) = self else { return nil }
        return envelope.body.number
    }

    fileprivate var gap: Gap? { if case .gap(let gap) = self { gap } else { nil } }
}
