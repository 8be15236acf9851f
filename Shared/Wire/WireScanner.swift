import Domain

/// Reads JSON that is laid out byte for byte as we write it.
///
/// Accepts less than JSON does: no spaces, no escapes, no other order of the keys. So whatever it accepts, Foundation
/// reads the same way, and what it does not is left to Foundation.
public struct WireScanner {
    private let bytes: UnsafeRawBufferPointer
    public private(set) var position = 0

    /// The bytes must outlive the scanner.
    public init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    public var isAtEnd: Bool { position == bytes.count }

    /// Passes what stands in the code.
    ///
    /// - Returns: false, and stays, where something else stands.
    public mutating func skip(_ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard bytes.count - position >= count else { return false }
        for index in 0..<count where bytes[position + index] != text.utf8Start[index] { return false }
        position += count
        return true
    }

    /// A string of visible ASCII characters and spaces, without escapes.
    public mutating func string() -> String? {
        guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { return nil }
        let start = position + 1
        var end = start
        while end < bytes.count, bytes[end] != UInt8(ascii: "\"") {
            guard bytes[end] >= 0x20, bytes[end] < 0x7F, bytes[end] != UInt8(ascii: "\\") else { return nil }
            end += 1
        }
        guard end < bytes.count else { return nil }
        position = end + 1
        return String(decoding: UnsafeRawBufferPointer(rebasing: bytes[start..<end]), as: UTF8.self)
    }

    /// A whole number of up to 18 digits, not negative, without a leading zero.
    public mutating func number() -> Int64? {
        let start = position
        guard let value = digits() else { return nil }
        let count = position - start
        guard count > 0, count == 1 || bytes[start] != UInt8(ascii: "0") else { return nil }
        return value
    }

    /// A number between 0 and 10 without an exponent: `0.86`.
    mutating func fraction() -> Double? {
        let start = position
        guard number() != nil, position - start == 1 else { return nil }
        if skip(".") {
            let point = position
            // As many as a double is ever written with.
            while position < bytes.count, bytes[position] &- UInt8(ascii: "0") <= 9 { position += 1 }
            guard position > point, position - point <= 20 else { return nil }
        }
        if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") { return nil }
        return Double(String(decoding: UnsafeRawBufferPointer(rebasing: bytes[start..<position]), as: UTF8.self))
    }

    private mutating func digits() -> Int64? {
        let start = position
        var value: Int64 = 0
        while position < bytes.count, case let digit = bytes[position] &- UInt8(ascii: "0"), digit <= 9 {
            guard position - start < 18 else { return nil }
            value = value * 10 + Int64(digit)
            position += 1
        }
        return value
    }
}

extension WireScanner {
    /// The identifier behind a key.
    mutating func name<Kind>(_ key: StaticString) -> Identifier<Kind>? {
        guard skip(key), let text = string() else { return nil }
        // What is no name is Foundation's to complain of.
        return try? Identifier(text)
    }

    /// The word behind a key, one of an enumeration's.
    mutating func choice<Choice: RawRepresentable>(_ key: StaticString) -> Choice? where Choice.RawValue == String {
        guard skip(key), let text = string() else { return nil }
        return Choice(rawValue: text)
    }

    /// The number behind a key, not negative.
    mutating func number(_ key: StaticString) -> Int64? { skip(key) ? number() : nil }
}
