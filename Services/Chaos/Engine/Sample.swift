import Resilience

/// What PostgreSQL, the bus and the orchestrator's page said at one moment.
///
/// Nothing here comes from a log. What did not answer is nil, which is a fact too.
public struct Sample: Hashable, Sendable {
    /// A game that is meant to be watched.
    public struct Game: Hashable, Sendable {
        public let id: String
        public let owner: String?
        public let epoch: Int64

        public init(_ id: String, owner: String?, epoch: Int64) {
            self.id = id
            self.owner = owner
            self.epoch = epoch
        }
    }

    /// What PostgreSQL knows: the truth.
    public struct Truth: Hashable, Sendable {
        public var term: Int64
        /// In the order of their ids.
        public var games: [Game]
        public var signals: Int
        public var intents: Int
        public var orders: Int
        public var fills: Int
        /// Rows of these that were seen by name since somebody looks, and are not there any more.
        public var missing = 0
        /// Committed a second ago or longer, and not announced yet.
        public var unannounced: Int
        /// Orders of which nobody knows what became.
        public var unknown: Int
        /// Rules of the books that do not hold (`BooksCheck`).
        public var brokenRules: [String]
        /// Approved though a later epoch of the game had been stored before.
        public var staleApprovals: Int

        public init(
            term: Int64, games: [Game], signals: Int = 0, intents: Int = 0, orders: Int = 0, fills: Int = 0,
            unannounced: Int = 0, unknown: Int = 0, brokenRules: [String] = [], staleApprovals: Int = 0
        ) {
            self.term = term
            self.games = games
            self.signals = signals
            self.intents = intents
            self.orders = orders
            self.fills = fills
            self.unannounced = unannounced
            self.unknown = unknown
            self.brokenRules = brokenRules
            self.staleApprovals = staleApprovals
        }
    }

    /// The newest heartbeat of a process.
    public struct Beat: Hashable, Sendable {
        public let name: String
        public let isHealthy: Bool
        /// How old it is.
        public let age: Duration
        /// Epochs of the games that a shard watches and sees all books of.
        public let games: [String: Int64]
        /// Of all that it watches.
        public let watched: [String: Int64]
        /// Its checks that fail, sorted.
        public let failing: [String]

        public init(
            _ name: String, isHealthy: Bool, age: Duration, games: [String: Int64] = [:],
            watched: [String: Int64]? = nil, failing: [String] = []
        ) {
            self.name = name
            self.isHealthy = isHealthy
            self.age = age
            self.games = games
            self.watched = watched ?? games
            self.failing = failing
        }

        public var isFresh: Bool { isFresh(within: Sample.life) }

        func isFresh(within life: Duration) -> Bool { age < life }

        /// What is wrong with it; nil when nothing is.
        func trouble(within life: Duration) -> String? {
            if !isFresh(within: life) { return "\(name) is not heard" }
            if isHealthy { return nil }
            return "\(name) is not well" + (failing.isEmpty ? "" : " (\(failing.joined(separator: ", ")))")
        }
    }

    /// An alert that an orchestrator has told since the last sample.
    public struct Alert: Hashable, Sendable {
        public let kind: String
        public let isFiring: Bool
        /// What a person reads; empty where nobody says.
        public let summary: String

        public init(_ kind: String, isFiring: Bool, summary: String = "") {
            self.kind = kind
            self.isFiring = isFiring
            self.summary = summary
        }
    }

    /// What came of the orders since somebody looks (`OrderLedger`).
    public struct Orders: Hashable, Sendable {
        /// By the venue.
        public var taken: Int
        /// Which of them PostgreSQL does not call placed yet; the first that was taken is 0.
        public var waiting: Set<Int>
        /// Those that the venue has taken and PostgreSQL did not know, or has taken again.
        public var strange: Int
        /// Those that PostgreSQL called placed, and one of both does not have.
        public var missing: Int

        public init(taken: Int, waiting: Set<Int> = [], strange: Int = 0, missing: Int = 0) {
            self.taken = taken
            self.waiting = waiting
            self.strange = strange
            self.missing = missing
        }
    }

    /// What came of the journaled messages since somebody looks (`MessageLedger`).
    public struct Messages: Hashable, Sendable {
        /// On the bus, by their numbers.
        public var heard: Int
        /// Numbers that were passed over and never came.
        public var missing: Int
        /// Which of those that PostgreSQL must take in it does not have yet; the first that was heard is 0.
        public var waiting: Set<Int>
        /// How many of them there were.
        public var owed: Int

        public init(heard: Int, missing: Int = 0, waiting: Set<Int> = [], owed: Int = 0) {
            self.heard = heard
            self.missing = missing
            self.waiting = waiting
            self.owed = owed
        }
    }

    /// What a process has been handed by the bus in its present life.
    public struct Streams: Hashable, Sendable {
        /// Subscriptions, each of one consumer to one stream.
        public var open: Int
        /// Gaps, over all of them.
        public var gaps: Int

        public init(open: Int, gaps: Int) {
            self.open = open
            self.gaps = gaps
        }
    }

