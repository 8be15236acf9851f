import Domain
import Resilience
import Testing

@testable import GameShardEngine

/// Scores and books as feeds really send them: twice, backwards, late, absurd.
@Suite struct FeedTests {
    @Test func `a state is stored and published once, an unchanged one only now and then`() throws {
        var fixture = Fixture()
        _ = try fixture.assign(epoch: 1)
        fixture.beat(granted: true)
        var stored = 0
        var published = 0
        for _ in 0..<20 {
            let effects = try fixture.state()
            stored += effects.stored.count
            published += effects.published.count
            fixture.pass(0.5)
        }
        #expect(stored == 1)
        #expect(published == 2)
    }

    @Test func `the stored row has our probability beside the source's`() throws {
        var fixture = Fixture()
        _ = try fixture.assign(epoch: 1)
        fixture.beat(granted: true)
        let state = try GameState(
            game: "nba-401869369", status: .live, homeScore: 97, awayScore: 90, period: 4, clockSeconds: 480,
            sourceHomeProbability: Probability(0.5), observedAt: fixture.now)
        let effects = fixture.send(.state(state))
        let row = effects.compactMap { if case .storeState(let state, let ours) = $0 { (state, ours) } else { nil } }
        let (stored, ours) = try #require(row.first)
        #expect(stored.sourceHomeProbability?.value == 0.5)
        #expect((ours?.value ?? 0) > 0.85)
    }

    @Test func `a frozen feed is stale by its own time however often it is polled`() throws {
        var fixture = try Fixture.watching()
        _ = try fixture.book(bid: 85, ask: 87)
        var last: [NoSignal] = []
        for age in stride(from: 0.5, through: 31, by: 0.5) {
            fixture.pass(0.5)
            _ = fixture.send(.booksConfirmed(.kalshi, at: fixture.now))
            last = try fixture.state(age: age).reasons
        }
        #expect(last == [.staleState])
    }

    @Test func `odd states are counted and survived`() throws {
        var fixture = try Fixture.watching()
        fixture.pass(10)
        #expect(try fixture.state(home: 99).oddities == [])
        #expect(try fixture.state(home: 99).oddities == [.duplicateState])
        #expect(try fixture.state(home: 97, age: 5).oddities == [.olderState])
        #expect(try fixture.state(home: 99, age: -31).oddities == [.futureState])
        #expect(try fixture.state(.scheduled).oddities == [.illegalStatus])
        #expect(try fixture.state(home: 98).oddities == [.scoreBackwards])
        #expect(try fixture.state(home: 198).oddities == [.scoreJump])
        #expect(try fixture.state(game: "nba-0").oddities == [.unknownGame])
        #expect(fixture.send(.bookUpdated("X", .empty, confirmedAt: fixture.now)).oddities == [.unknownMarket])
    }

    @Test func `a corrected score is acted on only after it stood for a while`() throws {
        var fixture = try Fixture.watching()
        fixture.pass(1)
        _ = try fixture.state(home: 0)
        #expect(try fixture.book(bid: 58, ask: 60).reasons == [.unconfirmedScore])
        fixture.pass(1)
        _ = try fixture.state(home: 97)
        #expect(try fixture.book(bid: 58, ask: 60).reasons == [.unconfirmedScore])
        fixture.pass(5)
        #expect(try fixture.state(home: 97).signals.count == 1)
    }

    @Test func `a jump after a long silence is a game that went on`() throws {
        var fixture = try Fixture.watching()
        fixture.pass(120)
        #expect(try fixture.state(home: 117).oddities == [])
    }

