/// The messages of one delivery, in order: their payloads side by side in one piece of memory.
///
/// A batch holds at most 64 KiB of payload, or what one read of the socket completed if that is more.
public struct RedisMessages: RandomAccessCollection, ExpressibleByArrayLiteral, Sendable {
    private struct Entry {
        /// Where the payload ends in `bytes`; it begins where the one before ends.
        let end: Int
        /// Index in `origins`.
        let origin: Int
    }

    /// The different origins; one may be in here twice.
    private(set) var origins: [RedisOrigin] = []
    private var entries: [Entry] = []
    private var bytes: [UInt8] = []

    public init() {}

    public init(_ messages: some Sequence<RedisMessage>) {
        for message in messages {
            let origin = add(message.origin)
            message.payload.withUnsafeBytes { append($0, origin: origin) }
        }
    }

    public init(arrayLiteral messages: RedisMessage...) {
        self.init(messages)
    }

    public var startIndex: Int { 0 }
    public var endIndex: Int { entries.count }

    /// The sum of the payloads.
    public var byteCount: Int { bytes.count }

    public subscript(index: Int) -> RedisMessage {
        RedisMessage(origin: origins[entries[index].origin], payload: bytes[start(of: index)..<entries[index].end])
    }

    private func start(of index: Int) -> Int { index == 0 ? 0 : entries[index - 1].end }

    /// Index in `origins` of the origin of a message.
    func origin(of index: Int) -> Int { entries[index].origin }

    // MARK: Building

    mutating func reserve(messages: Int, bytes count: Int) {
        entries.reserveCapacity(messages)
        bytes.reserveCapacity(count)
    }

    /// - Returns: the index for `append`.
    mutating func add(_ origin: RedisOrigin) -> Int {
        // Few channels alternate, and an origin that is in here twice does no harm.
        if let known = origins.suffix(8).lastIndex(where: { $0 === origin }) { return known }
        origins.append(origin)
        return origins.count - 1
    }

    mutating func append(_ payload: UnsafeRawBufferPointer, origin: Int) {
        bytes.append(contentsOf: payload)
        entries.append(Entry(end: bytes.count, origin: origin))
    }

    mutating func append(contentsOf other: RedisMessages) {
        if isEmpty {
            self = other
            return
        }
        let indices = other.origins.map { add($0) }
        let offset = bytes.count
        bytes.append(contentsOf: other.bytes)
        for entry in other.entries { entries.append(Entry(end: offset + entry.end, origin: indices[entry.origin])) }
    }

    /// Appends one message of another batch.
    mutating func append(_ index: Int, of other: RedisMessages, origin: Int) {
        bytes.append(contentsOf: other.bytes[other.start(of: index)..<other.entries[index].end])
        entries.append(Entry(end: bytes.count, origin: origin))
    }

    /// The newest messages that stay within both bounds, at least one.
    func newest(count limit: Int, bytes byteLimit: Int) -> RedisMessages {
        guard count > limit || byteCount > byteLimit, let last = indices.last else { return self }
        var first = last
        while first > 0, count - first < limit, byteCount - start(of: first - 1) <= byteLimit { first -= 1 }
        var newest = RedisMessages()
        newest.origins = origins
        for index in first...last { newest.append(index, of: self, origin: entries[index].origin) }
        return newest
    }
}

extension RedisMessages: Hashable {
    public static func == (left: Self, right: Self) -> Bool { left.elementsEqual(right) }

    public func hash(into hasher: inout Hasher) {
        for message in self { hasher.combine(message) }
    }
}
