/// Says of each message whether it is the next of its publisher, one seen before, or comes after a sequence gap.
///
/// Sequences count from 1 within one incarnation of a source. The first message ever of a source is `next` whatever
/// its number, since nothing was promised before; a new incarnation of a known source must begin at 1.
/// Bounded: `incarnationsKept` per source, and `sourcesKept` sources; the longest unused goes first.
public struct SequenceTracker: Sendable {
    public enum Verdict: Hashable, Sendable {
        case next
        case duplicate
        /// Delivered, but the sequences in between were missed.
        case gap(missing: ClosedRange<Int64>)
    }

    private struct Source {
        /// Oldest use first.
        var incarnations: [(name: String, last: Int64)]
        var used: Int64
    }

    public let sourcesKept: Int
    public let incarnationsKept: Int
    private var sources: [String: Source] = [:]
    private var uses: Int64 = 0

    public init(sourcesKept: Int = 1024, incarnationsKept: Int = 4) {
        precondition(sourcesKept >= 1 && incarnationsKept >= 1, "a tracker must keep at least one source")
        self.sourcesKept = sourcesKept
        self.incarnationsKept = incarnationsKept
    }

    public mutating func observe(source: String, incarnation: String, sequence: Int64) -> Verdict {
        uses += 1
        guard var entry = sources[source] else {
            if sources.count >= sourcesKept, let oldest = sources.min(by: { $0.value.used < $1.value.used })?.key {
                sources[oldest] = nil
            }
            sources[source] = Source(incarnations: [(incarnation, sequence)], used: uses)
            return .next
        }
        entry.used = uses
        var last: Int64 = 0
        if let index = entry.incarnations.firstIndex(where: { $0.name == incarnation }) {
            last = entry.incarnations.remove(at: index).last
        } else if entry.incarnations.count >= incarnationsKept {
            entry.incarnations.removeFirst()
        }
        entry.incarnations.append((incarnation, max(last, sequence)))
        sources[source] = entry
        if sequence <= last { return .duplicate }
        return sequence == last + 1 ? .next : .gap(missing: (last + 1)...(sequence - 1))
    }

    /// Forgets a source: its next message is `next` again (after a reread of the truth).
    public mutating func forget(source: String) {
        sources[source] = nil
    }

    public mutating func forgetAll() {
        sources = [:]
    }
}
