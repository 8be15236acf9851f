import Domain

/// Free seats by shard, the most free first; the lower name breaks a tie.
///
/// A heap whose entries are checked when they come up, so that taking a seat costs the logarithm of the shards.
struct Room: Sendable {
    private struct Entry: Sendable {
        let free: Int
        let shard: ShardID

        func isBefore(_ other: Entry) -> Bool { free != other.free ? free > other.free : shard < other.shard }
    }

    private var heaps: [ShardKind: [Entry]] = [:]
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
        var heap = heaps.removeValue(forKey: kind) ?? []
        heap.append(entry)
        var child = heap.count - 1
        while child > 0, heap[child].isBefore(heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
        heaps[kind] = heap
    }

    private mutating func pop(_ kind: ShardKind) -> Entry? {
        guard var heap = heaps.removeValue(forKey: kind), let best = heap.first else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            let left = 2 * parent + 1
            guard left < heap.count else { break }
            let right = left + 1
            let first = right < heap.count && heap[right].isBefore(heap[left]) ? right : left
            guard heap[first].isBefore(heap[parent]) else { break }
            heap.swapAt(first, parent)
            parent = first
        }
        heaps[kind] = heap
        return best
    }
}
