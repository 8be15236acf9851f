import Domain
import Resilience

/// What one look at the venue brought.
public enum ReconciliationLook: Hashable, Sendable {
    /// Both sides were read whole and ours stood still meanwhile.
    ///
    /// `inFlight` is the number of orders of ours that are being sent, `open` of those that may last: unknown, resting.
    case compared([Discrepancy], inFlight: Int, open: Int)
    /// Our own books changed while the venue was read: nothing is concluded.
    case moved
    case unreachable(reason: String)
    /// The venue keeps nothing for us: our own books are the account.
    case nothingToCompare
}

/// What all looks so far mean.
public struct ReconciliationJudgement: Hashable, Sendable {
    public enum Verdict: String, Hashable, Sendable, Codable, CaseIterable {
        case equal
        case differs
        /// An order is open, a difference is being mended, or our books moved.
        case waiting
        case unreachable
        case ownBooks = "own_books"
    }

    public let verdict: Verdict
    public let permitsOrders: Bool
    /// Differences that were there in looks far enough apart: these engage the kill switch.
    public let lasting: [Discrepancy]
    /// It has been too long since the books were last known to be equal, by what was asked for.
    public let isOverdue: Bool
    /// When to look again.
    public let pause: Duration
}

/// What the kill switch was engaged for, from look to look (DESIGN rule 14).
///
/// It holds until the books are equal again: an outage, an open order or another difference between two looks does not
/// make it news, and whoever has released the switch is not overruled.
public struct ReconciliationHalt: Hashable, Sendable {
    /// Names of differences; empty once the books were equal.
    public private(set) var names: Set<String>

    public init(_ names: Set<String> = []) {
        self.names = names
    }

    /// Takes over what a look came to.
    ///
    /// - Returns: the differences that the switch is engaged for now.
    public mutating func observe(_ judgement: ReconciliationJudgement) -> [Discrepancy] {
        switch judgement.verdict {
        case .equal, .ownBooks:
            names = []
            return []
        case .differs, .waiting, .unreachable:
            let news = judgement.lasting.filter { !names.contains($0.name) }
            names.formUnion(news.map(\.name))
            return news
        }
    }
}

/// Decides from look to look whether orders may be sent, and which differences last (DESIGN rules 6 and 8).
///
/// One look proves that the books are equal; a difference halts new orders at once, and is a lasting one when the same
/// thing has differed by the same figures in two looks or more whose beginnings lie `confirmation` apart, with nothing
/// to the contrary between them: the venue's lists are not read at one instant, and they lag behind its fills. A look
/// that could not be finished permits nothing and proves nothing.
///
/// Between orders that come and go there may never be a quiet look: after `patience` entries are held back until there
/// was one. An order that stays open (unknown, resting) holds back its own market only, unless this is the start.
public struct ReconciliationEngine: Sendable {
    public struct Limits: Hashable, Sendable {
        public var interval = Duration.seconds(3_600)
        public var confirmation = Duration.seconds(2)
        public var patience = Duration.seconds(5)
        /// What our machinery should have mended by then counts as a difference.
        public var mending = Duration.seconds(60)
        public var overdue = Duration.seconds(60)
        public var backoff = Backoff(base: .seconds(1), cap: .seconds(15), multiplier: 1.5, jitter: 0)

        public init() {}
    }

    private struct Sighting: Hashable, Sendable {
        var first: MachineInstant
        var looks = 1
    }

    public let limits: Limits
    private var permits = false
    private var sightings: [Discrepancy: Sighting] = [:]
    /// Since when there has been no verdict that ends a series of looks.
    private var unsettledSince: MachineInstant
    private var backoff: Backoff

    public init(_ limits: Limits = Limits(), at now: MachineInstant) {
        self.limits = limits
        backoff = limits.backoff
        unsettledSince = now
    }

    /// Takes what a look found that began at `start` and ended at `now`, and says what follows.
    public mutating func judge(
        _ look: ReconciliationLook, startedAt start: MachineInstant, at now: MachineInstant
    ) -> ReconciliationJudgement {
        switch look {
        case .nothingToCompare: return settle(.ownBooks, at: now)
        case .unreachable:
            permits = false
            return goOn(.unreachable, at: now)
        case .moved:
            if now.since(unsettledSince) >= limits.patience { permits = false }
            return goOn(.waiting, at: now)
        case .compared(let found, let inFlight, let open):
            return compared(found, inFlight: inFlight, open: open, startedAt: start, at: now)
        }
    }

    private mutating func compared(
        _ found: [Discrepancy], inFlight: Int, open: Int, startedAt start: MachineInstant, at now: MachineInstant
    ) -> ReconciliationJudgement {
        var seen: [Discrepancy: Sighting] = [:]
        for discrepancy in found {
            seen[discrepancy] = Sighting(first: start)
            if let known = sightings[discrepancy] {
                seen[discrepancy] = Sighting(first: known.first, looks: known.looks + 1)
            }
        }
        sightings = seen
        let counting = found.filter { discrepancy in
            if !discrepancy.isMended { return true }
            // An open order that is not there has its own proof, which an outage may hold up.
            if case .absentOrder = discrepancy { return false }
            return seen[discrepancy].map { start.since($0.first) >= limits.mending } ?? false
        }
        if !counting.isEmpty {
            permits = false
            let lasting = counting.filter { discrepancy in
                seen[discrepancy].map { $0.looks >= 2 && start.since($0.first) >= limits.confirmation } ?? false
            }
            return goOn(.differs, lasting: lasting, at: now)
        }
        if found.isEmpty, inFlight == 0, open == 0 { return settle(.equal, at: now) }
        if inFlight > 0, now.since(unsettledSince) >= limits.patience { permits = false }
        return goOn(.waiting, at: now)
    }

    private mutating func settle(
        _ verdict: ReconciliationJudgement.Verdict, at now: MachineInstant
    ) -> ReconciliationJudgement {
        permits = true
        sightings = [:]
        backoff = limits.backoff
        // The next series begins when it is due.
        unsettledSince = now.advanced(by: limits.interval)
        return ReconciliationJudgement(
            verdict: verdict, permitsOrders: true, lasting: [], isOverdue: false, pause: limits.interval)
    }

    private mutating func goOn(
        _ verdict: ReconciliationJudgement.Verdict, lasting: [Discrepancy] = [], at now: MachineInstant
    ) -> ReconciliationJudgement {
        // A look that was asked for before it was due begins the series.
        unsettledSince = min(unsettledSince, now)
        var generator = SeededGenerator(seed: 0)
        let pause = backoff.next(using: &generator)
        return ReconciliationJudgement(
            verdict: verdict, permitsOrders: permits, lasting: lasting,
            isOverdue: now.since(unsettledSince) >= limits.overdue, pause: min(pause, limits.interval))
    }
}
