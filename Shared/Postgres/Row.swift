import CLibPQ

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// One statement's result, freed with its last row.
///
/// Invariant of the unchecked conformance: a `PGresult` is never written after libpq has handed it out, and the
/// functions used here only read it.
final class ResultSet: @unchecked Sendable {
    private let result: OpaquePointer
    let columns: [String]
    let count: Int

    /// Takes the result over.
    init(_ result: OpaquePointer) {
        self.result = result
        count = Int(PQntuples(result))
        columns = (0..<PQnfields(result)).map { PQfname(result, $0).map { String(cString: $0) } ?? "" }
    }

    deinit { PQclear(result) }

    var rows: [Row] { (0..<count).map { Row(result: self, index: $0) } }

    /// Rows the statement inserted, changed, deleted or selected.
    var affected: Int { PQcmdTuples(result).flatMap { Int(String(cString: $0)) } ?? 0 }

    /// What the server says it did: `COMMIT`, `INSERT 0 1`.
    var commandTag: String { PQcmdStatus(result).map { String(cString: $0) } ?? "" }

    /// The value's text; nil for NULL.
    func value(row: Int, column: Int) -> UnsafeBufferPointer<UInt8>? {
        guard PQgetisnull(result, Int32(row), Int32(column)) == 0,
            let start = PQgetvalue(result, Int32(row), Int32(column))
        else { return nil }
        let length = Int(PQgetlength(result, Int32(row), Int32(column)))
        return UnsafeRawBufferPointer(start: start, count: length).assumingMemoryBound(to: UInt8.self)
    }
}

/// One row of a result; every error names the column and what it held.
public struct Row: Sendable {
    let result: ResultSet
    let index: Int

    public var columns: [String] { result.columns }

    public func isNil(_ column: String) throws(PostgresError) -> Bool { try value(column) == nil }

    public func text(_ column: String) throws(PostgresError) -> String { try required(column, textOrNil(column)) }
    public func textOrNil(_ column: String) throws(PostgresError) -> String? {
        try value(column).map { String(decoding: $0, as: UTF8.self) }
    }

    public func int64(_ column: String) throws(PostgresError) -> Int64 { try required(column, int64OrNil(column)) }
    public func int64OrNil(_ column: String) throws(PostgresError) -> Int64? {
        try decoded(column, as: "a whole number") { Int64($0) }
    }

    public func int(_ column: String) throws(PostgresError) -> Int { try required(column, intOrNil(column)) }
    public func intOrNil(_ column: String) throws(PostgresError) -> Int? {
        try decoded(column, as: "a whole number") { Int($0) }
    }

    public func int32(_ column: String) throws(PostgresError) -> Int32 { try required(column, int32OrNil(column)) }
    public func int32OrNil(_ column: String) throws(PostgresError) -> Int32? {
        try decoded(column, as: "a whole number of 32 bits") { Int32($0) }
    }

    public func double(_ column: String) throws(PostgresError) -> Double { try required(column, doubleOrNil(column)) }
    public func doubleOrNil(_ column: String) throws(PostgresError) -> Double? {
        try decoded(column, as: "a number") { Double($0) }
    }

    public func bool(_ column: String) throws(PostgresError) -> Bool { try required(column, boolOrNil(column)) }
    public func boolOrNil(_ column: String) throws(PostgresError) -> Bool? {
        try decoded(column, as: "a boolean") { $0 == "t" ? true : $0 == "f" ? false : nil }
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
        try decoded(column, as: "a timestamp") { Timestamp.microseconds($0) }
    }

    public func json<T: Decodable>(_ column: String, as type: T.Type = T.self) throws(PostgresError) -> T {
        try required(column, jsonOrNil(column, as: type))
    }
    public func jsonOrNil<T: Decodable>(_ column: String, as type: T.Type = T.self) throws(PostgresError) -> T? {
        guard let value = try value(column) else { return nil }
        do {
            return try JSONDecoder().decode(type, from: Data(value))
        } catch {
            throw PostgresError(.decoding, "column \"\(column)\" is not a \(type): \(error)", context: "row \(index)")
        }
    }

    /// A text column that holds one of an enumeration's raw values.
    public func choice<E: RawRepresentable>(_ column: String, as type: E.Type = E.self) throws(PostgresError) -> E
    where E.RawValue == String {
        let text = try text(column)
        guard let value = E(rawValue: text) else {
            throw PostgresError(
                .decoding, "column \"\(column)\" holds \"\(text)\", no \(type)", context: "row \(index)")
        }
        return value
    }

    private func value(_ column: String) throws(PostgresError) -> UnsafeBufferPointer<UInt8>? {
        guard let position = result.columns.firstIndex(of: column) else {
            throw PostgresError(
                .decoding, "no column \"\(column)\" in the result (\(result.columns.joined(separator: ", ")))",
                context: "row \(index)")
        }
        return result.value(row: index, column: position)
    }

    private func required<T>(_ column: String, _ value: T?) throws(PostgresError) -> T {
        guard let value else {
            throw PostgresError(.decoding, "column \"\(column)\" is NULL", context: "row \(index)")
        }
        return value
    }

    private func decoded<T>(
        _ column: String, as wanted: String, _ decode: (String) -> T?
    ) throws(PostgresError) -> T? {
        guard let text = try textOrNil(column) else { return nil }
        guard let value = decode(text) else {
            throw PostgresError(
                .decoding, "column \"\(column)\" holds \"\(text.prefix(60))\", not \(wanted)", context: "row \(index)")
        }
        return value
    }
}

/// `bytea` as the server writes it: `\x0aff`.
enum Hexadecimal {
    static func bytes(_ text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.starts(with: [0x5C, 0x78]), digits.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 2 - 1)
        for position in stride(from: 2, to: digits.count, by: 2) {
            guard let high = value(digits[position]), let low = value(digits[position + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x61...0x66: digit - 0x61 + 10
        case 0x41...0x46: digit - 0x41 + 10
        default: nil
        }
    }
}

/// `timestamptz` in ISO style, as every session of the pool asks for: `2026-11-21 01:33:34.123456+00`.
enum Timestamp {
    static func microseconds(_ text: String) -> Int64? {
        var rest = Substring(text)
        func number(_ end: Character?) -> Int64? {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            guard !digits.isEmpty, let value = Int64(digits) else { return nil }
            rest = rest[digits.endIndex...]
            if let end {
                guard rest.first == end else { return nil }
                rest = rest.dropFirst()
            }
            return value
        }
        guard let year = number("-"), let month = number("-"), let day = number(" "), let hour = number(":"),
            let minute = number(":"), let second = number(nil)
        else { return nil }
        var micros: Int64 = 0
        if rest.first == "." {
            rest = rest.dropFirst()
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            guard (1...6).contains(digits.count), let value = Int64(digits) else { return nil }
            rest = rest[digits.endIndex...]
            micros = (digits.count..<6).reduce(value) { value, _ in value * 10 }
        }
        guard let sign = rest.first, sign == "+" || sign == "-" else { return nil }
        var offset: Int64 = 0
        var unit: Int64 = 3600
        for part in rest.dropFirst().split(separator: ":", omittingEmptySubsequences: false) {
            guard let value = Int64(part), unit > 0 else { return nil }
            offset += value * unit
            unit = unit == 3600 ? 60 : unit == 60 ? 1 : 0
        }
        if sign == "-" { offset = -offset }
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset
        return seconds * 1_000_000 + micros
    }

    /// Days since 1970 in the Gregorian calendar: years are counted from March, in eras of 400.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }
}
