import Domain

/// How one sport is played and how fast a lead becomes safe: the constants of DOMAIN 2.5, fitted to no game.
///
/// Every model is a logistic of points in front, counted from the home team, divided by a volatility that shrinks as
/// the time runs out. So it is monotone in the lead and the two teams' chances add up to 1.
struct SportModel: Sendable {
    let periods: Int
    /// Length of one period; for sports without a clock what a period stands for in DOMAIN's total.
    let periodSeconds: Double
    let hasClock: Bool
    /// Whether a game may end without a winner, so that NO on one team is not YES on the other.
    let canDraw: Bool
    /// More points than this at once are held back until confirmed.
    let largestStep: Int
    private let points: @Sendable (Moment) -> Double

    /// What a model looks at.
    struct Moment: Sendable {
        /// Home score less away score.
        let lead: Double
        /// Regular time left, and as a part of the whole, from 1 to 0.
        let secondsLeft: Double
        let fractionLeft: Double
        /// Periods left, the current one included, in halves where the side at bat is known.
        let periodsLeft: Double
        let possession: HomeAway?

        /// +1 for the home team in possession, -1 for the away team, 0 when not known.
        var possessionSign: Double {
            switch possession {
            case .home: 1
            case .away: -1
            case nil: 0
            }
        }
    }

    var totalSeconds: Double { Double(periods) * periodSeconds }

    /// The log-odds of a home win.
    func logOdds(_ moment: Moment) -> Double { points(moment) }

    /// Nil for crypto slots, which have no score.
    static func of(_ sport: Sport) -> SportModel? {
        switch sport {
        case .nfl: football(home: 2.5)
        case .ncaaf: football(home: 3)
        case .nba: basketball(periods: 4, periodSeconds: 720, home: 3)
        case .ncaab: basketball(periods: 2, periodSeconds: 1_200, home: 4)
        case .nhl: hockey
        case .mlb: baseball
        case .mls, .soccer: soccer
        case .tennis: byRounds(periods: 3, periodSeconds: 2_400)
        case .mma: byRounds(periods: 3, periodSeconds: 300)
        case .crypto: nil
        }
    }
}

extension SportModel {
    /// Having the ball is worth less than its full points once there is no time left to use it.
    private static func possessionShare(_ moment: Moment) -> Double { min(1, moment.secondsLeft / 60) }

    /// Spread 14·√f with a floor of one point; home advantage fades with √f; possession at midfield 2.5 points.
    private static func football(home: Double) -> SportModel {
        SportModel(periods: 4, periodSeconds: 900, hasClock: true, canDraw: false, largestStep: 16) { moment in
            let root = moment.fractionLeft.squareRoot()
            let possession = 2.5 * moment.possessionSign * possessionShare(moment)
            return (moment.lead + home * root + possession) / max(14 * root, 1)
        }
    }

    /// Spread 2.2·√(100·f) times a phase factor, which carries the calibration of CHECKLIST R73:
    /// 7 points at 8 min 88–90 %, 15 at 8 min 97 %, 7 at 2 min 95 %, 3 at 1 min 85 %.
    ///
    /// The factor is 0.34 until 600 s before the end and grows evenly to 0.535 at 120 s: a step would make a signal
    /// out of the clock alone.
    private static func basketball(periods: Int, periodSeconds: Double, home: Double) -> SportModel {
        SportModel(
            periods: periods, periodSeconds: periodSeconds, hasClock: true, canDraw: false, largestStep: 12
        ) { moment in
            let late = min(max((600 - moment.secondsLeft) / 480, 0), 1)
            let volatility = (100 * moment.fractionLeft).squareRoot() * 2.2 * (0.34 + 0.195 * late)
            let worth: Double =
                switch moment.secondsLeft {
                case ...120: 2
                case ...300: 1.7
                case ...600: 1.3
                default: 1
                }
            let possession = worth * moment.possessionSign * possessionShare(moment)
            return (moment.lead + home * moment.fractionLeft + possession) / max(volatility, 0.3)
        }
    }

    private static var hockey: SportModel {
        SportModel(periods: 3, periodSeconds: 1_200, hasClock: true, canDraw: false, largestStep: 4) { moment in
            let left = moment.fractionLeft
            let phase = left < 0.33 ? 0.7 : left < 0.5 ? 0.85 : 1
            return (moment.lead + 0.1) / max(1.2 * left.squareRoot() * phase, 0.3)
        }
    }

    private static var baseball: SportModel {
        SportModel(periods: 9, periodSeconds: 3_600, hasClock: false, canDraw: false, largestStep: 8) { moment in
            let home = moment.periodsLeft <= 1 ? 0.1 : 0
            return (moment.lead + home) / max(moment.periodsLeft, 0.5)
        }
    }

    private static var soccer: SportModel {
        SportModel(periods: 2, periodSeconds: 2_700, hasClock: true, canDraw: true, largestStep: 3) { moment in
            (moment.lead + 0.4) / max(1.5 * moment.fractionLeft.squareRoot(), 0.3)
        }
    }

    /// Tennis and MMA: the lead in sets or rounds over three, whatever the time.
    private static func byRounds(periods: Int, periodSeconds: Double) -> SportModel {
        SportModel(
            periods: periods, periodSeconds: periodSeconds, hasClock: false, canDraw: false, largestStep: 8
        ) { moment in
            moment.lead / 3
        }
    }
}
