/// One reply of the server, in RESP2.
public enum RESPValue: Hashable, Sendable {
    /// `+OK`
    case simple(String)
    case integer(Int64)
    case bulk([UInt8])
    /// `-ERR …` at the top level is thrown; inside an array it stays a value.
    case error(RedisError)
    case array([RESPValue])
    /// A null bulk string or a null array.
    case null
}

extension RESPValue {
    /// The text of a simple or bulk string; invalid UTF-8 is repaired.
    public var text: String? {
        switch self {
        case .simple(let text): text
        case .bulk(let bytes): String(decoding: bytes, as: UTF8.self)
        default: nil
        }
    }

    public var bytes: [UInt8]? {
        switch self {
        case .simple(let text): Array(text.utf8)
        case .bulk(let bytes): bytes
        default: nil
        }
    }

    /// An integer reply, or a string that spells one.
    public var integer: Int64? {
        if case .integer(let value) = self { return value }
        return text.flatMap { Int64($0) }
    }

    public var array: [RESPValue]? {
        guard case .array(let items) = self else { return nil }
        return items
    }

    public var isNull: Bool { self == .null }
}
