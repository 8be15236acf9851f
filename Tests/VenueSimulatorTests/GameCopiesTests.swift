import Domain
import Foundation
import Recording
import Runtime
import Testing

@testable import VenueSimulator

/// Made-up games beside the recorded one.
struct GameCopiesTests {
    @Test func `one game is the recording itself`() throws {
        let header = try Fixture.recording().header
        let copies = try GameCopies(of: header, count: 1)
        #expect(copies.header == header)
        #expect(copies.games == [header.game])
        #expect(copies.facts(.closed(Fixture.home)) == [.closed(Fixture.home)])
    }

    @Test func `every game has markets of its own with the same course`() throws {
        let recording = try Fixture.recording()
        let copies = try GameCopies(of: recording.header, count: 20)
        let markets = copies.header.markets.map(\.market)
        #expect(copies.games.count == 20 && Set(copies.games.map(\.id)).count == 20)
        #expect(Set(markets.map(\.id)).count == 40 && Set(markets.map(\.eventTicker)).count == 20)
        for game in copies.games { #expect(Set(markets.filter { $0.game == game.id }.map(\.team)) == [.home, .away]) }
        let copy = try #require(markets.last)
        #expect(copy.eventTicker == "KXNBAGAME-26APR20A019H019" && copy.id.rawValue.hasSuffix("-A019"))

        var exchange = SimulatedExchange(header: copies.header, balance: .dollars(1))
        for moment in recording.moments {
            for fact in moment.facts {
                for own in copies.facts(fact) { _ = exchange.apply(own, at: moment.at) }
            }
        }
        #expect(exchange.sortedMarkets.allSatisfy { $0.phase == .finalized })
    }

    @Test func `games that are apart play the same, each a little behind the one before`() throws {
        let recording = try Fixture.recording()
        let together = try GameCopies(of: recording.header, count: 3)
        let copies = try GameCopies(of: recording.header, count: 3, apart: .milliseconds(40))
        #expect(together.moments(of: recording) == recording.moments)
        let moments = copies.moments(of: recording)
        #expect(zip(moments, moments.dropFirst()).allSatisfy { $0.at < $1.at })
        let closes = moments.flatMap { moment in
            moment.facts.compactMap { fact in
                if case .closed(let market) = fact { (market, recording.start.duration(to: moment.at)) } else { nil }
            }
        }
        let own = copies.header.markets.map(\.market.id)
        let expected = [(0, 60_000), (1, 60_000), (2, 60_040), (3, 60_040), (4, 60_080), (5, 60_080)]
        #expect(closes.map(\.0) == expected.map { own[$0.0] })
        #expect(closes.map(\.1) == expected.map { .milliseconds($0.1) })
        // One scoreboard speaks for all of them at once.
        let plays = moments.flatMap(\.facts).count { if case .play = $0 { true } else { false } }
        #expect(plays == 3)
        #expect(copies.facts(.closed(Fixture.home)) == [.closed(Fixture.home)])
    }

    @Test func `the scoreboard lists every game, and the list of markets every market`() async throws {
        let recording = try Fixture.recording()
        let copies = try GameCopies(of: recording.header, count: 3)
        let boards = copies.games.map { Scoreboard(game: $0) }
        let events = JSONObject(ScoreboardBody.body(boards, isListed: true).text).list("events")
        #expect(events.map { $0.text("id") } == copies.games.map(\.id.rawValue))
        #expect(JSONObject(ScoreboardBody.body(boards, isListed: false).text).list("events").isEmpty)
    }
}
