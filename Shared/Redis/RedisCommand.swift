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
        var limit = RESPWriter.headerLimit
        for argument in arguments { limit += argument.sizeLimit + RESPWriter.headerLimit + 2 }
        writeWithUnsafeMutableBytes(minimumWritableBytes: limit) { memory in
            var writer = RESPWriter(memory)
            writer.header(UInt8(ascii: "*"), arguments.count)
            for argument in arguments { writer.bulk(argument) }
            return writer.count
        }
    }
}

/// Writes RESP into memory that is known to suffice: a command costs one look at the room that is left, not twenty.
private struct RESPWriter {
    /// A sign, the digits of the largest number, and the end of the line.
    static let headerLimit = 1 + 20 + 2

    private let memory: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(_ memory: UnsafeMutableRawBufferPointer) {
        self.memory = memory
    }

    mutating func header(_ kind: UInt8, _ number: Int) {
        byte(kind)
        decimal(UInt64(number))
        endLine()
    }

    mutating func bulk(_ argument: RedisArgument) {
        switch argument {
        case .text(var text): text.withUTF8 { bulk(UnsafeRawBufferPointer($0)) }
        case .bytes(let bytes): bytes.withUnsafeBytes { bulk($0) }
        case .integer(let value):
            header(UInt8(ascii: "$"), Self.digits(value.magnitude) + (value < 0 ? 1 : 0))
            if value < 0 { byte(UInt8(ascii: "-")) }
            decimal(value.magnitude)
            endLine()
        }
    }

    private mutating func bulk(_ bytes: UnsafeRawBufferPointer) {
        header(UInt8(ascii: "$"), bytes.count)
        UnsafeMutableRawBufferPointer(rebasing: memory[count...]).copyMemory(from: bytes)
        count += bytes.count
        endLine()
    }

    private mutating func decimal(_ value: UInt64) {
        let end = count + Self.digits(value)
        var rest = value
        for index in (count..<end).reversed() {
            memory[index] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        count = end
    }

    private static func digits(_ value: UInt64) -> Int {
        var digits = 1
        var rest = value
        while rest >= 10 {
            digits += 1
            rest /= 10
        }
        return digits
    }

    private mutating func endLine() {
        byte(UInt8(ascii: "\r"))
        byte(UInt8(ascii: "\n"))
    }

    private mutating func byte(_ value: UInt8) {
        memory[count] = value
        count += 1
    }
}
