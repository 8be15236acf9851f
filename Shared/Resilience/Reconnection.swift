/// When to connect again: one backoff and one circuit breaker behind one state, with the counts an operator reads.
///
/// The first connect is not a reconnect (CHECKLIST R8). A connection lost before it was stable keeps the backoff
/// growing and counts as a failure, so accept-then-drop is backed off from (CHECKLIST W8).
public struct Reconnection: Hashable, Sendable {
    /// Where a connection is.
    ///
    /// Legal transitions: `waiting -> connecting`, `connecting -> connected | waiting | open`,
    /// `connected -> waiting | open`, `open -> connecting | waiting`. A failure reported while waiting or open is
    /// ignored.
    public enum State: String, Hashable, Sendable, CaseIterable {
        /// Not connected; the backoff's delay is running (zero at the start).
        case waiting
        case connecting
        case connected
        /// Not connected; the breaker's cooldown is running.
        case open
    }

    public private(set) var state: State = .waiting
    public private(set) var backoff: Backoff
    public private(set) var breaker: CircuitBreaker
    /// Every successful connect.
    public private(set) var connects = 0
    /// Successful connects after the first.
    public var reconnects: Int { max(0, connects - 1) }
    /// Failed attempts and connections lost before they were stable, since the start.
    public private(set) var failures = 0
    private var connectedAt: MachineInstant?

    public init(backoff: Backoff = Backoff(), breaker: CircuitBreaker = CircuitBreaker()) {
        self.backoff = backoff
        self.breaker = breaker
    }

    /// Asks to start an attempt; `false` while the breaker is open or an attempt or connection is there already.
    public mutating func attempt(at now: MachineInstant) -> Bool {
        guard state == .waiting || state == .open, breaker.permits(at: now) else { return false }
        state = .connecting
        return true
    }

    /// The attempt succeeded.
    public mutating func connected(at now: MachineInstant) {
        guard state == .connecting else { return }
        state = .connected
        connects += 1
        connectedAt = now
        breaker.succeed(at: now)
        backoff.connected(at: now)
    }

    /// The other side was reached on another way, so that it is there: an open breaker has nothing to wait for.
    ///
    /// - Returns: whether an attempt may begin now.
    public mutating func reachable() -> Bool {
        guard state == .waiting || state == .open else { return false }
        breaker.reset()
        state = .waiting
        return true
    }

    /// The connection was given up by us though the other side served it: no failure to reach it, and none to wait for.
    ///
    /// - Returns: how long to wait before the next attempt: the backoff's delay, and `limit` at most.
    public mutating func gaveUp(
        at now: MachineInstant, waitingAtMost limit: Duration, using random: inout some RandomNumberGenerator
    ) -> Duration {
        guard state == .connected else { return failed(at: now, using: &random) }
        connectedAt = nil
        backoff.disconnected(at: now)
        state = .waiting
        return min(backoff.next(using: &random), limit)
    }

    /// The attempt failed or the connection was lost.
    ///
    /// - Returns: how long to wait before the next attempt: the backoff's delay, or the rest of the cooldown.
    public mutating func failed(at now: MachineInstant, using random: inout some RandomNumberGenerator) -> Duration {
        switch state {
        case .waiting, .open:
            return max(backoff.upcoming, breaker.wait(at: now))
        case .connecting:
            failures += 1
            breaker.fail(at: now)
        case .connected:
            let stable = connectedAt.map { now.since($0) >= backoff.resetAfter } ?? false
            connectedAt = nil
            backoff.disconnected(at: now)
            if !stable {
                failures += 1
                breaker.fail(at: now)
            }
        }
        let delay = backoff.next(using: &random)
        state = breaker.state == .open ? .open : .waiting
        return state == .open ? max(delay, breaker.wait(at: now)) : delay
    }
}
