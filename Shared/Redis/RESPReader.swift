import CHiredis
import NIOCore

/// Turns bytes into replies: hiredis' `redisReader`, with object functions that build Swift values directly.
///
/// hiredis 0.14 reads RESP2 to a depth of 7. Not thread-safe: it lives on one event loop.
final class RESPReader {
    /// The reader moves what is left of its buffer after each KiB it consumes, so the cost grows with the size.
    static let feedLimit = 8 * 1024

    private let reader: UnsafeMutablePointer<redisReader>
    /// hiredis keeps a pointer to the table, so it lives as long as the reader.
    private let functions: UnsafeMutablePointer<redisReplyObjectFunctions>
    /// What the object functions work on; hiredis keeps a pointer to it as well.
    private let builder: UnsafeMutablePointer<RESPBuilder>
    private let maximumReplyBytes: Int
    /// Bytes fed since the last complete reply: the size of the reply under construction, from above.
    private var unfinishedBytes = 0

    /// `takesMessages` is for a connection that subscribes.
    ///
    /// - Returns: nil when memory is exhausted.
    init?(maximumReplyBytes: Int, takesMessages: Bool = false) {
        self.maximumReplyBytes = maximumReplyBytes
        functions = .allocate(capacity: 1)
        RESPBuilder.install(in: functions)
        guard let reader = redisReaderCreateWithFunctions(functions) else {
            functions.deallocate()
            return nil
        }
        builder = .allocate(capacity: 1)
        builder.initialize(to: RESPBuilder(takesMessages: takesMessages))
        self.reader = reader
        reader.pointee.privdata = UnsafeMutableRawPointer(builder)
        // The default gives a buffer above 16 KiB back each time it runs empty.
        reader.pointee.maxbuf = 256 * 1024
    }

    deinit {
        redisReaderFree(reader)
        functions.deallocate()
        builder.deinitialize(count: 1)
        builder.deallocate()
    }

    /// The pushed messages that were read since the last call.
    func takeMessages() -> RedisMessages { builder.pointee.takeMessages() }

    /// Consumes all of `buffer` and hands out each reply that is complete and no message.
    ///
    /// - Throws: `protocolViolation`; the reader must not be used again.
    func read(_ buffer: inout ByteBuffer, _ receive: (RESPValue) -> Void) throws(RedisError) {
        while let slice = buffer.readSlice(length: min(buffer.readableBytes, Self.feedLimit)), slice.readableBytes > 0 {
            let status = slice.withUnsafeReadableBytes { bytes in
                redisReaderFeed(reader, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
            }
            guard status == REDIS_OK else { throw failure() }
            unfinishedBytes += slice.readableBytes
            builder.pointee.unread = slice.readableBytes + buffer.readableBytes
            while try readReply() {
                if let reply = builder.pointee.take() { receive(reply) }
            }
            if unfinishedBytes > maximumReplyBytes {
                throw RedisError(.protocolViolation, "a reply exceeds \(maximumReplyBytes) bytes")
            }
        }
    }

    /// - Returns: false when the next reply is not complete yet.
    private func readReply() throws(RedisError) -> Bool {
        var token: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &token) == REDIS_OK else { throw failure() }
        guard token != nil else { return false }
        unfinishedBytes = reader.pointee.len - reader.pointee.pos
        return true
    }

    private func failure() -> RedisError {
        let reason = withUnsafeBytes(of: &reader.pointee.errstr) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        return RedisError(.protocolViolation, reason)
    }
}
