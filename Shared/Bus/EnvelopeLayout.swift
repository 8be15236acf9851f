import Domain
import Foundation

/// The head of an envelope that is laid out byte for byte as `EnvelopeEncoder` writes it, and where its body stands.
///
/// Accepts less than JSON does: no spaces, no escapes, no other order of the keys. So whatever it accepts, Foundation
/// reads the same way, provided that `body` is one JSON value (which its decoder finds out).
struct EnvelopeLayout {
    let source: String
    let incarnation: Incarnation
    let sequence: Int64
    let trace: TraceID?
    let sentAt: Int64
    let type: String
    let version: Int
    /// Indices into the bytes that were scanned.
    let body: Range<Int>

    /// - Returns: nil for bytes in any other layout.
    init?(_ bytes: Data) {
        let start = bytes.startIndex
        let layout = bytes.withUnsafeBytes { EnvelopeLayout($0, offset: start) }
        guard let layout else { return nil }
        self = layout
    }

    private init?(_ bytes: UnsafeRawBufferPointer, offset: Int) {
        var scanner = Scanner(bytes: bytes)
        guard scanner.skip("{\"source\":"), let source = scanner.string(),
            scanner.skip(",\"incarnation\":"), let life = scanner.string(), let incarnation = try? Incarnation(life),
            scanner.skip(",\"seq\":"), let sequence = scanner.number(), sequence >= 1
        else { return nil }
        var trace: TraceID?
        if scanner.skip(",\"trace\":") {
            // Thrown for a name that is none: Foundation says so.
            guard let name = scanner.string(), let known = try? TraceID(name) else { return nil }
            trace = known
        }
        guard scanner.skip(",\"sent_at\":"), let sentAt = scanner.number(),
            scanner.skip(",\"type\":"), let type = scanner.string(),
            scanner.skip(",\"v\":"), let version = scanner.number(),
            scanner.skip(",\"body\":"), scanner.position < bytes.count, bytes.last == UInt8(ascii: "}")
        else { return nil }
        self.source = source
        self.incarnation = incarnation
        self.sequence = sequence
        self.trace = trace
        self.sentAt = sentAt
        self.type = type
        self.version = Int(version)
        body = (offset + scanner.position)..<(offset + bytes.count - 1)
    }

    private struct Scanner {
        let bytes: UnsafeRawBufferPointer
        var position = 0

        init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

        mutating func skip(_ text: StaticString) -> Bool {
            let count = text.utf8CodeUnitCount
            guard bytes.count - position >= count else { return false }
            for index in 0..<count where bytes[position + index] != text.utf8Start[index] { return false }
            position += count
            return true
        }

        /// A string of visible ASCII characters and spaces, without escapes.
        mutating func string() -> String? {
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
        mutating func number() -> Int64? {
            let start = position
            var value: Int64 = 0
            while position < bytes.count, case let digit = bytes[position] &- UInt8(ascii: "0"), digit <= 9 {
                guard position - start < 18 else { return nil }
                value = value * 10 + Int64(digit)
                position += 1
            }
            let count = position - start
            guard count > 0, count == 1 || bytes[start] != UInt8(ascii: "0") else { return nil }
            return value
        }
    }
}
