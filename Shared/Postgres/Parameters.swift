/// Bound values in the shape libpq takes them; kept and filled again, so that a statement allocates nothing for them.
struct Parameters: ~Copyable {
    private var bytes = Bytes()
    /// Where each value begins; negative for NULL.
    private var starts: [Int] = []
    private var lengths: [Int32] = []
    private var formats: [Int32] = []
    private var pointers: [UnsafePointer<CChar>?] = []

    /// The first value of a statement that cannot be sent: `$2: text holds a NUL`.
    static func problem(in bound: [SQL.Bound]) -> String? {
        for (index, bound) in bound.enumerated() {
            if case .unusable(let problem) = bound.value.content { return "$\(index + 1): \(problem)" }
        }
        return nil
    }

    /// Takes the values of the next statement.
    mutating func load(_ bound: [SQL.Bound]) {
        bytes.removeAll()
        starts.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        formats.removeAll(keepingCapacity: true)
        for each in bound {
            let value = each.value
            let start = bytes.count
            switch value.content {
            case .null, .unusable:
                starts.append(-1)
                lengths.append(0)
                formats.append(0)
            case .text(let text):
                // The server parses it as the type that it stands for.
                bytes.append(text)
                bytes.append(bigEndian: UInt8(0))
                starts.append(start)
                lengths.append(Int32(bytes.count - start - 1))
                formats.append(0)
            default:
                value.append(to: &bytes, as: value.type)
                starts.append(start + 4)
                lengths.append(Int32(bytes.count - start - 4))
                formats.append(1)
            }
        }
    }

    /// Lends count, values, lengths and formats.
    mutating func withPointers<R>(
        _ body: (
            Int32, UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int32>?, UnsafePointer<Int32>?
        ) -> R
    ) -> R {
        pointers.removeAll(keepingCapacity: true)
        for start in starts {
            pointers.append(start < 0 ? nil : (bytes.start + start).assumingMemoryBound(to: CChar.self))
        }
        return body(Int32(starts.count), pointers, lengths, formats)
    }
}
