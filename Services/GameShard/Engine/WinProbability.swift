import Domain

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// The home team's chance to win, from the score and the time left (DOMAIN 2.5, CHECKLIST R73).
public enum WinProbability {
    /// Why the model says nothing.
    public enum Absence: String, Error, Hashable, Sendable, CaseIterable {
        case notLive
        case overtime
        /// The clock is missing where the sport has one, or shows more than a period.
        case unknownClock
        /// Nothing is known of the sport that a score could be judged by.
        case noModel
    }

    /// Our estimate for a live game in regular time.
    ///
    /// `pregame` is the market's home probability before the start, blended in log-odds with the weight
    /// 0.5·e^(−2.5·progress); nil leaves the model alone. The feed's own probability is never an input.
    public static func home(
        _ state: GameState, sport: Sport, pregame: Probability?
    ) -> Result<Probability, Absence> {
        guard state.status == .live, state.period >= 1 else { return .failure(.notLive) }
        guard let model = SportModel.of(sport) else { return .failure(.noModel) }
        guard state.period <= model.periods else { return .failure(.overtime) }
        guard let moment = moment(of: state, model: model) else { return .failure(.unknownClock) }
        let odds = blend(model.logOdds(moment), with: pregame, progress: 1 - moment.fractionLeft)
        return .success(Probability(clamping: logistic(odds)))
    }

    private static func moment(of state: GameState, model: SportModel) -> SportModel.Moment? {
        let after = Double(model.periods - state.period)
        let current: Double
        if model.hasClock {
            guard let clock = state.clockSeconds, clock <= model.periodSeconds else { return nil }
            current = clock / model.periodSeconds
        } else {
            // At bat, the home team plays the second half of the inning; an unknown half counts as whole.
            current = state.possession == .home ? 0.5 : 1
        }
        let periodsLeft = after + current
        return SportModel.Moment(
            lead: Double(state.homeScore - state.awayScore), secondsLeft: periodsLeft * model.periodSeconds,
            fractionLeft: periodsLeft / Double(model.periods), periodsLeft: periodsLeft,
            possession: state.possession)
    }

    private static func blend(_ odds: Double, with pregame: Probability?, progress: Double) -> Double {
        guard let pregame else { return odds }
        let clamped = min(max(pregame.value, 0.01), 0.99)
        let weight = 0.5 * exp(-2.5 * progress)
        return (1 - weight) * odds + weight * log(clamped / (1 - clamped))
    }

    private static func logistic(_ odds: Double) -> Double { 1 / (1 + exp(-odds)) }
}
