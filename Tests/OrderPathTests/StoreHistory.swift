import Domain
import ExecutionServiceEngine
import GameShardEngine
import Hosting
import OrchestratorEngine
import Postgres
import Resilience
import Runtime
import SignalProcessorEngine
import Testing
import Wire

@testable import ExecutionService
@testable import SignalProcessor
@testable import Simulation

/// One random history of the order path, carried out by the real stores on PostgreSQL and by the simulated one.
struct StoreHistory {
    static let games: [(GameID, Sport)] = [("h0", .nba), ("h1", .nba), ("h2", .nhl), ("h3", .nhl)]
    static let shards: [ShardID] = ["shard-01", "shard-02"]

    let seed: UInt64
    let rig: Rig
    let signals: SignalStore
    let orders: OrderStore
    let processor: SignalProcessorEngine
    let engine: ExecutionServiceEngine
    /// Off for histories from before the clocks, balances and budgets were drawn: nothing of these decides then.
    let isTimed: Bool
    /// Whether the account may ask its venue for little.
    let isScarce: Bool
    var random: SeededGenerator
    /// What the clocks, balances and budgets are drawn with: the other draws stay what they were.
    var chance: SeededGenerator
    var books: SimulatedBooks
    var seats: [GameID: Seat] = [:]
    var lives: [ShardID: Incarnation] = [:]
    var now = tipOff
    /// The database's time before the first step, in microseconds since 1970: the origin of the simulated one.
    var began: Int64 = 0
    private var said: [(signal: Signal, sender: Incarnation?)] = []
    private var fillsMade = 0
    var arbitrages: [(signal: ArbitrageSignal, sender: Incarnation?)] = []
    var steps: [String] = []

    /// A planted mistake makes the simulated store another one.
    init(
        seed: UInt64, rig: Rig, plant: Plant? = nil, slip: SimulatedBooks.Slip? = nil, isTimed: Bool = true
    ) {
        self.seed = seed
        self.rig = rig
        self.isTimed = isTimed
        random = SeededGenerator(seed: seed)
        chance = SeededGenerator(seed: seed ^ 0x636c_6f63_6b73)
        let isScarce = isTimed && seed % 5 >= 3
        self.isScarce = isScarce
        let budget = Self.budget(isScarce: isScarce)
        signals = SignalStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        var orders = OrderStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        orders.fillStanding = seed % 2 == 0 ? .provisional : .confirmed
        orders.budget = BudgetStore(account: rig.account, limits: budget)
        self.orders = orders
        var safeguards = Safeguards()
        if isTimed, seed % 4 == 1 { safeguards.ordersPerDay = 2 }
        engine = ExecutionServiceEngine(safeguards: safeguards)
        var limits = TradingLimits()
        limits.minimumEdgeBasisPoints = 400
        limits.positionShare = 0.03
        limits.entriesPerSide = 3
        limits.allowsHedging = true
        if seed % 3 == 0 { limits.dailyLoss = .dollars(5) }
        processor = SignalProcessorEngine(limits: limits)
        books = SimulatedBooks(cash: .dollars(1_000), plant: plant)
        books.slip = slip
        books.fillStanding = orders.fillStanding
        books.budgetLimits = budget
    }

    /// Where the two differ, in words; empty when they end equal.
    mutating func differences() async throws -> [String] {
        try await begin()
        var found: [String] = []
        for _ in 0..<roll(20...50) {
            now = now.advanced(by: .microseconds(roll(1_000...5_000_000)))
            if isTimed { found += try await turnClocks() }
            found += try await step()
        }
        let (theirs, ours) = (try await stored(), try simulated())
        found += theirs.subtracting(ours).sorted().map { "only in PostgreSQL: \($0)" }
        found += ours.subtracting(theirs).sorted().map { "only simulated: \($0)" }
        if try await orders.waiting() != books.waiting { found.append("what waits is in another order") }
        if try await orders.openOrders().map(\.record) != books.openOrders.map(\.record) {
            found.append("what is open is in another order")
        }
        found += try await compared()
        if try await orders.waitingPlans(limit: 1_000) != books.waitingPlans(at: .origin) {
            found.append("plans wait in another order")
        }
        return found
    }

