import NIOCore

/// Finds the Redis commands in a client's bytes; falls silent at the first that is not RESP, for instance TLS.
public struct CommandScanner {
    private var pending = ByteBuffer()
    private var isReadable = true

    public init() {}

    /// The commands that end in `bytes`, each with the number of bytes of `bytes` up to its end.
    public mutating func scan(_ bytes: ByteBuffer) -> [(words: [String], end: Int)] {
        guard isReadable else { return [] }
        let earlier = pending.readableBytes
        pending.writeImmutableBuffer(bytes)
        let total = pending.readableBytes
        var found: [(words: [String], end: Int)] = []
        while let words = next() { found.append((words, total - pending.readableBytes - earlier)) }
        pending.discardReadBytes()
        return found
    }

    private mutating func next() -> [String]? {
        var reader = pending
        guard let count = header("*", &reader) else { return nil }
        var words: [String] = []
        for _ in 0..<count {
            guard let length = header("$", &reader), let word = reader.readString(length: length),
                reader.readSlice(length: 2) != nil
            else { return nil }
            words.append(word)
        }
        pending = reader
        return words
    }

    private mutating func header(_ mark: Character, _ reader: inout ByteBuffer) -> Int? {
        guard let end = reader.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        let line = reader.readString(length: end - reader.readerIndex + 1) ?? ""
        guard line.first == mark, let count = Int(line.dropFirst().dropLast(1)), count >= 0 else {
            isReadable = false
            return nil
        }
        return count
    }
}
