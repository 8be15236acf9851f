import Domain
import Redis
import Runtime
import Wire

/// Who publishes: the source and the life that every envelope carries.
public struct BusIdentity: Hashable, Sendable {
    /// `service/instance`, for example `game-shard/shard-01`.
    public let source: String
    public let incarnation: Incarnation

    public init(source: String, incarnation: Incarnation) {
        self.source = source
        self.incarnation = incarnation
    }
}

/// What became of a published message.
public enum Published: Hashable, Sendable {
    /// A hint: handed to that many subscribers.
    case sent(receivers: Int)
    /// A hint that could not be sent; the next one replaces it.
    case dropped
    /// Journaled: kept by the server under this id, and published.
    case stored(id: String)
    /// Journaled: kept in the outbox here, to be stored in order when the server answers again.
    case queued
}

/// Something was missed before this point, and it cannot be had any more: reread the truth.
public struct Gap: Hashable, Sendable {
    public enum Reason: String, Hashable, Sendable, CaseIterable {
        /// The connection was lost for a while.
        case reconnected
        /// This subscriber was too slow.
        case overflow
        /// A publisher's sequence jumped.
        case sequence
        /// The journal no longer reaches back to where this subscriber was.
        case trimmed
        /// The server lost its data or is another one.
        case dataLost = "data_lost"
    }

    public let reason: Reason
    /// Messages known to be missed, nil when nobody can know.
    public let missed: Int?

    public init(_ reason: Reason, missed: Int? = nil) {
        self.reason = reason
        self.missed = missed
    }
}

/// What a subscription hands out.
public enum Delivery<Message: WireMessage>: Sendable {
    case message(Envelope<Message>, channel: String)
    case gap(Gap)
}

/// Where a subscription to a journaled channel begins.
public enum JournalStart: Hashable, Sendable {
    case now
    /// As far back as the journal reaches.
    case beginning
    /// Behind a position that a subscription gave out earlier; a gap if the journal no longer reaches back to it.
    case position(JournalPosition)
}

/// Why something could not be published or subscribed to; failures of Redis itself come as `RedisError`.
public struct BusError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Hashable, Sendable, CaseIterable {
        case outboxFull = "outbox_full"
        case notEncodable = "not_encodable"
        case notSubscribed = "not_subscribed"
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "bus \(code.rawValue): \(message)" }
}

/// The bounds of the bus.
public struct BusSettings: Sendable {
    /// Journaled messages of this process that may wait for the server.
    public let outboxLimit: Int
    public let outboxByteLimit: Int
    public let deadLetterLimit: Int

    public init(outboxLimit: Int = 10_000, outboxByteLimit: Int = 16 << 20, deadLetterLimit: Int = 100) {
        self.outboxLimit = outboxLimit
        self.outboxByteLimit = outboxByteLimit
        self.deadLetterLimit = deadLetterLimit
    }

    public init(_ reader: SettingsReader) {
        self.init(
            outboxLimit: reader.integer(
                "BUS_OUTBOX_MAX_MESSAGES", default: 10_000, in: 1...1_000_000,
                "journaled messages that may wait for Redis"),
            outboxByteLimit: reader.integer(
                "BUS_OUTBOX_MAX_BYTES", default: 16 << 20, in: 1024...(1 << 30), "bytes of those messages"),
            deadLetterLimit: reader.integer(
                "BUS_DEAD_LETTERS", default: 100, in: 1...10_000, "undecodable messages kept for a person to read"))
    }
}

/// The bus in figures, all since the start of the process.
public struct BusStatus: Sendable {
    public let redis: RedisStatus
    /// Journaled messages that wait in the outbox now.
    public let queued: Int
    public let queuedBytes: Int
    public let hintsSent: Int
    public let hintsDropped: Int
    public let stored: Int
    public let retries: Int
    public let republished: Int
    public let gaps: Int
    public let replayed: Int
    public let duplicates: Int
    public let deadLetters: Int
}
