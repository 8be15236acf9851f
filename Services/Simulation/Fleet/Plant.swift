/// A mistake that is made on purpose: what must never happen then does, and has to be seen.
enum Plant: CaseIterable {
    /// A stale owner may reserve, and so trade.
    case reservationsUnfenced
    /// A revoke counts as obeyed as soon as it is sent.
    case obediencePresumed
    /// No shard ever stops to watch because it is told.
    case revokesIgnored
    /// Nobody is ever told to watch one of the games.
    case assignmentsLost

    /// How what it breaks is told.
    var problem: String {
        switch self {
        case .reservationsUnfenced: "traded after"
        case .obediencePresumed: "holds a lease"
        case .revokesIgnored: "is a zombie on"
        case .assignmentsLost: "g03 is watched by nobody"
        }
    }
}
