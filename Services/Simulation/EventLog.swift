import Crypto

/// What happened, as numbers, and the SHA-256 of all of it.
///
/// Two runs of one seed must agree in it, in one process, across processes and across machines.
struct EventLog {
    private var hash = SHA256()
    private var buffer: [UInt8] = []
    /// How many numbers were written.
    private(set) var length = 0

    private static let chunk = 8_192

    mutating func add(_ number: Int64) {
        length += 1
        withUnsafeBytes(of: number.littleEndian) { buffer.append(contentsOf: $0) }
        if buffer.count >= Self.chunk { flush() }
    }

    mutating func add(_ text: String) {
        add(Int64(text.utf8.count))
        buffer.append(contentsOf: text.utf8)
        if buffer.count >= Self.chunk { flush() }
    }

    private mutating func flush() {
        hash.update(data: buffer)
        buffer.removeAll(keepingCapacity: true)
    }

    /// Of everything so far, in hexadecimal.
    var digest: String {
        var copy = hash
        copy.update(data: buffer)
        let digits = Array("0123456789abcdef".utf8)
        let text = copy.finalize().flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
        return String(decoding: text, as: UTF8.self)
    }
}
