import Domain
import Resilience
import Testing

@testable import GameShardEngine

/// CHECKLIST R73: calibration, sums to 1, monotone in the lead.
@Suite struct WinProbabilityTests {
    private func state(
        lead: Int, period: Int, clock: Double?, status: GameStatus = .live, possession: HomeAway? = nil,
        source: Double? = nil
    ) throws -> GameState {
        try GameState(
            game: "game", status: status, homeScore: 60 + max(lead, 0), awayScore: 60 + max(-lead, 0),
            period: period, clockSeconds: clock, possession: possession,
            sourceHomeProbability: try source.map { try Probability($0) }, observedAt: .epoch)
    }

    private func home(
        _ sport: Sport, lead: Int, period: Int, clock: Double?, possession: HomeAway? = nil,
        pregame: Double? = nil
    ) throws -> Double {
        let state = try state(lead: lead, period: period, clock: clock, possession: possession)
        let pregame = try pregame.map { try Probability($0) }
        return try WinProbability.home(state, sport: sport, pregame: pregame).get().value
    }

    @Test(arguments: [
        (lead: 7, secondsLeft: 480.0, low: 0.88, high: 0.90), (15, 480, 0.97, 0.97), (7, 120, 0.95, 0.95),
        (3, 60, 0.85, 0.85),
    ])
    func `basketball meets its calibration within two and a half points`(
        lead: Int, secondsLeft: Double, low: Double, high: Double
    ) throws {
        let leading = try home(.nba, lead: lead, period: 4, clock: secondsLeft)
        let trailing = try home(.nba, lead: -lead, period: 4, clock: secondsLeft)
        for chance in [leading, 1 - trailing] {
            #expect(chance >= low - 0.025 && chance <= high + 0.025, "\(chance)")
        }
    }

    struct Formula: Sendable {
        let sport: Sport
        let lead: Int
        let period: Int
        let clock: Double?
        let odds: Double

        init(_ sport: Sport, _ lead: Int, _ period: Int, _ clock: Double?, _ odds: Double) {
            self.sport = sport
            self.lead = lead
            self.period = period
            self.clock = clock
            self.odds = odds
        }
    }

    /// Values computed by hand from DOMAIN 2.5.
    static let formulas: [Formula] = [
        // (7 + 2.5·√0.25) / (14·√0.25)
        Formula(.nfl, 7, 4, 900, 8.25 / 7),
        // The floor of one point: f = 9/3600, √f = 0.05
        Formula(.nfl, 3, 4, 9, 3.125),
        Formula(.ncaaf, -7, 3, 0, -5.5 / 7),
        // (1 + 0.1) / (1.2·√(1/3)·0.85)
        Formula(.nhl, 1, 3, 1_200, 1.867_888),
        // Never below 0.3
        Formula(.nhl, 1, 3, 12, 1.1 / 0.3),
        // Five innings left, the current one whole
        Formula(.mlb, 2, 5, nil, 0.4),
        Formula(.mlb, 1, 9, nil, 1.1),
        // (1 + 0.4) / (1.5·√0.5)
        Formula(.soccer, 1, 2, 2_700, 1.319_933),
        Formula(.mls, -1, 2, 0, -2),
        Formula(.tennis, 1, 2, nil, 1.0 / 3),
        Formula(.mma, -1, 2, nil, -1.0 / 3),
    ]

    @Test(arguments: formulas)
    func `each sport follows its formula`(formula: Formula) throws {
        let chance = try home(formula.sport, lead: formula.lead, period: formula.period, clock: formula.clock)
        #expect(abs(chance - 1 / (1 + power(-formula.odds))) < 1e-5)
    }

    /// e^x by its series, so that the test does not share the model's own function.
    private func power(_ x: Double) -> Double {
        var term = 1.0
        var sum = 1.0
        for index in 1..<60 {
            term *= x / Double(index)
            sum += term
        }
        return sum
    }

