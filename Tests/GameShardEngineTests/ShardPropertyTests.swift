import Domain
import Resilience
import Testing

@testable import GameShardEngine

/// Random histories; what must hold in each of them is checked from the outside.
@Suite struct ShardPropertyTests {
    @Test(arguments: [1, 2, 3, 7, 20, 131, 4_099, 65_537])
    func `no history breaks a promise`(seed: UInt64) throws {
        var history = History(seed: seed)
        for _ in 0..<6_000 { try history.step() }
        #expect(history.signals > 0, "seed \(seed) tried nothing")
    }

    @Test func `the same seed gives the same effects`() throws {
        var one = History(seed: 42)
        var two = History(seed: 42)
        for _ in 0..<2_000 { #expect(try one.step() == (try two.step())) }
    }
}

/// A shard under random events, with its own simple account of what it may do.
private struct History {
    private let names: [GameID] = ["a", "b", "c", "d"]
    private var random: SeededGenerator
    private var fixture: Fixture
    private var held: [GameID: Epoch] = [:]
    private var confirmed: [MarketID: VenueInstant] = [:]
    private var lastSignal: [String: VenueInstant] = [:]
    private var ids: Set<SignalID> = []
    private var score: [GameID: (home: Int, away: Int)] = [:]
    private(set) var signals = 0

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
        var rules = ShardRules()
        rules.maximumGames = 3
        fixture = Fixture(rules: rules)
    }

    @discardableResult
    mutating func step() throws -> [ShardEffect] {
        fixture.pass(Double.random(in: 0...2, using: &random), granted: Int.random(in: 0..<4, using: &random) > 0)
        let event = try event()
        let effects = fixture.send(event)
        note(event, effects)
        for signal in effects.signals { check(signal) }
        #expect(effects.signals.count <= 1)
        #expect(fixture.engine.watched.count <= 3)
        return effects
    }

    private mutating func event() throws -> ShardEvent {
        let game = names[Int.random(in: 0..<names.count, using: &random)]
        let epoch = Int64.random(in: 1...6, using: &random) + Int64(ids.count / 20)
        let market = MarketID(stringLiteral: "\(game)-\(Bool.random(using: &random) ? Fixture.home : Fixture.away)")
        switch Int.random(in: 0..<100, using: &random) {
        case ..<6: return .assign("assign", try Fixture.assigned(epoch: epoch, game: game))
        case ..<8: return .revoke("revoke", game, epoch: try Epoch(epoch))
        case ..<45: return try state(of: game)
        case ..<80: return .bookUpdated(market, try book(), confirmedAt: fixture.now)
        case ..<86: return .booksConfirmed(.kalshi, at: fixture.now)
        case ..<90: return .booksInvalidated([market])
        case ..<92: return .epochsAnswered(held, asked: fixture.machine)
        case ..<94: return .reread(try list(), asked: fixture.machine)
        default: return .tick
        }
    }

    private func list() throws -> [Assigned] {
        try held.sorted { $0.key < $1.key }.map { try Fixture.assigned(epoch: $0.value.number, game: $0.key) }
    }

    private mutating func state(of game: GameID) throws -> ShardEvent {
        let last = score[game] ?? (50, 50)
        let next = (
            home: max(0, last.home + Int.random(in: -1...3, using: &random)),
            away: max(0, last.away + Int.random(in: -1...3, using: &random))
        )
        score[game] = next.home > 150 ? nil : next
        let status: GameStatus = Int.random(in: 0..<60, using: &random) == 0 ? .final : .live
        let period = Int.random(in: 1...5, using: &random)
        let clock = Int.random(in: 0..<9, using: &random) == 0 ? nil : Double.random(in: 0...900, using: &random)
        return .state(
            try GameState(
                game: game, status: status, homeScore: next.home, awayScore: next.away, period: period,
                clockSeconds: clock,
                observedAt: fixture.now.advanced(by: .seconds(Double.random(in: -40...2, using: &random)))))
    }

    /// Also crossed, one-sided and empty ones.
    private mutating func book() throws -> OrderBook {
        var book = OrderBook.empty
        for outcome in Outcome.allCases {
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                let price = Price.cents(Int64.random(in: 1...60, using: &random))
                try book.apply(Int64.random(in: 1...5_000, using: &random), to: outcome, at: price)
            }
        }
        return book
    }

    /// Keeps the outside account: what was answered is what is held.
    private mutating func note(_ event: ShardEvent, _ effects: [ShardEffect]) {
        switch event {
        case .assign(_, let assigned):
            #expect(effects.verdicts.count == 1)
            if effects.verdicts == [.accepted] {
                #expect(assigned.epoch >= held[assigned.game.id] ?? .first)
                held[assigned.game.id] = assigned.epoch
            }
        case .revoke(_, let game, _):
            #expect(effects.verdicts.count == 1)
            if effects.verdicts == [.accepted] { forget(game) }
        case .state(let state) where effects.contains(where: { if case .gameEnded = $0 { true } else { false } }):
            forget(state.game)
        case .bookUpdated(let market, _, let at) where held.keys.contains { isOf(market, $0) }:
            confirmed[market] = at
        case .booksConfirmed(_, let at): for market in confirmed.keys { confirmed[market] = at }
        case .booksInvalidated(let markets): for market in markets { confirmed[market] = nil }
        default: break
        }
        #expect(fixture.engine.watched.map(\.game) == held.keys.sorted())
        for (game, epoch) in fixture.engine.watched { #expect(held[game] == epoch) }
    }

    /// A game that is let go is forgotten whole, its debounce too.
    private mutating func forget(_ game: GameID) {
        held[game] = nil
        confirmed = confirmed.filter { !isOf($0.key, game) }
        lastSignal = lastSignal.filter { !$0.key.hasPrefix("\(game) ") }
    }

    private func isOf(_ market: MarketID, _ game: GameID) -> Bool { market.rawValue.hasPrefix("\(game)-") }

    private mutating func check(_ signal: Signal) {
        signals += 1
        #expect(ids.insert(signal.id).inserted)
        #expect(held[signal.game] == signal.epoch)
        #expect(fixture.engine.standing(at: fixture.machine) != .silent)
        #expect(signal.edgeBasisPoints >= 1_500 && signal.expiresAt > signal.createdAt)
        #expect(signal.probability.value >= 0.05 && signal.probability.value <= 0.95)
        let book = confirmed[signal.market]
        #expect(book != nil && (book ?? .epoch).duration(to: fixture.now) <= .seconds(30))
        let isHomeMarket = signal.market.rawValue.hasSuffix("CLE")
        let team = (signal.outcome == .yes) == isHomeMarket ? "home" : "away"
        let key = "\(signal.game) \(team)"
        if let last = lastSignal[key] { #expect(last.duration(to: fixture.now) >= .seconds(30)) }
        lastSignal[key] = fixture.now
    }
}
