import Domain
import Resilience

/// Which other orchestrators there are, and which of them is missed: a dead one cannot report itself.
///
/// Everything is by instance, so a new life answers for the one before it; only our own incarnation is passed over.
public struct OrchestratorRoll: Sendable {
    public enum Change: Hashable, Sendable {
        /// Heard for the first time by us, and well: whatever an earlier life of ours said of it is over.
        case seen(instance: String)
        case missing(instance: String, Loss)
        case back(instance: String, after: Duration)
    }

    public enum Loss: String, Hashable, Sendable, CaseIterable {
        /// Its heartbeats ended without a last word.
        case silent
        /// Another took over while it led.
        case lostLead = "lost_lead"
    }

    private struct Member: Sendable {
        var incarnation: Incarnation
        var lastHeard: MachineInstant
        var isLeading: Bool
        var isStopping: Bool
        var missingSince: MachineInstant?
    }

    private let own: Incarnation
    private let timeout: Duration
    /// Once it lost the lead it must have been back for this long, by its own word, to be well.
    private static let settling = Duration.seconds(2)
    /// Names that are kept; more are not orchestrators of one suite.
    public static let memberLimit = 100
    private var members: [String: Member] = [:]

    /// - Parameters:
    ///   - own: our incarnation.
    ///   - timeout: an orchestrator silent for this long is missed.
    public init(own: Incarnation, timeout: Duration) {
        precondition(timeout > .zero, "a time-out must be positive, got \(timeout)")
        self.own = own
        self.timeout = timeout
    }

    /// Takes a heartbeat; those of other services and our own are passed over.
    public mutating func heard(
        _ heartbeat: ServiceHeartbeat, isLeading: Bool, at now: MachineInstant
    ) -> [Change] {
        guard heartbeat.service == "orchestrator", heartbeat.incarnation != own else { return [] }
        let known = members[heartbeat.instance]
        guard known != nil || members.count < Self.memberLimit else { return [] }
        var member = Member(
            incarnation: heartbeat.incarnation, lastHeard: max(now, known?.lastHeard ?? now), isLeading: isLeading,
            isStopping: heartbeat.status == .stopping, missingSince: known?.missingSince)
        defer { members[heartbeat.instance] = member }
        guard heartbeat.status == .healthy else { return [] }
        guard let since = member.missingSince else {
            return known == nil ? [.seen(instance: heartbeat.instance)] : []
        }
        let isNewLife = known?.incarnation != heartbeat.incarnation
        guard isNewLife || now.since(since) >= Self.settling else { return [] }
        member.missingSince = nil
        return [.back(instance: heartbeat.instance, after: now.since(since))]
    }

    /// We lead in place of `incarnation`, whose leadership had run out.
    ///
    /// One that was never heard is long gone, and one that said that it stops is not missed.
    public mutating func succeeded(_ incarnation: Incarnation, at now: MachineInstant) -> [Change] {
        guard let (instance, member) = members.first(where: { $0.value.incarnation == incarnation }),
            !member.isStopping, member.missingSince == nil
        else { return [] }
        members[instance]?.missingSince = now
        members[instance]?.isLeading = false
        return [.missing(instance: instance, .lostLead)]
    }

    /// Misses who has been silent for too long.
    ///
    /// - Parameters:
    ///   - isLeading: whether we lead; a standby speaks up only when nobody else leads.
    ///   - hearingSince: since when we can hear; nil while we cannot.
    ///   - now: of the machine.
    /// - Returns: who is missed from now on.
    public mutating func tick(
        isLeading: Bool, hearingSince: MachineInstant?, at now: MachineInstant
    ) -> [Change] {
        guard let hearingSince else { return [] }
        let silent = members.filter { now.since(max($0.value.lastHeard, hearingSince)) >= timeout }
        for (instance, member) in silent where member.isStopping && member.missingSince == nil {
            members[instance] = nil
        }
        for instance in silent.keys { members[instance]?.isLeading = false }
        let isOtherLeading = members.values.contains { $0.isLeading && $0.missingSince == nil }
        guard isLeading || !isOtherLeading else { return [] }
        var changes: [Change] = []
        for instance in silent.keys.sorted() {
            guard let member = members[instance], member.missingSince == nil else { continue }
            members[instance]?.missingSince = member.lastHeard
            changes.append(.missing(instance: instance, .silent))
        }
        return changes
    }

    /// Whether one that says that it leads was heard since.
    public func hearsLeader(since: MachineInstant) -> Bool {
        members.values.contains { $0.isLeading && $0.lastHeard >= since }
    }

    /// Who is missed.
    public var missing: [String] { members.filter { $0.value.missingSince != nil }.keys.sorted() }
}
