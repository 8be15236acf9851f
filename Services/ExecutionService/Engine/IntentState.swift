/// Where an intent stands.
///
/// Legal transitions: `approved -> sending | expired | refused`, `sending -> done | expired | refused`. Each is a
/// compare-and-set in the database: whoever wins it, and nobody else, may close the reservation (DESIGN rule 6).
public enum IntentState: String, Hashable, Sendable, Codable, CaseIterable {
    case approved
    case sending
    /// The venue has had its say: filled, in part, or not at all.
    case done
    /// Its time ran out before the venue had accepted anything.
    case expired
    /// A safeguard or the venue refused it.
    case refused

    public var isTerminal: Bool { self == .done || self == .expired || self == .refused }

    public func permits(_ next: IntentState) -> Bool {
        switch self {
        case .approved: next == .sending || next == .expired || next == .refused
        case .sending: next.isTerminal
        case .done, .expired, .refused: false
        }
    }
}
