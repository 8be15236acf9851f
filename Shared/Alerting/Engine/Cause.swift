import Resilience

/// One thing that went wrong, by its fingerprint.
///
/// Legal transitions: quiet `-> firing` (told or held), `firing -> firing` (a repeat, told at most once in each
/// window), `firing -> quiet` (the recovery is told exactly when the firing was), and forgotten once quiet and out of
/// the window.
struct Cause: Hashable, Sendable {
    var latest: AlertRequest
    var isFiring = false
    /// When the present firing began.
    var since: MachineInstant
    /// Whether the present firing was told.
    var isTold = false
    /// When it was told last, oldest first; at most as many as one window permits.
    var tellings: [MachineInstant] = []
    /// Held back since it was told last.
    var held = 0
    /// Whether it was heard of in this life of the process.
    var isConfirmed = true
    var heardAt: MachineInstant
    /// A recovery that was due while alerting was off.
    var owedRecovery: Duration?

    /// Whether a firing that begins now may be told.
    func permitsFiring(_ policy: AlertPolicy, at now: MachineInstant) -> Bool {
        tellings.count { now.since($0) < policy.rateLimit } < policy.firingsPerWindow
    }

    /// Whether a repeat may be told now.
    func permitsRepeat(_ policy: AlertPolicy, at now: MachineInstant) -> Bool {
        tellings.last.map { now.since($0) >= policy.rateLimit } ?? true
    }

    mutating func told(_ policy: AlertPolicy, at now: MachineInstant) {
        isTold = true
        held = 0
        tellings.append(now)
        if tellings.count > policy.firingsPerWindow { tellings.removeFirst() }
    }

    /// As it is when an earlier life is heard of after this one has begun.
    func joined(to old: Cause, _ policy: AlertPolicy) -> Cause {
        var joined = old.isFiring && !isFiring ? old : self
        joined.tellings = Array((old.tellings + tellings).suffix(policy.firingsPerWindow))
        joined.heardAt = heardAt
        joined.held = held + old.held
        if isFiring, old.isFiring {
            joined.since = old.since
            joined.isTold = isTold || old.isTold
        } else if !isFiring, !old.isFiring {
            joined.owedRecovery = owedRecovery ?? old.owedRecovery
        }
        return joined
    }

    /// When what is held back may be told; nil when there is nothing to tell.
    func dueAt(_ policy: AlertPolicy) -> MachineInstant? {
        guard held > 0, isFiring || !latest.isLasting else { return nil }
        let oldest = tellings.count >= policy.firingsPerWindow ? tellings.first : nil
        let reference = isFiring && !isTold ? oldest ?? tellings.last : tellings.last
        return reference?.advanced(by: policy.rateLimit) ?? heardAt
    }

    func isForgettable(_ policy: AlertPolicy, at now: MachineInstant) -> Bool {
        !isFiring && owedRecovery == nil && held == 0
            && (tellings.last.map { now.since($0) >= policy.rateLimit } ?? true)
    }
}
