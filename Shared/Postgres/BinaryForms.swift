/// Texts in the binary form of a type that has no Swift type here; nil for a text that is not of the type.
enum BinaryForm {
    /// Types that a text is turned into for a COPY.
    static let types: Set<UInt32> = [ObjectID.uuid, ObjectID.date, ObjectID.numeric]

    static func bytes(_ text: String, as type: UInt32) -> [UInt8]? {
        switch type {
        case ObjectID.uuid: uuid(text)
        case ObjectID.date: date(text)
        case ObjectID.numeric: numeric(text)
        default: nil
        }
    }

    /// `6ba7b810-9dad-11d1-80b4-00c04fd430c8`, in whichever case.
    private static func uuid(_ text: String) -> [UInt8]? {
        let groups = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard groups.map(\.count) == [8, 4, 4, 4, 12] else { return nil }
        return Hexadecimal.bytes(Array("\\x".utf8) + groups.joined())
    }

    /// `2026-11-21`: days since 2000-01-01.
    private static func date(_ text: String) -> [UInt8]? {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.map(\.count) == [4, 2, 2], parts.allSatisfy({ $0.utf8.allSatisfy(isDigit) }),
            let year = Int64(parts[0]), let month = Int64(parts[1]), let day = Int64(parts[2]), year > 0,
            (1...12).contains(month), day > 0
        else { return nil }
        let days = Timestamp.days(year, month, day)
        let next = month == 12 ? Timestamp.days(year + 1, 1, 1) : Timestamp.days(year, month + 1, 1)
        guard days < next else { return nil }
        return bigEndian(Int32(days - Timestamp.epoch / 86_400_000_000))
    }

    /// `-12.50`, to the last digit.
    ///
    /// Groups of four decimal digits around the point; exponents are not understood.
    private static func numeric(_ text: String) -> [UInt8]? {
        var digits = Substring(text)
        let isNegative = digits.first == "-"
        if isNegative || digits.first == "+" { digits.removeFirst() }
        let parts = digits.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false).map { Array($0.utf8) }
        let (whole, fraction) = (parts[0].drop { $0 == UInt8(ascii: "0") }, parts.count > 1 ? parts[1] : [])
        // What the server's form can say.
        guard !(parts[0] + fraction).isEmpty, (parts[0] + fraction).allSatisfy(isDigit), whole.count <= 131_072,
            fraction.count <= 16_383
        else { return nil }
        let before = Array(repeating: UInt8(ascii: "0"), count: (4 - whole.count % 4) % 4) + whole
        let after = fraction + Array(repeating: UInt8(ascii: "0"), count: (4 - fraction.count % 4) % 4)
        var groups = stride(from: 0, to: before.count + after.count, by: 4).map { start in
            (before + after)[start..<start + 4].reduce(Int16(0)) { $0 * 10 + Int16($1 - UInt8(ascii: "0")) }
        }
        let leading = groups.prefix { $0 == 0 }.count
        groups.removeFirst(leading)
        while groups.last == 0 { groups.removeLast() }
        let weight = groups.isEmpty ? 0 : before.count / 4 - 1 - leading
        let sign: Int16 = isNegative && !groups.isEmpty ? 0x4000 : 0
        return ([Int16(groups.count), Int16(weight), sign, Int16(fraction.count)] + groups).flatMap { bigEndian($0) }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static func bigEndian(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }
}
