import CHiredis

/// Collects what the reader reports, depth first, into one value; a pushed message goes straight into a batch.
struct RESPBuilder {
    private struct OpenArray {
        let count: Int
        var items: [RESPValue]
    }

    /// What the next part of a reply must be for it to be a message; anything else makes it an ordinary reply.
    ///
    /// Legal transitions: `reply -> kind -> channel -> payload -> reply`, `kind -> pattern -> channel`, and to `reply`
    /// from all.
    private enum Expectation {
        /// No message: built part by part.
        case reply
        case kind(parts: Int)
        case pattern
        case channel(hasPattern: Bool)
        case payload(RedisOrigin)
    }

    /// Whether messages are taken out of the replies: on a subscribing connection only, where RESP2 knows no others.
    let takesMessages: Bool
    /// Bytes of this read that are not consumed yet: what to reserve for.
    var unread = 0
    private var expectation = Expectation.reply
    private var origins = OriginTable()
    private var messages = RedisMessages()
    /// Of the message under construction; kept for its memory.
    private var pattern: [UInt8] = []
    /// Of the last message: which of the batch's origins it had.
    private var latest: (origin: RedisOrigin, index: Int)?
    private var open: [OpenArray] = []
    private var finished: RESPValue?

    init(takesMessages: Bool) {
        self.takesMessages = takesMessages
    }

    /// The reply that is complete; nil if it was a message.
    mutating func take() -> RESPValue? {
        defer { finished = nil }
        return finished
    }

    /// The messages since the last call.
    mutating func takeMessages() -> RedisMessages {
        defer {
            messages = RedisMessages()
            latest = nil
        }
        return messages
    }

    // MARK: Replies

    private mutating func begin(_ count: Int) {
        guard count > 0 else { return add(.array([])) }
        var array = OpenArray(count: count, items: [])
        // The count is the peer's claim: reserve little of it in advance.
        array.items.reserveCapacity(min(count, 64))
        open.append(array)
    }

    private mutating func add(_ value: RESPValue) {
        var value = value
        while !open.isEmpty {
            open[open.count - 1].items.append(value)
            guard open[open.count - 1].items.count == open[open.count - 1].count else { return }
            value = .array(open.removeLast().items)
        }
        finished = value
    }

    // MARK: Messages

    /// Takes a bulk string as the next part of a message.
    ///
    /// - Returns: false if there is no message, or none any more.
    private mutating func takePart(_ part: UnsafeRawBufferPointer) -> Bool {
        switch expectation {
        case .reply:
            return false
        case .payload(let origin):
            append(part, origin)
            expectation = .reply
        case .channel(let hasPattern):
            expectation = .payload(origins.origin(part, pattern: hasPattern ? pattern : nil))
        case .pattern:
            pattern.removeAll(keepingCapacity: true)
            pattern.append(contentsOf: part)
            expectation = .channel(hasPattern: true)
        case .kind(3) where Self.isEqual(part, "message"):
            expectation = .channel(hasPattern: false)
        case .kind(4) where Self.isEqual(part, "pmessage"):
            expectation = .pattern
        case .kind:
            giveUp()
            return false
        }
        return true
    }

    private mutating func append(_ payload: UnsafeRawBufferPointer, _ origin: RedisOrigin) {
        if messages.isEmpty {
            // As if the rest of the read were the same again; the headers of a message take about 40 bytes.
            let expected = unread / (payload.count + origin.name.count + 40) + 1
            messages.reserve(messages: expected, bytes: expected * payload.count)
        }
        if let latest, latest.origin === origin { return messages.append(payload, origin: latest.index) }
        let index = messages.add(origin)
        latest = (origin, index)
        messages.append(payload, origin: index)
    }

    /// Goes on with an ordinary reply, made of what was taken for the beginning of a message.
    private mutating func giveUp() {
        let expected = expectation
        expectation = .reply
        switch expected {
        case .reply:
            break
        case .kind(let parts):
            begin(parts)
        case .pattern:
            begin(4)
            add(.bulk(Array("pmessage".utf8)))
        case .channel(let hasPattern):
            begin(hasPattern ? 4 : 3)
            add(.bulk(Array((hasPattern ? "pmessage" : "message").utf8)))
            if hasPattern { add(.bulk(pattern)) }
        case .payload(let origin):
            begin(origin.pattern == nil ? 3 : 4)
            add(.bulk(Array((origin.pattern == nil ? "message" : "pmessage").utf8)))
            if origin.pattern != nil { add(.bulk(origin.target.name)) }
            add(.bulk(origin.name))
        }
    }

    private static func isEqual(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        bytes.count == text.utf8CodeUnitCount
            && bytes.elementsEqual(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}

// MARK: hiredis

extension RESPBuilder {
    private mutating func string(_ task: redisReadTask, _ bytes: UnsafeRawBufferPointer) {
        switch task.type {
        case REDIS_REPLY_STATUS:
            giveUp()
            add(.simple(String(decoding: bytes, as: UTF8.self)))
        case REDIS_REPLY_ERROR:
            giveUp()
            add(.error(RedisError(reply: String(decoding: bytes, as: UTF8.self))))
        default:
            if !takePart(bytes) { add(.bulk([UInt8](bytes))) }
        }
    }

    private mutating func array(_ task: redisReadTask, _ count: Int) {
        if takesMessages, task.parent == nil, count == 3 || count == 4 {
            expectation = .kind(parts: count)
        } else {
            giveUp()
            begin(count)
        }
    }

    private mutating func value(_ value: RESPValue) {
        giveUp()
        add(value)
    }

    /// What hiredis takes for the object: any pointer but null, since the value stays in the builder.
    private static var token: UnsafeMutableRawPointer? { UnsafeMutableRawPointer(bitPattern: 1) }

    private static func of(_ task: UnsafePointer<redisReadTask>?) -> UnsafeMutablePointer<RESPBuilder>? {
        // Only the root task is sure to carry the reader's private data.
        var root = task
        while let parent = root?.pointee.parent { root = UnsafePointer(parent) }
        return root?.pointee.privdata?.assumingMemoryBound(to: RESPBuilder.self)
    }

    /// The object functions; each finds its builder, which must not move, in the reader's private data.
    ///
    /// Assigned one by one, since their number and the type of a count differ between the versions of hiredis.
    static func install(in functions: UnsafeMutablePointer<redisReplyObjectFunctions>) {
        functions.initialize(to: redisReplyObjectFunctions())
        functions.pointee.createString = { task, characters, length in
            guard let builder = RESPBuilder.of(task), let task else { return nil }
            builder.pointee.string(task.pointee, UnsafeRawBufferPointer(start: characters, count: length))
            return RESPBuilder.token
        }
        functions.pointee.createArray = { task, count in
            guard let builder = RESPBuilder.of(task), let task else { return nil }
            builder.pointee.array(task.pointee, Int(count))
            return RESPBuilder.token
        }
        functions.pointee.createInteger = { task, value in
            guard let builder = RESPBuilder.of(task) else { return nil }
            builder.pointee.value(.integer(value))
            return RESPBuilder.token
        }
        functions.pointee.createNil = { task in
            guard let builder = RESPBuilder.of(task) else { return nil }
            builder.pointee.value(.null)
            return RESPBuilder.token
        }
        functions.pointee.freeObject = { _ in }
    }
}