    mutating func roll(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    mutating func pick<Element>(of elements: [Element]) -> Element? {
        elements.isEmpty ? nil : elements[roll(0...elements.count - 1)]
    }

    mutating func lot(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &chance) }

    mutating func one<Element>(of elements: [Element]) -> Element? {
        elements.isEmpty ? nil : elements[lot(0...elements.count - 1)]
    }

    func market(_ game: GameID, _ team: HomeAway) -> MarketID {
        MarketID(stringLiteral: "\(game)-\(team.rawValue)")
    }

    // MARK: The beginning

    /// An empty database but for the games and an account; what is never deleted in production is here.
    private mutating func begin() async throws {
        try await rig.pool.transaction("forget") { transaction in
            try await transaction.execute("SET LOCAL session_replication_role = replica")
            for table in [
                "fills", "orders", "intents", "reservations", "signals", "consumed", "positions", "assignments",
                "market_mappings", "games", "shard_lives", "outbox", "daily_stats", "bankroll", "audit_log",
                "account_budgets", "plans", "alerts_to_tell",
            ] { try await transaction.execute(SQL(raw: "DELETE FROM \(table)")) }
            try await transaction.execute("UPDATE kill_switch SET engaged = false, reduce_only_at = NULL")
        }
        try await rig.account.open(with: .dollars(1_000), rig.pool)
        began = try await VenueBalances.now(rig.pool)
        for (game, sport) in Self.games {
            try await rig.pool.execute(
                """
                INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation,
                    scheduled_at, status)
                VALUES (\(game.rawValue), \(sport.rawValue), 'Home', 'HOM', 'Away', 'AWY', 0, 'live')
                """)
            for team in [HomeAway.home, .away] {
                let id = market(game, team)
                try await rig.pool.execute(
                    """
                    INSERT INTO market_mappings (market_id, venue, game_id, event_ticker, title, outcome_team,
                        price_step, status)
                    VALUES (\(id.rawValue), 'kalshi', \(game.rawValue), 'E', 'T', \(team.rawValue), 'linear_cent',
                        'active')
                    """)
                books.markets[id] = SimulatedBooks.MarketRow(game: game, sport: sport, venue: .kalshi, team: team)
            }
            try await rig.pool.execute(
                """
                INSERT INTO assignments (game_id, shard, epoch, state)
                VALUES (\(game.rawValue), 'shard-01', 1, 'assigned')
                """)
            seats[game] = Seat(shard: "shard-01", epoch: .first)
        }
    }

    // MARK: Steps

    private mutating func step() async throws -> [String] {
        switch roll(0...99) {
        case ..<28: try await say()
        case ..<32: try await repeatSignal()
        case ..<36: try await sayArbitrage()
        case ..<46: try await workOnPlan()
        case ..<62: try await claim()
        case ..<79: try await book()
        case ..<84: try await concludeFills()
        case ..<88: try await exit()
        case ..<92: try await settle()
        case ..<94: try await turnKillSwitch()
        case ..<96: try await move()
        case ..<97: try await limitRate()
        case ..<98: try await halt()
        default: try await claimShard()
        }
    }

    private mutating func say() async throws -> [String] {
        guard let (game, sport) = pick(of: Self.games), let seat = seats[game] else { return [] }
        let isStale = roll(0...19) == 0
        let isNowhere = roll(0...29) == 0
        let team: HomeAway = Bool.random(using: &random) ? .home : .away
        let cents = Int64(roll(4...96))
        let isAged = roll(0...19) == 0
        let created = now.advanced(by: .seconds(isAged ? -70 : 0))
        let signal = try Signal(
            id: SignalID("\(isNowhere ? "x" : "s")\(said.count)-\(seed)"), kind: .modelEdgeYes, game: game,
            sport: sport, market: isNowhere ? "nowhere" : market(game, team), venue: .kalshi,
            epoch: isStale ? Epoch(seat.epoch.number + 1) : seat.epoch, shard: seat.shard,
            outcome: Bool.random(using: &random) ? .yes : .no,
            probability: Probability(clamping: Double(cents) / 100 + Double(roll(-5...30)) / 100),
            price: .cents(cents), available: .contracts(Int64(roll(1...400))), edgeBasisPoints: roll(300...3_000),
            play: nil, createdAt: created, expiresAt: created.advanced(by: .seconds(roll(5...75))))
        let sender = roll(0...3) == 0 ? nil : lives[seat.shard]
        said.append((signal, sender))
        return try await process(signal, sender)
    }

