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

    /// Stored messages are kept this long after the server was last known to hold them (DESIGN section 4).
    static let keeping = Duration.seconds(5)
    static let batchLimit = 128
    static let batchByteLimit = 256 * 1024

    let journalLength: Int
    private(set) var nextSequence: Int64 = 1
    private(set) var waiting = CircularBuffer<Message>()
    private(set) var kept = CircularBuffer<Message>()
    /// Whether a task works on this lane.
    var isDraining = false
    /// Whether the server has refused so often that publishers no longer wait.
    var isStuck = false
    /// The data that the kept messages are in.
    var identity: JournalIdentity?

    init(journalLength: Int) {
        self.journalLength = journalLength
    }

    mutating func append(_ payload: [UInt8], completion: Completion?) {
        waiting.append(Message(sequence: nextSequence, payload: payload, completion: completion))
        nextSequence += 1
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
        for _ in 0..<min(count, waiting.count) {
            var message = waiting.removeFirst()
            confirmed.append(message)
            message.completion = nil
            message.storedAt = now
            kept.append(message)
        }
        while kept.count > JournalScript.memorySlots / 2 { kept.removeFirst() }
        isStuck = false
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

    /// Forgets what the server has surely kept: it was just seen to hold this data.
    mutating func prune(at now: MachineInstant, seen: JournalIdentity) {
        guard identity == seen else { return }
        while let first = kept.first, first.storedAt.map({ now.since($0) > Self.keeping }) ?? true {
            kept.removeFirst()
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
        for message in again.reversed() { waiting.prepend(message) }
        return again
    }
}
