/// How many restarts are allowed in a moving window before restarting is given up (DESIGN section 7: 10 in 10 minutes).
public struct RestartIntensity: Hashable, Sendable {
    public let atMost: Int
    public let within: Duration
    private var restarts: [MachineInstant] = []

    public init(atMost: Int = 10, within: Duration = .seconds(600)) {
        precondition(atMost >= 0, "restart intensity must not be negative, got \(atMost)")
        precondition(within > .zero, "restart window must be positive, got \(within)")
        self.atMost = atMost
        self.within = within
    }

    /// Records one restart; `false` when it is one too many within the window.
    public mutating func permits(at now: MachineInstant) -> Bool {
        restarts.removeAll { now.since($0) >= within }
        guard restarts.count < atMost else { return false }
        restarts.append(now)
        return true
    }

    /// Restarts recorded within the window that ends now.
    public func count(at now: MachineInstant) -> Int {
        restarts.count { now.since($0) < within }
    }
}