    private mutating func repeatSignal() async throws -> [String] {
        guard let (signal, sender) = pick(of: said) else { return [] }
        return try await process(signal, sender)
    }

    private mutating func process(_ signal: Signal, _ sender: Incarnation?) async throws -> [String] {
        let marks = marks()
        let real = try await signals.process(
            signal, from: sender, trace: nil, engine: processor, marks: marks, at: now)
        let owner = SimulatedBooks.Ownership(seat: seats[signal.game], life: lives[signal.shard])
        let ours = books.process(
            signal, from: sender, owner, engine: processor, marks: marks, as: .derived(from: signal.id), at: now,
            database: .origin)
        let found = try await holdBounds()
        let theirs: SimulatedBooks.SignalOutcome =
            switch real {
            case .decided(let verdict): .decided(verdict)
            case .known: .known
            }
        return found + note("signal \(signal.id)", theirs, ours)
    }

    private mutating func claim() async throws -> [String] {
        guard let intent = pick(of: books.intents.keys.sorted()) else { return [] }
        let isReconciled = roll(0...19) > 0
        var seen = (real: VenueReadings.clear, ours: SimulatedBooks.Readings())
        if let row = books.intents[intent] {
            seen = try readings(of: row.intent.market, row.intent.outcome, at: row.intent.limit)
        }
        (seen.real.isReconciled, seen.ours.isReconciled) = (isReconciled, isReconciled)
        let real = try await orders.claim(intent, engine: engine, seen: seen.real, marking: true, at: now)
        let ours = books.claim(
            intent, engine: engine, seen: seen.ours, as: { .derived(from: $0, attempt: $1) }, at: now,
            database: .origin)
        let claimed = real.claimed.map {
            SimulatedBooks.Claimed(intent: $0.intent, order: $0.order, reduces: $0.reduces)
        }
        return note("claim \(intent)", SimulatedBooks.Claim(decision: real.decision, claimed: claimed), ours)
    }

    /// What a process has seen: three times of four it was told the price that it is to pay.
    ///
    /// The fourth time it has just begun, and only the age of the signal says whether an entry goes.
    mutating func readings(
        of market: MarketID, _ outcome: Outcome, at ask: Price
    ) throws -> (real: VenueReadings, ours: SimulatedBooks.Readings) {
        let prices = LatestPrices(metrics: MetricsRegistry())
        let balance = balance()
        var ours = SimulatedBooks.Readings()
        ours.balance = balance.ours
        if steps.count % 4 > 0 {
            let level = try BookLevel(price: outcome == .yes ? ask : ask.complement, quantity: .contracts(50))
            prices.note(
                PriceUpdate(
                    game: "any", market: market, yesBid: outcome == .no ? level : nil,
                    yesAsk: outcome == .yes ? level : nil, at: now))
            ours.ask = ask
        }
        return (VenueReadings(isReconciled: true, prices: prices, balance: balance.real), ours)
    }

    private mutating func book() async throws -> [String] {
        guard let id = pick(of: books.orders.keys.sorted()), let row = books.orders[id] else { return [] }
        let news = try news(of: row.record)
        let real = try await orders.book(id, news, at: now)
        return note("book \(news) of \(id)", real, books.book(id, news))
    }

