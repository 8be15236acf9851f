/// The right to go on, which ends by itself: it runs from when the granted heartbeat was sent (DESIGN section 5).
///
/// Legal transitions: none `-> granted`, granted `-> granted` (later only), granted `-> expired` by passing time,
/// any `-> none` by `revoke`.
public struct Lease: Hashable, Sendable {
    public let length: Duration
    /// When it expires; nil when never granted or revoked.
    public private(set) var expires: MachineInstant?

    public init(length: Duration) {
        precondition(length > .zero, "lease length must be positive, got \(length)")
        self.length = length
    }

    /// Records a grant for what was sent at `sent`; an older grant than the last never shortens the lease.
    public mutating func granted(sentAt sent: MachineInstant) {
        let end = sent.advanced(by: length)
        expires = max(end, expires ?? end)
    }

    public mutating func revoke() {
        expires = nil
    }

    public func isHeld(at now: MachineInstant) -> Bool {
        guard let expires else { return false }
        return now < expires
    }

    /// What is left of it; zero when it is not held.
    public func remaining(at now: MachineInstant) -> Duration {
        guard let expires, now < expires else { return .zero }
        return now.duration(to: expires)
    }
}
