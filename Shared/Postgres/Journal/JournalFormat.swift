/// A row that may be stored later: what it is, and its values as JSON.
///
/// `kind` says which statement it stands for; both outlive the process, and are read by the next version of the code.
public struct DeferredWrite: Hashable, Sendable {
    public let kind: String
    public let payload: String

    public init(kind: String, payload: String) {
        self.kind = kind
        self.payload = payload
    }
}

/// A deferred write in its stream: identified by both, for ever.
struct JournalRecord: Hashable, Sendable {
    let sequence: Int64
    let write: DeferredWrite
}

/// The bytes of the journal's files (docs/POSTGRES.md).
///
/// A file is a header and records. Header: `LNSMJRN1`, the stream's UUID as 36 characters, CRC-32C of these 44 bytes.
/// Record: length of the body, CRC-32C of the body (both 4 bytes, little-endian), body. Body: sequence (8 bytes),
/// length of the kind (2 bytes), kind, payload.
enum JournalFormat {
    static let magic = Array("LNSMJRN1".utf8)
    static let headerLength = 48
    static let frameLength = 8
    private static let fixedLength = 10
    /// Longest body; a larger length is not one of ours.
    static let bodyLimit = 1 << 20

    enum Step: Equatable {
        case record(JournalRecord, end: Int)
        /// Its bytes have changed, and what follows is sound.
        case damaged(end: Int)
        /// Nothing that can be read follows.
        case end
    }

    static func header(stream: String) -> [UInt8] {
        precondition(stream.utf8.count == 36, "a stream is a UUID, got \(stream)")
        let text = magic + Array(stream.utf8)
        return text + littleEndian(crc(text[...]))
    }

    /// The stream's UUID; nil when this is not a whole header.
    static func stream(_ bytes: [UInt8]) -> String? {
        guard bytes.count >= headerLength, bytes.starts(with: magic),
            crc(bytes[0..<44]) == UInt32(integer(bytes, at: 44, width: 4))
        else { return nil }
        return String(decoding: bytes[8..<44], as: UTF8.self)
    }

    /// Nil when it is too long.
    static func encode(_ record: JournalRecord) -> [UInt8]? {
        let kind = Array(record.write.kind.utf8)
        let payload = Array(record.write.payload.utf8)
        guard kind.count <= 0xFFFF, fixedLength + kind.count + payload.count <= bodyLimit else { return nil }
        let body =
            littleEndian(UInt64(bitPattern: record.sequence)) + littleEndian(UInt16(kind.count)) + kind + payload
        return littleEndian(UInt32(body.count)) + littleEndian(crc(body[...])) + body
    }

    /// What stands at an offset.
    static func step(_ bytes: [UInt8], at offset: Int) -> Step {
        guard let end = end(bytes, at: offset) else { return .end }
        if let record = record(bytes, at: offset, end) { return .record(record, end: end) }
        // One bad record before a sound one is damage; a bad last one is a write that was cut off.
        guard let next = self.end(bytes, at: end), record(bytes, at: end, next) != nil else { return .end }
        return .damaged(end: end)
    }

    /// Where a record of plausible length ends, when all of it is there.
    private static func end(_ bytes: [UInt8], at offset: Int) -> Int? {
        guard offset + frameLength <= bytes.count else { return nil }
        let length = Int(integer(bytes, at: offset, width: 4))
        guard (fixedLength...bodyLimit).contains(length), offset + frameLength + length <= bytes.count else {
            return nil
        }
        return offset + frameLength + length
    }

    private static func record(_ bytes: [UInt8], at offset: Int, _ end: Int) -> JournalRecord? {
        let start = offset + frameLength
        guard crc(bytes[start..<end]) == UInt32(integer(bytes, at: offset + 4, width: 4)) else { return nil }
        let kindEnd = start + fixedLength + Int(integer(bytes, at: start + 8, width: 2))
        guard kindEnd <= end else { return nil }
        return JournalRecord(
            sequence: Int64(bitPattern: integer(bytes, at: start, width: 8)),
            write: DeferredWrite(
                kind: String(decoding: bytes[start + fixedLength..<kindEnd], as: UTF8.self),
                payload: String(decoding: bytes[kindEnd..<end], as: UTF8.self)))
    }

    private static func integer(_ bytes: [UInt8], at offset: Int, width: Int) -> UInt64 {
        (0..<width).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
    }

    private static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    /// CRC-32C (Castagnoli), as iSCSI and ext4 have it.
    static func crc(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        ~bytes.reduce(UInt32.max) { $0 >> 8 ^ table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] }
    }

    private static let table: [UInt32] = (0..<256).map { number in
        (0..<8).reduce(UInt32(number)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
    }
}