    private mutating func news(of order: OrderRecord) throws -> OrderNews {
        switch roll(0...19) {
        case 0: return .refused(reason: "rejected")
        case 1, 2, 3: return .unanswered(reason: "no_answer")
        case 4: return .provenAbsent(retries: Bool.random(using: &random))
        case 5: return .notSent(reason: "interrupted")
        case 6: return .sent
        default: break
        }
        var fills = books.fills.values.filter { $0.order == order.request.id }.sorted { $0.id < $1.id }
        let asked = order.request.quantity.hundredths
        for _ in 0..<roll(0...2) {
            fillsMade += 1
            // Now and then more than was asked for.
            let most = roll(0...29) == 0 ? asked * 2 : max(1, asked - fills.reduce(0) { $0 + $1.quantity.hundredths })
            let quantity = try Quantity(hundredths: Int64.random(in: 1...most, using: &random))
            let limit = order.request.limit.tenThousandths
            let prices = order.request.action == .buy ? 1...limit : limit...9_999
            let price = try Price(tenThousandths: Int64.random(in: prices, using: &random))
            fills.append(
                try Fill(
                    id: FillID("f\(fillsMade)-\(seed)"), order: order.request.id, market: order.request.market,
                    outcome: order.request.outcome, action: order.request.action, price: price, quantity: quantity,
                    fee: FeeSchedule.kalshi.fee(quantity, at: price),
                    at: now.advanced(by: .microseconds(fills.count))))
        }
        let traded = fills.reduce(Quantity.zero) { $0 + $1.quantity }
        let isIncomplete = roll(0...9) == 0
        return .accepted(
            roll(0...9) == 0 ? nil : VenueOrderID(stringLiteral: "v-\(order.request.id)"), fills: fills,
            reported: isIncomplete ? traded + .contracts(1) : traded, rests: roll(0...4) == 0)
    }

    private mutating func exit() async throws -> [String] {
        let held = books.openPositions.keys.sorted()
        guard let id = pick(of: roll(0...9) == 0 ? books.markets.keys.sorted() : held), let row = books.markets[id]
        else { return [] }
        let bid = Int64(roll(2...90))
        let isOneSided = roll(0...9) == 0
        let quote = try SimulatedBooks.Quote(
            game: row.game, market: id, yesBid: BookLevel(price: .cents(bid), quantity: .contracts(50)),
            yesAsk: isOneSided ? nil : BookLevel(price: .cents(bid + 2), quantity: .contracts(50)), at: now)
        let policy = ExitPolicy()
        let real = try await orders.askExit(
            of: id, policy,
            price: PriceUpdate(
                game: quote.game, market: id, yesBid: quote.yesBid, yesAsk: quote.yesAsk, at: quote.at), at: now)
        let ours = books.askExit(
            of: id, policy.rules, life: policy.life, price: quote, epoch: seats[row.game]?.epoch,
            as: { IntentID(stringLiteral: UUIDv5.make(namespace: .dns, name: "\($0).\($1).exit.linesman")) }, at: now,
            database: .origin)
        return try await holdBounds() + note("exit \(id)", real, .some(ours))
    }

    private mutating func settle() async throws -> [String] {
        guard let id = pick(of: books.markets.keys.sorted()) else { return [] }
        // Without a value it is void, and paid back.
        let cents: Int64? = [0, 100, 50, 37, nil][roll(0...4)]
        let value = cents.map { Price.cents($0) }
        let real = try await orders.settle(id, at: value, voided: value == nil, now: now)
        return note("settle \(id) at \(value.map { "\($0)" } ?? "refund")", real == .paid, books.settle(id, at: value))
    }

    /// Some fills are certain, or never were; also those that were concluded before, or are of another order.
    private mutating func concludeFills() async throws -> [String] {
        guard let fill = pick(of: books.fills.keys.sorted()), let order = books.fills[fill]?.order else { return [] }
        if roll(0...2) == 0 {
            try await orders.confirm([fill])
            books.confirm([fill])
            steps.append("\(fill) is certain")
            return []
        }
        var taken: Set<FillID> = [fill]
        if let other = pick(of: books.fills.keys.sorted()) { taken.insert(other) }
        let real = try await orders.reverse(taken, of: order, now: now)
        return note("\(taken.sorted()) of \(order) never were", real, .some(books.reverse(taken, of: order, at: now)))
    }

