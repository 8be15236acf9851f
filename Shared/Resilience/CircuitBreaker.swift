/// Stops hitting what fails, and finds out with a bounded number of probes when it works again.
///
/// Ask `permits` before each call and report every permitted call once with `succeed` or `fail`. A probe that is never
/// reported loses its slot after one cooldown, so a lost report cannot hold the breaker half-open for ever.
public struct CircuitBreaker: Hashable, Sendable {
    /// Legal transitions: `closed -> open`, `open -> halfOpen`, `halfOpen -> closed | open`; `reset` leads to `closed`
    /// from anywhere.
    public enum State: String, Hashable, Sendable, CaseIterable {
        case closed
        case open
        case halfOpen
    }

    /// Consecutive failures that open it.
    public let failureThreshold: Int
    public let cooldown: Duration
    /// How many calls may be under way at once while half-open.
    public let probes: Int
    /// Successes while half-open that close it.
    public let successThreshold: Int

    /// As of the last call; an open breaker becomes half-open only when asked after its cooldown.
    public private(set) var state: State = .closed
    public private(set) var consecutiveFailures = 0
    /// How often it opened.
    public private(set) var openings = 0
    /// When an open breaker will permit a probe.
    public private(set) var openUntil: MachineInstant?
    private var probesStarted: [MachineInstant] = []
    private var probesSucceeded = 0

    public init(
        failureThreshold: Int = 10, cooldown: Duration = .seconds(60), probes: Int = 1, successThreshold: Int = 1
    ) {
        precondition(failureThreshold >= 1, "failure threshold must be at least 1, got \(failureThreshold)")
        precondition(probes >= 1, "probes must be at least 1, got \(probes)")
        precondition(successThreshold >= 1, "success threshold must be at least 1, got \(successThreshold)")
        precondition(cooldown >= .zero, "cooldown must not be negative, got \(cooldown)")
        self.failureThreshold = failureThreshold
        self.cooldown = cooldown
        self.probes = probes
        self.successThreshold = successThreshold
    }

    /// Whether a call may be made now; while half-open, `true` takes a probe's slot.
    public mutating func permits(at now: MachineInstant) -> Bool {
        switch state {
        case .closed:
            return true
        case .open:
            guard let until = openUntil, now >= until else { return false }
            state = .halfOpen
            openUntil = nil
            probesSucceeded = 0
            probesStarted = [now]
            return true
        case .halfOpen:
            probesStarted.removeAll { now.since($0) >= cooldown }
            guard probesStarted.count < probes else { return false }
            probesStarted.append(now)
            return true
        }
    }

    /// How long until a call may be permitted; zero when it may be asked now.
    public func wait(at now: MachineInstant) -> Duration {
        guard state == .open, let until = openUntil, until > now else { return .zero }
        return now.duration(to: until)
    }

    /// Reports a success; ignored while open (a late answer to a call from before).
    public mutating func succeed(at now: MachineInstant) {
        switch state {
        case .closed:
            consecutiveFailures = 0
        case .open:
            break
        case .halfOpen:
            guard !probesStarted.isEmpty else { return }
            probesStarted.removeFirst()
            probesSucceeded += 1
            if probesSucceeded >= successThreshold { reset() }
        }
    }

    /// Reports a failure; ignored while open, and while half-open without a probe under way.
    public mutating func fail(at now: MachineInstant) {
        switch state {
        case .closed:
            consecutiveFailures += 1
            if consecutiveFailures >= failureThreshold { open(at: now) }
        case .open:
            break
        case .halfOpen:
            guard !probesStarted.isEmpty else { return }
            consecutiveFailures += 1
            open(at: now)
        }
    }

    /// Closes it at once: the other side is known to be new (CHECKLIST R47).
    public mutating func reset() {
        state = .closed
        consecutiveFailures = 0
        openUntil = nil
        probesStarted = []
        probesSucceeded = 0
    }

    private mutating func open(at now: MachineInstant) {
        state = .open
        openings += 1
        openUntil = now.advanced(by: cooldown)
        probesStarted = []
        probesSucceeded = 0
    }
}
