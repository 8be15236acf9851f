import NIOCore

/// The commands of one connection that wait to be written or answered, in order; pure, so that it can be tested alone.
///
/// Replies come in the order of the commands. A command that timed out or was cancelled keeps its place without its
/// caller, so its late reply is swallowed and never given to the next one.
///
/// Legal transitions: `open -> closed`.
struct CommandPipeline {
    /// Who waits for a reply; called once.
    ///
    /// A struct, since a bare function is wrapped in another one each time it is put into an optional or an array.
    struct Completion: Sendable {
        private let body: @Sendable (Result<RESPValue, RedisError>) -> Void

        init(_ body: @escaping @Sendable (Result<RESPValue, RedisError>) -> Void) {
            self.body = body
        }

        func callAsFunction(_ result: Result<RESPValue, RedisError>) { body(result) }
    }

    /// What the caller of `enqueue` has to do.
    struct Followup {
        /// The one who finds no flush scheduled schedules it: one write per turn of the loop.
        var schedulesFlush = false
        /// Nothing else is under way: who is on the loop writes at once.
        ///
        /// There is nothing to gather with. What follows before the reply gathers, so a burst costs two writes and not
        /// one for each command.
        var isAlone = false
        /// When the time-outs must be looked at, if nobody does so earlier.
        var sweepAt: NIODeadline?
    }

    private struct Waiter {
        let id: UInt64
        let deadline: NIODeadline
        let bytes: Int
        /// SUBSCRIBE with n names is answered n times.
        var repliesLeft: Int
        var completion: Completion?
    }

    /// Memory kept between two writes; more is given back.
    private static let keptCapacity = 256 * 1024

    let maximumInFlight: Int
    let maximumInFlightBytes: Int
    private var outgoing = ByteBuffer()
    /// What was handed out last.
    private var taken = ByteBuffer()
    /// Bytes of the commands that are not answered yet.
    private var inFlightBytes = 0
    private var isFlushScheduled = false
    private var waiters = CircularBuffer<Waiter>()
    private var nextID: UInt64 = 0
    private var nextSweep: NIODeadline?
    private(set) var closed: RedisError?

    init(maximumInFlight: Int, maximumInFlightBytes: Int) {
        self.maximumInFlight = maximumInFlight
        self.maximumInFlightBytes = maximumInFlightBytes
    }

    var inFlight: Int { waiters.count }

    /// Appends a command; `completion` is called exactly once, here never.
    ///
    /// `isBounded` is false for what must go out however much waits: the one PING that finds out whether there is life.
    mutating func enqueue(
        _ command: [RedisArgument], replies: Int, deadline: NIODeadline, isBounded: Bool = true,
        completion: Completion
    ) throws(RedisError) -> (id: UInt64, followup: Followup) {
        if let closed { throw RedisError(.notConnected, closed.message) }
        guard !isBounded || waiters.count < maximumInFlight else {
            throw RedisError(.overloaded, "\(waiters.count) commands are in flight")
        }
        guard !isBounded || inFlightBytes < maximumInFlightBytes else {
            throw RedisError(.overloaded, "\(inFlightBytes) bytes are in flight")
        }
        let start = outgoing.writerIndex
        outgoing.writeCommand(command)
        let bytes = outgoing.writerIndex - start
        inFlightBytes += bytes
        let isAlone = waiters.isEmpty
        let id = nextID
        nextID += 1
        waiters.append(
            Waiter(id: id, deadline: deadline, bytes: bytes, repliesLeft: replies, completion: completion))
        var followup = Followup()
        if !isFlushScheduled {
            isFlushScheduled = true
            followup.schedulesFlush = true
            followup.isAlone = isAlone
        }
        if nextSweep.map({ deadline < $0 }) ?? true {
            nextSweep = deadline
            followup.sweepAt = deadline
        }
        return (id, followup)
    }

    /// The bytes to write now.
    mutating func takeOutgoing() -> ByteBuffer {
        isFlushScheduled = false
        // What was taken before is written by now, as a rule: then its memory is used again.
        swap(&outgoing, &taken)
        if outgoing.capacity > Self.keptCapacity { outgoing = ByteBuffer() } else { outgoing.clear() }
        return taken
    }

    /// A reply and the caller to be told it, nil if it is gone or waits for more.
    typealias Answer = (reply: RESPValue, completion: Completion?)

    /// Gives replies to the oldest commands, and appends what each found to `answers`.
    ///
    /// - Throws: as `complete(_:)`; the replies before that one are given.
    mutating func complete(_ replies: [RESPValue], into answers: inout [Answer]) throws(RedisError) {
        for reply in replies { answers.append((reply, try complete(reply))) }
    }

    /// Gives a reply to the oldest command.
    ///
    /// - Returns: the caller to resume, nil if it is gone or waits for more.
    /// - Throws: `protocolViolation` (or the server's own last words) for a reply nobody asked for.
    mutating func complete(_ reply: RESPValue) throws(RedisError) -> Completion? {
        guard !waiters.isEmpty else {
            if case .error(let error) = reply { throw error }
            throw RedisError(.protocolViolation, "a reply without a command")
        }
        let isRefused = if case .error = reply { true } else { false }
        waiters[waiters.startIndex].repliesLeft -= 1
        guard isRefused || waiters[waiters.startIndex].repliesLeft == 0 else { return nil }
        let answered = waiters.removeFirst()
        inFlightBytes -= answered.bytes
        return answered.completion
    }

    /// Takes the callers whose deadline has passed; their places stay.
    mutating func expire(at now: NIODeadline) -> (expired: [Completion], sweepAt: NIODeadline?) {
        var expired: [Completion] = []
        nextSweep = nil
        for index in waiters.indices {
            guard let completion = waiters[index].completion else { continue }
            if waiters[index].deadline <= now {
                expired.append(completion)
                waiters[index].completion = nil
            } else {
                nextSweep = min(nextSweep ?? .distantFuture, waiters[index].deadline)
            }
        }
        return (expired, nextSweep)
    }

    /// Takes the caller of one command; its place stays.
    mutating func abandon(_ id: UInt64) -> Completion? {
        guard let index = waiters.firstIndex(where: { $0.id == id }) else { return nil }
        defer { waiters[index].completion = nil }
        return waiters[index].completion
    }

    /// Ends it; nothing can be enqueued after.
    ///
    /// - Returns: the callers left, to be told that the outcome is unknown.
    mutating func close(_ reason: RedisError) -> [Completion] {
        guard closed == nil else { return [] }
        closed = reason
        outgoing = ByteBuffer()
        taken = ByteBuffer()
        defer { waiters.removeAll() }
        return waiters.compactMap(\.completion)
    }
}
