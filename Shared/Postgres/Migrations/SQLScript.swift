/// A file of several statements, taken apart so that a failure can be told by its line.
///
/// Knows quotes, dollar quotes and nested comments as PostgreSQL does, with standard-conforming strings; it does not
/// judge what the statements say.
struct SQLScript {
    struct Statement: Hashable {
        /// Of its first word, from 1.
        let line: Int
        let text: String

        /// The first word in capitals.
        var verb: String { text.prefix { $0.isLetter }.uppercased() }
    }

    private(set) var statements: [Statement] = []
    private let bytes: [UInt8]
    private var index = 0
    private var line = 1
    /// Where the statement under way began; nil between statements.
    private var start: (index: Int, line: Int)?

    init(_ text: String) {
        bytes = Array(text.utf8)
        while index < bytes.count { step() }
        finish()
    }

    private func byte(_ offset: Int = 0) -> UInt8? {
        index + offset < bytes.count ? bytes[index + offset] : nil
    }

    private mutating func advance(_ count: Int = 1) {
        for _ in 0..<count where index < bytes.count {
            if bytes[index] == 0x0A { line += 1 }
            index += 1
        }
    }

    private mutating func step() {
        switch (byte(), byte(1)) {
        case (UInt8(ascii: "-"), UInt8(ascii: "-")):
            while let next = byte(), next != 0x0A { advance() }
        case (UInt8(ascii: "/"), UInt8(ascii: "*")): skipComment()
        case (UInt8(ascii: ";"), _):
            finish()
            advance()
        case (let space?, _) where space == 0x20 || (0x09...0x0D).contains(space): advance()
        default:
            if start == nil { start = (index, line) }
            word()
        }
    }

    private mutating func word() {
        switch byte() {
        case UInt8(ascii: "'"): skip(quote: UInt8(ascii: "'"))
        case UInt8(ascii: "\""): skip(quote: UInt8(ascii: "\""))
        case UInt8(ascii: "$"): skipDollarQuote()
        default: advance()
        }
    }

    /// A doubled quote ends one literal and begins the next, which comes to the same.
    private mutating func skip(quote: UInt8) {
        advance()
        while let next = byte(), next != quote { advance() }
        advance()
    }

    private mutating func skipComment() {
        var depth = 0
        repeat {
            if byte() == UInt8(ascii: "/"), byte(1) == UInt8(ascii: "*") {
                depth += 1
                advance(2)
            } else if byte() == UInt8(ascii: "*"), byte(1) == UInt8(ascii: "/") {
                depth -= 1
                advance(2)
            } else {
                advance()
            }
        } while depth > 0 && index < bytes.count
    }

    private mutating func skipDollarQuote() {
        var end = index + 1
        while end < bytes.count, Self.isTag(bytes[end]) { end += 1 }
        guard end < bytes.count, bytes[end] == UInt8(ascii: "$") else { return advance() }
        let tag = bytes[index...end]
        advance(tag.count)
        while index < bytes.count, !bytes[index...].starts(with: tag) { advance() }
        advance(tag.count)
    }

    private static func isTag(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "_") || byte >= 0x80 || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
            || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
    }

    private mutating func finish() {
        guard let begun = start else { return }
        statements.append(
            Statement(line: begun.line, text: String(decoding: bytes[begun.index..<index], as: UTF8.self)))
        start = nil
    }
}
