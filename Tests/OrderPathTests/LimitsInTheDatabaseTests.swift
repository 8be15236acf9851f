import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Resilience
import Runtime
import SignalProcessorEngine
import Testing
import Wire

@testable import ExecutionService
@testable import SignalProcessor

extension Rig {
    /// Another market of a game, for the other team.
    func addAwayMarket(_ game: GameID, venue: Venue = .kalshi) async throws -> MarketID {
        let market = MarketID(stringLiteral: "\(game)-AWAY")
        try await pool.execute(
            """
            INSERT INTO market_mappings (market_id, venue, game_id, event_ticker, title, outcome_team, price_step,
                status)
            VALUES (\(market.rawValue), \(venue.rawValue), \(game.rawValue), 'E', 'T', 'away', 'linear_cent', 'active')
            """)
        return market
    }

    /// An open position in the game's home market; its fill is not asked for here.
    func hold(_ contracts: Int64, in game: GameID, cost: Money) async throws {
        try await pool.execute(
            """
            INSERT INTO positions (market_id, game_id, net_quantity, cost)
            VALUES (\(home(game).rawValue), \(game.rawValue), \(contracts * 100), \(cost.microdollars))
            """)
    }

    func mark(_ cents: Int64, of game: GameID, at: VenueInstant = tipOff) throws -> MarkBook.Marks {
        var book = MarkBook()
        book.observe(
            PriceUpdate(
                game: game, market: home(game), yesBid: try BookLevel(price: .cents(cents), quantity: .contracts(10)),
                yesAsk: try BookLevel(price: .cents(cents + 1), quantity: .contracts(10)), at: at))
        return book.marks
    }
}

/// What PostgreSQL holds is what the limits bite on (DESIGN rule 7, CHECKLIST R81, H4, H27, N20).
struct LimitsInTheDatabaseTests {
    private func store(_ rig: Rig) -> SignalStore {
        SignalStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
    }

    private func process(
        _ signal: Signal, _ rig: Rig, _ limits: TradingLimits = TradingLimits(), marks: MarkBook.Marks = [:],
        at now: VenueInstant = tipOff
    ) async throws -> Verdict? {
        let outcome = try await store(rig).process(
            signal, trace: nil, engine: SignalProcessorEngine(limits: limits), marks: marks, at: now)
        guard case .decided(let verdict) = outcome else { return nil }
        return verdict
    }

