import Domain
import Resilience

/// On what grounds a shard may emit (DESIGN section 5).
///
/// Legal transitions: `silent -> leased | confirmed`, `leased -> confirmed` by the passing of time,
/// `confirmed -> leased | silent`.
public enum Standing: String, Hashable, Sendable, CaseIterable {
    /// The leader granted a heartbeat within the last lease.
    case leased
    /// No lease, but the database confirms the games, or has not yet had the time to: goes on, marked degraded.
    case confirmed
    /// Neither: emits nothing, keeps sockets and books warm.
    case silent
}

/// Keeps the lease, and asks the database while there is none.
///
/// The lease runs from when the granted heartbeat was *sent*, so the grants name it. Without one the right to emit ends
/// `answerDeadline` after the lease expired, or after the question that should have been answered.
struct LeaseWatch: Sendable {
    private static let beatsKept = 64

    private let askInterval: Duration
    private let answerDeadline: Duration
    private var lease: Lease
    private var sent: [(beat: Int64, at: MachineInstant)] = []
    private var term: Int64 = 0
    private var lastAsked: MachineInstant?
    /// When the newest question that was answered had been asked.
    private var lastConfirmed: MachineInstant?

    init(rules: ShardRules) {
        lease = Lease(length: rules.lease)
        askInterval = rules.askInterval
        answerDeadline = rules.answerDeadline
    }

    mutating func heartbeatSent(_ beat: Int64, at now: MachineInstant) {
        sent.append((beat, now))
        if sent.count > Self.beatsKept { sent.removeFirst() }
    }

    /// - Returns: why the grant was not taken; nil when it was.
    mutating func granted(_ beat: Int64, term: Int64) -> Oddity? {
        guard term >= self.term else { return .olderTerm }
        guard let at = sent.last(where: { $0.beat == beat })?.at else { return .unknownBeat }
        self.term = term
        lease.granted(sentAt: at)
        return nil
    }

    mutating func confirmed(asked: MachineInstant) {
        lastConfirmed = max(asked, lastConfirmed ?? asked)
    }

    /// The question to ask now, if one is due.
    mutating func question(at now: MachineInstant) -> MachineInstant? {
        if lease.isHeld(at: now) { return nil }
        if let lastAsked, lastAsked.duration(to: now) < askInterval { return nil }
        lastAsked = now
        return now
    }

    func standing(at now: MachineInstant) -> Standing {
        if lease.isHeld(at: now) { return .leased }
        let ends = [
            lease.expires?.advanced(by: answerDeadline),
            lastConfirmed?.advanced(by: askInterval + answerDeadline),
        ]
        return ends.compactMap { $0 }.contains { now < $0 } ? .confirmed : .silent
    }
}
