#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A value bound to `$n`.
public struct PostgresValue: Hashable, Sendable {
    enum Content: Hashable, Sendable {
        case null
        case text(String)
        case binary([UInt8])
        /// It cannot be sent; the statement fails with this message before anything is sent.
        case unusable(String)
    }

    let content: Content
    /// The type's object identifier; 0 lets the server infer it from where the value stands.
    let type: UInt32

    init(_ content: Content, type: UInt32) {
        self.content = content
        self.type = type
    }

    static func text(_ text: String, type: UInt32) -> PostgresValue { PostgresValue(.text(text), type: type) }

    /// Object identifiers of the built-in types.
    enum ObjectID {
        static let inferred: UInt32 = 0
        static let bool: UInt32 = 16
        static let bytea: UInt32 = 17
        static let int8: UInt32 = 20
        static let int4: UInt32 = 23
        static let float8: UInt32 = 701
        static let jsonb: UInt32 = 3802
        static let boolArray: UInt32 = 1000
        static let int4Array: UInt32 = 1007
        static let textArray: UInt32 = 1009
        static let int8Array: UInt32 = 1016
        static let float8Array: UInt32 = 1022
    }
}

/// What may stand in `\( )` of an `SQL` text.
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
    public static var postgresArrayType: UInt32 { PostgresValue.ObjectID.textArray }

    /// The array's text form: `{1,NULL,"a \"b\""}`.
    public static func postgresArray(_ elements: [Self]) -> PostgresValue {
        var text = "{"
        for (index, element) in elements.enumerated() {
            if index > 0 { text += "," }
            switch element.postgresValue.content {
            case .null: text += "NULL"
            case .text(let item) where postgresType == PostgresValue.ObjectID.inferred:
                text += "\""
                for character in item.unicodeScalars {
                    if character == "\"" || character == "\\" { text += "\\" }
                    text.unicodeScalars.append(character)
                }
                text += "\""
            case .text(let item): text += item
            case .binary: return PostgresValue(.unusable("arrays of bytes are not supported"), type: postgresArrayType)
            case .unusable(let problem): return PostgresValue(.unusable(problem), type: postgresArrayType)
            }
        }
        return .text(text + "}", type: postgresArrayType)
    }
}

extension Int64: PostgresEncodable {
    public static var postgresType: UInt32 { PostgresValue.ObjectID.int8 }
    public static var postgresArrayType: UInt32 { PostgresValue.ObjectID.int8Array }
    public var postgresValue: PostgresValue { .text(String(self), type: Self.postgresType) }
}

extension Int: PostgresEncodable {
    public static var postgresType: UInt32 { PostgresValue.ObjectID.int8 }
    public static var postgresArrayType: UInt32 { PostgresValue.ObjectID.int8Array }
    public var postgresValue: PostgresValue { .text(String(self), type: Self.postgresType) }
}

extension Int32: PostgresEncodable {
    public static var postgresType: UInt32 { PostgresValue.ObjectID.int4 }
    public static var postgresArrayType: UInt32 { PostgresValue.ObjectID.int4Array }
    public var postgresValue: PostgresValue { .text(String(self), type: Self.postgresType) }
}

extension Double: PostgresEncodable {
    public static var postgresType: UInt32 { PostgresValue.ObjectID.float8 }
    public static var postgresArrayType: UInt32 { PostgresValue.ObjectID.float8Array }
    public var postgresValue: PostgresValue { .text(description, type: Self.postgresType) }
}

extension Bool: PostgresEncodable {
    public static var postgresType: UInt32 { PostgresValue.ObjectID.bool }
    public static var postgresArrayType: UInt32 { PostgresValue.ObjectID.boolArray }
    public var postgresValue: PostgresValue { .text(self ? "t" : "f", type: Self.postgresType) }
}

extension String: PostgresEncodable {
    public static var postgresType: UInt32 { PostgresValue.ObjectID.inferred }
    /// A NUL would end the text early on the way to the server, so it is refused.
    public var postgresValue: PostgresValue {
        if utf8.contains(0) { return PostgresValue(.unusable("text holds a NUL"), type: Self.postgresType) }
        return .text(self, type: Self.postgresType)
    }
}

/// `[UInt8]` is `bytea`; a lone byte is a small integer.
extension UInt8: PostgresEncodable {
    public static var postgresType: UInt32 { PostgresValue.ObjectID.int4 }
    public static var postgresArrayType: UInt32 { PostgresValue.ObjectID.bytea }
    public var postgresValue: PostgresValue { .text(String(self), type: Self.postgresType) }
    public static func postgresArray(_ elements: [UInt8]) -> PostgresValue {
        PostgresValue(.binary(elements), type: PostgresValue.ObjectID.bytea)
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

/// A document for a `jsonb` column: `\(.json(value))`, or `\(.jsonText(text))` for one that is encoded already.
public struct PostgresJSON: PostgresEncodable {
    public static var postgresType: UInt32 { PostgresValue.ObjectID.jsonb }
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
