import Resilience

/// One fault of a run: what, when and for how long.
public struct Cut: Hashable, Sendable, CustomStringConvertible {
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// kill -9, and started again.
        case killed
        /// kill -9, and the file ends where it was a second before, as after a loss of power with `everysec`; one
        /// subscriber has not received what is lost.
        case powerLost = "power lost"
        /// Ended in good order, and started again.
        case restarted
        /// Two restarts, the second as soon as the first answers.
        case restartedTwice = "restarted twice"
        /// CLIENT KILL of everyone who subscribes.
        case subscribersKicked = "subscribers kicked"
        /// CLIENT KILL of everyone else.
        case publishersKicked = "publishers kicked"
        /// The server is stopped and continued: nothing is closed, nothing answers.
        case frozen
        /// Nothing passes on the links of one party for a while.
        case linkStalled = "link stalled"
        /// The links of one party are half-open for ever; new ones work.
        case linkForgotten = "link forgotten"

        /// Whether the server begins a new life.
        public var restarts: Int {
            switch self {
            case .killed, .powerLost, .restarted: 1
            case .restartedTwice: 2
            case .subscribersKicked, .publishersKicked, .frozen, .linkStalled, .linkForgotten: 0
            }
        }
    }

    public let kind: Kind
    /// Begins when so many journaled messages have been attempted by all publishers together.
    public let at: Int
    /// How long the server is down or stopped, or the link stalled.
    public let length: Duration
    /// Whose link it is, as an index of the parties.
    public let party: Int

    public var description: String { "\(kind.rawValue) at \(at), \(length.wholeMilliseconds) ms, party \(party)" }
}

/// Faults at random, each kind as often as every other if the number allows; the same seed gives the same faults.
public struct CutSchedule: Hashable, Sendable {
    public let seed: UInt64
    public let cuts: [Cut]

    /// - Parameters:
    ///   - seed: decides everything that is left to chance.
    ///   - count: how many cuts.
    ///   - messages: over how many journaled messages they are spread, one in each part.
    ///   - longest: the longest outage or stall.
    ///   - parties: how many links there are.
    public init(seed: UInt64, count: Int, messages: Int, longest: Duration, parties: Int) {
        var generator = SeededGenerator(seed: seed)
        var kinds: [Cut.Kind] = []
        while kinds.count < count { kinds += Cut.Kind.allCases.shuffled(using: &generator) }
        let part = max(1, messages / max(1, count))
        let longest = max(2, longest.wholeMilliseconds)
        self.seed = seed
        cuts = kinds.prefix(count).enumerated().map { index, kind in
            Cut(
                kind: kind, at: index * part + Int.random(in: 1...part, using: &generator),
                length: .milliseconds(Int64.random(in: longest / 20...longest, using: &generator)),
                party: Int.random(in: 0..<parties, using: &generator))
        }
    }

    public var restarts: Int { cuts.reduce(0) { $0 + $1.kind.restarts } }
}
