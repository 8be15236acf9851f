/// Says of each message whether it is the next of its publisher, one seen before, or comes after a sequence gap.
///
/// Sequences count from 1 within one incarnation of a source. The first message ever of a source is `next` whatever
/// its number, since nothing was promised before; a new incarnation of a known source must begin at 1.
/// Bounded: `incarnationsKept` per source, and `sourcesKept` sources; the longest unused go first, and are counted.
public struct SequenceTracker: Hashable, Sendable {
    public enum Verdict: Hashable, Sendable {
        case next
        case duplicate
        /// Arrives after a newer one, and after the gap that reported it missing: the order was broken.
        case late
        /// Delivered, but the sequences in between were missed.
        case gap(missing: ClosedRange<Int64>)
    }

    /// How far one incarnation of a source has come.
    public struct Mark: Hashable, Sendable {
        public let source: String
        public let incarnation: String
        public let sequence: Int64

        public init(source: String, incarnation: String, sequence: Int64) {
            self.source = source
            self.incarnation = incarnation
            self.sequence = sequence
        }
    }

    private struct Life: Hashable {
        let name: String
        var last: Int64
        /// The newest gap.
        var missing: ClosedRange<Int64>?

        mutating func observe(_ sequence: Int64) -> Verdict {
            guard sequence > last else { return missing?.contains(sequence) == true ? .late : .duplicate }
            defer { last = sequence }
            guard sequence > last + 1 else { return .next }
            let skipped = (last + 1)...(sequence - 1)
            missing = skipped
            return .gap(missing: skipped)
        }
    }

    private struct Source: Hashable {
        /// Oldest use first.
        var lives: [Life]
        var used: Int64
    }

    public let sourcesKept: Int
    public let incarnationsKept: Int
    /// Sources forgotten because there were too many: their next message is `next` whatever it says.
    public private(set) var forgotten = 0
    private var sources: [String: Source] = [:]
    private var uses: Int64 = 0

    public init(sourcesKept: Int = 1024, incarnationsKept: Int = 4) {
        precondition(sourcesKept >= 1 && incarnationsKept >= 1, "a tracker must keep at least one source")
        self.sourcesKept = sourcesKept
        self.incarnationsKept = incarnationsKept
    }

    /// A tracker that has come as far as another, of which these are the marks.
    public init(_ marks: [Mark], sourcesKept: Int = 1024, incarnationsKept: Int = 4) {
        self.init(sourcesKept: sourcesKept, incarnationsKept: incarnationsKept)
        for mark in marks {
            _ = observe(source: mark.source, incarnation: mark.incarnation, sequence: mark.sequence)
        }
    }

    /// How far every source has come: the longest unused first, and the incarnations of a source in that order too.
    public var marks: [Mark] {
        let sorted = sources.sorted { $0.value.used < $1.value.used }
        return sorted.flatMap { source, entry in
            entry.lives.map { Mark(source: source, incarnation: $0.name, sequence: $0.last) }
        }
    }

    public func knows(source: String) -> Bool { sources[source] != nil }

    public mutating func observe(source: String, incarnation: String, sequence: Int64) -> Verdict {
        uses += 1
        guard var entry = sources[source] else {
            makeRoom()
            sources[source] = Source(lives: [Life(name: incarnation, last: sequence)], used: uses)
            return .next
        }
        entry.used = uses
        var life = Life(name: incarnation, last: 0)
        if let index = entry.lives.firstIndex(where: { $0.name == incarnation }) {
            life = entry.lives.remove(at: index)
        } else if entry.lives.count >= incarnationsKept {
            entry.lives.removeFirst()
        }
        let verdict = life.observe(sequence)
        entry.lives.append(life)
        sources[source] = entry
        return verdict
    }

    /// Forgets a source: its next message is `next` again (after a reread of the truth).
    public mutating func forget(source: String) {
        sources[source] = nil
    }

    public mutating func forgetAll() {
        sources = [:]
    }

    /// Forgets an eighth at once, so that a flood of sources does not search for the oldest each time.
    private mutating func makeRoom() {
        guard sources.count >= sourcesKept else { return }
        let oldest = sources.sorted { $0.value.used < $1.value.used }.prefix(max(1, sourcesKept / 8))
        for (source, _) in oldest { sources[source] = nil }
        forgotten += oldest.count
    }
}