    /// The loss of the day as both see it, and what is done about it.
    private mutating func halt() async throws -> [String] {
        let (marks, at) = (marks(), now)
        let real = try await signals.dayStanding(marks: marks, at: at)
        let ours = (realised: books.realised - books.fees, marked: books.markedProfit(marks, at: at))
        var found = note("realised today", real.realised, ours.realised)
        found += note("marked today", real.marked, .some(ours.marked))
        let limit = Money.dollars(Int64(roll(1...3)) * 50)
        let halt = try await signals.halt(for: limit, limit: limit, by: "test", at: at)
        return found + note("halt at \(limit)", halt, books.halt(at: limit))
    }

    mutating func marks() -> [MarketID: PortfolioMark.Mark] {
        var marks: [MarketID: PortfolioMark.Mark] = [:]
        for id in books.markets.keys.sorted() where roll(0...19) > 0 {
            let bid = Int64(roll(2...90))
            marks[id] = PortfolioMark.Mark(yesBid: .cents(bid), yesAsk: .cents(bid + 2), at: now)
        }
        return marks
    }

    /// What both would compare with a venue that names all that there is.
    private func compared() async throws -> [String] {
        let snapshot = VenueSnapshot(
            orders: books.orders.keys.sorted().map {
                VenueOrderState(
                    venueOrder: VenueOrderID(stringLiteral: "v-\($0)"), key: $0, market: "any", filled: .zero,
                    isOpen: false)
            }, fills: [], positions: [:], balance: nil)
        var (theirs, ours) = (try await orders.own(of: snapshot, since: nil), books.own(of: snapshot))
        theirs.orders.sort { $0.request.id < $1.request.id }
        ours.orders.sort { $0.request.id < $1.request.id }
        theirs.provisional.sort { $0.id < $1.id }
        return theirs == ours ? [] : ["what is compared with a venue differs: PostgreSQL \(theirs), simulated \(ours)"]
    }

    private mutating func turnKillSwitch() async throws -> [String] {
        let isEngaged = books.killSwitch != .engaged && Bool.random(using: &random)
        try await rig.pool.transaction("switch") { transaction in
            _ = try await KillSwitchStore.change(engaged: isEngaged, reason: "history", by: "test", transaction)
        }
        books.killSwitch = isEngaged ? .engaged : .released
        steps.append("kill switch \(isEngaged)")
        return []
    }

    private mutating func move() async throws -> [String] {
        guard let (game, _) = pick(of: Self.games), let shard = pick(of: Self.shards), let seat = seats[game] else {
            return []
        }
        let epoch = try Epoch(seat.epoch.number + 1)
        try await rig.pool.execute(
            """
            UPDATE assignments SET shard = \(shard.rawValue), epoch = \(epoch.number)
            WHERE game_id = \(game.rawValue)
            """)
        seats[game] = Seat(shard: shard, epoch: epoch)
        steps.append("\(game) moves to \(shard)")
        return []
    }

    private mutating func claimShard() async throws -> [String] {
        guard let shard = pick(of: Self.shards) else { return [] }
        let life = Incarnation(stringLiteral: "\(shard)-\(roll(1...1_000_000))")
        try await rig.pool.execute(
            """
            INSERT INTO shard_lives (shard, incarnation) VALUES (\(shard.rawValue), \(life.rawValue))
            ON CONFLICT (shard) DO UPDATE SET incarnation = excluded.incarnation
            """)
        lives[shard] = life
        steps.append("\(shard) is \(life)")
        return []
    }

    mutating func note<Answer: Equatable>(_ what: String, _ theirs: Answer, _ ours: Answer?) -> [String] {
        steps.append(what)
        if let ours, theirs == ours { return [] }
        let answer = ours.map { "\($0)" } ?? "nothing"
        return ["step \(steps.count), \(what): PostgreSQL \(theirs), simulated \(answer)"]
    }
}
