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
        /// Too many journaled messages wait for the server; publish again later, or let it be.
        case outboxFull = "outbox_full"
        case notEncodable = "not_encodable"
        /// Larger than `BUS_MESSAGE_MAX_BYTES`.
        case tooLarge = "too_large"
        /// What this process publishes does not come back to it.
        case deaf
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "bus \(code.rawValue): \(message)" }
}

/// The bounds of the bus, and how it watches itself.
public struct BusSettings: Sendable {
    /// Journaled messages of this process that may wait for the server.
    public private(set) var outboxLimit = 10_000
    public private(set) var outboxByteLimit = 16 << 20
    /// The largest envelope; a subscriber's output buffer at the server holds 32 MiB, or 8 MiB for a minute
    /// (PITFALLS 5.33).
    public private(set) var messageByteLimit = 1 << 20
    public private(set) var deadLetterLimit = 100
    public private(set) var deadLettersPerSecond = 5
    /// Between two canaries: about 200 bytes each way, 7 MB in a month at 5 s (PITFALLS 5.28).
    public private(set) var canaryInterval = Duration.seconds(5)
    public private(set) var canaryTimeout = Duration.seconds(5)
    /// Between two saves of a durable subscription's position: what a restart may see again.
    public private(set) var positionInterval = Duration.seconds(1)

    public init() {}

    public init(_ reader: SettingsReader) {
        outboxLimit = reader.integer(
            "BUS_OUTBOX_MAX_MESSAGES", default: outboxLimit, in: 1...1_000_000,
            "journaled messages that may wait for Redis")
        outboxByteLimit = reader.integer(
            "BUS_OUTBOX_MAX_BYTES", default: outboxByteLimit, in: 1024...(1 << 30), "bytes of those messages")
        messageByteLimit = reader.integer(
            "BUS_MESSAGE_MAX_BYTES", default: messageByteLimit, in: 1024...(8 << 20), "the largest message")
        deadLetterLimit = reader.integer(
            "BUS_DEAD_LETTERS", default: deadLetterLimit, in: 1...10_000,
            "undecodable messages kept in the process for a person to read")
        deadLettersPerSecond = reader.integer(
            "BUS_DEAD_LETTERS_PER_SECOND", default: deadLettersPerSecond, in: 1...1_000,
            "undecodable messages written to Redis, beyond a burst of 20")
        let wait = Duration.milliseconds(50)...Duration.seconds(600)
        canaryInterval = reader.milliseconds(
            "BUS_CANARY_INTERVAL_MS", default: canaryInterval, in: wait,
            "between two messages that a process sends to itself")
        canaryTimeout = reader.milliseconds(
            "BUS_CANARY_TIMEOUT_MS", default: canaryTimeout, in: wait, "until such a message counts as missing")
        positionInterval = reader.milliseconds(
            "BUS_POSITION_INTERVAL_MS", default: positionInterval, in: wait,
            "between two saves of how far a durable subscription has come")
    }
}

/// The bus in figures, all since the start of the process.
public struct BusStatus: Sendable {
    public let redis: RedisStatus
    /// `run` serves the outbox; before and after, journaled messages only queue.
    public let isRunning: Bool
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
    /// Dropped because a newer one of the same publisher had been delivered.
    public let late: Int
    public let deadLetters: Int
    /// Journaled messages that were left in the outbox when the process ended.
    public let abandoned: Int
    public let canary: CanaryStatus
}
