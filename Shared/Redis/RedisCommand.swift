import NIOCore

/// One word of a command: text, bytes or a number.
public enum RedisArgument: Hashable, Sendable, ExpressibleByStringLiteral, ExpressibleByStringInterpolation,
    ExpressibleByIntegerLiteral
{
    case text(String)
    case bytes([UInt8])
    case integer(Int64)

    public init(stringLiteral value: String) {
        self = .text(value)
    }

    public init(integerLiteral value: Int64) {
        self = .integer(value)
    }

    /// Bytes on the wire without the header, from above.
    var sizeLimit: Int {
        switch self {
        case .text(let text): text.utf8.count
        case .bytes(let bytes): bytes.count
        case .integer: 20
        }
    }

    public init(_ value: Int) {
        self = .integer(Int64(value))
    }
}

extension ByteBuffer {
    /// Appends a command as a RESP array of bulk strings.
    mutating func writeCommand(_ arguments: [RedisArgument]) {
        writeHeader("*", arguments.count)
        for argument in arguments {
            switch argument {
            case .text(let text):
                writeHeader("$", text.utf8.count)
                writeString(text)
            case .bytes(let bytes):
                writeHeader("$", bytes.count)
                writeBytes(bytes)
            case .integer(let value):
                let digits = String(value)
                writeHeader("$", digits.utf8.count)
                writeString(digits)
            }
            writeStaticString("\r\n")
        }
    }

    private mutating func writeHeader(_ kind: StaticString, _ count: Int) {
        writeStaticString(kind)
        writeString(String(count))
        writeStaticString("\r\n")
    }
}
