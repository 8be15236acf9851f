import HeapModule
import Resilience

/// What is going to happen, in order of time and then of when it was planned.
struct Agenda<Happening> {
    private struct Entry: Comparable {
        let at: Int64
        let order: Int
        let happening: Happening

        static func < (left: Entry, right: Entry) -> Bool { (left.at, left.order) < (right.at, right.order) }
        static func == (left: Entry, right: Entry) -> Bool { left.order == right.order }
    }

    private var heap = Heap<Entry>()
    private var planned = 0

    mutating func plan(_ happening: Happening, at instant: MachineInstant) {
        planned += 1
        heap.insert(Entry(at: instant.nanoseconds, order: planned, happening: happening))
    }

    /// The next happening that is due, if any is.
    mutating func next(until end: MachineInstant) -> (at: MachineInstant, happening: Happening)? {
        guard let first = heap.min, first.at <= end.nanoseconds else { return nil }
        heap.removeMin()
        return (MachineInstant.origin.advanced(by: .nanoseconds(first.at)), first.happening)
    }
}
