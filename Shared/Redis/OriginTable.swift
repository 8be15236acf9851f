import Glibc

/// Knows the origins of one connection by their bytes, so that a name is made into a `String` once and not per message.
///
/// Bounded: a pattern may let in any number of channels; a full table starts anew.
struct OriginTable {
    static let capacity = 4096
    static let byteCapacity = 256 * 1024

    private var origins: [RedisOrigin] = []
    /// Index in `origins` by hash; a second name of the same hash takes the place of the first.
    private var indices: [Int: Int] = [:]
    private var bytes = 0
    private var last: RedisOrigin?

    /// The origin of a message to `channel`; `pattern` is nil for a subscription to the channel itself.
    mutating func origin(_ channel: UnsafeRawBufferPointer, pattern: [UInt8]?) -> RedisOrigin {
        if let last, Self.isSame(last, channel, pattern) { return last }
        var hasher = Hasher()
        hasher.combine(bytes: channel)
        pattern?.withUnsafeBytes { hasher.combine(bytes: $0) }
        let hash = hasher.finalize()
        if let index = indices[hash], Self.isSame(origins[index], channel, pattern) {
            last = origins[index]
            return origins[index]
        }
        return insert(RedisOrigin(channel: Array(channel), pattern: pattern), hash)
    }

    private mutating func insert(_ origin: RedisOrigin, _ hash: Int) -> RedisOrigin {
        let size = origin.name.count + (origin.pattern == nil ? 0 : origin.target.name.count)
        if origins.count == Self.capacity || bytes + size > Self.byteCapacity { self = OriginTable() }
        indices[hash] = origins.count
        origins.append(origin)
        bytes += size
        last = origin
        return origin
    }

    private static func isSame(
        _ origin: RedisOrigin, _ channel: UnsafeRawBufferPointer, _ pattern: [UInt8]?
    ) -> Bool {
        guard isEqual(origin.name, channel), origin.target.isPattern == (pattern != nil) else { return false }
        return pattern?.withUnsafeBytes { isEqual(origin.target.name, $0) } ?? true
    }

    private static func isEqual(_ name: [UInt8], _ other: UnsafeRawBufferPointer) -> Bool {
        guard name.count == other.count else { return false }
        guard let start = other.baseAddress else { return true }
        return name.withUnsafeBytes { memcmp($0.baseAddress ?? start, start, other.count) == 0 }
    }
}
