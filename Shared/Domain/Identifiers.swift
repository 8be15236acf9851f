/// A name that is a type, so that a shard can never be passed where a game is meant.
///
/// Holds 1 to 128 visible ASCII characters: no spaces, no control characters, nothing that needs escaping in a
/// channel name, a log line or a metric label.
public struct Identifier<Kind>: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: String

    /// - Throws: `empty`, or `malformed` for a character outside visible ASCII, a quote, a backslash, or more than
    ///   128 bytes.
    public init(_ rawValue: String) throws(DomainError) {
        // Bytes: every message and row makes a dozen of these.
        var count = 0
        for byte in rawValue.utf8 {
            guard byte > 0x20, byte < 0x7F, byte != 0x22, byte != 0x5C else { throw Self.problem(.malformed, rawValue) }
            count += 1
        }
        guard count > 0 else { throw Self.problem(.empty, rawValue) }
        guard count <= 128 else { throw Self.problem(.malformed, rawValue) }
        self.rawValue = rawValue
    }

    private static func problem(_ code: DomainError.Code, _ value: String) -> DomainError {
        DomainError(
            code, field: "\(Kind.self)ID", value: value,
            expected: "1 to 128 visible ASCII characters without quote, backslash or space")
    }

    public var description: String { rawValue }

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

extension Identifier: ExpressibleByStringLiteral {
    /// For names written in code; a literal that is not a valid name is a programmer error.
    public init(stringLiteral value: String) {
        do { try self.init(value) } catch { preconditionFailure("\(error)") }
    }
}

extension Identifier: Codable {
    public init(from decoder: any Decoder) throws {
        try self.init(decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}

/// The kinds of `Identifier`: never instantiated, only named.
public enum IdentifierKind {
    public enum Game: Sendable {}
    public enum Market: Sendable {}
    public enum Shard: Sendable {}
    public enum Signal: Sendable {}
    public enum Intent: Sendable {}
    public enum Order: Sendable {}
    public enum VenueOrder: Sendable {}
    public enum Fill: Sendable {}
    public enum Reservation: Sendable {}
    public enum Play: Sendable {}
    public enum Command: Sendable {}
    public enum Incarnation: Sendable {}
    public enum Trace: Sendable {}
    public enum Alert: Sendable {}
    public enum Rule: Sendable {}
}

public typealias GameID = Identifier<IdentifierKind.Game>
/// A market as its venue names it, for example `KXNBAGAME-26APR20TORCLE-CLE`.
public typealias MarketID = Identifier<IdentifierKind.Market>
public typealias ShardID = Identifier<IdentifierKind.Shard>
public typealias SignalID = Identifier<IdentifierKind.Signal>
public typealias IntentID = Identifier<IdentifierKind.Intent>
/// Our key for an order, which is the client order id that the venue sees: UUIDv5 of intent and attempt.
public typealias OrderID = Identifier<IdentifierKind.Order>
/// The venue's own name for an order.
public typealias VenueOrderID = Identifier<IdentifierKind.VenueOrder>
public typealias FillID = Identifier<IdentifierKind.Fill>
public typealias ReservationID = Identifier<IdentifierKind.Reservation>
public typealias PlayID = Identifier<IdentifierKind.Play>
public typealias CommandID = Identifier<IdentifierKind.Command>
/// One life of a process; new at each start.
public typealias Incarnation = Identifier<IdentifierKind.Incarnation>
public typealias TraceID = Identifier<IdentifierKind.Trace>
public typealias AlertID = Identifier<IdentifierKind.Alert>
public typealias RuleID = Identifier<IdentifierKind.Rule>

/// Which assignment of a game is the newest: only grows, and is checked where exposure is reserved.
public struct Epoch: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    public let number: Int64

    /// - Throws: `outOfRange` below 1.
    public init(_ number: Int64) throws(DomainError) {
        guard number >= 1 else {
            throw DomainError(.outOfRange, field: "epoch", value: "\(number)", expected: "1 or more")
        }
        self.number = number
    }

    public static let first = Epoch(unchecked: 1)

    private init(unchecked number: Int64) { self.number = number }

    public var next: Epoch { Epoch(unchecked: number + 1) }
    public var description: String { String(number) }

    public static func < (left: Epoch, right: Epoch) -> Bool { left.number < right.number }

    public init(from decoder: any Decoder) throws {
        try self.init(decoder.singleValueContainer().decode(Int64.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(number)
    }
}
