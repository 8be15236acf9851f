import Bus
import Domain
import Foundation
import Hosting
import Postgres
import Resilience
import Runtime
import Wire

/// Puts intents with their reservations into the database as the signal-processor does: under the account's lock, and
/// as much as the limits have room for; and tells prices as shards do.
struct IntentFeeder: Sendable {
    /// Of everything, and of one market; small, so that the room is used to the last cent.
    static let total = Money.dollars(300)
    static let market = Money.dollars(20)
    /// Intents that may wait at one time.
    static let waiting = 40
    /// A price that nobody gives is two cents off, and is to reach the venue all the same.
    static let settings = ["MAX_SLIPPAGE_PCT": "5"]

    let pool: PostgresPool
    let account: TradingAccount
    let bus: Bus

    /// What a market has of each, in the transaction that feeds.
    private struct Market {
        let id: String
        let net: Int64
        let open: Int64
        var exposure: Money
    }

    private struct Batch {
        var ids: [String] = []
        var markets: [String] = []
        var outcomes: [String] = []
        var actions: [String] = []
        var prices: [Int64] = []
        var quantities: [Int64] = []
        var amounts: [Int64] = []
        var lives: [Double] = []
    }

    /// Markets, their game and the account, as they were found.
    func prepare() async throws {
        try await account.open(with: .dollars(100_000_000), pool)
        try await pool.execute(
            """
            INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation,
                scheduled_at, status)
            VALUES (\(OrderMarkets.game.rawValue), 'nba', 'Home', 'HOM', 'Away', 'AWY', 0, 'live')
            """)
        try await pool.execute(
            """
            INSERT INTO market_mappings (market_id, venue, game_id, event_ticker, title, outcome_team, price_step,
                status)
            SELECT id, 'kalshi', \(OrderMarkets.game.rawValue), 'KXORDERS', 'T', 'home', 'linear_cent', 'active'
            FROM unnest(\(OrderMarkets.ids.map(\.rawValue))::text[]) AS market (id)
            """)
    }

    /// Tells the top of every book once a second, until it is cancelled: an intent outlives its signal's own price when
    /// a process dies that would have sent it, or the kill switch holds it back.
    func tellPrices() async {
        while !Task.isCancelled {
            let at = VenueInstant.epoch.advanced(by: .microseconds(Int64(Date().timeIntervalSince1970 * 1_000_000)))
            for market in OrderMarkets.ids {
                let price = PriceUpdate(
                    game: OrderMarkets.game, market: market,
                    yesBid: try? BookLevel(price: OrderMarkets.bid, quantity: .contracts(1_000)),
                    yesAsk: try? BookLevel(price: OrderMarkets.ask, quantity: .contracts(1_000)), at: at)
                // A hint: the next one says the same.
                _ = try? await bus.publish(price, on: Channels.price(OrderMarkets.game))
            }
            try? await MachineClock.real.sleep(for: .seconds(1))  // cancelled: the loop sees it
        }
    }

    /// Feeds as many as there is room for.
    ///
    /// - Returns: how many that were.
    func feed(atMost limit: Int, _ generator: inout SeededGenerator) async throws -> Int {
        var copy = generator
        let fed = try await pool.retryingTransaction("feed") { transaction in
            _ = try await account.lock(transaction)
            let markets = try await state(transaction)
            let open = markets.reduce(0) { $0 + Int($1.open) }
            let batch = Self.choose(markets, atMost: min(limit, Self.waiting - open), &copy)
            if !batch.ids.isEmpty { try await insert(batch, transaction) }
            return batch.ids.count
        }
        generator = copy
        return fed
    }

    private func state(_ transaction: PostgresTransaction) async throws -> [Market] {
        try await transaction.query(
            """
            SELECT m.market_id, coalesce(p.net_quantity, 0) AS net, coalesce(i.open, 0) AS open,
                coalesce(p.cost, 0) + coalesce(r.held, 0) AS exposure
            FROM market_mappings m LEFT JOIN positions p ON p.market_id = m.market_id AND p.state = 'open'
            LEFT JOIN (SELECT market_id, sum(amount - released)::int8 AS held FROM reservations
                WHERE state = 'held' GROUP BY market_id) r ON r.market_id = m.market_id
            LEFT JOIN (SELECT market_id, count(*) AS open FROM intents
                WHERE state IN ('approved', 'sending') GROUP BY market_id) i ON i.market_id = m.market_id
            ORDER BY m.market_id
            """
        ).map { row in
            Market(
                id: try row.text("market_id"), net: try row.int64("net"), open: try row.int64("open"),
                exposure: try Money(microdollars: row.int64("exposure")))
        }
    }