    public var truth: Truth?
    public var shards: [Beat]
    /// Of the services that are no shards, by their kind: the best of each.
    public var services: [Beat]
    /// What an orchestrator says of itself and, by their kind, of the services that it hears; nil when none answers.
    public var checks: [String: Bool]?
    public var alerts: [Alert]
    /// Kinds that have reached the sink since the last sample; nil where nobody sees the sink.
    public var delivered: Set<String>?

    /// What processes have written into their alert files since the last sample; nil where nobody reads them.
    public var filed: [Alert]?

    /// Nil where no venue can be asked.
    public var orders: Orders?
    /// Nil until somebody has listened.
    public var messages: Messages?
    /// By process and its life, as the newest heartbeat of each says.
    public var streams: [String: Streams]
    /// How long ago the rules of the books were held against all of them; nil when they never were.
    public var booksAge: Duration?
    /// How long ago the outside watcher was called; nil where nobody sees it.
    ///
    /// It is called once a second while an orchestrator lives.
    public var watcherAge: Duration?

    public init(
        truth: Truth?, shards: [Beat], services: [Beat], checks: [String: Bool]?, alerts: [Alert] = [],
        delivered: Set<String>? = nil, filed: [Alert]? = nil, orders: Orders? = nil, messages: Messages? = nil,
        streams: [String: Streams] = [:], booksAge: Duration? = .zero, watcherAge: Duration? = nil
    ) {
        self.truth = truth
        self.shards = shards
        self.services = services
        self.checks = checks
        self.alerts = alerts
        self.delivered = delivered
        self.filed = filed
        self.orders = orders
        self.messages = messages
        self.streams = streams
        self.booksAge = booksAge
        self.watcherAge = watcherAge
    }

    /// A shard is dead after 2 s, and what is older was said of another time.
    static let life = Duration.milliseconds(1_500)
    static let kinds = ["execution-service", "market-discovery", "orchestrator", "signal-processor"]
    /// A watcher that is called once a second misses whoever has not called for so long.
    static let missedAfter = Duration.seconds(3)

    /// What keeps this moment from being steady; empty when it is.
    ///
    /// Steady: each game is watched by the one shard that PostgreSQL names, under its epoch and with all books, and by
    /// no other; one service of each kind is well, the checks too, no order is unknown and no announcement waits.
    ///
    /// - Parameter life: what was heard longer ago is not believed.
    /// - Returns: each trouble in words.
    func unrest(within life: Duration = Self.life) -> [String] {
        guard let truth else { return ["PostgreSQL does not answer"] }
        var found: [String] = []
        if truth.games.isEmpty { found.append("there is no game") }
        found += truth.games.compactMap { trouble(of: $0, within: life) } + zombies(truth, within: life)
        for kind in Self.kinds {
            guard let beat = services.first(where: { $0.name == kind }) else {
                found.append("\(kind) was never heard")
                continue
            }
            if let trouble = beat.trouble(within: life) { found.append(trouble) }
        }
        guard let checks else { return found + ["the orchestrator does not answer"] }
        found += checks.filter { !$0.value }.keys.sorted().map { "the check \($0) fails" }
        if truth.unknown > 0 { found.append("\(truth.unknown) orders are unknown") }
        if truth.unannounced > 0 { found.append("\(truth.unannounced) announcements wait") }
        return found
    }

    /// Why a game is not watched by its owner; nil when it is.
    func trouble(of game: Game, within life: Duration) -> String? {
        guard let owner = game.owner else { return "\(game.id) has no owner" }
        let beat = shards.first { $0.name == owner }
        if beat?.isHealthy == true, beat?.isFresh(within: life) == true, beat?.games[game.id] == game.epoch {
            return nil
        }
        let why = beat?.trouble(within: life).map { ": \($0)" } ?? ""
        return "\(game.id) is not seen on \(owner) under epoch \(game.epoch)\(why)"
    }

    /// Games on shards that PostgreSQL does not give them to, or not under this epoch.
    private func zombies(_ truth: Truth, within life: Duration) -> [String] {
        let owned = Dictionary(truth.games.map { ($0.id, $0) }) { $1 }
        return shards.filter { $0.isFresh(within: life) }.flatMap { shard in
            shard.watched.sorted { $0.key < $1.key }
                .filter { owned[$0.key]?.owner != shard.name || owned[$0.key]?.epoch != $0.value }
                .map { "\($0.key) is a zombie on \(shard.name), under epoch \($0.value)" }
        }
    }

    /// Whether its owner shows a game with all books, however well it calls itself: without a grant it says `degraded`.
    func shows(_ game: Game) -> Bool {
        shards.contains { $0.name == game.owner && $0.isFresh && $0.games[game.id] == game.epoch }
    }

    /// Whether every orchestrator is silent, to its page's readers and to the outside watcher.
    var isSilent: Bool { checks == nil && (watcherAge.map { $0 >= Self.missedAfter } ?? true) }

    /// Whether no game is about to be moved for the sake of an even spread.
    var isBalanced: Bool {
        let counts = shards.filter { $0.isHealthy && $0.isFresh }.map(\.games.count)
        return (counts.max() ?? 0) - (counts.min() ?? 0) <= 1
    }

    var healthyShards: Int { shards.count { $0.isHealthy && $0.isFresh } }
}