    @Test func `a market's limit counts what is held and what is reserved in it`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        var limits = TradingLimits()
        limits.gameExposure = nil
        limits.entriesPerSide = 10
        limits.marketExposure = .dollars(30)
        try await rig.hold(20, in: "game-1", cost: .dollars(10))
        let marks = try rig.mark(50, of: "game-1")
        // Ten dollars are held: the second fits by a smaller size, the third not at all.
        guard case .approved(_, let reserved) = try await process(rig.signal("s1"), rig, limits, marks: marks) else {
            throw NeverCame(description: "an approval")
        }
        #expect(reserved <= .dollars(20) && reserved > .dollars(19))
        #expect(try await process(rig.signal("s2"), rig, limits, marks: marks)?.name == "market_exposure")
        limits.marketExposure = nil
        #expect(try await process(rig.signal("s3"), rig, limits, marks: marks)?.name == "approved")
    }

    // CHECKLIST R82.
    @Test(arguments: [([60], 180), ([45], 300), ([90, 45], 300), ([20, 60], 180)] as [([Int64], Int64)])
    func `a team cools down from when its position was closed, longer after a loss by the last trade alone`(
        trades: [Int64], seconds: Int64
    ) async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let orders = OrderStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        for (number, cents) in trades.enumerated() {
            try await rig.buy(10, at: 50, orders, name: "entry-\(number)")
            let exit = try await rig.addExit(IntentID(stringLiteral: "exit-\(number)"), contracts: 10)
            try await rig.force(
                "UPDATE intents SET limit_price = \(cents * 100) WHERE intent_id = \(exit.rawValue)")
            let claimed = try await orders.claim(
                exit, engine: ExecutionServiceEngine(safeguards: Safeguards()), seen: .clear, marking: true,
                at: tipOff)
            let order = try #require(claimed.claimed).order.request
            _ = try await orders.book(order.id, await FakeVenue().submit(order, deadline: .origin), at: tipOff)
            #expect(try await rig.text("SELECT state AS t FROM positions") == "closed")
        }
        func verdict(_ id: SignalID, after seconds: Int64) async throws -> String? {
            let sample = try rig.signal(id)
            let now = tipOff.advanced(by: .seconds(seconds))
            let signal = try Signal(
                id: id, kind: sample.kind, game: sample.game, sport: sample.sport, market: sample.market,
                venue: sample.venue, epoch: sample.epoch, shard: sample.shard, outcome: sample.outcome,
                probability: sample.probability, price: sample.price, available: sample.available,
                edgeBasisPoints: sample.edgeBasisPoints, play: nil, createdAt: now,
                expiresAt: now.advanced(by: .seconds(60)))
            return try await process(signal, rig, at: now)?.name
        }
        #expect(try await verdict("early", after: seconds - 1) == "cool_down")
        #expect(try await verdict("later", after: seconds) == "approved")
        await rig.pool.close(grace: .milliseconds(100))
    }

    @Test func `a loss that is only marked stops entries, and so does a position without a price`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        try await rig.addGame("game-2")
        var limits = TradingLimits()
        limits.sportExposure = nil
        try await rig.hold(300, in: "game-1", cost: .dollars(180))
        func verdict(
            _ id: SignalID, _ marks: MarkBook.Marks, at now: VenueInstant = tipOff
        ) async throws -> String? {
            try await process(rig.signal(id, game: "game-2"), rig, limits, marks: marks, at: now)?.name
        }
        #expect(try await verdict("s1", [:]) == "unmarked_position")
        let old = try rig.mark(60, of: "game-1", at: tipOff.advanced(by: .seconds(-121)))
        #expect(try await verdict("s2", old) == "unmarked_position")
        // Bought for 60 cents each, 300 of them: at 20 cents 120 dollars are gone, and the limit is 100.
        #expect(try await verdict("s3", rig.mark(20, of: "game-1")) == "daily_loss")
        // What is over is worth its result until the venue pays: 300 dollars of gain, or the 180 that it cost.
        try await rig.pool.execute(
            "UPDATE games SET status = 'final', home_score = 90, away_score = 99 WHERE game_id = 'game-1'")
        #expect(try await verdict("s4", [:]) == "daily_loss")
        try await rig.pool.execute("UPDATE games SET home_score = 100 WHERE game_id = 'game-1'")
        #expect(try await verdict("s5", [:]) == "approved")
    }

    @Test func `a venue's own cash bounds an order, less what is reserved there and bought since`() async throws {
        let rig = try await Rig()
        for game in 1...4 { try await rig.addGame(GameID(stringLiteral: "game-\(game)")) }
        let balances = VenueBalances(rig.account)
        let asked = try await VenueBalances.now(rig.pool)
        try await balances.record(.dollars(60), at: .kalshi, asked: asked, rig.pool)
        // An older answer comes late.
        try await balances.record(.dollars(900), at: .kalshi, asked: asked - 1_000_000, rig.pool)
        guard case .approved(_, let first) = try await process(rig.signal("s1"), rig) else {
            throw NeverCame(description: "an approval")
        }
        guard case .approved(_, let second) = try await process(rig.signal("s2", game: "game-2"), rig) else {
            throw NeverCame(description: "a smaller approval")
        }
        #expect(first > .dollars(45) && first + second <= .dollars(60))
        #expect(try await process(rig.signal("s3", game: "game-3"), rig)?.name == "insufficient_balance")
        try await balances.record(.dollars(100), at: .kalshi, asked: VenueBalances.now(rig.pool), rig.pool)
        guard case .approved(_, let third) = try await process(rig.signal("s4", game: "game-4"), rig) else {
            throw NeverCame(description: "an approval of what came in")
        }
        #expect(first + second + third <= .dollars(100))
    }

    @Test func `an arbitrage is judged by the teams, the exposure and the cash of both its markets`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let away = try await rig.addAwayMarket("game-1", venue: .polymarket)
        try await rig.hold(20, in: "game-1", cost: .dollars(10))
        try await VenueBalances(rig.account).record(
            .dollars(7), at: .polymarket, asked: VenueBalances.now(rig.pool), rig.pool)
        let legs = [
            try ArbitrageLeg(
                market: rig.home("game-1"), venue: .kalshi, outcome: .yes, backs: .home, price: .cents(40),
                available: .contracts(100)),
            try ArbitrageLeg(
                market: away, venue: .polymarket, outcome: .yes, backs: .away, price: .cents(40),
                available: .contracts(100)),
        ]
        let signal = try ArbitrageSignal(
            id: "a1", game: "game-1", sport: .nba, epoch: .first, shard: "shard-01", legs: legs, createdAt: tipOff,
            expiresAt: tipOff.advanced(by: .seconds(10)))
        let marks = try rig.mark(50, of: "game-1")
        try await rig.pool.transaction("terms") {
            try await SameTerms.match(rig.home("game-1"), away, note: "read both", by: "test", $0)
        }
        let view = try await rig.pool.transaction("view") { transaction in
            try await PortfolioReader(
                transaction: transaction, account: rig.account, statistics: rig.statistics,
                pricing: .init(marks: marks)
            ).view(for: PortfolioSubject(signal), and: rig.account.locked, at: tipOff).1
        }
        #expect(view.marketTeams == [rig.home("game-1"): .home, away: .away])
        #expect(view.marketExposure == [rig.home("game-1"): .dollars(10)])
        #expect(view.availableAt == [.polymarket: .dollars(7)])
        let engine = SignalProcessorEngine(limits: TradingLimits())
        guard case .approved(let plan) = engine.decide(signal, portfolio: view, as: .derived(from: "a1"), at: tipOff)
        else { throw NeverCame(description: "a plan") }
        // Seven dollars at the other venue, and the loss that is reserved with the plan comes out of them as well.
        #expect(plan.reserved <= .dollars(12) && plan.quantity > .zero)
    }

    @Test func `five hundred signals from five processes at once exceed no limit at any commit`() async throws {
        let rig = try await Rig()
        var random = SeededGenerator(seed: 7)
        // Ten games of one sport, whose limit they reach, and four of each other, which reach the total.
        func sport(_ game: Int) -> Sport { game < 10 ? .nba : (game < 14 ? .nhl : .mlb) }
        for game in 0..<18 {
            let id = GameID(stringLiteral: "game-\(game)")
            try await rig.addGame(id, sport: sport(game))
            _ = try await rig.addAwayMarket(id)
        }
        var limits = TradingLimits()
        limits.entriesPerSide = 1_000
        limits.allowsHedging = true
        limits.gameExposure = .dollars(50)
        limits.marketExposure = .dollars(35)
        limits.sportExposure = .dollars(280)
        limits.totalExposure = .dollars(600)
        limits.positionShare = 0.012
        try await rig.watchLimits(limits)

        var stores: [SignalStore] = []
        for _ in 0..<5 {
            stores.append(
                SignalStore(pool: try rig.anotherPool(), account: rig.account, statistics: rig.statistics))
        }
        let signals = try (0..<500).map { number in
            let game = Int.random(in: 0..<18, using: &random)
            let cents = Int64.random(in: 10...80, using: &random)
            return try rig.signal(
                SignalID(stringLiteral: "s\(number)"), game: GameID(stringLiteral: "game-\(game)"),
                sport: sport(game), probability: Double(cents) / 100 + 0.18, cents: cents,
                market: Bool.random(using: &random) ? "game-\(game)-AWAY" : nil)
        }
        let engines = stores.map { _ in SignalProcessorEngine(limits: limits) }
        let verdicts = try await withThrowingTaskGroup(of: String.self) { group in
            for (number, signal) in signals.enumerated() {
                let (store, engine) = (stores[number % stores.count], engines[number % stores.count])
                group.addTask {
                    while true {
                        do {
                            let outcome = try await store.process(signal, trace: nil, engine: engine, at: tipOff)
                            guard case .decided(let verdict) = outcome else { return "known" }
                            return verdict.name
                        } catch let error as PostgresError where error.isWorthAnotherTry {
                            // As the desk does: hundreds wait for one account, and some longer than their deadline.
                            continue
                        }
                    }
                }
            }
            return try await group.reduce(into: [String: Int]()) { $0[$1, default: 0] += 1 }
        }
        for store in stores { await store.pool.close(grace: .milliseconds(100)) }

        #expect(try await rig.number("SELECT count(*) AS n FROM limit_violations") == 0)
        #expect(try await rig.number("SELECT count(*) AS n FROM signals") == 500)
        #expect(verdicts["approved"] == Int(try await rig.number("SELECT count(*) AS n FROM intents")))
        #expect(verdicts.values.reduce(0, +) == 500 && verdicts["known"] == nil)
        // Every limit was reached, so each had something to hold.
        for reason in ["market_exposure", "game_exposure", "sport_exposure", "total_exposure"] {
            #expect(verdicts[reason] ?? 0 > 0, "\(reason): \(verdicts)")
        }
    }
}

extension Rig {
    /// Sums at every insert, under the account's lock, what is reserved: each commit's state is looked at.
    func watchLimits(_ limits: TradingLimits) async throws {
        try await pool.execute("CREATE TABLE limit_violations (of TEXT, amount BIGINT)")
        let bounds: [(column: String, limit: Money?)] = [
            ("market_id", limits.marketExposure), ("game_id", limits.gameExposure), ("sport", limits.sportExposure),
            ("'all'::text", limits.totalExposure),
        ]
        let checks = bounds.map { bound in
            """
            INSERT INTO limit_violations SELECT \(bound.column), sum(amount) FROM reservations
            GROUP BY \(bound.column) HAVING sum(amount) > \(bound.limit?.microdollars ?? .max);
            """
        }
        try await pool.execute(
            SQL(
                raw: """
                    CREATE FUNCTION watch_limits() RETURNS trigger LANGUAGE plpgsql AS $$
                    BEGIN \(checks.joined(separator: "\n")) RETURN NULL; END $$
                    """))
        try await pool.execute(
            """
            CREATE CONSTRAINT TRIGGER watch_limits AFTER INSERT ON reservations DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION watch_limits()
            """)
    }
}
