#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// One row of a result; every error names the column, its type, what it held and what was asked for.
public struct Row: Sendable {
    let result: ResultSet
    let index: Int

    public var columns: [String] { result.columns }

    public func isNil(_ column: String) throws(PostgresError) -> Bool { try field(column).bytes == nil }

    public func text(_ column: String) throws(PostgresError) -> String { try required(column, textOrNil(column)) }
    public func textOrNil(_ column: String) throws(PostgresError) -> String? {
        try decoded(column, as: "text in UTF-8") { String(validating: $0, as: UTF8.self) }
    }

    public func int64(_ column: String) throws(PostgresError) -> Int64 { try required(column, int64OrNil(column)) }
    public func int64OrNil(_ column: String) throws(PostgresError) -> Int64? {
        try decoded(column, as: "a whole number of 64 bits", Self.integer)
    }

    public func int(_ column: String) throws(PostgresError) -> Int { try required(column, intOrNil(column)) }
    public func intOrNil(_ column: String) throws(PostgresError) -> Int? {
        try int64OrNil(column).map { Int($0) }
    }

    public func int32(_ column: String) throws(PostgresError) -> Int32 { try required(column, int32OrNil(column)) }
    public func int32OrNil(_ column: String) throws(PostgresError) -> Int32? {
        try decoded(column, as: "a whole number of 32 bits") { Self.integer($0).flatMap { Int32(exactly: $0) } }
    }

    public func double(_ column: String) throws(PostgresError) -> Double { try required(column, doubleOrNil(column)) }
    public func doubleOrNil(_ column: String) throws(PostgresError) -> Double? {
        try decoded(column, as: "a number") { Double(String(decoding: $0, as: UTF8.self)) }
    }

    public func bool(_ column: String) throws(PostgresError) -> Bool { try required(column, boolOrNil(column)) }
    public func boolOrNil(_ column: String) throws(PostgresError) -> Bool? {
        try decoded(column, as: "a boolean", Self.boolean)
    }

    public func bytes(_ column: String) throws(PostgresError) -> [UInt8] { try required(column, bytesOrNil(column)) }
    public func bytesOrNil(_ column: String) throws(PostgresError) -> [UInt8]? {
        try decoded(column, as: "bytes") { Hexadecimal.bytes($0) }
    }

    /// A `timestamptz` as microseconds since 1970.
    public func timestampMicros(_ column: String) throws(PostgresError) -> Int64 {
        try required(column, timestampMicrosOrNil(column))
    }
    public func timestampMicrosOrNil(_ column: String) throws(PostgresError) -> Int64? {
        try decoded(column, as: "a timestamp with time zone") {
            Timestamp.microseconds(String(decoding: $0, as: UTF8.self))
        }
    }

