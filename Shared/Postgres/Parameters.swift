/// Bound values in the shape libpq takes them; kept and filled again, so that a statement allocates nothing for them.
struct Parameters: ~Copyable {
    private var bytes = Bytes()
    private var count = 0
    private var capacity = 0
    /// Where each value begins; negative for NULL.
    private var starts: UnsafeMutablePointer<Int>
    private var lengths: UnsafeMutablePointer<Int32>
    private var formats: UnsafeMutablePointer<Int32>
    private var pointers: UnsafeMutablePointer<UnsafePointer<CChar>?>

    init() {
        capacity = 16
        starts = .allocate(capacity: capacity)
        lengths = .allocate(capacity: capacity)
        formats = .allocate(capacity: capacity)
        pointers = .allocate(capacity: capacity)
    }

    deinit { free() }

    private func free() {
        starts.deallocate()
        lengths.deallocate()
        formats.deallocate()
        pointers.deallocate()
    }

    /// The first value of a statement that cannot be sent: `$2: text holds a NUL`.
    static func problem(in bound: [SQL.Bound]) -> String? {
        bound.withUnsafeBufferPointer { bound in
            for index in 0..<bound.count {
                if case .unusable(let problem) = bound[index].value.content { return "$\(index + 1): \(problem)" }
            }
            return nil
        }
    }

    /// Takes the values of the next statement.
    mutating func load(_ bound: [SQL.Bound]) {
        bytes.removeAll()
        count = bound.count
        if count > capacity { grow() }
        bound.withUnsafeBufferPointer { bound in
            for index in 0..<bound.count { load(bound[index].value, at: index) }
        }
    }

    private mutating func load(_ value: borrowing PostgresValue, at index: Int) {
        var start = bytes.count
        if case .integer(let number) = value.content {
            let size = ObjectID.size(ofInteger: value.type)
            bytes.append(bigEndian: number, size: size)
            starts[index] = start
            lengths[index] = Int32(size)
            formats[index] = 1
            return
        }
        formats[index] = 1
        switch value.content {
        case .null, .unusable:
            start = -1
            lengths[index] = 0
            formats[index] = 0
        case .text(let text):
            // The server parses it as the type that it stands for.
            bytes.append(text)
            lengths[index] = Int32(bytes.count - start)
            bytes.append(bigEndian: UInt8(0))
            formats[index] = 0
        default:
            value.append(to: &bytes, as: value.type)
            // Without the length before it.
            start += 4
            lengths[index] = Int32(bytes.count - start)
        }
        starts[index] = start
    }

    private mutating func grow() {
        free()
        capacity = max(count, capacity * 2)
        starts = .allocate(capacity: capacity)
        lengths = .allocate(capacity: capacity)
        formats = .allocate(capacity: capacity)
        pointers = .allocate(capacity: capacity)
    }

    /// Lends count, values, lengths and formats.
    mutating func withPointers<R>(
        _ body: (
            Int32, UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int32>?, UnsafePointer<Int32>?
        ) -> R
    ) -> R {
        for index in 0..<count {
            let start = starts[index]
            pointers[index] = start < 0 ? nil : (bytes.start + start).assumingMemoryBound(to: CChar.self)
        }
        return body(Int32(count), pointers, lengths, formats)
    }
}
