/// What is known of the kill switch (DESIGN rule 14).
///
/// Legal transitions: any to any. `unknown` counts as engaged: when it cannot be read, nothing is sent.
public enum KillSwitchState: String, Hashable, Sendable, Codable, CaseIterable {
    case released
    case engaged
    /// Engaged for what opens a position; what can only make one smaller passes (decision 0083).
    case reduceOnly = "reduce_only"
    case unknown

    public var permitsOrders: Bool { self == .released }

    /// Whether somebody has engaged it, for all or for entries.
    public var isEngaged: Bool { self == .engaged || self == .reduceOnly }

    /// Both readings together: engaged wins over unknown, unknown over reduce only, released needs both.
    public func combined(with other: KillSwitchState) -> KillSwitchState {
        for state in [KillSwitchState.engaged, .unknown, .reduceOnly] where self == state || other == state {
            return state
        }
        return .released
    }
}
