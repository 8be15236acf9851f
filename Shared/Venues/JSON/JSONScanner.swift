#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// Where and why a text is not the JSON that was expected.
public struct JSONScanError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Hashable, Sendable, CaseIterable {
        case truncated
        case unexpectedByte = "unexpected_byte"
        case badEscape = "bad_escape"
        case badUTF8 = "bad_utf8"
        case badNumber = "bad_number"
        case tooDeep = "too_deep"
        case trailingBytes = "trailing_bytes"
    }

    public let code: Code
    /// In bytes from the beginning.
    public let offset: Int

    public var description: String { "json \(code.rawValue) at byte \(offset)" }
}

/// A piece of the scanned bytes: a string without its quotes, or a number.
public struct JSONSlice: Hashable, Sendable {
    let start: Int
    let end: Int
    /// Whether a backslash occurs, so that the bytes are not the text.
    let isEscaped: Bool

    var count: Int { end - start }
}

/// A cursor over JSON bytes that allocates nothing: the hot path of the market data frames.
///
/// It checks everything it passes, skipped values included, and reports the first fault; no input makes it trap. It
/// borrows the bytes and must not outlive them. Nesting is bounded by `depthBound`.
public struct JSONScanner {
    /// What the next value is, by its first byte.
    public enum Kind: Hashable, Sendable {
        case object
        case array
        case string
        case number
        case boolean
        case null
    }

    let bytes: UnsafeRawBufferPointer
    var position = 0
    private var depth = 0
    private let depthBound: Int

    public init(_ bytes: UnsafeRawBufferPointer, depthBound: Int = 64) {
        self.bytes = bytes
        self.depthBound = depthBound
    }

    func error(_ code: JSONScanError.Code) -> JSONScanError { JSONScanError(code: code, offset: position) }

    // MARK: Structure

    /// The kind of the value at the cursor.
    public mutating func kind() throws(JSONScanError) -> Kind {
        switch try peek() {
        case UInt8(ascii: "{"): return .object
        case UInt8(ascii: "["): return .array
        case UInt8(ascii: "\""): return .string
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
        case UInt8(ascii: "t"), UInt8(ascii: "f"): return .boolean
        case UInt8(ascii: "n"): return .null
        default: throw error(.unexpectedByte)
        }
    }

    /// Enters an object; step through it with `nextKey` and consume the value of each key (`skip` will do).
    public mutating func beginObject() throws(JSONScanError) { try open(UInt8(ascii: "{")) }

    /// Enters an array; step through it with `nextElement` and consume each element.
    public mutating func beginArray() throws(JSONScanError) { try open(UInt8(ascii: "[")) }

    private mutating func open(_ bracket: UInt8) throws(JSONScanError) {
        guard try peek() == bracket else { throw error(.unexpectedByte) }
        guard depth < depthBound else { throw error(.tooDeep) }
        depth += 1
        position += 1
    }

    /// The next key with the cursor at its value, or nil behind the closing brace.
    public mutating func nextKey(_ isFirst: inout Bool) throws(JSONScanError) -> JSONSlice? {
        var byte = try peek()
        if byte == UInt8(ascii: "}") {
            position += 1
            depth -= 1
            return nil
        }
        if !isFirst {
            guard byte == UInt8(ascii: ",") else { throw error(.unexpectedByte) }
            position += 1
            byte = try peek()
        }
        isFirst = false
        let key = try string()
        guard try peek() == UInt8(ascii: ":") else { throw error(.unexpectedByte) }
        position += 1
        return key
    }

    /// Whether an element follows; the cursor is then at it, otherwise behind the closing bracket.
    public mutating func nextElement(_ isFirst: inout Bool) throws(JSONScanError) -> Bool {
        let byte = try peek()
        if byte == UInt8(ascii: "]") {
            position += 1
            depth -= 1
            return false
        }
        if isFirst {
            isFirst = false
            return true
        }
        guard byte == UInt8(ascii: ",") else { throw error(.unexpectedByte) }
        position += 1
        guard try peek() != UInt8(ascii: "]") else { throw error(.unexpectedByte) }
        return true
    }

