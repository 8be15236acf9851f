import Domain
import Resilience
import Testing

@testable import GameShardEngine

/// Two markets of one event, and one of another venue, with books as they are given.
private struct Scene {
    var fixture: Fixture
    static let other: MarketID = "POLY-CLE"

    init(
        sameTerms: Bool = true, watching: Bool = true, venue: Venue = .polymarket, event: String = "nba-tor-cle"
    ) throws {
        var rules = ShardRules()
        // Asked for by hand below; what a book's own change leads to is a test of its own.
        rules.arbitrageDebounce = .zero
        if sameTerms { rules.sameTerms = [MarketPair(Self.other, Fixture.away), MarketPair(Self.other, Fixture.home)] }
        fixture = Fixture(rules: rules)
        let other = try Market(
            id: Self.other, venue: venue, game: "nba-401869369", eventTicker: event, title: "Cavaliers", team: .home)
        _ = fixture.send(
            .assign(
                "command-1",
                Assigned(
                    game: try Fixture.game(), markets: try Fixture.markets() + [other], epoch: .first,
                    pregameHomeProbability: nil)))
        if watching { fixture.beat(granted: true) }
        _ = try fixture.state()
    }

    mutating func found() -> Result<ArbitrageSignal, NoSignal> {
        fixture.engine.arbitrage(in: "nba-401869369", at: fixture.now, machine: fixture.machine)
    }

    mutating func reason() -> NoSignal? {
        if case .failure(let reason) = found() { reason } else { nil }
    }
}

@Suite struct ArbitrageTests {
    // Of 50 pairs: 100 cents less 43 and the other side, less 0.86 for Kalshi's YES and the other side's fee.
    @Test(arguments: [(50, true), (52, true), (53, false), (55, false), (57, false), (58, false)] as [(Int64, Bool)])
    func `two teams at one venue are an arbitrage when a cent is left after both fees`(
        ask: Int64, isFound: Bool
    ) throws {
        var scene = try Scene()
        _ = try scene.fixture.book(Fixture.home, bid: 41, ask: 43)
        _ = try scene.fixture.book(Fixture.away, bid: ask - 2, ask: ask)
        switch scene.found() {
        case .success(let signal):
            #expect(isFound)
            #expect(signal.legs.map(\.market) == [Fixture.home, Fixture.away])
            #expect(signal.legs.map(\.outcome) == [.yes, .yes] && signal.legs.map(\.backs) == [.home, .away])
            #expect(signal.legs.map(\.price) == [.cents(43), .cents(ask)])
            #expect(signal.profit(of: signal.available) >= .cents(50))
            #expect(signal.expiresAt == scene.fixture.now.advanced(by: .seconds(10)))
        case .failure(let reason):
            #expect(!isFound && reason == .noArbitrage)
        }
    }

    // CHECKLIST R76. Fifty pairs of YES at Kalshi for 90 cents (fee 0.32) and NO at Polymarket for the rest (3 % of
    // price times its complement, 0.10 to 0.15): a cent a pair is left of a sum of 98 and no more of 99.
    @Test(arguments: [(97, true), (98, true), (99, false), (100, false), (101, false)] as [(Int64, Bool)])
    func `across venues the sum of both prices is an arbitrage while a cent is left after fees`(
        sum: Int64, isFound: Bool
    ) throws {
        var scene = try Scene()
        let other = sum - 90
        _ = try scene.fixture.book(Fixture.home, bid: 88, ask: 90)
        _ = try scene.fixture.book(Scene.other, bid: 100 - other, ask: 102 - other)
        guard isFound else {
            #expect(scene.reason() == .noArbitrage)
            return
        }
        let signal = try scene.found().get()
        #expect(Set(signal.legs.map(\.price)) == [.cents(90), .cents(other)])
        let fee = other == 7 ? "0.097650" : "0.110400"
        let expected = Money.cents((100 - sum) * 50) - .cents(32) - (try Money(dollars: fee))
        #expect(signal.profit(of: .contracts(50)) == expected)
    }

    @Test func `across venues the better price of each side is taken, where the terms are the same`() throws {
        for sameTerms in [true, false] {
            var scene = try Scene(sameTerms: sameTerms)
            _ = try scene.fixture.book(Fixture.home, bid: 48, ask: 50)
            _ = try scene.fixture.book(Fixture.away, bid: 48, ask: 50)
            // NO of the other venue's home market backs the away team for 44 cents.
            _ = try scene.fixture.book(Scene.other, bid: 56, ask: 58)
            let found = scene.found()
            guard sameTerms else {
                #expect(found == .failure(.unmatchedTerms))
                continue
            }
            let signal = try found.get()
            #expect(Set(signal.legs.map(\.market)) == [Fixture.home, Scene.other])
            #expect(signal.legs.last?.outcome == .no && signal.legs.last?.price == .cents(44))
            #expect(signal.kind == .crossMarketArbitrage)
        }
    }

