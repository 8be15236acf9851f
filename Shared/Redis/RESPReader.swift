import CHiredis
import NIOCore

/// Turns bytes into replies: hiredis' `redisReader`, with object functions that build Swift values directly.
///
/// hiredis 0.14 reads RESP2 to a depth of 7 and moves its buffer as it consumes it, so it is fed at most 64 KiB at a
/// time (four times slower at 1 MiB). Not thread-safe: it lives on one event loop.
final class RESPReader {
    static let feedLimit = 64 * 1024

    private let reader: UnsafeMutablePointer<redisReader>
    /// hiredis keeps a pointer to the table, so it lives as long as the reader.
    private let functions: UnsafeMutablePointer<redisReplyObjectFunctions>
    private let builder = RESPBuilder()
    private let maximumReplyBytes: Int
    /// Bytes fed since the last complete reply: the size of the reply under construction, from above.
    private var unfinishedBytes = 0

    /// - Returns: nil when memory is exhausted.
    init?(maximumReplyBytes: Int) {
        self.maximumReplyBytes = maximumReplyBytes
        functions = .allocate(capacity: 1)
        functions.initialize(to: RESPBuilder.functions)
        guard let reader = redisReaderCreateWithFunctions(functions) else {
            functions.deallocate()
            return nil
        }
        self.reader = reader
        reader.pointee.privdata = Unmanaged.passUnretained(builder).toOpaque()
        // The default gives a buffer above 16 KiB back each time it runs empty.
        reader.pointee.maxbuf = 4 * Self.feedLimit
    }

    deinit {
        redisReaderFree(reader)
        functions.deallocate()
    }

    /// Consumes all of `buffer` and hands out each reply that is complete.
    ///
    /// - Throws: `protocolViolation`; the reader must not be used again.
    func read(_ buffer: inout ByteBuffer, _ receive: (RESPValue) -> Void) throws(RedisError) {
        while let slice = buffer.readSlice(length: min(buffer.readableBytes, Self.feedLimit)), slice.readableBytes > 0 {
            let status = slice.withUnsafeReadableBytes { bytes in
                redisReaderFeed(reader, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
            }
            guard status == REDIS_OK else { throw failure() }
            unfinishedBytes += slice.readableBytes
            while let reply = try next() { receive(reply) }
            if unfinishedBytes > maximumReplyBytes {
                throw RedisError(.protocolViolation, "a reply exceeds \(maximumReplyBytes) bytes")
            }
        }
    }

    private func next() throws(RedisError) -> RESPValue? {
        var token: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &token) == REDIS_OK else { throw failure() }
        guard token != nil, let reply = builder.take() else { return nil }
        unfinishedBytes = reader.pointee.len - reader.pointee.pos
        return reply
    }

    private func failure() -> RedisError {
        let reason = withUnsafeBytes(of: &reader.pointee.errstr) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        return RedisError(.protocolViolation, reason)
    }
}

/// Collects what the reader reports, depth first, into one value.
private final class RESPBuilder {
    private struct OpenArray {
        let count: Int
        var items: [RESPValue]
    }

    private var open: [OpenArray] = []
    private var finished: RESPValue?

    func take() -> RESPValue? {
        defer { finished = nil }
        return finished
    }

    private func begin(_ count: Int) {
        guard count > 0 else { return add(.array([])) }
        var array = OpenArray(count: count, items: [])
        // The count is the peer's claim: reserve little of it in advance.
        array.items.reserveCapacity(min(count, 64))
        open.append(array)
    }

    private func add(_ value: RESPValue) {
        var value = value
        while !open.isEmpty {
            open[open.count - 1].items.append(value)
            guard open[open.count - 1].items.count == open[open.count - 1].count else { return }
            value = .array(open.removeLast().items)
        }
        finished = value
    }

    /// What hiredis takes for the object: any pointer but null, since the value stays in the builder.
    private static var token: UnsafeMutableRawPointer? { UnsafeMutableRawPointer(bitPattern: 1) }

    private static func of(_ task: UnsafePointer<redisReadTask>?) -> RESPBuilder? {
        // Only the root task is sure to carry the reader's private data.
        var root = task
        while let parent = root?.pointee.parent { root = UnsafePointer(parent) }
        guard let pointer = root?.pointee.privdata else { return nil }
        return Unmanaged<RESPBuilder>.fromOpaque(pointer).takeUnretainedValue()
    }

    static var functions: redisReplyObjectFunctions {
        redisReplyObjectFunctions(
            createString: { task, characters, length in
                guard let builder = RESPBuilder.of(task), let task else { return nil }
                let bytes = UnsafeRawBufferPointer(start: characters, count: length)
                switch task.pointee.type {
                case REDIS_REPLY_STATUS: builder.add(.simple(String(decoding: bytes, as: UTF8.self)))
                case REDIS_REPLY_ERROR: builder.add(.error(RedisError(reply: String(decoding: bytes, as: UTF8.self))))
                default: builder.add(.bulk([UInt8](bytes)))
                }
                return RESPBuilder.token
            },
            createArray: { task, count in
                guard let builder = RESPBuilder.of(task) else { return nil }
                builder.begin(Int(count))
                return RESPBuilder.token
            },
            createInteger: { task, value in
                guard let builder = RESPBuilder.of(task) else { return nil }
                builder.add(.integer(value))
                return RESPBuilder.token
            },
            createNil: { task in
                guard let builder = RESPBuilder.of(task) else { return nil }
                builder.add(.null)
                return RESPBuilder.token
            },
            freeObject: { _ in })
    }
}
