import Domain
import Resilience

/// Where a wanted game stands.
///
/// Legal transitions: `unmapped -> waiting -> committing -> commanded -> watched`; `commanded | watched -> leaving`,
/// `watched -> commanded` (missing: sent again); `leaving -> waiting | watched` (given up, or its shard lives after
/// all); `committing -> waiting` (not stored); `commanded -> waiting` (refused); anything but `committing ->
/// releasing`, and a released game is forgotten or, when it was only put off, `releasing -> resting`; `resting ->
/// waiting | releasing`.
enum Placement: Hashable, Sendable {
    /// No market is known, so there is nothing to watch it for.
    case unmapped
    case waiting(MoveReason)
    /// Its next owner is being stored; nobody was told.
    case committing(Seat)
    /// The owner is stored and told, and has not shown it yet.
    case commanded(Seat, Delivery)
    case watched(Seat)
    /// On its way out of a seat: over when the revoke is obeyed or the lease has run out.
    ///
    /// A shard that is well keeps its lease, so without `until` only the revoke ends it.
    case leaving(Seat, until: MachineInstant?, MoveReason, isRevoked: Bool)
    /// The game is over or put off, and that is being stored.
    case releasing(Seat?)
    /// Put off: nobody watches it until it plays again.
    case resting

    /// A command on its way.
    struct Delivery: Hashable, Sendable {
        let command: CommandID
        /// When its shard should have had it first: the grace runs from here.
        let since: MachineInstant
        var sentAt: MachineInstant
        var isAcknowledged = false
    }

    var seat: Seat? {
        switch self {
        case .unmapped, .waiting, .resting: nil
        case .committing(let seat), .commanded(let seat, _), .watched(let seat), .leaving(let seat, _, _, _): seat
        case .releasing(let seat): seat
        }
    }

    /// Whether the passing of time alone may change it.
    var isSettled: Bool {
        switch self {
        case .unmapped, .watched, .committing, .waiting, .resting: true
        case .commanded, .leaving, .releasing: false
        }
    }

    var isWaiting: Bool {
        if case .waiting = self { true } else { false }
    }

    var isLeaving: Bool {
        if case .leaving = self { true } else { false }
    }

    /// Leaving a shard that must not be granted meanwhile, since without an acknowledgement its lease has to end.
    var endsLease: Bool {
        switch self {
        case .leaving(_, until: _?, let reason, isRevoked: true): reason != .missing
        default: false
        }
    }

    var name: String {
        switch self {
        case .unmapped: "unmapped"
        case .waiting: "waiting"
        case .committing: "committing"
        case .commanded: "commanded"
        case .watched: "watched"
        case .leaving: "leaving"
        case .releasing: "releasing"
        case .resting: "resting"
        }
    }
}

/// A game that should be watched.
struct WatchedGame: Sendable {
    let game: Game
    var status: GameStatus
    var score: Score?
    var markets: [Market]
    var pregame: Probability?
    /// The highest epoch ever tried for it; the next is always above.
    var epoch: Epoch?
    /// The last owner that PostgreSQL is known to have stored.
    var owner: Seat?
    var placement = Placement.unmapped
    /// The discovery cycle in which its markets were last asked for; nil when they need not be.
    var askedInCycle: Int?
    var answer: String?
    /// The last discovery cycle whose scoreboard showed it.
    var shownInCycle: Int
    /// Its next owner may be stored or not: nobody gets it before PostgreSQL was read again.
    var isDoubted = false
    /// Its owner came back while another was being stored, and keeps it when that fails.
    var isTakenBack = false
    /// No attempt to store anything before this.
    var notBefore: MachineInstant?
    let wants: ShardKind
    /// Where an operator or a rebalancing wants it, if there is still room.
    var preferred: ShardID?
    /// Who had it or refused it last: gets it only when nobody else can.
    var avoided: ShardID?
    /// How often it was refused since it was last watched.
    var refusals = 0
    /// When it was last taken from a shard that is well.
    var leavingSince: MachineInstant?
    /// In venue time; nil while it is not suspended, and until a scoreboard was seen since.
    var suspendedSince: VenueInstant?
    /// No scoreboard shows it any more.
    var isAbandoned = false

    init(_ game: Game, status: GameStatus, markets: [Market] = [], wants: ShardKind, cycle: Int) {
        self.game = game
        self.status = status
        self.markets = markets
        self.wants = wants
        shownInCycle = cycle
    }

    /// Over, or put off for hours or days: it needs no seat.
    var needsNoSeat: Bool { status.isEnd || status == .postponed }

    /// Put off, and may go on some day.
    var isPutOff: Bool { status == .postponed || status == .suspended }
}

/// A revoke that its shard has not yet obeyed.
struct Revoke: Sendable {
    let command: Command
    /// The shard may not have read the game yet, so not showing it does not mean that it obeyed.
    var isUnread: Bool
    var sentAt: MachineInstant
}