    private static func choose(
        _ markets: [Market], atMost limit: Int, _ generator: inout SeededGenerator
    ) -> Batch {
        var batch = Batch()
        var total = markets.reduce(Money.zero) { $0 + $1.exposure }
        for market in markets.shuffled(using: &generator) where batch.ids.count < limit && market.open < 2 {
            let (outcome, action, quantity) = order(market, &generator)
            let isBought = action == .buy
            // One in thirty asks for a price that nobody gives.
            let miss = Int.random(in: 0..<30, using: &generator) == 0 ? Int64(2) : 0
            let best = isBought ? (outcome == .yes ? Int64(50) : 51) : (outcome == .yes ? Int64(49) : 50)
            let limit = Price.cents(isBought ? best - miss : best + miss)
            let amount =
                isBought ? limit * quantity + FeeSchedule.kalshi.fee(quantity, at: limit) : Money.zero
            if isBought {
                guard market.exposure + amount <= Self.market, total + amount <= Self.total else { continue }
                total += amount
            }
            batch.ids.append(uuid(&generator))
            batch.markets.append(market.id)
            batch.outcomes.append(outcome.rawValue)
            batch.actions.append(action.rawValue)
            batch.prices.append(limit.tenThousandths)
            batch.quantities.append(quantity.hundredths)
            batch.amounts.append(amount.microdollars)
            batch.lives.append(Int.random(in: 0..<50, using: &generator) == 0 ? 0.3 : 3_600)
        }
        return batch
    }

    /// Buys until a market is full, then more of what makes room again.
    private static func order(
        _ market: Market, _ generator: inout SeededGenerator
    ) -> (Outcome, Action, Quantity) {
        let quantity = Quantity.contracts(Int64.random(in: 1...8, using: &generator))
        let isFull = market.exposure + .dollars(5) > Self.market
        let held = market.net.magnitude / 100
        guard held > 0, isFull || Int.random(in: 0..<4, using: &generator) == 0 else {
            return (market.net < 0 ? .no : .yes, .buy, quantity)
        }
        let reduced = min(quantity, .contracts(Int64(held)))
        // What is held is sold, or the other side bought.
        if Bool.random(using: &generator) { return (market.net > 0 ? .yes : .no, .sell, reduced) }
        return (market.net > 0 ? .no : .yes, .buy, reduced)
    }

    private static func uuid(_ generator: inout SeededGenerator) -> String {
        let parts = [generator.next(), generator.next()].map { value in
            String(repeating: "0", count: 16 - String(value, radix: 16).count) + String(value, radix: 16)
        }
        return "order-\(parts.joined())"
    }

    private func insert(_ batch: Batch, _ transaction: PostgresTransaction) async throws {
        let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
        try await transaction.execute(
            """
            INSERT INTO signals (signal_id, game_id, market_id, shard, epoch, kind, outcome, model_probability, price,
                edge_basis_points, venue_created_at, venue_expires_at, trace, verdict)
            SELECT id, \(OrderMarkets.game.rawValue), market, 'shard-01', 1, 'model_edge_yes', outcome, 0.6, price, 100,
                \(now), \(now) + (life * 1000000)::int8, '', 'approved'
            FROM unnest(\(batch.ids)::text[], \(batch.markets)::text[], \(batch.outcomes)::text[], \(batch.prices),
                \(batch.lives)) AS fed (id, market, outcome, price, life)
            """)
        try await transaction.execute(
            """
            INSERT INTO reservations (reservation_id, game_id, market_id, sport, amount)
            SELECT id, \(OrderMarkets.game.rawValue), market, 'nba', amount
            FROM unnest(\(batch.ids)::text[], \(batch.markets)::text[], \(batch.amounts)) AS fed (id, market, amount)
            WHERE amount > 0
            """)
        try await transaction.execute(
            """
            INSERT INTO intents (intent_id, signal_id, reservation_id, game_id, market_id, epoch, outcome, action,
                limit_price, quantity, venue_expires_at, expires_at, trace)
            SELECT id, id, CASE WHEN amount > 0 THEN id END, \(OrderMarkets.game.rawValue), market, 1, outcome, action,
                price, quantity, \(now) + (life * 1000000)::int8, now() + make_interval(secs => life), ''
            FROM unnest(\(batch.ids)::text[], \(batch.markets)::text[], \(batch.outcomes)::text[],
                \(batch.actions)::text[], \(batch.prices), \(batch.quantities), \(batch.amounts), \(batch.lives))
                AS fed (id, market, outcome, action, price, quantity, amount, life)
            """)
    }
}
