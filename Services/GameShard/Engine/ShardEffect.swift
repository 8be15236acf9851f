import Domain
import Resilience

/// What must be done, as the engine decided.
public enum ShardEffect: Hashable, Sendable {
    /// The markets to be subscribed to; replaces the earlier set.
    case followMarkets(Set<MarketID>)
    /// The games whose scores are polled, by id; replaces the earlier list.
    case pollScores([Game])
    case publishState(GameState, homeProbability: Probability?, epoch: Epoch)
    case publishPrice(PricePublication)
    case emit(Signal)
    /// Both sides of the game, together for less than they pay.
    case emitArbitrage(ArbitrageSignal)
    /// A row of `game_states`: the source's own probability stands beside ours, inside the state.
    case storeState(GameState, homeProbability: Probability?)
    /// Stored with the game, so that the next owner knows it.
    case storePregame(GameID, Probability)
    case acknowledge(CommandID, GameID, Epoch, CommandVerdict)
    /// Ask PostgreSQL which games it gives to this shard; the answer repeats when it was `asked`.
    case askEpochs(asked: MachineInstant)
    /// The database gives this shard a game that it does not hold: read all of them again.
    case rereadAssignments
    /// Ended and let go.
    case gameEnded(GameState, epoch: Epoch)
    case report(ShardCount)
}

/// The top of a market's book, when it changed.
public struct PricePublication: Hashable, Sendable {
    public let game: GameID
    public let market: MarketID
    public let yesBid: BookLevel?
    public let yesAsk: BookLevel?
    public let at: VenueInstant

    public init(game: GameID, market: MarketID, yesBid: BookLevel?, yesAsk: BookLevel?, at: VenueInstant) {
        self.game = game
        self.market = market
        self.yesBid = yesBid
        self.yesAsk = yesAsk
        self.at = at
    }
}

/// The answer to a command.
public enum CommandVerdict: String, Hashable, Sendable, CaseIterable {
    case accepted
    /// A newer epoch is known, or this one has ended here.
    case stale
    case atCapacity
    case draining
    /// A market belongs to another game or stands twice, or a shard of this type takes no games.
    case malformed
}

/// Everything that is counted: a bounded set, safe as a metric label.
public enum ShardCount: Hashable, Sendable {
    case signal(SignalKind)
    case noSignal(NoSignal)
    /// Why a changed book led to no arbitrage.
    case noArbitrage(NoSignal)
    case oddity(Oddity)
    case command(CommandVerdict)

    /// For metrics: the family and the label.
    public var label: (family: String, value: String) {
        switch self {
        case .signal(let kind): ("signals", kind.rawValue)
        case .noSignal(let reason): ("no_signal", reason.rawValue)
        case .noArbitrage(let reason): ("no_arbitrage", reason.rawValue)
        case .oddity(let oddity): ("oddities", oddity.rawValue)
        case .command(let verdict): ("commands", verdict.rawValue)
        }
    }
}

/// Why an evaluation ended without a signal; the first that applies, in this order.
public enum NoSignal: String, Error, Hashable, Sendable, CaseIterable {
    case draining
    /// No lease and no confirmation from the database, or the game belongs to another shard.
    case notAuthorised
    case noState
    case notLive
    case overtime
    case unknownClock
    /// A slot has no score that a model could judge.
    case noModel
    /// 0-0: nothing has happened that the market could have missed.
    case scoreless
    /// YES on one team is not NO on the other.
    case drawPossible
    case staleState
    /// The score ran backwards or jumped a moment ago.
    case unconfirmedScore
    case extremeProbability
    case noBook
    case staleBook
    case oneSidedBook
    case crossedBook
    case edgeTooSmall
    /// The two sides cost a dollar or more, fees included.
    case noArbitrage
    /// It would be one, but the markets may pay on different terms.
    case unmatchedTerms
    case debounced

    init(_ absence: WinProbability.Absence) {
        self =
            switch absence {
            case .notLive: .notLive
            case .overtime: .overtime
            case .unknownClock: .unknownClock
            case .noModel: .noModel
            }
    }
}

/// What the feeds should not do, and do.
public enum Oddity: String, Hashable, Sendable, CaseIterable {
    case unknownGame
    case unknownMarket
    case duplicateState
    /// Older than what is known; ignored.
    case olderState
    /// From beyond the staleness limit in the future; ignored.
    case futureState
    /// For example live, then scheduled; ignored.
    case illegalStatus
    case scoreBackwards
    case scoreJump
    case duplicateCommand
    case olderTerm
    case unknownBeat
}
