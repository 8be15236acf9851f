import Domain
import Testing

@testable import GameShardEngine

/// CHECKLIST R75: hand-computed, net of fees.
@Suite struct EdgeTests {
    private func edge(
        home: Double, _ outcome: Outcome, _ team: HomeAway, bid: Int64, ask: Int64, venue: Venue = .kalshi
    ) throws -> Edge? {
        let market = try Market(id: "M", venue: venue, game: "game", eventTicker: "E", title: "", team: team)
        return Edge.buying(
            outcome, of: market, in: try Fixture.book(bid: bid, ask: ask), home: try Probability(home),
            reference: .contracts(100))
    }

    @Test(arguments: [
        // 0.80 − 0.60 − 0.07·0.6·0.4
        (home: 0.80, outcome: Outcome.yes, team: HomeAway.home, bid: 58 as Int64, ask: 60 as Int64, points: 1832),
        // NO of the home market costs 1 − bid: 0.80 − 0.60 − fee
        (0.20, .no, .home, 40, 45, 1832),
        (0.20, .yes, .away, 55, 60, 1832),
        (0.80, .no, .away, 40, 45, 1832),
        (0.65, .yes, .home, 49, 50, 1325),
        // 0.80 − 0.57 − 0.017157 = 0.212843, rounded down
        (0.80, .yes, .home, 55, 57, 2128),
        // 0.50 − 0.55 − 0.017325, rounded down
        (0.50, .yes, .home, 50, 55, -674),
    ])
    func `an edge is the chance less the ask less the fee`(
        home: Double, outcome: Outcome, team: HomeAway, bid: Int64, ask: Int64, points: Int
    ) throws {
        let edge = try #require(try edge(home: home, outcome, team, bid: bid, ask: ask))
        #expect(edge.basisPoints == points)
    }

    @Test func `the venue's own fee is used`() throws {
        let edge = try #require(try edge(home: 0.65, .yes, .home, bid: 49, ask: 50, venue: .polymarket))
        #expect(edge.basisPoints == 1425)
    }

    @Test func `YES on one team and NO on the other back the same team`() throws {
        let bets: [(Outcome, HomeAway)] = [(.yes, .home), (.no, .away)]
        for (outcome, team) in bets {
            let edge = try #require(try edge(home: 0.5, outcome, team, bid: 49, ask: 50))
            #expect(edge.backed == .home)
        }
    }
}
