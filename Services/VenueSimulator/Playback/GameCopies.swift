import Domain
import Foundation
import Recording

/// The recorded game, and as many made-up ones beside it as asked for: other teams, other markets, the same facts.
///
/// For rehearsals that need more games than were recorded (docs/FLEET.md).
struct GameCopies: Sendable {
    /// The longest list of games that one venue shows on a day is far below this.
    static let limit = 200

    /// The recorded game first.
    let games: [Game]
    /// As the recording's, with the markets of every game.
    let header: RecordingHeader
    /// How much later than in the game before the same fact is true in a game, venue time.
    let apart: Duration
    private var names: [[MarketID: MarketID]] = []

    /// The recorded game alone.
    init(of header: RecordingHeader) {
        games = [header.game]
        self.header = header
        apart = .zero
    }

    /// `count` is the number of games, 1 to `limit`; each is behind the one before by `apart`, its score excepted.
    ///
    /// - Throws: when the recording's names are too long to be made longer.
    init(of header: RecordingHeader, count: Int, apart: Duration = .zero) throws(DomainError) {
        precondition((1...Self.limit).contains(count), "\(count) games")
        var games = [header.game]
        var markets = header.markets
        for number in 1..<max(1, count) {
            let game = try Self.game(number, like: header.game)
            var own: [MarketID: MarketID] = [:]
            for recorded in header.markets {
                let market = try Self.market(recorded.market, of: game, number)
                own[recorded.market.id] = market.id
                markets.append(RecordedMarket(market: market, settlement: recorded.settlement))
            }
            games.append(game)
            names.append(own)
        }
        self.games = games
        self.apart = apart
        self.header = RecordingHeader(
            name: header.name, attribution: header.attribution, synthetic: header.synthetic, game: header.game,
            start: header.start, markets: markets, depth: header.depth)
    }

    /// The recorded fact as it is true of each game at the same instant; of games that are apart, as `moments` has it.
    func facts(_ fact: RecordedFact) -> [RecordedFact] {
        apart == .zero ? [fact] + names.map { Self.renamed(fact, $0) } : [fact]
    }

    /// What is played: the recording's moments, or with the facts of every game among them, each at its own instant.
    func moments(of recording: Recording) -> [RecordingMoment] {
        guard apart > .zero else { return recording.moments }
        var entries = recording.entries
        for (index, own) in names.enumerated() {
            for entry in recording.entries {
                switch entry.fact {
                case .play, .status: continue
                case .quote, .closed, .settled: break
                }
                let at = entry.at.advanced(by: apart * (index + 1))
                entries.append(RecordingEntry(at: at, fact: Self.renamed(entry.fact, own)))
            }
        }
        // Facts of one instant keep their order.
        let sorted = entries.enumerated().sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }
        return Recording.moments(of: sorted.map(\.element))
    }

    private static let syllables = ["bam", "cel", "dif", "gon", "hup", "jar", "kev", "lin", "mos", "nut"]

    /// Names that do not resemble those of another game, so that each finds its own markets.
    private static func game(_ number: Int, like game: Game) throws(DomainError) -> Game {
        let digits = String(String(1_000 + number).dropFirst())
        let parts = digits.compactMap(\.wholeNumberValue).map { syllables[$0] }
        let home = parts.joined().capitalized
        let away = parts.map { String($0.reversed()) }.joined().capitalized
        return try Game(
            id: GameID("\(game.id)-\(digits)"), sport: game.sport,
            home: Team(name: home, abbreviation: "H\(digits)"),
            away: Team(name: away, abbreviation: "A\(digits)"), scheduledAt: game.scheduledAt)
    }

    private static func market(_ market: Market, of game: Game, _ number: Int) throws(DomainError) -> Market {
        let team = market.team == .home ? game.home : game.away
        // The series and the day stay: `KXNBAGAME-26APR20`, without the teams.
        let day = market.eventTicker.prefix { $0 != "-" }.count + 8
        let event = "\(market.eventTicker.prefix(day))\(game.away.abbreviation)\(game.home.abbreviation)"
        return try Market(
            id: MarketID("\(event)-\(team.abbreviation)"), venue: market.venue, game: game.id, eventTicker: event,
            title: "\(game.away.name) vs \(game.home.name) Winner?", team: market.team, priceStep: market.priceStep)
    }

    private static func renamed(_ fact: RecordedFact, _ names: [MarketID: MarketID]) -> RecordedFact {
        switch fact {
        case .quote(let quote):
            .quote(
                RecordedQuote(
                    market: names[quote.market] ?? quote.market, bid: quote.bid, ask: quote.ask,
                    bidSize: quote.bidSize, askSize: quote.askSize))
        case .closed(let market): .closed(names[market] ?? market)
        case .settled(let market): .settled(names[market] ?? market)
        case .play, .status: fact
        }
    }
}
