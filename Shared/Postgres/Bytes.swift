import Glibc

/// Bytes on their way to the server: kept and filled again, without the checks that an array makes at every step.
struct Bytes: ~Copyable {
    private var base: UnsafeMutableRawPointer
    private var capacity: Int
    private(set) var count = 0

    init(capacity: Int = 256) {
        self.capacity = max(capacity, 16)
        base = .allocate(byteCount: self.capacity, alignment: 16)
    }

    deinit { base.deallocate() }

    /// Valid until the next change.
    var start: UnsafeRawPointer { UnsafeRawPointer(base) }

    var array: [UInt8] { Array(UnsafeRawBufferPointer(start: base, count: count)) }

    mutating func removeAll() { count = 0 }

    mutating func append(bigEndian number: some FixedWidthInteger) {
        let size = number.bitWidth / 8
        reserve(size)
        base.storeBytes(of: number.bigEndian, toByteOffset: count, as: type(of: number))
        count += size
    }

    /// The lowest `size` bytes, at most eight.
    mutating func append(bigEndian number: Int64, size: Int) {
        reserve(8)
        base.storeBytes(of: (number << (64 - 8 * size)).bigEndian, toByteOffset: count, as: Int64.self)
        count += size
    }

    mutating func append(length: Int32, _ number: some FixedWidthInteger) {
        append(bigEndian: length)
        append(bigEndian: number)
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        reserve(bytes.count)
        memcpy(base + count, start, bytes.count)
        count += bytes.count
    }

    mutating func append(_ text: String) {
        var text = text
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    /// Overwrites four bytes.
    mutating func replace(at offset: Int, _ number: Int32) {
        base.storeBytes(of: number.bigEndian, toByteOffset: offset, as: Int32.self)
    }

    private mutating func reserve(_ more: Int) {
        guard count + more > capacity else { return }
        capacity = max(capacity * 2, count + more)
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        larger.copyMemory(from: base, byteCount: count)
        base.deallocate()
        base = larger
    }
}

extension String {
    /// A NUL would end a text early on the way to the server.
    var holdsNUL: Bool {
        utf8.withContiguousStorageIfAvailable { bytes in
            bytes.baseAddress.map { memchr($0, 0, bytes.count) != nil } ?? false
        } ?? utf8.contains(0)
    }
}