    @Test func `the side at bat tells the halves of an inning apart`() throws {
        let top = try home(.mlb, lead: 1, period: 8, clock: nil, possession: .away)
        let bottom = try home(.mlb, lead: 1, period: 8, clock: nil, possession: .home)
        let last = try home(.mlb, lead: 1, period: 9, clock: nil, possession: .home)
        #expect(top < bottom && bottom < last)
    }

    @Test func `possession helps, and not without time to use it`() throws {
        let without = try home(.nba, lead: -2, period: 4, clock: 45)
        let with = try home(.nba, lead: -2, period: 4, clock: 45, possession: .home)
        let expired = try home(.nba, lead: -2, period: 4, clock: 0, possession: .home)
        #expect(with > without)
        #expect(expired < 0.01)
    }

    @Test func `the pregame chance weighs half at the start and little at the end`() throws {
        let early = try home(.nba, lead: 0, period: 1, clock: 720, pregame: 0.8)
        let late = try home(.nba, lead: 0, period: 4, clock: 1, pregame: 0.8)
        #expect(abs(early - 1 / (1 + power(-(0.5 * 3 / 7.48 + 0.5 * 1.386_294_361)))) < 1e-6)
        #expect(late < 0.54)
    }

    @Test func `the pregame chance is clamped`() throws {
        let one = try home(.nba, lead: 0, period: 1, clock: 720, pregame: 1)
        let clamped = try home(.nba, lead: 0, period: 1, clock: 720, pregame: 0.99)
        #expect(one == clamped)
    }

    @Test func `the source's own probability is never an input`() throws {
        let without = try state(lead: 5, period: 2, clock: 300)
        let with = try state(lead: 5, period: 2, clock: 300, source: 0.01)
        #expect(
            WinProbability.home(without, sport: .nba, pregame: nil)
                == WinProbability.home(with, sport: .nba, pregame: nil))
    }

    @Test func `no probability outside live regular time or without a clock`() throws {
        let cases: [(GameState, WinProbability.Absence)] = [
            (try state(lead: 1, period: 5, clock: 100), .overtime),
            (try state(lead: 1, period: 4, clock: nil), .unknownClock),
            (try state(lead: 1, period: 4, clock: 721), .unknownClock),
            (try state(lead: 1, period: 0, clock: 0), .notLive),
            (try state(lead: 1, period: 4, clock: 1, status: .final), .notLive),
            (try state(lead: 1, period: 4, clock: 1, status: .suspended), .notLive),
        ]
        for (state, absence) in cases {
            #expect(WinProbability.home(state, sport: .nba, pregame: nil) == .failure(absence))
        }
    }

    @Test func `a slot has no model`() throws {
        let state = try state(lead: 1, period: 1, clock: 1)
        #expect(WinProbability.home(state, sport: .crypto, pregame: nil) == .failure(.noModel))
        let unmodelled = Sport.allCases.filter { SportModel.of($0) == nil }
        #expect(unmodelled == [.crypto])
    }

    @Test(arguments: Sport.allCases.filter { $0 != .crypto })
    func `the chance grows with the lead at every moment`(sport: Sport) throws {
        let model = try #require(SportModel.of(sport))
        var random = SeededGenerator(seed: 73)
        for _ in 0..<200 {
            let period = Int.random(in: 1...model.periods, using: &random)
            let clock = model.hasClock ? Double.random(in: 0...model.periodSeconds, using: &random) : nil
            let possession = [HomeAway.home, .away, nil].randomElement(using: &random) ?? nil
            let pregame = Bool.random(using: &random) ? Double.random(in: 0...1, using: &random) : nil
            var last = -1.0
            for lead in -30...30 {
                let chance = try home(
                    sport, lead: lead, period: period, clock: clock, possession: possession, pregame: pregame)
                #expect(chance >= last && chance >= 0 && chance <= 1)
                last = chance
            }
        }
    }

    @Test func `the clock alone never makes a jump in basketball`() throws {
        var last = try home(.nba, lead: 7, period: 4, clock: 720)
        for second in stride(from: 719.0, through: 60, by: -1) {
            let chance = try home(.nba, lead: 7, period: 4, clock: second)
            #expect(abs(chance - last) < 0.01, "\(second)")
            last = chance
        }
    }
}
