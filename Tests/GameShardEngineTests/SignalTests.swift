import Domain
import Resilience
import Testing

@testable import GameShardEngine

/// CHECKLIST R72, R74, R75, R77, H10.
@Suite struct SignalTests {
    @Test func `an edge becomes one signal that says everything`() throws {
        var fixture = try Fixture.watching()
        let effects = try fixture.book(bid: 58, ask: 60)
        let signal = try #require(effects.signals.first)
        #expect(effects.signals.count == 1)
        #expect(signal.id == "life-1-1")
        #expect(signal.kind == .modelEdgeYes && signal.outcome == .yes && signal.market == Fixture.home)
        #expect(signal.price == .cents(60) && signal.available == .contracts(50))
        #expect(signal.epoch == .first && signal.shard == "shard-01" && signal.play == "play-1")
        #expect(signal.createdAt == fixture.now && signal.expiresAt == fixture.now.advanced(by: .seconds(60)))
        #expect(signal.edgeBasisPoints > 2_500)
        #expect(effects.contains(.report(.signal(.modelEdgeYes))))
    }

    @Test func `a state alone can make the signal`() throws {
        var fixture = Fixture()
        _ = try fixture.assign(epoch: 1)
        fixture.beat(granted: true)
        _ = try fixture.book(bid: 58, ask: 60)
        let effects = try fixture.state()
        #expect(effects.signals.count == 1)
    }

    @Test func `the cheaper of the two markets is taken`() throws {
        var fixture = try Fixture.watching(rules: wide())
        _ = try fixture.book(Fixture.home, bid: 58, ask: 60)
        // NO on Toronto costs 1 − 0.45 = 0.55
        _ = try fixture.book(Fixture.away, bid: 45, ask: 47)
        fixture.pass(31)
        _ = try fixture.book(Fixture.home, bid: 58, ask: 60)
        _ = try fixture.state()
        fixture.pass(31)
        _ = fixture.send(.booksConfirmed(.kalshi, at: fixture.now))
        let signal = try #require(try fixture.state().signals.first)
        #expect(signal.market == Fixture.away && signal.outcome == .no && signal.kind == .modelEdgeNo)
        #expect(signal.price == .cents(55))
    }

    private func wide() -> ShardRules {
        var rules = ShardRules()
        rules.bookLimit = .seconds(300)
        return rules
    }

    @Test func `a trailing home team makes a NO`() throws {
        var fixture = try Fixture.watching()
        fixture.pass(1)
        _ = try fixture.state(home: 97, away: 102)
        let signal = try #require(try fixture.book(bid: 40, ask: 42).signals.first)
        #expect(signal.outcome == .no && signal.price == .cents(60))
        #expect(signal.probability.value > 0.78)
    }

