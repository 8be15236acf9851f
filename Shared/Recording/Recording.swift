import Domain

/// The recorded facts of one game and its markets, in venue time.
///
/// Invariant: the entries are in time order, none lies before the start, every quote and settlement names a market of
/// the header, and every score is one that `GameState` accepts. What is not a fact is said in `header.synthetic`.
public struct Recording: Hashable, Sendable {
    public let header: RecordingHeader
    public let entries: [RecordingEntry]

    /// - Throws: the first thing that does not hold, with the line it has, or would have, in the file.
    public init(header: RecordingHeader, entries: [RecordingEntry]) throws(RecordingError) {
        try header.validate()
        var validator = EntryValidator(header: header)
        for (index, entry) in entries.enumerated() {
            try validator.accept(entry, line: header.lineCount + index + 1)
        }
        self.header = header
        self.entries = entries
    }

    public var game: Game { header.game }
    public var start: VenueInstant { header.start }
    public var end: VenueInstant { entries.last?.at ?? header.start }

    /// The entries grouped by their time, in order: what a replay makes true in one step.
    public var moments: [RecordingMoment] { Self.moments(of: entries) }

    /// Entries in time order, grouped by their time.
    public static func moments(of entries: [RecordingEntry]) -> [RecordingMoment] {
        var moments: [RecordingMoment] = []
        for entry in entries {
            if moments.last?.at == entry.at {
                moments[moments.count - 1].facts.append(entry.fact)
            } else {
                moments.append(RecordingMoment(at: entry.at, facts: [entry.fact]))
            }
        }
        return moments
    }

    /// Whether the recording says anything of the score; a recording of prices alone does not.
    public var hasScores: Bool {
        entries.contains {
            switch $0.fact {
            case .play, .status: true
            case .quote, .closed, .settled: false
            }
        }
    }
}

/// What a recording is about, and where its facts are from.
public struct RecordingHeader: Hashable, Sendable {
    /// The only version of the format there is so far.
    public static let version = 1

    /// A file name without its ending, for example `tor-at-cle-2026-04-20`.
    public let name: String
    /// Who recorded the facts; one line each, at least one.
    public let attribution: [String]
    /// What in the recording was not observed but filled in by a rule; one line each.
    public let synthetic: [String]
    public let game: Game
    /// The venue time that the offsets of the entries count from.
    public let start: VenueInstant
    public let markets: [RecordedMarket]
    /// How quotes without sizes become a book; nil when every quote has its sizes.
    public let depth: SyntheticDepth?

    public init(
        name: String, attribution: [String], synthetic: [String], game: Game, start: VenueInstant,
        markets: [RecordedMarket], depth: SyntheticDepth?
    ) {
        self.name = name
        self.attribution = attribution
        self.synthetic = synthetic
        self.game = game
        self.start = start
        self.markets = markets
        self.depth = depth
    }

    /// Lines of the file before the first entry.
    var lineCount: Int { 5 + attribution.count + synthetic.count + markets.count + (depth == nil ? 0 : 1) }
}

/// A market of the recording and what a YES contract of it paid in the end.
public struct RecordedMarket: Hashable, Sendable {
    public let market: Market
    /// From 0 to 1; nil when the recording ends before the settlement.
    public let settlement: Price?

    public init(market: Market, settlement: Price?) {
        self.market = market
        self.settlement = settlement
    }
}

/// A fact and when it became true, in venue time.
public struct RecordingEntry: Hashable, Sendable {
    public let at: VenueInstant
    public let fact: RecordedFact

    public init(at: VenueInstant, fact: RecordedFact) {
        self.at = at
        self.fact = fact
    }
}

/// All facts of one instant, in the order of the file.
public struct RecordingMoment: Hashable, Sendable {
    public let at: VenueInstant
    public var facts: [RecordedFact]

    public init(at: VenueInstant, facts: [RecordedFact]) {
        self.at = at
        self.facts = facts
    }
}

/// One recorded fact.
public enum RecordedFact: Hashable, Sendable {
    case quote(RecordedQuote)
    /// A play of the live game.
    case play(RecordedPlay)
    case status(GameStatus, RecordedScore)
    /// The market takes no more orders.
    case closed(MarketID)
    /// The market paid what the header says.
    case settled(MarketID)
}

/// The best YES bid and ask of a market; a missing side has no orders.
public struct RecordedQuote: Hashable, Sendable {
    public let market: MarketID
    public let bid: Price?
    public let ask: Price?
    /// What was offered at the bid and at the ask; nil where the source did not say.
    public let bidSize: Quantity?
    public let askSize: Quantity?

    public init(market: MarketID, bid: Price?, ask: Price?, bidSize: Quantity? = nil, askSize: Quantity? = nil) {
        self.market = market
        self.bid = bid
        self.ask = ask
        self.bidSize = bidSize
        self.askSize = askSize
    }
}

/// Where the game stands on the board.
public struct RecordedScore: Hashable, Sendable {
    public let period: Int
    /// Time left in the period in 1/10 second; nil where the sport has no clock.
    public let clockTenths: Int64?
    public let home: Int
    public let away: Int

    public init(period: Int, clockTenths: Int64?, home: Int, away: Int) {
        self.period = period
        self.clockTenths = clockTenths
        self.home = home
        self.away = away
    }

    public var clockSeconds: Double? { clockTenths.map { Double($0) / 10 } }
}

/// A play, with the score after it.
///
/// Scores may run backwards: the source corrects itself.
public struct RecordedPlay: Hashable, Sendable {
    public let id: PlayID
    public let score: RecordedScore
    /// The source's own home win probability after the play.
    public let homeProbability: Probability?

    public init(id: PlayID, score: RecordedScore, homeProbability: Probability?) {
        self.id = id
        self.score = score
        self.homeProbability = homeProbability
    }
}
