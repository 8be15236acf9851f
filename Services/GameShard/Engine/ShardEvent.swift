import Domain
import Resilience

/// A game given to this shard, with what to follow for it.
public struct Assigned: Hashable, Sendable {
    public let game: Game
    public let markets: [Market]
    public let epoch: Epoch
    /// The market's home probability before the start, when an earlier owner has seen it.
    public let pregameHomeProbability: Probability?

    public init(game: Game, markets: [Market], epoch: Epoch, pregameHomeProbability: Probability? = nil) {
        self.game = game
        self.markets = markets
        self.epoch = epoch
        self.pregameHomeProbability = pregameHomeProbability
    }
}

/// What happened, as the engine is told.
public enum ShardEvent: Hashable, Sendable {
    case assign(CommandID, Assigned)
    case revoke(CommandID, GameID, epoch: Epoch)
    /// All games of this shard as PostgreSQL has them: at start, after a gap, after a reconnect. Confirms them too.
    ///
    /// A game that was accepted after the question was `asked` is kept, since the answer may be older than it.
    case reread([Assigned], asked: MachineInstant)
    case state(GameState)
    /// A verified book: from a snapshot, and every sequence since.
    case bookUpdated(MarketID, OrderBook, confirmedAt: VenueInstant)
    /// Every book of the venue that stands was right at this instant: the stream proved that nothing was missed.
    case booksConfirmed(Venue, at: VenueInstant)
    /// A gap, a corrupt book or a lost connection.
    case booksInvalidated(Set<MarketID>)
    /// Which markets of different venues pay on the same terms, as PostgreSQL has it; replaces what was known.
    case sameTerms(Set<MarketPair>)
    case heartbeatSent(beat: Int64)
    case granted(beat: Int64, term: Int64)
    /// PostgreSQL's answer to the question `asked` then: the games it gives to this shard, and their epochs.
    case epochsAnswered([GameID: Epoch], asked: MachineInstant)
    /// Machine time passed; every 100 ms.
    case tick
    /// Take no more games and emit nothing new.
    case drain
    /// What there was to say has left: watch nothing any more, so that others may at once.
    case letGo
}
