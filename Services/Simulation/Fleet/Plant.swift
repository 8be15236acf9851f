/// A mistake that is made on purpose: what must never happen then does, and has to be seen.
enum Plant: String, CaseIterable, Sendable {
    /// A stale owner may reserve, and so trade.
    case reservationsUnfenced
    /// A revoke counts as obeyed as soon as it is sent.
    case obediencePresumed
    /// No shard ever stops to watch because it is told.
    case revokesIgnored
    /// Nobody is ever told to watch one of the games.
    case assignmentsLost
    /// The reserving transaction believes the signal about who owns the game.
    case ownerUnread
    /// It does not look at what is reserved and held already.
    case exposureUnread
    /// It does not look at what is held and reserved in the market.
    case marketUnread
    /// It does not look at what is held and reserved in all.
    case totalUnread
    /// It does not any more once a fill was taken back.
    case exposureForgotten
    /// It does not look at what is held of the other side of a game.
    case otherSideUnread
    /// Nobody looks at what an order is worth.
    case valueUnread
    /// Nobody looks at how many contracts an order asks for.
    case contractsUnread
    /// The orders of the last minute are not counted.
    case minuteUnread
    /// The orders of the last hour are not counted.
    case hourUnread
    /// The exits of the last minute are not counted.
    case exitsUnread
    /// A signal that comes again is decided again.
    case redeliveryForgotten
    /// An intent that ends before its order keeps its reservation.
    case reservationLeaked
    /// A lost answer is taken for a no.
    case silenceIsRefusal
    /// An order is stored whatever the kill switch says.
    case killSwitchUnread
    /// An order is sent whatever the kill-switch file says.
    case killFileUnread
    /// What rests stays at the venue whatever the kill switch says.
    case cancelsForgotten
    /// An order does not wait until the one before it in its market has ended.
    case marketUnlocked
    /// A position is paid out at every look.
    case paidTwice
    /// A fill after the settlement opens a position again.
    case settlementForgotten
    /// A fill that the venue took back is taken for certain.
    case reversalIsConfirmation
    /// A fill that is taken back leaves the position as it was.
    case reversalHalved
    /// The reserving transaction does not look at the day's loss.
    case lossUnread
    /// Nobody engages the kill switch for it.
    case haltForgotten
    /// Orders are stored whatever the account's budget says.
    case budgetUnread
    /// Orders take what is kept for cancels.
    case reserveSpent
    /// What the venue said of too many requests is forgotten.
    case refusalForgotten
    /// A plan is allowed to lose more than was reserved for it.
    case planLossUnbounded
    /// A plan whose leg stands alone counts as done.
    case nakedIsDone
    /// Who works on a plan whose leg stands alone never looks at it again.
    case nakedForgotten
    /// A plan is worked on by whoever finds it, whosever it is.
    case leaseIgnored
    /// The reservation of a plan ends with its first order.
    case planReservationEnds
    /// A bet is taken for no bet against a leg of an arbitrage.
    case legUnseen
    /// That no shard is left is told to nobody.
    case absenceUntold
    /// That games wait for room is told to nobody.
    case crowdUntold
    /// That market-discovery is back is told to nobody.
    case recoveryUntold
    /// What must be told is not committed with the booking: whoever dies then has told nobody.
    case alertForgotten

    /// Whether it is in the fleet, and found without an order path.
    var isOfFleet: Bool {
        switch self {
        case .reservationsUnfenced, .obediencePresumed, .revokesIgnored, .assignmentsLost: true
        default: false
        }
    }

    /// How what it breaks is told.
    var problem: String {
        switch self {
        case .reservationsUnfenced: "traded after"
        case .obediencePresumed: "holds a lease"
        case .revokesIgnored: "is a zombie on"
        case .assignmentsLost: "g03 is watched by nobody"
        case .ownerUnread: "who does not own it"
        case .exposureUnread, .exposureForgotten: "exposes"
        case .marketUnread: "than in one market may be"
        case .totalUnread: "than may be in all"
        case .otherSideUnread: "on both sides of"
        case .valueUnread: "is worth"
        case .contractsUnread: "asks for"
        case .minuteUnread: "orders in a minute"
        case .hourUnread: "orders in an hour"
        case .exitsUnread: "exits in a minute"
        case .redeliveryForgotten: "decided twice"
        case .reservationLeaked: "while its reservation is held"
        case .silenceIsRefusal: "the venue"
        case .killSwitchUnread: "past the kill switch"
        case .killFileUnread: "past the kill-switch file"
        case .cancelsForgotten: "rests past the kill switch"
        case .marketUnlocked: "sells more than is held"
        case .paidTwice: "the books make it"
        case .settlementForgotten: "the books make it"
        case .reversalIsConfirmation: "the venue took it back"
        case .reversalHalved: "its fills make it"
        case .lossUnread: "past the loss of the day"
        case .haltForgotten: "nobody halts"
        case .budgetUnread: "more than the budget"
        case .reserveSpent: "kept for cancels"
        case .refusalForgotten: "while the venue wants none"
        case .planLossUnbounded: "of which it may lose"
        case .nakedIsDone, .nakedForgotten: "stands alone"
        case .leaseIgnored: "at work on"
        case .planReservationEnds: "while its reservation is"
        case .legUnseen: "bets against a leg"
        case .absenceUntold: "nobody is told that all shards are away"
        case .crowdUntold: "nobody is told that games wait for room"
        case .recoveryUntold: "it is told still that market-discovery is away"
        case .alertForgotten: "nobody is told that o"
        }
    }
}
