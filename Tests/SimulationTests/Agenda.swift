import Resilience

/// What is going to happen, in order of time and then of when it was planned.
struct Agenda<Happening> {
    private struct Entry {
        let at: Int64
        let order: Int
        let happening: Happening

        func isBefore(_ other: Entry) -> Bool { at != other.at ? at < other.at : order < other.order }
    }

    private var heap: [Entry] = []
    private var planned = 0

    mutating func plan(_ happening: Happening, at instant: MachineInstant) {
        planned += 1
        heap.append(Entry(at: instant.nanoseconds, order: planned, happening: happening))
        var child = heap.count - 1
        while child > 0, heap[child].isBefore(heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// The next happening that is due, if any is.
    mutating func next(until end: MachineInstant) -> (at: MachineInstant, happening: Happening)? {
        guard let first = heap.first, first.at <= end.nanoseconds else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            let left = 2 * parent + 1
            guard left < heap.count else { break }
            let right = left + 1
            let least = right < heap.count && heap[right].isBefore(heap[left]) ? right : left
            guard heap[least].isBefore(heap[parent]) else { break }
            heap.swapAt(least, parent)
            parent = least
        }
        return (MachineInstant.origin.advanced(by: .nanoseconds(first.at)), first.happening)
    }
}

/// FNV-1a over what happened, so that two runs can be compared, in one process and across processes.
struct EventHash: Hashable {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ number: Int64) {
        var rest = UInt64(bitPattern: number)
        for _ in 0..<8 {
            value = (value ^ (rest & 0xff)) &* 0x100_0000_01b3
            rest >>= 8
        }
    }
}