    @Test func `a constant edge gives one signal in thirty seconds`() throws {
        var fixture = try Fixture.watching()
        var at: [VenueInstant] = []
        for _ in 0..<240 {
            at += try fixture.state().signals.map(\.createdAt)
            at += try fixture.book(bid: 58, ask: 60).signals.map(\.createdAt)
            fixture.pass(0.5)
        }
        #expect(at.count == 4)
        for (one, next) in zip(at, at.dropFirst()) { #expect(one.duration(to: next) == .seconds(30)) }
    }

    @Test func `the same bet in the other market waits as well`() throws {
        var fixture = try Fixture.watching()
        _ = try fixture.book(Fixture.home, bid: 58, ask: 60)
        let effects = try fixture.book(Fixture.away, bid: 45, ask: 47)
        #expect(effects.signals.isEmpty && effects.reasons == [.debounced])
    }

    @Test func `the other team has a debounce of its own`() throws {
        var fixture = try Fixture.watching()
        _ = try fixture.book(bid: 58, ask: 60)
        let effects = try fixture.book(bid: 97, ask: 98)
        #expect(effects.reasons == [.edgeTooSmall])
        fixture.pass(6)
        #expect(try fixture.state(home: 97, away: 102).signals.first?.outcome == .no)
    }

    @Test func `an edge of exactly the minimum is enough, one point less is not`() throws {
        let net = try Fixture.watching().engineEdge(bid: 58, ask: 60)
        for (minimum, expected) in [(net, 1), (net + 1, 0)] {
            var rules = ShardRules()
            rules.minimumEdgeBasisPoints = minimum
            var fixture = try Fixture.watching(rules: rules)
            #expect(try fixture.book(bid: 58, ask: 60).signals.count == expected)
        }
    }

    /// One row for each reason: what is done to a shard that would otherwise signal.
    @Test func `every reason for silence is reached`() throws {
        typealias Step = (inout Fixture) throws -> [ShardEffect]
        func book(_ fixture: inout Fixture) throws -> [ShardEffect] { try fixture.book(bid: 58, ask: 60) }
        let rows: [(NoSignal, Step)] = [
            (
                .draining,
                {
                    _ = $0.send(.drain)
                    return try book(&$0)
                }
            ),
            (
                .notAuthorised,
                {
                    $0.pass(3.1, granted: false)
                    return try book(&$0)
                }
            ),
            (
                .noState,
                { fixture in
                    fixture = Fixture()
                    _ = try fixture.assign(epoch: 1)
                    fixture.beat(granted: true)
                    return try book(&fixture)
                }
            ),
            (
                .notLive,
                {
                    _ = try $0.state(.suspended)
                    return try book(&$0)
                }
            ),
            (
                .overtime,
                {
                    _ = try $0.state(period: 5)
                    return try book(&$0)
                }
            ),
            (
                .unknownClock,
                {
                    _ = try $0.state(clock: nil)
                    return try book(&$0)
                }
            ),
            (
                .staleState,
                {
                    $0.pass(30.5)
                    return try book(&$0)
                }
            ),
            (
                .unconfirmedScore,
                {
                    $0.pass(1)
                    _ = try $0.state(home: 95)
                    return try book(&$0)
                }
            ),
            (
                .extremeProbability,
                {
                    _ = try $0.state(home: 101)
                    $0.pass(6)
                    _ = try $0.state(home: 112)
                    return try book(&$0)
                }
            ),
            (.noBook, { try $0.state() }),
            (
                .noBook,
                {
                    _ = try $0.book(bid: 88, ask: 90)
                    _ = $0.send(.booksInvalidated([Fixture.home]))
                    return try $0.state()
                }
            ),
            (
                .staleBook,
                {
                    _ = try $0.book(bid: 88, ask: 90)
                    $0.pass(30.5)
                    return try $0.state()
                }
            ),
            (
                .oneSidedBook,
                { fixture in
                    let bids = try Fixture.book(bid: 58, ask: 60).yes
                    let book = try OrderBook(yesBids: bids, noBids: [])
                    return fixture.send(.bookUpdated(Fixture.home, book, confirmedAt: fixture.now))
                }
            ),
            (.crossedBook, { try $0.book(bid: 61, ask: 60) }),
            (.edgeTooSmall, { try $0.book(bid: 85, ask: 87) }),
            (
                .debounced,
                {
                    _ = try book(&$0)
                    return try book(&$0)
                }
            ),
        ]
        var reached: Set<NoSignal> = []
        for (reason, step) in rows {
            var fixture = try Fixture.watching()
            let effects = try step(&fixture)
            #expect(effects.signals.isEmpty && effects.reasons == [reason], "\(reason): \(effects.reasons)")
            reached.insert(reason)
        }
        // These two need another sport or a fresh game.
        #expect(try scoreless() == .scoreless)
        #expect(try draw() == .drawPossible)
        // These two belong to arbitrage, and slots have no state.
        let elsewhere: Set<NoSignal> = [.scoreless, .drawPossible, .noArbitrage, .unmatchedTerms, .noModel]
        #expect(reached.union(elsewhere) == Set(NoSignal.allCases))
    }

    private func scoreless() throws -> NoSignal? {
        var fixture = Fixture()
        _ = try fixture.assign(epoch: 1)
        fixture.beat(granted: true)
        _ = try fixture.state(home: 0, away: 0, period: 1, clock: 720)
        return try fixture.book(bid: 20, ask: 22).reasons.first
    }

    private func draw() throws -> NoSignal? {
        var fixture = Fixture()
        _ = try fixture.assign(epoch: 1, sport: .soccer)
        fixture.beat(granted: true)
        _ = try fixture.state(home: 1, away: 0, period: 2, clock: 2_000)
        return try fixture.book(bid: 20, ask: 22).reasons.first
    }

    @Test func `a book exactly at the limit is fresh, and a confirmation keeps it so`() throws {
        var fixture = try Fixture.watching()
        _ = try fixture.book(bid: 85, ask: 87)
        fixture.pass(30)
        #expect(try fixture.state().reasons == [.edgeTooSmall])
        _ = fixture.send(.booksConfirmed(.kalshi, at: fixture.now))
        fixture.pass(30)
        #expect(try fixture.state().reasons == [.edgeTooSmall])
        fixture.pass(0.5)
        #expect(try fixture.state().reasons == [.staleBook])
    }

    @Test func `a confirmation does not bring an invalidated book back`() throws {
        var fixture = try Fixture.watching()
        _ = try fixture.book(bid: 85, ask: 87)
        _ = fixture.send(.booksInvalidated([Fixture.home]))
        _ = fixture.send(.booksConfirmed(.kalshi, at: fixture.now))
        #expect(try fixture.state().reasons == [.noBook])
    }

    @Test func `a confirmation from the future does not keep a book fresh for longer`() throws {
        var fixture = try Fixture.watching()
        _ = try fixture.book(bid: 85, ask: 87, age: -3_600)
        fixture.pass(31)
        #expect(try fixture.state().reasons == [.staleBook])
    }

    @Test func `one stale market does not hide a fresh one`() throws {
        var fixture = try Fixture.watching()
        _ = try fixture.book(Fixture.away, bid: 11, ask: 13)
        fixture.pass(31)
        _ = try fixture.state()
        #expect(try fixture.book(Fixture.home, bid: 58, ask: 60).signals.count == 1)
    }
}

extension Fixture {
    /// The net edge of the home market at these prices.
    fileprivate func engineEdge(bid: Int64, ask: Int64) throws -> Int {
        var copy = self
        return try #require(try copy.book(bid: bid, ask: ask).signals.first).edgeBasisPoints
    }
}
