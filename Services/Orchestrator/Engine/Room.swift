import Domain
import HeapModule

/// Free seats by shard, the most free first; the lower name breaks a tie.
///
/// A heap whose entries are checked when they come up, so that taking a seat costs the logarithm of the shards.
struct Room: Sendable {
    private struct Entry: Comparable, Sendable {
        let free: Int
        let shard: ShardID

        /// The next to be taken is the largest.
        static func < (left: Entry, right: Entry) -> Bool {
            left.free != right.free ? left.free < right.free : left.shard > right.shard
        }
    }

    private var heaps: [ShardKind: Heap<Entry>] = [:]
    private var kinds: [ShardID: ShardKind] = [:]
    private var free: [ShardID: Int] = [:]

    /// Shards without a free seat are left out.
    init(_ shards: [(shard: ShardID, kind: ShardKind, free: Int)]) {
        for (shard, kind, seats) in shards where seats > 0 {
            kinds[shard] = kind
            free[shard] = seats
            push(Entry(free: seats, shard: shard), kind)
        }
    }

    var isEmpty: Bool { free.isEmpty }

    /// Takes a seat on one shard; false when it has none.
    mutating func take(_ shard: ShardID) -> Bool {
        guard let seats = free[shard], let kind = kinds[shard] else { return false }
        free[shard] = seats > 1 ? seats - 1 : nil
        if seats > 1 { push(Entry(free: seats - 1, shard: shard), kind) }
        return true
    }

    /// Takes a seat on the shard of this kind with the most of them.
    mutating func takeBest(_ kind: ShardKind, except avoided: ShardID?) -> ShardID? {
        var aside: Entry?
        defer { if let aside { push(aside, kind) } }
        while let best = pop(kind) {
            // An older entry of a shard that has given seats since.
            guard free[best.shard] == best.free else { continue }
            if best.shard == avoided {
                aside = best
                continue
            }
            _ = take(best.shard)
            return best.shard
        }
        return nil
    }

    /// Nothing more goes to this shard.
    mutating func close(_ shard: ShardID) { free[shard] = nil }

    private mutating func push(_ entry: Entry, _ kind: ShardKind) {
        heaps[kind, default: Heap()].insert(entry)
    }

    private mutating func pop(_ kind: ShardKind) -> Entry? { heaps[kind]?.popMax() }
}
