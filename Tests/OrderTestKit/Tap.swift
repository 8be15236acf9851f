import NIOCore

/// What passes from a client to its server in one piece, and the write that it is, if it is one.
struct Passage {
    var bytes: ByteBuffer
    var write: Write?
}

/// Takes what a client says apart, without changing a byte of it.
protocol Tap {
    /// The passages that these bytes complete; an incomplete one waits for the rest.
    mutating func passages(in bytes: ByteBuffer) -> [Passage]
}

/// Takes the requests of an HTTP/1.1 client apart.
struct VenueTap: Tap {
    private var rest = ByteBuffer()

    mutating func passages(in bytes: ByteBuffer) -> [Passage] {
        rest.writeImmutableBuffer(bytes)
        var passages: [Passage] = []
        while let length = Self.length(rest.readableBytesView), let request = rest.readSlice(length: length) {
            passages.append(Passage(bytes: request, write: Self.write(request.readableBytesView)))
        }
        return passages
    }

    /// Of the first whole request.
    private static func length(_ bytes: ByteBufferView) -> Int? {
        guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
        let head = String(decoding: bytes[bytes.startIndex..<end.lowerBound], as: UTF8.self).lowercased()
        let line = head.split(separator: "\r\n").first { $0.hasPrefix("content-length:") }
        let body = line.flatMap { Int($0.drop { $0 != ":" }.dropFirst().drop { $0 == " " }) } ?? 0
        let length = bytes.distance(from: bytes.startIndex, to: end.upperBound) + body
        return length <= bytes.count ? length : nil
    }

    private static func write(_ request: ByteBufferView) -> Write? {
        let line = String(decoding: request.prefix { $0 != UInt8(ascii: "\r") }, as: UTF8.self)
        let words = line.split(separator: " ")
        guard words.count > 1 else { return nil }
        let path = words[1].prefix { $0 != "?" }
        return switch words[0] {
        case "POST" where path.hasSuffix("/portfolio/events/orders"): .submit
        case "GET" where path.hasSuffix("/portfolio/fills"): .readFills
        case "GET" where path.hasSuffix("/portfolio/orders"): .find
        case "DELETE" where path.contains("/portfolio/events/orders/"): .cancel
        default: nil
        }
    }
}
