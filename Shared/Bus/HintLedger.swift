import Resilience

/// What a hint subscriber knows of each publisher, and so what it has missed; pure.
///
/// Of a publisher it has not heard since it began to listen, it cannot know from sequences alone whether something was
/// missed; the publisher's mark says when it lost a hint, as a length of time, so that no two clocks are compared.
struct HintLedger {
    enum Verdict: Hashable {
        case deliver
        case duplicate
        /// Older than what was delivered, and reported missing then.
        case late
        /// Delivered behind a gap.
        case gap(missed: Int)
    }

    private var tracker: SequenceTracker
    /// Losses from before are either not ours to report or covered by a gap that was handed out.
    private var listeningSince: MachineInstant

    init(sourcesKept: Int, listeningSince: MachineInstant) {
        tracker = SequenceTracker(sourcesKept: sourcesKept)
        self.listeningSince = listeningSince
    }

    var forgotten: Int { tracker.forgotten }

    mutating func message(source: String, incarnation: String, sequence: Int64) -> Verdict {
        switch tracker.observe(source: source, incarnation: incarnation, sequence: sequence) {
        case .next: .deliver
        case .duplicate: .duplicate
        case .late: .late
        case .gap(let missing): .gap(missed: missing.count)
        }
    }

    /// Takes a publisher's own news of a loss; its newest lost hint carried `sequence`.
    ///
    /// - Returns: how many hints were missed that no gap has reported yet, or nil.
    mutating func mark(
        source: String, incarnation: String, sequence: Int64, lost: Int, age: Duration, at now: MachineInstant
    ) -> Int? {
        let isKnown = tracker.knows(source: source)
        switch tracker.observe(source: source, incarnation: incarnation, sequence: sequence) {
        // The lost one itself is missing too.
        case .gap(let missing): return missing.count + 1
        case .duplicate, .late: return nil
        case .next where isKnown: return 1
        case .next: return now.advanced(by: .zero - age) >= listeningSince ? max(1, lost) : nil
        }
    }

    /// A gap was handed out that covers all that is missing by now: the sequences begin anew.
    mutating func coverAll(at now: MachineInstant) {
        tracker.forgetAll()
        listeningSince = now
    }
}
