/// What is known of the kill switch (DESIGN rule 14).
///
/// Legal transitions: any to any. `unknown` counts as engaged: when it cannot be read, nothing is sent.
public enum KillSwitchState: String, Hashable, Sendable, Codable, CaseIterable {
    case released
    case engaged
    case unknown

    public var permitsOrders: Bool { self == .released }

    /// Both readings together: engaged wins over unknown, released needs both.
    public func combined(with other: KillSwitchState) -> KillSwitchState {
        if self == .engaged || other == .engaged { return .engaged }
        return self == .released && other == .released ? .released : .unknown
    }
}