    @Test func `at one venue two bets on a game pay on the same terms only under one event`() throws {
        for (event, isFound) in [(try Fixture.markets()[0].eventTicker, true), ("ANOTHER-EVENT", false)] {
            var scene = try Scene(sameTerms: false, venue: .kalshi, event: event)
            _ = try scene.fixture.book(Fixture.home, bid: 48, ask: 50)
            _ = try scene.fixture.book(Scene.other, bid: 56, ask: 58)
            #expect(scene.reason() == (isFound ? nil : .unmatchedTerms))
        }
    }

    @Test func `without a verified book on each side there is none`() throws {
        var scene = try Scene()
        #expect(scene.reason() == .noBook)
        _ = try scene.fixture.book(Fixture.home, bid: 41, ask: 43)
        #expect(scene.reason() == .noArbitrage, "one market alone never crosses itself")
        _ = try scene.fixture.book(Fixture.away, bid: 60, ask: 50)
        #expect(scene.reason() == .noArbitrage, "crossed for a moment")
        let oneSided = try OrderBook(yesBids: [], noBids: [BookLevel(price: .cents(60), quantity: .contracts(50))])
        _ = scene.fixture.send(.bookUpdated(Fixture.away, oneSided, confirmedAt: scene.fixture.now))
        #expect(scene.reason() == .noArbitrage)
        _ = try scene.fixture.book(Fixture.away, bid: 48, ask: 50)
        scene.fixture.pass(31)
        _ = try scene.fixture.state()
        _ = try scene.fixture.book(Fixture.home, bid: 41, ask: 43)
        #expect(scene.reason() == .noArbitrage, "stale")
        _ = try scene.fixture.book(Fixture.away, bid: 48, ask: 50)
        _ = scene.fixture.send(.booksInvalidated([Fixture.away]))
        #expect(scene.reason() == .noArbitrage, "lost")
        _ = try scene.fixture.book(Fixture.away, bid: 48, ask: 50)
        #expect(scene.reason() == nil)
    }

    @Test func `the gates of the game hold for it too`() throws {
        var scene = try Scene()
        _ = try scene.fixture.book(Fixture.home, bid: 41, ask: 43)
        _ = try scene.fixture.book(Fixture.away, bid: 48, ask: 50)
        #expect(scene.reason() == nil)
        scene.fixture.pass(6)
        _ = try scene.fixture.state(home: 0, away: 0, period: 1)
        #expect(scene.reason() == .scoreless)
        scene.fixture.pass(6)
        _ = try scene.fixture.state(period: 5)
        #expect(scene.reason() == .overtime)
        scene.fixture.pass(31)
        #expect(scene.reason() == .overtime || scene.reason() == .staleState)
        var silent = try Scene(watching: false)
        _ = try silent.fixture.book(Fixture.home, bid: 41, ask: 43)
        #expect(silent.reason() == .notAuthorised)
        _ = silent.fixture.send(.drain)
        #expect(silent.reason() == .draining)
    }

    @Test func `books that stand still are looked at when the game's state comes`() throws {
        var fixture = Fixture(rules: ShardRules())
        _ = try fixture.assign(epoch: 1)
        fixture.beat(granted: true)
        let before = try [(Fixture.home, 43), (Fixture.away, 50)].flatMap {
            try fixture.book($0, bid: $1 - 2, ask: $1)
        }
        #expect(!before.contains(.report(.signal(.crossMarketArbitrage))), "nobody knows how the game stands")
        func said(_ effects: [ShardEffect]) -> Int {
            effects.count { $0 == .report(.signal(.crossMarketArbitrage)) }
        }
        #expect(said(try fixture.state()) == 1)
        #expect(said(try fixture.state()) == 0, "once in five seconds")
        fixture.pass(5)
        #expect(said(try fixture.state()) == 1)
    }

    @Test func `a changed book says it, once in five seconds, and counts what it was not`() throws {
        var fixture = Fixture(rules: ShardRules())
        _ = fixture.send(
            .assign(
                "command-1",
                Assigned(
                    game: try Fixture.game(), markets: try Fixture.markets(), epoch: .first,
                    pregameHomeProbability: nil)))
        fixture.beat(granted: true)
        _ = try fixture.state()
        func said(_ effects: [ShardEffect]) -> [ArbitrageSignal] {
            effects.compactMap { if case .emitArbitrage(let signal) = $0 { signal } else { nil } }
        }
        let first = try fixture.book(Fixture.home, bid: 41, ask: 43)
        #expect(said(first).isEmpty && first.contains(.report(.noArbitrage(.noArbitrage))))
        let second = try fixture.book(Fixture.away, bid: 48, ask: 50)
        #expect(said(second).count == 1 && second.contains(.report(.signal(.crossMarketArbitrage))))
        let third = try fixture.book(Fixture.away, bid: 48, ask: 50)
        #expect(said(third).isEmpty && third.contains(.report(.noArbitrage(.debounced))))
        fixture.pass(5)
        _ = try fixture.state()
        _ = try fixture.book(Fixture.home, bid: 41, ask: 43)
        let fourth = try fixture.book(Fixture.away, bid: 47, ask: 49)
        #expect(said(fourth).count <= 1 && fixture.engine.rules.sameTerms.isEmpty)
        _ = fixture.send(.sameTerms([MarketPair("A", "B")]))
        #expect(fixture.engine.rules.sameTerms == [MarketPair("B", "A")])
    }
}
