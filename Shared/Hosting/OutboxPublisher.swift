import Bus
import Domain
import Foundation
import Logging
import Postgres
import Runtime
import Wire

/// Puts committed announcements on the bus, each on the channel that its topic names.
public struct OutboxPublisher: Sendable {
    /// An outbox row that no version of ours can announce.
    public struct Unreadable: Error, Sendable, CustomStringConvertible {
        public let id: Int64
        public let reason: String
        public var description: String { "outbox row \(id): \(reason)" }
    }

    /// Redis does not keep it yet: the row stays unpublished and is relayed again; receivers know it by its intent.
    public struct NotStored: Error, Sendable, CustomStringConvertible {
        public let id: Int64
        public var description: String { "outbox row \(id) is not stored by Redis yet" }
    }

    private let bus: Bus

    public init(bus: Bus) { self.bus = bus }

    /// - Throws: `Unreadable` for a topic or payload that cannot be announced, or the bus's error.
    public func publish(_ row: OutboxRow) async throws {
        switch row.topic {
        case Channels.intents.name: try await publish(row, on: Channels.intents)
        case Channels.plans.name: try await publish(row, on: Channels.plans)
        case Channels.planResults.name: try await publish(row, on: Channels.planResults)
        case Channels.orders.name: try await publish(row, on: Channels.orders)
        case Channels.positions.name: try await publish(row, on: Channels.positions)
        case Channels.killSwitch.name: try await publish(row, on: Channels.killSwitch)
        case Channels.gamesEnded.name: try await publish(row, on: Channels.gamesEnded)
        case Channels.alerts.name: try await publish(row, on: Channels.alerts)
        default:
            guard row.topic.hasPrefix("shard:"), row.topic.hasSuffix(":command"),
                let shard = try? ShardID(String(row.topic.dropFirst(6).dropLast(8)))
            else { throw Unreadable(id: row.id, reason: "no channel is named \(row.topic)") }
            try await publish(row, on: Channels.commands(shard))
        }
    }

    private func publish<M: WireMessage>(_ row: OutboxRow, on channel: Channel<M>) async throws {
        let message: M
        do {
            message = try JSONDecoder().decode(M.self, from: Data(row.payload.utf8))
        } catch {
            throw Unreadable(id: row.id, reason: "\(error)")
        }
        // A trace that is no identifier is dropped: the row itself keeps it.
        let published = try await bus.publish(message, on: channel, trace: try? TraceID(row.trace))
        guard case .stored = published else { throw NotStored(id: row.id) }
    }
}

extension OutboxStore {
    /// Writes an announcement of a message into the transaction of the change it announces, with what it sends next.
    public static func append<M: WireMessage>(
        _ message: M, on channel: Channel<M>, key: String, trace: TraceID?, in transaction: PostgresTransaction
    ) async throws {
        var payload: [UInt8] = []
        if !message.write(to: &payload) {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            payload = Array(try encoder.encode(message))
        }
        try enqueue(
            topic: channel.name, key: key, messageType: M.type, payload: String(decoding: payload, as: UTF8.self),
            trace: trace?.rawValue ?? "", in: transaction)
    }
}

extension ServiceHost {
    /// Starts the relay that announces what was committed; `outbox()` wakes it after a commit.
    public func relayOutbox() {
        let publisher = OutboxPublisher(bus: bus)
        let revival = OutboxNudge()
        let relay = OutboxRelay(pool: database, nudge: outbox, revival: revival, metrics: context.metrics) { row in
            do {
                try await publisher.publish(row)
            } catch let error as OutboxPublisher.Unreadable {
                throw OutboxRefusal("\(error)")
            }
        } buried: { row, reason in
            await raise(deadLetter: row, reason)
        }
        supervisor.add("outbox-revival", .important) { [bus] in
            for await _ in bus.revivals() {
                revival()
                outbox()
            }
        }
        // On the loop that drives the connections: a batch is ten statements, and as many waits.
        supervisor.add("outbox-relay", .important) {
            await withTaskExecutorPreference(PostgresPool.executor) { await relay.run() }
        }
    }

    /// Somebody must look: what was committed will not be announced by itself.
    private func raise(deadLetter row: OutboxRow, _ reason: String) async {
        do {
            let alert = SystemAlert(
                id: try AlertID(context.random.uuid()), kind: "outboxDeadLetter",
                fingerprint: "outboxDeadLetter:\(row.topic)", state: .firing,
                summary: "An announcement was put aside; its receivers learn of it only from the database",
                detail: ["row": "\(row.id)", "topic": row.topic, "key": row.key, "reason": reason],
                at: context.wallClock.microseconds)
            _ = try await bus.publish(alert, on: Channels.alerts)
        } catch {
            log.error("alert not published", metadata: [Key.kind: "outboxDeadLetter", Key.reason: "\(error)"])
        }
    }
}
