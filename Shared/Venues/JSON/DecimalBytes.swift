import Domain

/// `FixedPoint` on bytes: the hot path's decimals, without making a `String` of them.
enum DecimalBytes {
    /// Units of `10^-scale`; nil for anything that `FixedPoint.parse` refuses (which then names the reason).
    static func units(_ bytes: UnsafeRawBufferPointer, scale: Int) -> Int64? {
        var index = 0
        let isNegative = bytes.first == UInt8(ascii: "-")
        if isNegative { index = 1 }
        var value: Int64 = 0
        var digits = 0
        while index < bytes.count {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit <= 9 else { break }
            digits += 1
            if digits > 12 { return nil }
            value = value * 10 + Int64(digit)
            index += 1
        }
        if digits == 0 { return nil }
        var decimals = 0
        if index < bytes.count {
            guard bytes[index] == UInt8(ascii: "."), index + 1 < bytes.count else { return nil }
            index += 1
            while index < bytes.count {
                let digit = bytes[index] &- UInt8(ascii: "0")
                guard digit <= 9, decimals < 6 else { return nil }
                decimals += 1
                if decimals <= scale {
                    value = value * 10 + Int64(digit)
                } else if digit != 0 {
                    return nil
                }
                index += 1
            }
        }
        var missing = scale - decimals
        while missing > 0 {
            value *= 10
            missing -= 1
        }
        return isNegative ? -value : value
    }

    /// A whole number; nil with a fraction, an exponent or more than 18 digits.
    static func integer(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        var index = 0
        let isNegative = bytes.first == UInt8(ascii: "-")
        if isNegative { index = 1 }
        guard index < bytes.count, bytes.count - index <= 18 else { return nil }
        var value: Int64 = 0
        while index < bytes.count {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            value = value * 10 + Int64(digit)
            index += 1
        }
        return isNegative ? -value : value
    }
}
