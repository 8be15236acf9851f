/// How often what crashes is started again: after each delay in turn, then not before a cooldown (CHECKLIST R103, N24).
///
/// Only crashes within the moving window count, so something that has been well for that long has its full budget
/// again; so has what comes out of its cooldown.
public struct RestartBudget: Hashable, Sendable {
    /// Legal transitions: `up -> waiting | coolingDown`, `waiting -> up`, `coolingDown -> up`.
    ///
    /// A crash of what is not up, and a start of what is up or not due, change nothing.
    public enum State: Hashable, Sendable {
        case up
        /// Started again at the instant.
        case waiting(until: MachineInstant)
        /// The budget is spent: started again at the instant, with a new budget.
        case coolingDown(until: MachineInstant)
    }

    /// Before the first restart, the second and so on; the last serves all further ones.
    public let delays: [Duration]
    /// Restarts within `window` before the cooldown.
    public let attempts: Int
    public let cooldown: Duration
    public let window: Duration
    /// Up for so long after a cooldown, it is no longer said to be in a crash loop.
    public let stableAfter: Duration
    /// The most that what had come up waits after its first crash within `window`; nil where that makes no difference.
    public let prompt: Duration?

    public private(set) var state: State = .up
    /// Restarts in its life.
    public private(set) var restarts = 0
    /// Whether it came into a cooldown and has not been up for `stableAfter` since.
    public private(set) var isLooping = false
    private var crashes: [MachineInstant] = []
    private var upSince: MachineInstant?

    /// The seed's 5, 15, 45 s and 600 s (DOMAIN, runbook supervisor).
    public init(
        delays: [Duration] = [.seconds(5), .seconds(15), .seconds(45)], attempts: Int = 3,
        cooldown: Duration = .seconds(600), window: Duration = .seconds(600), stableAfter: Duration = .seconds(60),
        prompt: Duration? = nil
    ) {
        precondition(!delays.isEmpty && delays.allSatisfy { $0 >= .zero }, "delays must be zero or more, got \(delays)")
        precondition(attempts >= 0, "attempts must not be negative, got \(attempts)")
        precondition(cooldown >= .zero, "cooldown must not be negative, got \(cooldown)")
        precondition(window > .zero, "window must be positive, got \(window)")
        precondition(stableAfter >= .zero, "stable time must not be negative, got \(stableAfter)")
        precondition(prompt.map { $0 >= .zero } ?? true, "a prompt restart must not be in the past")
        self.delays = delays
        self.attempts = attempts
        self.cooldown = cooldown
        self.window = window
        self.stableAfter = stableAfter
        self.prompt = prompt
    }

    /// When it is to be started again; nil while it is up.
    public var due: MachineInstant? {
        switch state {
        case .up: nil
        case .waiting(let until), .coolingDown(let until): until
        }
    }

    /// Crashes within the window that ends now.
    public func crashes(at now: MachineInstant) -> Int { crashes.count { now.since($0) < window } }

    /// Notes a crash; ignored when it was not up.
    ///
    /// `hadComeUp` is false for what ended before it could be used: another start will hardly do better at once.
    ///
    /// - Returns: when to start it again; nil when ignored.
    @discardableResult
    public mutating func crashed(at now: MachineInstant, hadComeUp: Bool = false) -> MachineInstant? {
        guard state == .up else { return nil }
        upSince = nil
        crashes.removeAll { now.since($0) >= window }
        crashes.append(now)
        let until: MachineInstant
        if crashes.count > attempts {
            until = now.advanced(by: cooldown)
            state = .coolingDown(until: until)
            isLooping = true
            crashes = []
        } else {
            var delay = delays[min(crashes.count, delays.count) - 1]
            if let prompt, hadComeUp, crashes.count == 1 { delay = min(delay, prompt) }
            until = now.advanced(by: delay)
            state = .waiting(until: until)
        }
        return until
    }

    /// Notes an end that is nobody's fault: started again after the first delay, without using the budget.
    ///
    /// - Returns: when to start it again; nil when it was not up.
    @discardableResult
    public mutating func excused(at now: MachineInstant) -> MachineInstant? {
        guard state == .up else { return nil }
        upSince = nil
        let until = now.advanced(by: delays[0])
        state = .waiting(until: until)
        return until
    }

    /// Notes that it is started again; `false`, and nothing, when it is up already or not due yet.
    public mutating func start(at now: MachineInstant) -> Bool {
        guard let due, now >= due else { return false }
        state = .up
        upSince = now
        restarts += 1
        return true
    }

    /// Brings a start that waits forward to this instant: an operator has mended the cause.
    public mutating func hasten(at now: MachineInstant) {
        guard state != .up else { return }
        state = .waiting(until: now)
        crashes = []
    }

    /// Whether the crash loop has just ended; `true` once for each.
    public mutating func settled(at now: MachineInstant) -> Bool {
        guard isLooping, let since = upSince, now.since(since) >= stableAfter else { return false }
        isLooping = false
        return true
    }
}
