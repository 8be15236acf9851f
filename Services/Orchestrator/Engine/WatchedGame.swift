import Domain
import Resilience

/// Where a wanted game stands.
///
/// Legal transitions: `unmapped -> waiting -> committing -> commanded -> watched`; `commanded | watched -> leaving`,
/// `watched -> commanded` (missing: sent again); `leaving -> waiting | watched` (given up, or its shard lives after
/// all); `committing -> waiting` (not stored); `commanded -> waiting` (refused); anything but `committing ->
/// releasing`, and a released game is forgotten.
enum Placement: Hashable, Sendable {
    /// No market is known, so there is nothing to watch it for.
    case unmapped
    case waiting(MoveReason)
    /// Its next owner is being stored; nobody was told.
    case committing(Seat)
    /// The owner is stored and told, and has not shown it yet.
    case commanded(Seat, Delivery)
    case watched(Seat)
    /// On its way out of a seat: over when the revoke is acknowledged or the lease has run out.
    case leaving(Seat, until: MachineInstant, MoveReason, isRevoked: Bool)
    /// The game is over and its end is being stored.
    case releasing(Seat?)

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
        case .unmapped, .waiting: nil
        case .committing(let seat), .commanded(let seat, _), .watched(let seat), .leaving(let seat, _, _, _): seat
        case .releasing(let seat): seat
        }
    }

    /// Whether the passing of time alone may change it.
    var isSettled: Bool {
        switch self {
        case .unmapped, .watched, .committing, .waiting: true
        case .commanded, .leaving, .releasing: false
        }
    }

    var isWaiting: Bool {
        if case .waiting = self { true } else { false }
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
    /// No attempt to store anything before this.
    var notBefore: MachineInstant?

    init(_ game: Game, status: GameStatus, markets: [Market] = [], cycle: Int) {
        self.game = game
        self.status = status
        self.markets = markets
        shownInCycle = cycle
    }
}

/// A revoke that its shard has not yet obeyed.
struct Revoke: Sendable {
    struct Key: Hashable, Comparable, Sendable {
        let shard: ShardID
        let game: GameID

        static func < (left: Self, right: Self) -> Bool {
            (left.shard, left.game) < (right.shard, right.game)
        }
    }

    let command: Command
    var sentAt: MachineInstant
}
