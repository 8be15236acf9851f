import Domain
import Resilience
import SignalProcessorEngine
import Testing

/// The tables that a decision reads and writes, as one account: what PostgreSQL is to the service.
private struct Store {
    struct Reservation { let game: Int, sport: Sport, backs: HomeAway, amount: Money, price: Price, contracts: Int64 }
    struct Position { let game: Int, sport: Sport, backs: HomeAway, cost: Money, contracts: Int64 }

    static let sports: [Sport] = [.nba, .nhl]
    var cash = Money.dollars(1_000)
    var today = Money.zero
    var reservations: [Int: Reservation] = [:]
    var positions: [Int: Position] = [:]
    var next = 0

    func exposure(_ holds: (Int, Sport) -> Bool) -> Money {
        reservations.values.filter { holds($0.game, $0.sport) }.reduce(.zero) { $0 + $1.amount }
            + positions.values.filter { holds($0.game, $0.sport) }.reduce(.zero) { $0 + $1.cost }
    }

    func view(of game: Int) -> PortfolioView {
        let sport = Self.sports[game % 2]
        var view = PortfolioView()
        view.cash = cash
        view.reserved = reservations.values.reduce(.zero) { $0 + $1.amount }
        view.openCost = positions.values.reduce(.zero) { $0 + $1.cost }
        view.gameExposure = exposure { other, _ in other == game }
        view.sportExposure = exposure { _, other in other == sport }
        view.dailyProfit = today
        view.holdings =
            reservations.values.filter { $0.game == game }.map { Holding(market: market(game), backs: $0.backs) }
            + positions.values.filter { $0.game == game }.map { Holding(market: market(game), backs: $0.backs) }
        view.marketTeam = .home
        view.killSwitch = .released
        view.epoch = .first
        return view
    }

    func market(_ game: Int) -> MarketID { MarketID(stringLiteral: "GAME-\(game)") }
}

struct LimitsHoldTests {
    /// Several entries per side and a small order, so that the limits are reached by many reservations at once.
    private var limits: TradingLimits {
        var limits = TradingLimits()
        limits.entriesPerSide = 100
        limits.allowsHedging = true
        limits.positionsPerGame = 100
        return limits
    }

    private func signal(_ number: Int, game: Int, using random: inout SeededGenerator) throws -> Signal {
        let cents = Int64.random(in: 5...90, using: &random)
        let edge = Double.random(in: 0.02...0.4, using: &random)
        return try makeSignal(
            SignalID(stringLiteral: "s\(number)"), game: GameID(stringLiteral: "game-\(game)"),
            market: MarketID(stringLiteral: "GAME-\(game)"), outcome: Bool.random(using: &random) ? .yes : .no,
            probability: min(0.95, Double(cents) / 100 + edge), cents: cents,
            available: Int64.random(in: 1...500, using: &random), sport: Store.sports[game % 2])
    }

    /// The most that any limit was exceeded by; zero or less is right.
    private func run(seed: UInt64, steps: Int, readsInside: Bool) throws -> (excess: Money, approved: Int) {
        var random = SeededGenerator(seed: seed)
        var store = Store()
        let engine = SignalProcessorEngine(limits: limits)
        var excess = Money.dollars(-1_000)
        var approved = 0
        var waiting: [(game: Int, view: PortfolioView, signal: Signal)] = []
        for step in 0..<steps {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<4:
                let game = Int.random(in: 0..<8, using: &random)
                waiting.append((game, store.view(of: game), try signal(step, game: game, using: &random)))
            case 4..<7 where !waiting.isEmpty:
                let (game, seen, signal) = waiting.remove(at: Int.random(in: 0..<waiting.count, using: &random))
                let view = readsInside ? store.view(of: game) : seen
                if case .approved(let intent, let reserved) = engine.decide(
                    signal, portfolio: view, as: names, at: tipOff)
                {
                    approved += 1
                    store.next += 1
                    store.reservations[store.next] = .init(
                        game: game, sport: signal.sport, backs: signal.outcome == .yes ? .home : .away,
                        amount: reserved, price: intent.limit, contracts: intent.quantity.hundredths / 100)
                }
            case 7, 8:
                guard let key = store.reservations.keys.sorted().randomElement(using: &random),
                    let held = store.reservations.removeValue(forKey: key)
                else { continue }
                let filled = Int64.random(in: 0...held.contracts, using: &random)
                let cost = held.price * .contracts(filled)
                store.cash -= Sizing.cost(filled, at: held.price, fees: .kalshi)
                if filled > 0 {
                    store.positions[key] = .init(
                        game: held.game, sport: held.sport, backs: held.backs, cost: cost, contracts: filled)
                }
            default:
                guard let key = store.positions.keys.sorted().randomElement(using: &random),
                    let held = store.positions.removeValue(forKey: key)
                else { continue }
                let payout = Bool.random(using: &random) ? Money.dollars(held.contracts) : .zero
                store.cash += payout
                store.today += payout - held.cost
            }
            for game in 0..<8 { excess = max(excess, store.exposure { other, _ in other == game } - .dollars(50)) }
            for sport in Store.sports {
                excess = max(excess, store.exposure { _, other in other == sport } - .dollars(200))
            }
            excess = max(excess, store.reservations.values.reduce(.zero) { $0 + $1.amount } - store.cash)
        }
        return (excess, approved)
    }

    @Test(arguments: 0..<40)
    func `no limit is exceeded in any interleaving when the portfolio is read where it is reserved`(seed: Int) throws {
        let outcome = try run(seed: UInt64(seed), steps: 2_500, readsInside: true)
        #expect(outcome.excess <= .zero, "seed \(seed)")
        #expect(outcome.approved > 5, "seed \(seed)")
    }

    @Test func `reading the portfolio before the transaction exceeds them, so the test above can fail`() throws {
        let outcomes = try (0..<10).map { try run(seed: $0, steps: 2_500, readsInside: false).excess }
        #expect(outcomes.contains { $0 > .zero })
    }
}
