import Domain

/// What one process says to another: a versioned body with a name that receivers dispatch on.
public protocol WireMessage: Codable, Sendable {
    /// The name on the wire, for example `heartbeat`; never changes.
    static var type: String { get }
    /// Steps up when a field changes meaning; older versions stay decodable.
    static var version: Int { get }
    /// Appends the message as JSON, without `Codable`; false, with nothing appended, where nobody has written how.
    func write(to json: inout [UInt8]) -> Bool
    /// Reads what `write` appends; nil for any other layout, which `Codable` may be able to read.
    init?(laidOutIn json: inout WireScanner)
}

extension WireMessage {
    public static var version: Int { 1 }
    public func write(to json: inout [UInt8]) -> Bool { false }
    public init?(laidOutIn json: inout WireScanner) { nil }
}

/// What travels: a message and who said it, in which life, as which one.
///
/// Receivers detect loss and repetition from (source, incarnation, sequence) and follow one story through every
/// process by the trace.
public struct Envelope<Message: WireMessage>: Codable, Sendable {
    /// `service/instance`, for example `game-shard/shard-01`.
    public let source: String
    public let incarnation: Incarnation
    /// Per source, incarnation and channel; the first is 1.
    public let sequence: Int64
    public let trace: TraceID?
    /// Wall time at the sender in microseconds since 1970: for people, never for order.
    public let sentAt: Int64
    public let type: String
    public let version: Int
    public let body: Message

    public init(
        source: String, incarnation: Incarnation, sequence: Int64, trace: TraceID?, sentAt: Int64,
        version: Int = Message.version, body: Message
    ) {
        self.source = source
        self.incarnation = incarnation
        self.sequence = sequence
        self.trace = trace
        self.sentAt = sentAt
        self.type = Message.type
        self.version = version
        self.body = body
    }

    private enum CodingKeys: String, CodingKey {
        case source
        case incarnation
        case sequence = "seq"
        case trace
        case sentAt = "sent_at"
        case type
        case version = "v"
        case body
    }

    /// - Throws: `WireError` for another message's type, a version newer than ours, or a sequence below 1.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        type = try container.decode(String.self, forKey: .type)
        guard type == Message.type else {
            throw WireError(.wrongType, "type \"\(type.prefix(64))\" where \"\(Message.type)\" is expected")
        }
        version = try container.decode(Int.self, forKey: .version)
        guard version >= 1, version <= Message.version else {
            throw WireError(.unknownVersion, "version \(version) of \(type), known up to \(Message.version)")
        }
        source = try container.decode(String.self, forKey: .source)
        incarnation = try container.decode(Incarnation.self, forKey: .incarnation)
        sequence = try container.decode(Int64.self, forKey: .sequence)
        guard sequence >= 1 else { throw WireError(.badSequence, "sequence \(sequence)") }
        trace = try container.decodeIfPresent(TraceID.self, forKey: .trace)
        sentAt = try container.decode(Int64.self, forKey: .sentAt)
        body = try container.decode(Message.self, forKey: .body)
    }
}

/// Why an envelope was refused.
public struct WireError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Hashable, Sendable, CaseIterable {
        case wrongType
        case unknownVersion
        case badSequence
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(code.rawValue): \(message)" }
}
