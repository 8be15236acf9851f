/// JSON written by hand, for what is written too often, or too near to an order, for an encoder.
extension [UInt8] {
    /// Appends what stands in the code, as it is.
    public mutating func append(_ literal: StaticString) {
        append(contentsOf: UnsafeBufferPointer(start: literal.utf8Start, count: literal.utf8CodeUnitCount))
    }

    /// Appends a JSON string; only what JSON demands is escaped.
    public mutating func appendJSON(_ text: String) {
        append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                append(UInt8(ascii: "\\"))
                append(byte)
            case 0..<0x20:
                append("\\u00")
                append(contentsOf: (byte < 0x10 ? "0" : "").utf8)
                append(contentsOf: String(byte, radix: 16).utf8)
            default:
                append(byte)
            }
        }
        append(UInt8(ascii: "\""))
    }

    public mutating func appendDecimal(_ number: Int64) {
        guard number >= 0 else { return append(contentsOf: String(number).utf8) }
        var digits: (UInt64, UInt64, UInt32) = (0, 0, 0)
        Swift.withUnsafeMutableBytes(of: &digits) { buffer in
            var rest = UInt64(number)
            var start = buffer.count
            repeat {
                start -= 1
                buffer[start] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            } while rest > 0
            append(contentsOf: buffer[start...])
        }
    }

    /// Appends a key, as it stands in the code, and its string.
    mutating func append(_ key: StaticString, _ text: String) {
        append(key)
        appendJSON(text)
    }

    /// Appends a key, as it stands in the code, and its number.
    mutating func append(_ key: StaticString, _ number: Int64) {
        append(key)
        appendDecimal(number)
    }
}
