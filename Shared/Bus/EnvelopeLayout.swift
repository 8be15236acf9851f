import Domain
import Foundation
import Wire

/// The head of an envelope that is laid out byte for byte as `EnvelopeEncoder` writes it, and where its body stands.
///
/// Whatever it accepts, Foundation reads the same way, provided that `body` is one JSON value (which its decoder finds
/// out).
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

    /// `offset` is the index of the first byte where they come from.
    init?(_ bytes: UnsafeRawBufferPointer, offset: Int = 0) {
        var scanner = WireScanner(bytes)
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
}
