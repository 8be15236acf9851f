#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// What may stand in `\( )` of an `SQL` text, in an array, and in a row of a COPY.
///
/// Integers, `Double` and `Bool` are sent with their type. A `String` is sent untyped, so that it also fits JSON, dates
/// and enumerations; where the server cannot infer a type (`\(x) IS NULL`), write `\(x)::text`.
public protocol PostgresEncodable: Sendable {
    var postgresValue: PostgresValue { get }
    /// The type that NULL has in this place.
    static var postgresType: UInt32 { get }
    /// The type of an array of these.
    static var postgresArrayType: UInt32 { get }
    /// How an array of these is sent.
    static func postgresArray(_ elements: [Self]) -> PostgresValue
}

extension PostgresEncodable {
    public static var postgresArrayType: UInt32 {
        ObjectID.arrays[postgresType == ObjectID.inferred ? ObjectID.text : postgresType] ?? ObjectID.inferred
    }

    public static func postgresArray(_ elements: [Self]) -> PostgresValue {
        .array(elements.lazy.map(\.postgresValue), of: postgresType)
    }
}

extension Int64: PostgresEncodable {
    public static var postgresType: UInt32 { ObjectID.int8 }
    public static func postgresArray(_ elements: [Int64]) -> PostgresValue {
        .array(numbers: elements, of: postgresType)
    }
    public var postgresValue: PostgresValue { PostgresValue(.integer(self), type: Self.postgresType) }
}

extension Int: PostgresEncodable {
    public static var postgresType: UInt32 { ObjectID.int8 }
    public static func postgresArray(_ elements: [Int]) -> PostgresValue {
        .array(numbers: elements, of: postgresType)
    }
    public var postgresValue: PostgresValue { PostgresValue(.integer(Int64(self)), type: Self.postgresType) }
}

extension Int32: PostgresEncodable {
    public static var postgresType: UInt32 { ObjectID.int4 }
    public static func postgresArray(_ elements: [Int32]) -> PostgresValue {
        .array(numbers: elements, of: postgresType)
    }
    public var postgresValue: PostgresValue { PostgresValue(.integer(Int64(self)), type: Self.postgresType) }
}

extension Int16: PostgresEncodable {
    public static var postgresType: UInt32 { ObjectID.int2 }
    public static func postgresArray(_ elements: [Int16]) -> PostgresValue {
        .array(numbers: elements, of: postgresType)
    }
    public var postgresValue: PostgresValue { PostgresValue(.integer(Int64(self)), type: Self.postgresType) }
}

/// PostgreSQL has no unsigned integers: above `Int64.max` it is refused, not wrapped.
extension UInt64: PostgresEncodable {
    public static var postgresType: UInt32 { ObjectID.int8 }
    public var postgresValue: PostgresValue {
        guard let number = Int64(exactly: self) else {
            return PostgresValue(.unusable("\(self) is too large for a bigint"), type: Self.postgresType)
        }
        return PostgresValue(.integer(number), type: Self.postgresType)
    }
}

extension Double: PostgresEncodable {
    public static var postgresType: UInt32 { ObjectID.float8 }
    public var postgresValue: PostgresValue { PostgresValue(.real(self), type: Self.postgresType) }
}

extension Bool: PostgresEncodable {
    public static var postgresType: UInt32 { ObjectID.bool }
    public var postgresValue: PostgresValue { PostgresValue(.bool(self), type: Self.postgresType) }
}

extension String: PostgresEncodable {
    public static var postgresType: UInt32 { ObjectID.inferred }
    public static func postgresArray(_ elements: [String]) -> PostgresValue { .array(texts: elements) }
    /// A NUL would end the text early on the way to the server, so it is refused.
    public var postgresValue: PostgresValue {
        if holdsNUL { return PostgresValue(.unusable("text holds a NUL"), type: Self.postgresType) }
        return PostgresValue(.text(self), type: Self.postgresType)
    }
}

/// `[UInt8]` is `bytea`; a lone byte is a small integer.
extension UInt8: PostgresEncodable {
    public static var postgresType: UInt32 { ObjectID.int4 }
    public static var postgresArrayType: UInt32 { ObjectID.bytea }
    public var postgresValue: PostgresValue { PostgresValue(.integer(Int64(self)), type: Self.postgresType) }
    public static func postgresArray(_ elements: [UInt8]) -> PostgresValue {
        PostgresValue(.binary(elements), type: ObjectID.bytea)
    }
}

extension Optional: PostgresEncodable where Wrapped: PostgresEncodable {
    public static var postgresType: UInt32 { Wrapped.postgresType }
    public static var postgresArrayType: UInt32 { Wrapped.postgresArrayType }
    public var postgresValue: PostgresValue {
        self?.postgresValue ?? PostgresValue(.null, type: Wrapped.postgresType)
    }
}

extension Array: PostgresEncodable where Element: PostgresEncodable {
    public static var postgresType: UInt32 { Element.postgresArrayType }
    public var postgresValue: PostgresValue { Element.postgresArray(self) }
}

/// Text that came as bytes: `\(.utf8(bytes))`; what is not UTF-8 is refused before anything is sent.
public struct PostgresText: PostgresEncodable {
    public static var postgresType: UInt32 { String.postgresType }
    public let postgresValue: PostgresValue

    public init(utf8 bytes: some Sequence<UInt8>) {
        if let text = String(validating: Array(bytes), as: UTF8.self) {
            postgresValue = text.postgresValue
        } else {
            postgresValue = PostgresValue(.unusable("text is not valid UTF-8"), type: Self.postgresType)
        }
    }
}

/// A moment for a `timestamptz`: `\(.timestamp(micros))`, microseconds since 1970.
public struct PostgresTimestamp: PostgresEncodable {
    public static var postgresType: UInt32 { ObjectID.timestamptz }
    public let postgresValue: PostgresValue

    public init(microseconds: Int64) {
        let content: PostgresValue.Content =
            Timestamp.range.contains(microseconds)
            ? .timestamp(microseconds) : .unusable("\(microseconds) microseconds lie outside of timestamptz")
        postgresValue = PostgresValue(content, type: Self.postgresType)
    }
}

/// A document for a `jsonb` column: `\(.json(value))`, or `\(.jsonText(text))` for one that is encoded already.
public struct PostgresJSON: PostgresEncodable {
    public static var postgresType: UInt32 { ObjectID.jsonb }
    public let postgresValue: PostgresValue

    public init(_ value: some Encodable) {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            self.init(text: String(decoding: try encoder.encode(value), as: UTF8.self))
        } catch {
            self.init(.unusable("not encodable as JSON: \(error)"))
        }
    }

    public init(text: String) {
        self.init(text.utf8.contains(0) ? .unusable("JSON holds a NUL") : .text(text))
    }

    private init(_ content: PostgresValue.Content) {
        postgresValue = PostgresValue(content, type: Self.postgresType)
    }
}

extension PostgresEncodable where Self == PostgresJSON {
    public static func json(_ value: some Encodable) -> PostgresJSON { PostgresJSON(value) }
    public static func jsonText(_ text: String) -> PostgresJSON { PostgresJSON(text: text) }
}

extension PostgresEncodable where Self == PostgresText {
    public static func utf8(_ bytes: some Sequence<UInt8>) -> PostgresText { PostgresText(utf8: bytes) }
}

extension PostgresEncodable where Self == PostgresTimestamp {
    public static func timestamp(_ microseconds: Int64) -> PostgresTimestamp {
        PostgresTimestamp(microseconds: microseconds)
    }
}
