import Domain

/// Says who watches a game now, with its markets; sent once the change is stored (CHECKLIST R57).
///
/// For those who follow markets without being shards. Who joins late, or misses some, asks for the startup state.
public struct MarketAssignment: WireMessage, Hashable {
    public static let type = "market_assignment"

    public let game: Game
    public let markets: [Market]
    /// Nil when nobody watches the game any more.
    public let shard: ShardID?
    /// Grows with every owner; an announcement with a lower one is out of date.
    public let epoch: Epoch
    /// Why: `first`, `dead`, `drained` and so on, as in `assignment_log`.
    public let reason: String

    public init(game: Game, markets: [Market], shard: ShardID?, epoch: Epoch, reason: String) {
        self.game = game
        self.markets = markets
        self.shard = shard
        self.epoch = epoch
        self.reason = reason
    }
}

/// Asks the leading orchestrator which games are watched, by whom, and what their markets are (CHECKLIST R56).
///
/// A hint: who hears nothing within a second or two asks again.
public struct StartupStateRequest: WireMessage, Hashable {
    public static let type = "startup_state_request"

    /// What kind of process asks; it decides what is answered, and on which channel.
    public enum Asker: String, Codable, Hashable, Sendable, CaseIterable {
        /// Follows the markets of one venue: only games with markets there, and only those markets.
        case kalshi
        case polymarket
        /// Everything, or only what `shard` owns.
        case gameShard = "game_shard"

        /// Nil for one that wants the markets of every venue.
        public var venue: Venue? {
            switch self {
            case .kalshi: .kalshi
            case .polymarket: .polymarket
            case .gameShard: nil
            }
        }
    }

    public let id: CommandID
    public let asker: Asker
    /// Only the games of this shard; nil for those of all.
    public let shard: ShardID?

    public init(id: CommandID, asker: Asker, shard: ShardID? = nil) {
        self.id = id
        self.asker = asker
        self.shard = shard
    }

    private enum CodingKeys: String, CodingKey {
        case id
        case asker = "monitor_type"
        case shard
    }
}

/// One part of the answer: games that have an owner, as PostgreSQL held them after the question arrived.
public struct StartupState: WireMessage, Hashable {
    public static let type = "startup_state"

    /// A game and who watches it.
    public struct Entry: Codable, Hashable, Sendable {
        public let shard: ShardID
        public let assignment: GameAssignment

        public init(shard: ShardID, assignment: GameAssignment) {
            self.shard = shard
            self.assignment = assignment
        }
    }

    /// The question's.
    public let request: CommandID
    /// The term of the leader that answers.
    public let term: Int64
    /// Tells one answer from another to the same question; only parts with the same number belong together.
    public let answer: Int
    /// Counts from 1 to `parts`; an answer is complete with all of them.
    ///
    /// No game is in two.
    public let part: Int
    public let parts: Int
    public let games: [Entry]

    public init(request: CommandID, term: Int64, answer: Int, part: Int, parts: Int, games: [Entry]) {
        self.request = request
        self.term = term
        self.answer = answer
        self.part = part
        self.parts = parts
        self.games = games
    }
}