    /// Fails unless only white space is left.
    public mutating func finish() throws(JSONScanError) {
        skipSpace()
        guard position == bytes.count else { throw error(.trailingBytes) }
    }

    // MARK: Values

    /// Passes over one value of any kind, checking it; iterative, so that depth costs no stack.
    public mutating func skip() throws(JSONScanError) {
        var isObject: [Bool] = []
        while true {
            var opened = false
            switch try kind() {
            case .string: _ = try string()
            case .number: _ = try number()
            case .boolean: _ = try boolean()
            case .null: try null()
            case .object:
                try beginObject()
                isObject.append(true)
                opened = true
            case .array:
                try beginArray()
                isObject.append(false)
                opened = true
            }
            var isFirst = opened
            closing: while let inObject = isObject.last {
                if inObject {
                    if try nextKey(&isFirst) != nil { break closing }
                } else {
                    if try nextElement(&isFirst) { break closing }
                }
                isObject.removeLast()
                isFirst = false
            }
            if isObject.isEmpty { return }
        }
    }

    /// The string at the cursor.
    public mutating func string() throws(JSONScanError) -> JSONSlice {
        guard try peek() == UInt8(ascii: "\"") else { throw error(.unexpectedByte) }
        let start = position + 1
        var index = start
        var isEscaped = false
        var seen: UInt8 = 0
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") {
                position = index + 1
                let slice = JSONSlice(start: start, end: index, isEscaped: isEscaped)
                if seen >= 0x80 { try checkUTF8(slice) }
                return slice
            }
            if byte == UInt8(ascii: "\\") {
                isEscaped = true
                index = try escapeEnd(index)
                continue
            }
            if byte < 0x20 {
                position = index
                throw error(.unexpectedByte)
            }
            seen |= byte
            index += 1
        }
        position = bytes.count
        throw error(.truncated)
    }

    /// The number at the cursor, as its text.
    public mutating func number() throws(JSONScanError) -> JSONSlice {
        skipSpace()
        let start = position
        var index = start
        if index < bytes.count, bytes[index] == UInt8(ascii: "-") { index += 1 }
        let whole = digits(from: index)
        guard whole > index, !(bytes[index] == UInt8(ascii: "0") && whole > index + 1) else {
            throw error(.badNumber)
        }
        index = whole
        if index < bytes.count, bytes[index] == UInt8(ascii: ".") {
            let fraction = digits(from: index + 1)
            guard fraction > index + 1 else { throw error(.badNumber) }
            index = fraction
        }
        if index < bytes.count, bytes[index] | 0x20 == UInt8(ascii: "e") {
            var exponent = index + 1
            if exponent < bytes.count, bytes[exponent] == UInt8(ascii: "+") || bytes[exponent] == UInt8(ascii: "-") {
                exponent += 1
            }
            let end = digits(from: exponent)
            guard end > exponent else { throw error(.badNumber) }
            index = end
        }
        position = index
        return JSONSlice(start: start, end: index, isEscaped: false)
    }

    public mutating func boolean() throws(JSONScanError) -> Bool {
        if try peek() == UInt8(ascii: "t") {
            try literal("true")
            return true
        }
        try literal("false")
        return false
    }

    public mutating func null() throws(JSONScanError) {
        try literal("null")
    }

    // MARK: Reading slices

    /// Whether a slice has exactly these bytes; for keys and enumerations.
    @inline(__always)
    public func matches(_ slice: JSONSlice, _ text: StaticString) -> Bool {
        guard slice.count == text.utf8CodeUnitCount, !slice.isEscaped, let base = bytes.baseAddress else {
            return false
        }
        return memcmp(base + slice.start, text.utf8Start, slice.count) == 0
    }

    /// The text of a slice, escapes resolved.
    public func text(_ slice: JSONSlice) throws(JSONScanError) -> String {
        if slice.isEscaped { return try unescaped(slice) }
        return String(decoding: raw(slice), as: UTF8.self)
    }

    /// The bytes of a slice as they stand.
    public func raw(_ slice: JSONSlice) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[slice.start..<slice.end])
    }

    // MARK: Inside

    @inline(__always)
    private mutating func peek() throws(JSONScanError) -> UInt8 {
        skipSpace()
        guard position < bytes.count else { throw error(.truncated) }
        return bytes[position]
    }

    @inline(__always)
    private mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    private func digits(from start: Int) -> Int {
        var index = start
        while index < bytes.count, bytes[index] >= UInt8(ascii: "0"), bytes[index] <= UInt8(ascii: "9") { index += 1 }
        return index
    }

    private mutating func literal(_ text: StaticString) throws(JSONScanError) {
        skipSpace()
        let count = text.utf8CodeUnitCount
        guard let base = bytes.baseAddress, bytes.count - position >= count,
            memcmp(base + position, text.utf8Start, count) == 0
        else { throw error(.unexpectedByte) }
        position += count
    }

    /// The index behind the escape that begins at `index`.
    private mutating func escapeEnd(_ index: Int) throws(JSONScanError) -> Int {
        position = index
        guard index + 1 < bytes.count else { throw error(.truncated) }
        switch bytes[index + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            return index + 2
        case UInt8(ascii: "u"):
            let unit = try hexUnit(index + 2)
            if unit & 0xFC00 == 0xDC00 { throw error(.badEscape) }
            guard unit & 0xFC00 == 0xD800 else { return index + 6 }
            guard index + 7 < bytes.count, bytes[index + 6] == UInt8(ascii: "\\"),
                bytes[index + 7] == UInt8(ascii: "u"), try hexUnit(index + 8) & 0xFC00 == 0xDC00
            else { throw error(.badEscape) }
            return index + 12
        default:
            throw error(.badEscape)
        }
    }

    private func hexUnit(_ index: Int) throws(JSONScanError) -> UInt32 {
        guard index + 4 <= bytes.count else { throw error(.truncated) }
        var unit: UInt32 = 0
        for offset in 0..<4 {
            let byte = bytes[index + offset]
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: throw error(.badEscape)
            }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }

    private func checkUTF8(_ slice: JSONSlice) throws(JSONScanError) {
        guard String(validating: raw(slice), as: UTF8.self) != nil else {
            throw JSONScanError(code: .badUTF8, offset: slice.start)
        }
    }

    private func unescaped(_ slice: JSONSlice) throws(JSONScanError) -> String {
        var out: [UInt8] = []
        out.reserveCapacity(slice.count)
        var index = slice.start
        while index < slice.end {
            let byte = bytes[index]
            guard byte == UInt8(ascii: "\\") else {
                out.append(byte)
                index += 1
                continue
            }
            index += 2
            switch bytes[index - 1] {
            case UInt8(ascii: "b"): out.append(0x08)
            case UInt8(ascii: "f"): out.append(0x0C)
            case UInt8(ascii: "n"): out.append(0x0A)
            case UInt8(ascii: "r"): out.append(0x0D)
            case UInt8(ascii: "t"): out.append(0x09)
            case UInt8(ascii: "u"):
                var unit = try hexUnit(index)
                index += 4
                if unit & 0xFC00 == 0xD800 {
                    unit = 0x10000 + (unit & 0x3FF) << 10 + (try hexUnit(index + 2) & 0x3FF)
                    index += 6
                }
                guard let scalar = Unicode.Scalar(unit) else { throw error(.badEscape) }
                out.append(contentsOf: UTF8.encode(scalar).map { Array($0) } ?? [])
            case let other: out.append(other)
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
