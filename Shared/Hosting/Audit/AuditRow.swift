import Crypto

/// A SHA-256 of the chain.
public struct AuditHash: Hashable, Sendable, CustomStringConvertible {
    public let bytes: [UInt8]

    /// Nil unless there are 32 bytes.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    /// Nil unless there are 64 hexadecimal digits.
    public init?(hex: String) {
        let digits = hex.utf8.map { Character(Unicode.Scalar($0)).hexDigitValue }
        guard digits.count == 64 else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: 64, by: 2) {
            guard let high = digits[index], let low = digits[index + 1] else { return nil }
            bytes.append(UInt8(high * 16 + low))
        }
        self.bytes = bytes
    }

    init(of data: [UInt8]) { bytes = Array(SHA256.hash(data: data)) }

    private init() { bytes = Array(repeating: 0, count: 32) }

    /// What stands before the first row.
    public static let origin = AuditHash()

    public var description: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

/// What a row of the audit log says, as the server renders it.
///
/// `canonical` is a promise to whoever checks the chain with other means: docs/AUDIT.md describes every byte.
public struct AuditRow: Hashable, Sendable {
    public var id: Int64
    /// The transaction that wrote it; nil for rows from before there was a chain.
    public var writer: Int64?
    /// Microseconds since 1970.
    public var at: String
    public var event: String
    public var intent: String?
    public var order: String?
    public var market: String?
    public var game: String?
    /// JSON, as `jsonb` renders it: one text for one document.
    public var details: String

    public init(
        id: Int64, writer: Int64?, at: String, event: String, intent: String? = nil, order: String? = nil,
        market: String? = nil, game: String? = nil, details: String = "{}"
    ) {
        self.id = id
        self.writer = writer
        self.at = at
        self.event = event
        self.intent = intent
        self.order = order
        self.market = market
        self.game = game
        self.details = details
    }

    /// The hash of this row at a place behind another.
    public func hash(at position: Int64, after previous: AuditHash) -> AuditHash {
        AuditHash(of: canonical(at: position) + previous.bytes)
    }

    /// Each field is its length in four bytes, the highest first, and its UTF-8; NULL is four bytes 0xFF.
    func canonical(at position: Int64) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(256 + details.utf8.count)
        let fields = [
            Self.form, "\(position)", "\(id)", writer.map { "\($0)" }, at, event, intent, order, market, game, details,
        ]
        for field in fields {
            guard let field else {
                bytes += [0xFF, 0xFF, 0xFF, 0xFF]
                continue
            }
            let count = UInt32(clamping: field.utf8.count)
            bytes += [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: count >> $0) }
            bytes += field.utf8
        }
        return bytes
    }

    /// Names the form, so that another one cannot be mistaken for it.
    private static let form = "linesman-audit-1"

    /// Where it stands among all rows: by transaction, and within one by id.
    var place: Place { Place(writer: writer ?? 0, id: id) }

    struct Place: Comparable {
        let writer: Int64
        let id: Int64

        static func < (left: Self, right: Self) -> Bool { (left.writer, left.id) < (right.writer, right.id) }
    }
}

/// A row with its place in the chain.
public struct SealedRow: Hashable, Sendable {
    public var row: AuditRow
    public var position: Int64
    /// Nil when it is not 32 bytes.
    public var previous: AuditHash?
    public var hash: AuditHash?

    public init(_ row: AuditRow, position: Int64, previous: AuditHash?, hash: AuditHash?) {
        self.row = row
        self.position = position
        self.previous = previous
        self.hash = hash
    }

    /// Seals it.
    public init(_ row: AuditRow, after head: AuditHead) {
        self.init(
            row, position: head.position + 1, previous: head.hash,
            hash: row.hash(at: head.position + 1, after: head.hash)
        )
    }
}

/// An end of the chain: how many rows it has, and the hash of the last one.
public struct AuditHead: Hashable, Sendable {
    public let position: Int64
    public let hash: AuditHash

    public init(position: Int64, hash: AuditHash) {
        self.position = position
        self.hash = hash
    }

    /// Before the first row.
    public static let origin = AuditHead(position: 0, hash: .origin)
}
