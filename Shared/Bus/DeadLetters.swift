import Logging
import NIOConcurrencyHelpers
import Runtime

/// A message that could not be decoded.
public struct DeadLetter: Hashable, Sendable {
    public let channel: String
    public let reason: String
    /// The beginning of the payload, invalid UTF-8 repaired.
    public let payloadPrefix: String
}

/// The latest messages that could not be decoded: kept for a person to read, counted, and never fatal.
final class DeadLetters: Sendable {
    static let prefixLength = 256

    private let limit: Int
    private let counter: Counter
    private let log: Logger
    private let kept = NIOLockedValueBox<[DeadLetter]>([])

    init(limit: Int, counter: Counter, log: Logger) {
        self.limit = limit
        self.counter = counter
        self.log = log
    }

    var latest: [DeadLetter] { kept.withLockedValue { $0 } }

    func add(channel: String, reason: String, payload: some Sequence<UInt8>) {
        let prefix = String(decoding: Array(payload.prefix(Self.prefixLength)), as: UTF8.self)
        let letter = DeadLetter(
            channel: channel, reason: String(reason.prefix(Self.prefixLength)), payloadPrefix: prefix)
        counter.increment()
        kept.withLockedValue { kept in
            if kept.count >= limit { kept.removeFirst() }
            kept.append(letter)
        }
        log.warning("dead letter", metadata: [Key.channel: "\(channel)", Key.reason: "\(letter.reason)"])
    }
}
