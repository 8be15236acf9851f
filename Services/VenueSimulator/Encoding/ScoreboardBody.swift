import Domain
import Recording

/// What the score feed shows of the game now.
struct Scoreboard: Hashable, Sendable {
    let game: Game
    private(set) var status = GameStatus.scheduled
    private(set) var score = RecordedScore(period: 0, clockTenths: 0, home: 0, away: 0)
    private(set) var lastPlay: RecordedPlay?
    private(set) var periods: [Int: (home: Int, away: Int)] = [:]

    init(game: Game) { self.game = game }

    mutating func apply(_ fact: RecordedFact) {
        switch fact {
        case .play(let play):
            lastPlay = play
            show(play.score)
        case .status(let next, let score):
            status = next
            show(score)
        case .quote, .closed, .settled: break
        }
    }

    private mutating func show(_ next: RecordedScore) {
        if next.period > 0 {
            let before = periods.filter { $0.key < next.period }.values.reduce((home: 0, away: 0)) {
                ($0.home + $1.home, $0.away + $1.away)
            }
            periods[next.period] = (next.home - before.home, next.away - before.away)
        }
        score = next
    }

    static func == (left: Scoreboard, right: Scoreboard) -> Bool {
        left.game == right.game && left.status == right.status && left.score == right.score
            && left.lastPlay == right.lastPlay
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(game)
        hasher.combine(status)
        hasher.combine(score)
    }
}

/// The scoreboard body of the score feed (WIRE 3): the fields that we read, among those around them.
enum ScoreboardBody {
    /// The feed's path of each sport that it has, below `/apis/site/v2/sports`.
    ///
    /// Nil for what the feed does not have.
    static func path(_ sport: Sport) -> String? {
        switch sport {
        case .nfl: "football/nfl"
        case .ncaaf: "football/college-football"
        case .nba: "basketball/nba"
        case .ncaab: "basketball/mens-college-basketball"
        case .nhl: "hockey/nhl"
        case .mlb: "baseball/mlb"
        case .mls: "soccer/usa.1"
        case .soccer: "soccer/all"
        case .tennis: "tennis/atp"
        case .mma: "mma/ufc"
        case .crypto: nil
        }
    }

    /// The body with the games, all of one sport and day, as its events; or, for another day, without them.
    static func body(_ boards: [Scoreboard], isListed: Bool) -> JSONText {
        guard let board = boards.first else { return [:] }
        let day = easternDay(board.game.scheduledAt)
        return [
            "leagues": [
                [
                    "id": "46", "name": .string(board.game.sport.rawValue.uppercased()),
                    "abbreviation": .string(board.game.sport.rawValue.uppercased()),
                    "slug": .string(board.game.sport.rawValue),
                ]
            ],
            "season": ["type": 2, "year": .integer(day.year)], "day": ["date": .string(day.description)],
            "events": isListed ? .array(boards.map(event)) : [],
        ]
    }

    /// The day of the game in US Eastern, near enough for a list of games: five hours behind UTC.
    static func easternDay(_ instant: VenueInstant) -> CivilDate { instant.advanced(by: .seconds(-5 * 3_600)).utcDay }

    private static func event(_ board: Scoreboard) -> JSONText {
        let game = board.game
        let date = JSONText.string(String(game.scheduledAt.description.prefix(16)) + "Z")
        var competition: JSONText = [
            "id": .string(game.id.rawValue), "date": date, "attendance": 0, "timeValid": true, "neutralSite": false,
            "playByPlayAvailable": true, "recent": true,
            "competitors": [competitor(board, .home), competitor(board, .away)], "status": status(board),
        ]
        if board.status == .live { competition = competition.adding([("situation", situation(board))]) }
        return [
            "id": .string(game.id.rawValue), "uid": .string("s:40~l:46~e:\(game.id)"), "date": date,
            "name": .string("\(game.away.name) at \(game.home.name)"),
            "shortName": .string("\(game.away.abbreviation) @ \(game.home.abbreviation)"),
            "competitions": [competition], "status": status(board),
        ]
    }