    public func json<T: Decodable>(_ column: String, as type: T.Type = T.self) throws(PostgresError) -> T {
        try required(column, jsonOrNil(column, as: type))
    }
    public func jsonOrNil<T: Decodable>(_ column: String, as type: T.Type = T.self) throws(PostgresError) -> T? {
        let (bytes, found) = try field(column)
        guard let bytes else { return nil }
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw problem("column \"\(column)\" (\(ObjectID.name(found))) is not a \(type): \(error)")
        }
    }

    /// A text column that holds one of an enumeration's raw values.
    public func choice<E: RawRepresentable>(_ column: String, as type: E.Type = E.self) throws(PostgresError) -> E
    where E.RawValue == String {
        let text = try text(column)
        guard let value = E(rawValue: text) else {
            throw problem("column \"\(column)\" holds \"\(text)\", no \(type)")
        }
        return value
    }

    private func field(_ column: String) throws(PostgresError) -> (bytes: UnsafeBufferPointer<UInt8>?, type: UInt32) {
        guard let position = result.position(of: column) else {
            throw problem("no column \"\(column)\" in the result (\(result.columns.joined(separator: ", ")))")
        }
        return (result.value(row: index, column: position), result.type(of: position))
    }

    private func required<T>(_ column: String, _ value: T?) throws(PostgresError) -> T {
        guard let value else { throw problem("column \"\(column)\" is NULL") }
        return value
    }

    private func decoded<T>(
        _ column: String, as wanted: String, _ decode: (UnsafeBufferPointer<UInt8>) -> T?
    ) throws(PostgresError) -> T? {
        let (bytes, found) = try field(column)
        guard let bytes else { return nil }
        guard let value = decode(bytes) else {
            let text = String(decoding: bytes.prefix(60), as: UTF8.self)
            throw problem("column \"\(column)\" (\(ObjectID.name(found))) holds \"\(text)\", not \(wanted)")
        }
        return value
    }

    private func problem(_ message: String) -> PostgresError {
        PostgresError(.decoding, message, context: "row \(index)")
    }

    private static func integer(_ digits: UnsafeBufferPointer<UInt8>) -> Int64? {
        let isNegative = digits.first == 0x2D
        var number: Int64 = 0
        var isEmpty = true
        for digit in isNegative ? digits.dropFirst() : digits[...] {
            guard (0x30...0x39).contains(digit) else { return nil }
            let (tens, overflowed) = number.multipliedReportingOverflow(by: 10)
            // Counted downwards, since the lowest number has no positive twin.
            let (sum, overflows) = tens.subtractingReportingOverflow(Int64(digit - 0x30))
            if overflowed || overflows { return nil }
            number = sum
            isEmpty = false
        }
        if isEmpty { return nil }
        return isNegative ? number : number == .min ? nil : -number
    }

    private static func boolean(_ text: UnsafeBufferPointer<UInt8>) -> Bool? {
        guard text.count == 1 else { return nil }
        return text[0] == UInt8(ascii: "t") ? true : text[0] == UInt8(ascii: "f") ? false : nil
    }
}

/// What an array's elements can be read as.
public protocol PostgresElement: Sendable {
    /// From the server's text; nil when it is something else.
    init?(postgresText: String)
    /// As errors call it.
    static var postgresName: String { get }
}

extension Int64: PostgresElement {
    public init?(postgresText: String) { self.init(postgresText) }
    public static var postgresName: String { "whole numbers of 64 bits" }
}

extension Int: PostgresElement {
    public init?(postgresText: String) { self.init(postgresText) }
    public static var postgresName: String { "whole numbers of 64 bits" }
}

extension Int32: PostgresElement {
    public init?(postgresText: String) { self.init(postgresText) }
    public static var postgresName: String { "whole numbers of 32 bits" }
}

extension Double: PostgresElement {
    public init?(postgresText: String) { self.init(postgresText) }
    public static var postgresName: String { "numbers" }
}

extension Bool: PostgresElement {
    public init?(postgresText: String) {
        guard postgresText == "t" || postgresText == "f" else { return nil }
        self = postgresText == "t"
    }
    public static var postgresName: String { "booleans" }
}

extension String: PostgresElement {
    public init?(postgresText: String) { self = postgresText }
    public static var postgresName: String { "texts" }
}

extension Row {
    /// An array of one dimension without NULL inside.
    public func array<E: PostgresElement>(_ column: String, of type: E.Type = E.self) throws(PostgresError) -> [E] {
        try required(column, arrayOrNil(column, of: type))
    }

    public func arrayOrNil<E: PostgresElement>(
        _ column: String, of type: E.Type = E.self
    ) throws(PostgresError) -> [E]? {
        try decoded(column, as: "an array of \(E.postgresName)") { bytes in
            guard let texts = String(validating: bytes, as: UTF8.self).flatMap({ ArrayText.elements($0) }) else {
                return nil
            }
            var elements: [E] = []
            for text in texts {
                guard let text, let element = E(postgresText: text) else { return nil }
                elements.append(element)
            }
            return elements
        }
    }
}
