import Bus
import Domain
import ExecutionServiceEngine
import Hosting
import Resilience
import Runtime
import SignalProcessorEngine
import Testing
import Wire

@testable import ExecutionService
@testable import SignalProcessor

extension Rig {
    /// Both teams of a game at 45 cents, in two markets of one event.
    func arbitrage(
        _ id: SignalID, game: GameID = "game-1", away: MarketID, available: Int64 = 10, venue: Venue = .kalshi
    ) throws -> ArbitrageSignal {
        try ArbitrageSignal(
            id: id, game: game, sport: .nba, epoch: .first, shard: "shard-01",
            legs: [
                ArbitrageLeg(
                    market: home(game), venue: .kalshi, outcome: .yes, backs: .home, price: .cents(45),
                    available: .contracts(available)),
                ArbitrageLeg(
                    market: away, venue: venue, outcome: .yes, backs: .away, price: .cents(45),
                    available: .contracts(available)),
            ],
            createdAt: tipOff, expiresAt: tipOff.advanced(by: .seconds(60)))
    }

    var signals: SignalStore { SignalStore(pool: pool, account: account, statistics: statistics) }
    var orders: OrderStore { OrderStore(pool: pool, account: account, statistics: statistics) }

    /// Limits that eight pairs pass.
    static var planLimits: TradingLimits {
        var limits = TradingLimits()
        limits.minimumLiquidity = .dollar
        return limits
    }

    /// An approved plan, without a signal-processor.
    func approvedPlan(_ signal: ArbitrageSignal, marks: MarkBook.Marks = [:]) async throws -> ApprovedPlan {
        let engine = SignalProcessorEngine(limits: Self.planLimits)
        let outcome = try await signals.process(signal, trace: nil, engine: engine, marks: marks, at: tipOff)
        guard case .decided(.approved(let plan)) = outcome else { throw NeverCame(description: "\(outcome)") }
        return plan
    }

    /// What must hold when every plan is over.
    func expectEvenLegs(_ location: SourceLocation = #_sourceLocation) async throws {
        let uneven = try await number(
            """
            SELECT count(*) AS n FROM (SELECT sum(CASE WHEN (i.leg = 1) = (o.action = 'buy') THEN o.filled
                ELSE -o.filled END) AS naked FROM intents i JOIN orders o USING (intent_id)
                WHERE i.plan_id IS NOT NULL GROUP BY i.plan_id) AS plan WHERE naked <> 0
            """)
        #expect(uneven == 0, "legs of a plan are even", sourceLocation: location)
        let held = try await number("SELECT count(*) AS n FROM reservations WHERE state = 'held'")
        #expect(held == 0, "nothing is reserved any more", sourceLocation: location)
        let wrong = try await text(
            """
            SELECT string_agg(concat_ws(' ', plan_id, state, ending, result), ', ') AS t FROM plans
            WHERE state <> 'finished' OR result < -(approved ->> 'maximumLoss')::int8
            """)
        #expect(wrong == nil, "every plan is over, within its loss", sourceLocation: location)
    }
}

extension OrderPath {
    static let planSettings = [
        "LIQUIDITY_MIN_THRESHOLD": "1", "PLAN_RETRY_MS": "50", "PLAN_LEASE_MS": "400", "NAKED_PATIENCE_SECS": "1",
        // A quarter of it is how long a claim may be held up by a busy machine.
        "NON_ACCEPTANCE_WAIT_SECS": "16",
    ]

    /// Both services with books that a plan can trade on.
    func startPlanning(_ settings: [String: String] = [:]) async throws -> MarketID {
        venue.hold(nil)
        let away = try await rig.addAwayMarket("game-1")
        startSignalProcessor(Self.planSettings)
        startExecution(Self.planSettings.merging(settings) { $1 })
        return away
    }

    func publish(_ signal: ArbitrageSignal) async throws {
        _ = try await bus.publish(ArbitrageMessage(signal: signal), on: Channels.arbitrages, trace: "trace-1")
    }

    /// Tells the top of a book, two cents wide.
    func tell(_ market: MarketID, ask: Int64, hasBid: Bool = true, game: GameID = "game-1") async throws {
        let bid = try BookLevel(price: .cents(ask - 2), quantity: .contracts(100))
        let price = PriceUpdate(
            game: game, market: market, yesBid: hasBid ? bid : nil,
            yesAsk: try BookLevel(price: .cents(ask), quantity: .contracts(100)), at: tipOff)
        _ = try await bus.publish(price, on: Channels.price(game))
    }

    /// Tells prices, again and again, until the condition holds.
    ///
    /// In the order of their names: what covers the home leg is told before what it could be sold at.
    func telling(
        _ asks: [MarketID: Int64], until what: String, _ condition: () async throws -> Bool
    ) async throws {
        let clock = MachineClock.real
        var next = clock.now
        do {
            try await eventually(what) {
                if clock.now >= next {
                    for (market, ask) in asks.sorted(by: { $0.key < $1.key }) { try await tell(market, ask: ask) }
                    next = clock.now.advanced(by: .milliseconds(50))
                }
                return try await condition()
            }
        } catch let error as NeverCame {
            throw NeverCame(description: "\(error), but \(try await planStory())")
        }
    }

    func untilPlan(_ ending: String, _ asks: [MarketID: Int64]) async throws {
        try await telling(asks, until: "a plan that ended \(ending)") {
            try await rig.number("SELECT count(*) AS n FROM plans WHERE ending = \(ending)") == 1
        }
    }

    /// How plans stand, and what became of each of their orders.
    private func planStory() async throws -> String {
        let plans = try await rig.text(
            "SELECT string_agg(concat_ws(' ', plan_id, state, ending), ', ' ORDER BY created_at) AS t FROM plans")
        let orders = try await rig.text(
            """
            SELECT string_agg(concat_ws(' ', o.attempt, o.purpose, o.market_id, o.state, o.reason, o.filled), ', '
                ORDER BY o.stored_at) AS t FROM orders o
            """)
        return "\(plans ?? "no plan"): \(orders ?? "no order")"
    }
}
