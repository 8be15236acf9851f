import Domain
import MarketDiscoveryEngine
import Resilience
import Testing

@Suite struct MarketDiscoveryEngineTests {
    private let series = "KXNBAGAME"
    private func at(_ seconds: Double) -> MachineInstant { .origin.advanced(by: .milliseconds(Int64(seconds * 1000))) }

    private func knicks(_ id: GameID = "g1") throws -> Game {
        try game(.nba, home: ("New York Knicks", "NY"), away: ("Orlando Magic", "ORL"), at: "2025-12-07T17:00Z", id: id)
    }
    private let listed = event("KXNBAGAME-25DEC07ORLNYK", [("ORL", "Orlando"), ("NYK", "New York K")])

    private func isMatched(_ effect: DiscoveryEffect?) -> Bool {
        if case .answer(_, _, .matched(let markets)) = effect { markets.count == 2 } else { false }
    }

    @Test func `a question asks the venue once and is answered`() throws {
        var engine = MarketDiscoveryEngine()
        let game = try knicks()
        #expect(engine.handle(.requested(game, request: "r1"), at: at(0)) == [.search(series: series)])
        let other = try knicks("g2")
        #expect(engine.handle(.requested(other, request: "r2"), at: at(0.1)).isEmpty)
        let answers = engine.handle(.found(series: series, listed), at: at(0.3))
        #expect(answers.count == 2)
        #expect(answers.allSatisfy { isMatched($0) })
        #expect(engine.searches == 1)
    }

    @Test func `a fresh list is used again and an old one is not`() throws {
        var engine = MarketDiscoveryEngine()
        _ = engine.handle(.requested(try knicks(), request: "r1"), at: at(0))
        _ = engine.handle(.found(series: series, listed), at: at(0))
        let fresh = engine.handle(.requested(try knicks(), request: "r2"), at: at(59.9))
        #expect(isMatched(fresh.first))
        let old = engine.handle(.requested(try knicks(), request: "r3"), at: at(60))
        #expect(old == [.search(series: series)])
    }

    @Test func `a list that lacks the game says so only for a while`() throws {
        var engine = MarketDiscoveryEngine()
        let heat = try game(.nba, home: ("Miami Heat", "MIA"), away: ("Utah Jazz", "UTAH"), at: "2025-12-07T17:00Z")
        _ = engine.handle(.requested(try knicks(), request: "r1"), at: at(0))
        _ = engine.handle(.found(series: series, listed), at: at(0))
        let soon = engine.handle(.requested(heat, request: "r2"), at: at(14))
        #expect(soon == [.answer(request: "r2", heat, .unmatched(.otherTeams))])
        let later = engine.handle(.requested(heat, request: "r3"), at: at(16))
        #expect(later == [.search(series: series)])
    }

    @Test func `a failed search answers that it failed and is not remembered`() throws {
        var engine = MarketDiscoveryEngine()
        let game = try knicks()
        _ = engine.handle(.requested(game, request: "r1"), at: at(0))
        let failed = engine.handle(.searchFailed(series: series), at: at(1))
        #expect(failed == [.answer(request: "r1", game, .unmatched(.searchFailed))])
        let again = engine.handle(.requested(game, request: "r2"), at: at(1))
        #expect(again == [.search(series: series)])
        // An empty list is not remembered either.
        _ = engine.handle(.found(series: series, []), at: at(2))
        let third = engine.handle(.requested(game, request: "r3"), at: at(2))
        #expect(third == [.search(series: series)])
    }

    @Test func `a sport without a series is answered at once`() throws {
        var engine = MarketDiscoveryEngine()
        let bout = try game(.mma, home: ("A Fighter", "A"), away: ("B Fighter", "B"), at: "2025-12-07T17:00Z")
        let answer = engine.handle(.requested(bout, request: "r1"), at: at(0))
        #expect(answer == [.answer(request: "r1", bout, .unmatched(.noSeries))])
    }

    @Test func `questions that wait are bounded and a repeated one replaces itself`() throws {
        var engine = MarketDiscoveryEngine(questionsKept: 2)
        _ = engine.handle(.requested(try knicks("g1"), request: "r1"), at: at(0))
        _ = engine.handle(.requested(try knicks("g2"), request: "r2"), at: at(0))
        let third = try knicks("g3")
        let refused = engine.handle(.requested(third, request: "r3"), at: at(0))
        #expect(refused == [.answer(request: "r3", third, .unmatched(.tooManyQuestions))])

        var small = MarketDiscoveryEngine(questionsKept: 10)
        _ = small.handle(.requested(try knicks("g1"), request: "r1"), at: at(0))
        _ = small.handle(.requested(try knicks("g1"), request: "r2"), at: at(1))
        let answers = small.handle(.found(series: series, listed), at: at(2))
        #expect(answers.count == 1)
        #expect(isMatched(answers.first))
    }
}
