import NIOCore
import Resilience

/// The journaled messages of one channel on their way to the server, in order; pure.
///
/// A message waits, is sent with others in one batch, and once stored is kept for a while to be published again if
/// the server loses its data. There is one batch under way at most, so that a retry cannot overtake.
struct OutboxLane {
    typealias Completion = @Sendable (Published) -> Void

    struct Message {
        let sequence: Int64
        let payload: [UInt8]
        /// When the server had stored it.
        var storedAt: MachineInstant?
        /// The publisher that waits; told once.
        var completion: Completion?
    }

    /// Legal transitions: `idle -> sending | troubled`, `sending -> idle | troubled`, `troubled -> idle`.
    enum Phase {
        case idle
        /// A batch is under way; its answer goes on with the next.
        case sending
        /// The last batch failed, or what the server holds has to be found out: a task works on it.
        case troubled
    }

    /// Stored messages are kept this long after the server was last known to hold them (DESIGN section 4).
    static let keeping = Duration.seconds(5)
    /// Bounds of what is kept; beyond them the oldest goes, and could not be published again.
    static let keptLimit = JournalScript.memorySlots / 2
    static let keptByteLimit = 8 << 20
    static let batchLimit = 128
    static let batchByteLimit = 256 * 1024

    let journalLength: Int
    /// Of the server, in the order in which the script wants them.
    let keys: [String]
    private(set) var nextSequence: Int64 = 1
    private(set) var waiting = CircularBuffer<Message>()
    private(set) var kept = CircularBuffer<Message>()
    private var keptBytes = 0
    /// Messages that were kept no longer although the time was not over.
    private(set) var keptDropped = 0
    var phase = Phase.idle
    /// Attempts of the first batch that have failed in a row.
    var failures = 0
    /// Whether the server has refused so often that publishers no longer wait.
    var isStuck = false
    /// The data that the kept messages are in.
    var identity: JournalIdentity?

    init(journalLength: Int, keys: [String] = []) {
        self.journalLength = journalLength
        self.keys = keys
    }

    mutating func append(_ payload: [UInt8], completion: Completion?) {
        waiting.append(Message(sequence: nextSequence, payload: payload, completion: completion))
        nextSequence += 1
    }

    /// Whether there is something to do about this data: to send, or to publish again.
    func hasWork(for current: JournalIdentity?) -> Bool {
        !waiting.isEmpty || (!kept.isEmpty && current != nil && identity != current)
    }

    /// The next messages to send; they stay until `confirm`.
    var batch: [Message] {
        var batch: [Message] = []
        var bytes = 0
        for message in waiting.prefix(Self.batchLimit) {
            bytes += message.payload.count
            if bytes > Self.batchByteLimit, !batch.isEmpty { break }
            batch.append(message)
        }
        return batch
    }

    /// The first `count` messages are stored.
    ///
    /// - Returns: them, with the publishers that wait.
    mutating func confirm(_ count: Int, at now: MachineInstant) -> [Message] {
        var confirmed: [Message] = []
        confirmed.reserveCapacity(count)
        for _ in 0..<min(count, waiting.count) {
            var message = waiting.removeFirst()
            confirmed.append(message)
            message.completion = nil
            message.storedAt = now
            kept.append(message)
            keptBytes += message.payload.count
        }
        while kept.count > Self.keptLimit || keptBytes > Self.keptByteLimit {
            keptBytes -= kept.removeFirst().payload.count
            keptDropped += 1
        }
        isStuck = false
        failures = 0
        return confirmed
    }

    /// Takes the publishers that wait; their messages stay.
    mutating func stopWaiting() -> [Completion] {
        isStuck = true
        var completions: [Completion] = []
        for index in waiting.indices {
            if let completion = waiting[index].completion { completions.append(completion) }
            waiting[index].completion = nil
        }
        return completions
    }

    /// Forgets what the server has surely kept: it was seen to hold this data, at `now` or later.
    mutating func prune(at now: MachineInstant, seen: JournalIdentity) {
        guard identity == seen else { return }
        while let first = kept.first, first.storedAt.map({ now.since($0) > Self.keeping }) ?? true {
            keptBytes -= kept.removeFirst().payload.count
        }
    }

    /// Notes which data the server holds now; if it is other data than that of the kept messages, they wait again, in
    /// front.
    ///
    /// - Returns: the messages that wait again.
    mutating func adopt(_ identity: JournalIdentity) -> [Message] {
        defer { self.identity = identity }
        guard let old = self.identity, old != identity else { return [] }
        let again = Array(kept)
        kept.removeAll()
        keptBytes = 0
        for message in again.reversed() { waiting.prepend(message) }
        return again
    }
}