    private static func competitor(_ board: Scoreboard, _ side: HomeAway) -> JSONText {
        let team = side == .home ? board.game.home : board.game.away
        let score = side == .home ? board.score.home : board.score.away
        let words = team.name.split(separator: " ")
        let lines = board.periods.sorted { $0.key < $1.key }.map { period, points -> JSONText in
            let points = side == .home ? points.home : points.away
            return [
                "value": .number("\(points).0"), "displayValue": .string("\(points)"),
                "period": .integer(Int64(period)),
            ]
        }
        return [
            "id": .string(teamID(side)), "uid": .string("s:40~l:46~t:\(teamID(side))"), "type": "team",
            "order": side == .home ? 0 : 1, "homeAway": .string(side.rawValue),
            "team": [
                "id": .string(teamID(side)), "location": .string(words.dropLast().joined(separator: " ")),
                "name": .string(words.last.map(String.init) ?? team.name),
                "abbreviation": .string(team.abbreviation), "displayName": .string(team.name),
                "shortDisplayName": .string(words.last.map(String.init) ?? team.name), "isActive": true,
            ],
            "score": .string("\(score)"), "linescores": .array(lines), "statistics": [],
        ]
    }

    private static func teamID(_ side: HomeAway) -> String { side == .home ? "1" : "2" }

    private static func status(_ board: Scoreboard) -> JSONText {
        let clock = board.score.clockTenths ?? 0
        let (id, name, state, words) = words(board.status)
        let live = "\(display(clock)) - \(ordinal(board.score.period)) Quarter"
        let detail = board.status == .live ? live : words
        return [
            "clock": .number(FixedPoint.format(clock, scale: 1)), "displayClock": .string(display(clock)),
            "period": .integer(Int64(board.score.period)),
            "type": [
                "id": .string(id), "name": .string(name), "state": .string(state),
                "completed": .flag(board.status == .final), "description": .string(words), "detail": .string(detail),
                "shortDetail": .string(detail),
            ],
        ]
    }

    private static func words(_ status: GameStatus) -> (String, String, String, String) {
        switch status {
        case .scheduled: ("1", "STATUS_SCHEDULED", "pre", "Scheduled")
        case .live: ("2", "STATUS_IN_PROGRESS", "in", "In Progress")
        case .final: ("3", "STATUS_FINAL", "post", "Final")
        case .postponed: ("6", "STATUS_POSTPONED", "post", "Postponed")
        case .suspended: ("8", "STATUS_SUSPENDED", "in", "Suspended")
        case .cancelled: ("5", "STATUS_CANCELED", "post", "Canceled")
        }
    }

    /// `11:43`, or tenths in the last minute: `27.6`.
    static func display(_ tenths: Int64) -> String {
        if tenths < 600 { return FixedPoint.format(tenths, scale: 1) }
        let seconds = tenths / 10
        return "\(seconds / 60):\(seconds % 60 < 10 ? "0" : "")\(seconds % 60)"
    }

    private static func ordinal(_ number: Int) -> String {
        switch number {
        case 1: "1st"
        case 2: "2nd"
        case 3: "3rd"
        default: "\(number)th"
        }
    }

    private static func situation(_ board: Scoreboard) -> JSONText {
        guard let play = board.lastPlay else { return [:] }
        var lastPlay: JSONText = [
            "id": .string(play.id.rawValue), "type": ["id": "92", "text": "Scoring play"], "text": "Scoring play",
        ]
        if let home = play.homeProbability {
            lastPlay = lastPlay.adding([
                (
                    "probability",
                    [
                        "tiePercentage": .number("0.0"), "homeWinPercentage": .number(home.description),
                        "awayWinPercentage": .number(home.complement.description), "secondsLeft": 0,
                    ]
                )
            ])
        }
        return ["lastPlay": lastPlay]
    }
}