    @Test func `the end of a game stops it, lets it go, and is not undone by an old command`() throws {
        var fixture = try Fixture.watching()
        fixture.pass(1)
        let effects = try fixture.state(.final, home: 115, away: 105, clock: 0)
        #expect(
            effects.contains { if case .gameEnded(let state, .first) = $0 { state.homeScore == 115 } else { false } })
        #expect(effects.followed == [] && effects.contains(.pollScores([])))
        #expect(fixture.engine.watched.isEmpty)
        #expect(try fixture.assign(epoch: 1).verdicts == [.stale])
        #expect(try fixture.assign(epoch: 2).verdicts == [.accepted])
    }

    @Test func `a price that does not move is told again while the venue confirms its book, and not once it is lost`()
        throws
    {
        var fixture = try Fixture.watching()
        _ = try fixture.book(bid: 85, ask: 87)
        fixture.pass(4)
        #expect(fixture.send(.booksConfirmed(.kalshi, at: fixture.now)).prices.isEmpty)
        fixture.pass(1)
        let again = fixture.send(.booksConfirmed(.kalshi, at: fixture.now)).prices
        #expect(again.map(\.at) == [fixture.now] && again.map(\.yesBid?.price) == [.cents(85)])
        #expect(fixture.send(.booksConfirmed(.polymarket, at: fixture.now)).prices.isEmpty)
        fixture.pass(40)
        #expect(fixture.send(.booksConfirmed(.kalshi, at: fixture.now.advanced(by: .seconds(-35)))).prices.isEmpty)
        _ = fixture.send(.booksInvalidated([Fixture.home]))
        fixture.pass(10)
        #expect(fixture.send(.booksConfirmed(.kalshi, at: fixture.now)).prices.isEmpty)
    }

    @Test func `a price is published when it changes, now and then otherwise, and when it is lost`() throws {
        var fixture = try Fixture.watching()
        #expect(try fixture.book(bid: 85, ask: 87).prices.map(\.yesAsk?.price) == [.cents(87)])
        #expect(try fixture.book(bid: 85, ask: 87).prices.isEmpty)
        #expect(try fixture.book(bid: 85, ask: 88).prices.count == 1)
        fixture.pass(5)
        #expect(try fixture.book(bid: 85, ask: 88).prices.count == 1)
        let lost = fixture.send(.booksInvalidated([Fixture.home])).prices
        #expect(lost.count == 1 && lost.first?.yesBid == nil && lost.first?.yesAsk == nil)
    }

    @Test func `the first two-sided book before the start gives the pregame chance`() throws {
        var fixture = Fixture()
        _ = try fixture.assign(epoch: 1)
        fixture.beat(granted: true)
        fixture.now = fixture.now.advanced(by: .seconds(-600))
        let crossed = try fixture.book(Fixture.home, bid: 70, ask: 60)
        let first = try fixture.book(Fixture.away, bid: 29, ask: 31)
        let second = try fixture.book(Fixture.home, bid: 10, ask: 12)
        #expect(pregames(crossed).isEmpty && pregames(second).isEmpty)
        #expect(pregames(first).map(\.description) == ["0.7000"])
    }

    @Test func `a live book is never taken for a pregame one`() throws {
        var fixture = Fixture()
        _ = try fixture.assign(epoch: 1)
        #expect(pregames(try fixture.book(bid: 69, ask: 71)).isEmpty)
        _ = try fixture.state(home: 2, away: 0, period: 1, clock: 700)
        #expect(pregames(try fixture.book(bid: 69, ask: 71)).isEmpty)
    }

    @Test func `a late start keeps its pregame book`() throws {
        var fixture = Fixture()
        _ = try fixture.assign(epoch: 1)
        fixture.pass(300)
        _ = try fixture.state(.scheduled, home: 0, away: 0, period: 0, clock: 0)
        #expect(pregames(try fixture.book(bid: 69, ask: 71)).count == 1)
    }

    @Test func `a game that is taken over brings its pregame chance along`() throws {
        var with = Fixture()
        _ = try with.assign(epoch: 2, pregame: 0.2)
        with.beat(granted: true)
        var without = try Fixture.watching()
        let lower = try #require(probability(try with.state()))
        without.pass(1)
        let higher = try #require(probability(try without.state(play: "play-2")))
        #expect(lower < higher)
    }

    @Test func `a game says how many of its books it does not see`() throws {
        var fixture = Fixture()
        #expect(fixture.engine.missingBooks(at: fixture.now).isEmpty)
        _ = try fixture.assign(epoch: 1)
        func missing(_ fixture: Fixture) -> Int? { fixture.engine.missingBooks(at: fixture.now)["nba-401869369"] }
        #expect(missing(fixture) == 2)
        _ = try fixture.book(bid: 69, ask: 71)
        #expect(missing(fixture) == 1)
        _ = try fixture.book(Fixture.away, bid: 29, ask: 31)
        #expect(missing(fixture) == 0)
        // A newer epoch keeps books that are warm.
        _ = try fixture.assign(epoch: 2)
        #expect(missing(fixture) == 0)
        _ = fixture.send(.booksInvalidated([Fixture.home]))
        #expect(missing(fixture) == 1)
        // One that has arrived is there, whenever it is worked off.
        let arrived = fixture.engine.missingBooks(at: fixture.now, besides: [Fixture.home])
        #expect(arrived["nba-401869369"] == 0)
        fixture.pass(31)
        #expect(missing(fixture) == 2)
    }

    private func probability(_ effects: [ShardEffect]) -> Probability? {
        effects.compactMap { if case .storeState(_, let ours) = $0 { ours } else { nil } }.first
    }

    private func pregames(_ effects: [ShardEffect]) -> [Probability] {
        effects.compactMap { if case .storePregame(_, let chance) = $0 { chance } else { nil } }
    }
}
