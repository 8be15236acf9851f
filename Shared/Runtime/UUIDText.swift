import Crypto

/// A UUID in its one canonical form: 36 characters, lower case.
public struct UUIDText: Hashable, Sendable, CustomStringConvertible {
    public let text: String

    /// Accepts either case; nil for anything that is not a UUID.
    public init?(_ text: some StringProtocol) {
        let lower = text.lowercased()
        guard lower.utf8.count == 36 else { return nil }
        for (index, byte) in lower.utf8.enumerated() {
            let isHyphen = byte == UInt8(ascii: "-")
            let isDigit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            let isLetter = (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
            guard [8, 13, 18, 23].contains(index) ? isHyphen : isDigit || isLetter else { return nil }
        }
        self.text = lower
    }

    /// - `bytes`: exactly 16.
    init(bytes: [UInt8]) {
        precondition(bytes.count == 16, "a UUID has 16 bytes, got \(bytes.count)")
        let digits = Array("0123456789abcdef")
        var text = ""
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { text.append("-") }
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        self.text = text
    }

    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        var high: UInt8?
        for character in text {
            guard let digit = character.hexDigitValue.map(UInt8.init) else { continue }
            if let first = high {
                bytes.append(first << 4 | digit)
                high = nil
            } else {
                high = digit
            }
        }
        return bytes
    }

    public var description: String { text }

    static func random(high: UInt64, low: UInt64) -> UUIDText {
        var bytes = withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { Array($0) }
        bytes[6] = bytes[6] & 0x0F | 0x40
        bytes[8] = bytes[8] & 0x3F | 0x80
        return UUIDText(bytes: bytes)
    }

    /// RFC 9562, appendix C: the namespace for fully qualified domain names.
    public static let dns = UUIDText(bytes: [
        0x6B, 0xA7, 0xB8, 0x10, 0x9D, 0xAD, 0x11, 0xD1, 0x80, 0xB4, 0x00, 0xC0, 0x4F, 0xD4, 0x30, 0xC8,
    ])
}

/// Name-based UUIDs: the same name in the same namespace is the same UUID, everywhere and always (DESIGN rule 6).
public enum UUIDv5 {
    public static func make(namespace: UUIDText, name: String) -> String {
        var bytes = Array(Insecure.SHA1.hash(data: namespace.bytes + Array(name.utf8)).prefix(16))
        bytes[6] = bytes[6] & 0x0F | 0x50
        bytes[8] = bytes[8] & 0x3F | 0x80
        return UUIDText(bytes: bytes).text
    }
}
