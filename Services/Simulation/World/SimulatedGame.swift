import Domain
import GameShardEngine
import MarketDiscoveryEngine
import Resilience

/// A game that is played while the simulation runs, and what its two markets are quoted at.
struct SimulatedGame {
    let game: Game
    let markets: [Market]
    private(set) var homeScore: Int
    private(set) var awayScore: Int
    private(set) var period: Int
    private var secondsLeft: Double
    /// How far the market is from the model, in cents; wanders, and comes back.
    private var error = 0

    init(_ game: Game, _ markets: [Market], using random: inout SeededGenerator) {
        self.game = game
        self.markets = markets
        homeScore = Int.random(in: 20...60, using: &random)
        awayScore = Int.random(in: 20...60, using: &random)
        period = Int.random(in: 2...4, using: &random)
        secondsLeft = Double(Int.random(in: 300...700, using: &random))
    }

    mutating func play(using random: inout SeededGenerator) {
        secondsLeft = max(1, secondsLeft - Double(Int.random(in: 2...6, using: &random)))
        if Bool.random(using: &random) { homeScore += Int.random(in: 0...3, using: &random) }
        if Bool.random(using: &random) { awayScore += Int.random(in: 0...3, using: &random) }
        if Int.random(in: 0..<100, using: &random) == 0 { homeScore = max(0, homeScore - 2) }
    }

    func state(_ status: GameStatus, at now: VenueInstant) -> GameState? {
        try? GameState(
            game: game.id, status: status, homeScore: homeScore, awayScore: awayScore, period: period,
            clockSeconds: secondsLeft, observedAt: now)  // within every range by construction
    }

    /// The next book of one market: two sides, sometimes one, sometimes none, sometimes crossed.
    mutating func quote(_ market: Market, at now: VenueInstant, using random: inout SeededGenerator) -> OrderBook {
        error = error * 7 / 8 + Int.random(in: -3...3, using: &random)
        if Int.random(in: 0..<15, using: &random) == 0 { error = Int.random(in: -14...14, using: &random) }
        var fair = 50
        if let state = state(.live, at: now),
            case .success(let home) = WinProbability.home(state, sport: game.sport, pregame: nil)
        {
            fair = Int((market.team == .home ? home : home.complement).value * 100)
        }
        let middle = min(max(fair + (market.team == .home ? error : -error), 3), 97)
        let oddity = Int.random(in: 0..<100, using: &random)
        if oddity == 0 { return .empty }
        let width = oddity == 1 ? -2 : Int.random(in: 1...2, using: &random)
        let bid = Self.levels(middle - width, using: &random)
        let ask = oddity == 2 ? [] : Self.levels(100 - middle - width, using: &random)
        return (try? OrderBook(yesBids: bid, noBids: ask)) ?? .empty
    }

    private static func levels(_ best: Int, using random: inout SeededGenerator) -> [BookLevel] {
        (0..<2).compactMap { step in
            let cents = min(max(best - step, 1), 99)
            guard cents > 1 || step == 0 else { return nil }
            return try? BookLevel(
                price: .cents(Int64(cents)), quantity: .contracts(Int64.random(in: 5...300, using: &random)))
        }
    }
}

/// Twenty games of ten pairs of teams on two days, so that a market belongs to one of them only.
enum SimulatedSchedule {
    private static let teams: [(String, String)] = [
        ("Cleveland Cavaliers", "CLE"), ("Toronto Raptors", "TOR"), ("Orlando Magic", "ORL"),
        ("New York Knicks", "NYK"), ("Boston Celtics", "BOS"), ("Miami Heat", "MIA"), ("Denver Nuggets", "DEN"),
        ("Phoenix Suns", "PHX"), ("Dallas Mavericks", "DAL"), ("Utah Jazz", "UTA"), ("Chicago Bulls", "CHI"),
        ("Detroit Pistons", "DET"), ("Atlanta Hawks", "ATL"), ("Milwaukee Bucks", "MIL"), ("Houston Rockets", "HOU"),
        ("Memphis Grizzlies", "MEM"), ("Sacramento Kings", "SAC"), ("Portland Trail Blazers", "POR"),
        ("Indiana Pacers", "IND"), ("Charlotte Hornets", "CHA"),
    ]

    static func games(_ ids: [GameID]) -> [Game] {
        ids.enumerated().map { index, id in
            let (home, away) = (teams[index % 10 * 2], teams[index % 10 * 2 + 1])
            let day = index / 10
            guard let homeTeam = try? Team(name: home.0, abbreviation: home.1),
                let awayTeam = try? Team(name: away.0, abbreviation: away.1),
                let game = try? Game(
                    id: id, sport: .nba, home: homeTeam, away: awayTeam,
                    scheduledAt: SimulatedGames.scheduledAt.advanced(by: .seconds(-86_400 * day)))
            else { preconditionFailure("bad game \(id)") }
            return game
        }
    }

    /// What the venue lists about a game: one market for each team.
    static func candidates(of game: Game) -> [Candidate] {
        let day = SimulatedGames.scheduledAt.duration(to: game.scheduledAt) < .zero ? "19" : "20"
        let event = "KXNBAGAME-26APR\(day)\(game.away.abbreviation)\(game.home.abbreviation)"
        return [game.home, game.away].map { team in
            Candidate(
                ticker: "\(event)-\(team.abbreviation)", eventTicker: event,
                title: "\(game.away.name) at \(game.home.name) Winner?", yesSubTitle: team.name, isOpen: true)
        }
    }
}
