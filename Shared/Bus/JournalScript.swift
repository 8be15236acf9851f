import Redis

/// The journal protocol on the server: store and publish in one atomic step, and never the same message twice.
///
/// A published frame is `id previous-id payload`. An entry keeps the id before it (`p`), so that a reader sees where
/// the journal was trimmed. Each publisher's last sequences are remembered with the ids they got: a repeated message
/// gives its first id and is not published again.
enum JournalScript {
    /// Sequences remembered per publisher and channel; more than it keeps for publishing again.
    static let memorySlots = 32_768
    static let memoryLife = Duration.seconds(3600)
    static let dataKey = "journal:data"

    static func stream(_ channel: String) -> String { "journal:stream:\(channel)" }

    static func memory(_ channel: String, _ identity: BusIdentity) -> String {
        "journal:memory:\(channel):\(identity.source):\(identity.incarnation)"
    }

    static func keys(_ channel: String, _ identity: BusIdentity) -> [String] {
        [stream(channel), memory(channel, identity), dataKey]
    }

    /// Stores and publishes one batch of one channel.
    ///
    /// Keys: the stream, the publisher's memory, the data id. Arguments: expected data id, channel, journal length,
    /// slots and life of the memory; then sequence and payload of each message in order.
    ///
    /// - Returns: the ids in order, or nil when the data id is another one (nothing was stored).
    static let append = RedisScript(
        """
        if redis.call('GET', KEYS[3]) ~= ARGV[1] then return false end
        local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
        local previous = last[1] and last[1][1] or '0-0'
        local ids = {}
        for i = 6, #ARGV, 2 do
          local slot = ARGV[i] % ARGV[4]
          local stored = redis.call('HGET', KEYS[2], slot)
          local sequence, id
          if stored then sequence, id = string.match(stored, '^(%d+) (.+)$') end
          if sequence ~= ARGV[i] then
            id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'p', previous, 'm', ARGV[i + 1])
            redis.call('HSET', KEYS[2], slot, ARGV[i] .. ' ' .. id)
            redis.call('PUBLISH', ARGV[2], id .. ' ' .. previous .. ' ' .. ARGV[i + 1])
            previous = id
          end
          ids[#ids + 1] = id
        end
        redis.call('PEXPIRE', KEYS[2], ARGV[5])
        return ids
        """)
}

/// A journaled message as it is published.
struct JournalFrame {
    let id: JournalID
    let previous: JournalID
    let payload: ArraySlice<UInt8>

    init?(_ bytes: ArraySlice<UInt8>) {
        let space = UInt8(ascii: " ")
        guard let first = bytes.firstIndex(of: space),
            let second = bytes[(first + 1)...].firstIndex(of: space),
            let id = JournalID(bytes[..<first]), let previous = JournalID(bytes[(first + 1)..<second])
        else { return nil }
        self.id = id
        self.previous = previous
        payload = bytes[(second + 1)...]
    }
}
