import Domain

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// Turns the bytes of a ticker into its `MarketID` without making a new `String` each time.
///
/// Bounded: at `capacity` names it starts over, which costs a few allocations and nothing else.
struct TickerTable {
    private var names: [UInt64: MarketID] = [:]
    private let capacity: Int

    init(capacity: Int = 4096) {
        self.capacity = capacity
    }

    mutating func market(_ bytes: UnsafeRawBufferPointer) throws(DomainError) -> MarketID {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        if let known = names[hash], Self.isEqual(known, bytes) { return known }
        let market = try MarketID(String(decoding: bytes, as: UTF8.self))
        if names.count >= capacity { names.removeAll(keepingCapacity: true) }
        names[hash] = market
        return market
    }

    private static func isEqual(_ market: MarketID, _ bytes: UnsafeRawBufferPointer) -> Bool {
        let utf8 = market.rawValue.utf8
        guard utf8.count == bytes.count, let base = bytes.baseAddress else { return false }
        let same = utf8.withContiguousStorageIfAvailable { (stored: UnsafeBufferPointer<UInt8>) -> Bool in
            guard let start = stored.baseAddress else { return false }
            return memcmp(start, base, bytes.count) == 0
        }
        return same ?? utf8.elementsEqual(bytes)
    }
}
