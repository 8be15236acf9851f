import Bus
import Domain
import Foundation
import Hosting
import Postgres
import Resilience
import Wire

/// Puts plans with their reservations into the database as the signal-processor does, and tells prices as shards do.
struct PlanFeeder: Sendable {
    /// What a plan that goes wrong may lose.
    static let loss = Money.dollars(5)

    let pool: PostgresPool
    let account: TradingAccount
    let bus: Bus

    /// Markets, their game and the account, as they were found.
    func prepare() async throws {
        try await account.open(with: .dollars(100_000_000), pool)
        try await pool.execute(
            """
            INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation,
                scheduled_at, status)
            VALUES (\(PlanMarkets.game.rawValue), 'nba', 'Home', 'HOM', 'Away', 'AWY', 0, 'live')
            """)
        for pair in PlanMarkets.pairs {
            for (market, team) in [(pair.home, HomeAway.home), (pair.away, .away)] {
                try await pool.execute(
                    """
                    INSERT INTO market_mappings (market_id, venue, game_id, event_ticker, title, outcome_team,
                        price_step, status)
                    VALUES (\(market.rawValue), 'kalshi', \(PlanMarkets.game.rawValue), \(pair.event), 'T',
                        \(team.rawValue), 'linear_cent', 'active')
                    """)
            }
        }
    }

    private static var now: VenueInstant {
        VenueInstant.epoch.advanced(by: .microseconds(Int64(Date().timeIntervalSince1970 * 1_000_000)))
    }

    /// The top of every book; of what is dear the truth is told half of the time.
    func tell(truth: Bool) async {
        for pair in PlanMarkets.pairs {
            let isDear = truth && pair.depth == .dear
            let away = isDear ? (PlanMarkets.dearBid, PlanMarkets.dearAsk) : (PlanMarkets.bid, PlanMarkets.ask)
            for (market, top) in [(pair.home, (PlanMarkets.bid, PlanMarkets.ask)), (pair.away, away)] {
                let price = PriceUpdate(
                    game: PlanMarkets.game, market: market,
                    yesBid: try? BookLevel(price: top.0, quantity: .contracts(1_000)),
                    yesAsk: try? BookLevel(price: top.1, quantity: .contracts(1_000)), at: Self.now)
                // A hint: the next one says the same.
                _ = try? await bus.publish(price, on: Channels.price(PlanMarkets.game))
            }
        }
    }

    /// A plan for each pair that has none at work, at most so many.
    func feed(atMost limit: Int, _ generator: inout SeededGenerator) async throws {
        let busy = Set(
            try await pool.query(
                """
                SELECT DISTINCT i.market_id FROM intents i JOIN plans p USING (plan_id) WHERE p.state <> 'finished'
                """
            ).map { try $0.text("market_id") })
        let idle = PlanMarkets.pairs.filter { !busy.contains($0.home.rawValue) }
        for pair in idle.shuffled(using: &generator).prefix(max(0, limit - (PlanMarkets.pairs.count - idle.count))) {
            let plan = try Self.plan(pair, contracts: .random(in: 4...20, using: &generator), &generator)
            try await pool.retryingTransaction("feed plan") { transaction in
                _ = try await account.lock(transaction)
                try await insert(plan, transaction)
            }
        }
    }

    private static func plan(
        _ pair: PlanMarkets.Pair, contracts: Int64, _ generator: inout SeededGenerator
    ) throws -> ApprovedPlan {
        let now = now
        let name = [generator.next(), generator.next()].map { String($0, radix: 16) }.joined()
        // The home leg first, so that the other one is what is missed.
        func leg(_ market: MarketID, _ team: HomeAway, _ available: Int64) throws -> ArbitrageLeg {
            try ArbitrageLeg(
                market: market, venue: .kalshi, outcome: .yes, backs: team, price: PlanMarkets.ask,
                available: .contracts(available))
        }
        let signal = try ArbitrageSignal(
            id: SignalID("signal-\(name)"), game: PlanMarkets.game, sport: .nba, epoch: .first, shard: "shard-01",
            legs: [leg(pair.home, .home, 50), leg(pair.away, .away, 60)], createdAt: now,
            expiresAt: now.advanced(by: .seconds(10)))
        return try ApprovedPlan(
            id: IntentID("plan-\(name)"), signal: signal, reservation: ReservationID("plan-\(name)"),
            quantity: .contracts(contracts), maximumLoss: loss)
    }

    private func insert(_ plan: ApprovedPlan, _ transaction: PostgresTransaction) async throws {
        let signal = plan.signal
        for (index, leg) in signal.legs.enumerated() {
            try await transaction.execute(
                """
                INSERT INTO signals (signal_id, game_id, market_id, shard, epoch, kind, outcome, model_probability,
                    price, edge_basis_points, venue_created_at, venue_expires_at, trace, verdict)
                VALUES (\(Self.name(signal.id.rawValue, index)), \(signal.game.rawValue), \(leg.market.rawValue),
                    'shard-01', 1, \(signal.kind.rawValue), 'yes', 0.5, \(leg.price.tenThousandths), 100,
                    \(signal.createdAt.microseconds), \(signal.expiresAt.microseconds), '', 'approved')
                """)
        }
        try await transaction.execute(
            """
            INSERT INTO reservations (reservation_id, game_id, market_id, sport, amount)
            VALUES (\(plan.reservation.rawValue), \(signal.game.rawValue), \(signal.legs[0].market.rawValue), 'nba',
                \(plan.reserved.microdollars))
            """)
        try await transaction.execute(
            """
            INSERT INTO plans (plan_id, signal_id, reservation_id, game_id, approved, venue_expires_at, expires_at,
                trace)
            VALUES (\(plan.id.rawValue), \(signal.id.rawValue), \(plan.reservation.rawValue), \(signal.game.rawValue),
                \(.json(plan)), \(signal.expiresAt.microseconds), now() + interval '10 seconds', '')
            """)
        for (index, leg) in signal.legs.enumerated() {
            try await transaction.execute(
                """
                INSERT INTO intents (intent_id, signal_id, reservation_id, game_id, market_id, epoch, outcome, action,
                    limit_price, quantity, state, venue_expires_at, expires_at, trace, plan_id, leg)
                VALUES (\(Self.name(plan.id.rawValue, index)), \(Self.name(signal.id.rawValue, index)),
                    \(plan.reservation.rawValue), \(signal.game.rawValue), \(leg.market.rawValue), 1, 'yes', 'buy',
                    \(leg.price.tenThousandths), \(plan.quantity.hundredths), 'done',
                    \(signal.expiresAt.microseconds), now() + interval '10 seconds', '', \(plan.id.rawValue),
                    \(index + 1))
                """)
        }
    }

    private static func name(_ whole: String, _ index: Int) -> String { index == 0 ? whole : "\(whole).2" }
}
