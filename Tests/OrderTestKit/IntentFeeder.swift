import Bus
import Domain
import Foundation
import Hosting
import Postgres
import Resilience
import Runtime
import Wire

/// Puts intents with their reservations into the database, under the account's lock, and as much as the limits have
/// room for; and tells prices as shards do.
///
/// For rehearsals of what becomes of intents that are there whoever approved them, an engaged kill switch or not;
/// where approving is a part of it, `SignalFeeder` asks the signal-processor.
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

    /// Markets, a game of its own for each, its shard and the account, as they were found.
    func prepare() async throws {
        try await account.open(with: .dollars(100_000_000), pool)
        let (markets, games) = (OrderMarkets.ids.map(\.rawValue), OrderMarkets.ids.map { OrderMarkets.game(of: $0) })
        try await pool.execute(
            """
            INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation,
                scheduled_at, status)
            SELECT id, 'nba', 'Home', 'HOM', 'Away', 'AWY', 0, 'live'
            FROM unnest(\(games.map(\.rawValue))::text[]) AS game (id)
            """)
        try await pool.execute(
            """
            INSERT INTO market_mappings (market_id, venue, game_id, event_ticker, title, outcome_team, price_step,
                status)
            SELECT id, 'kalshi', game, 'KXORDERS', 'T', 'home', 'linear_cent', 'active'
            FROM unnest(\(markets)::text[], \(games.map(\.rawValue))::text[]) AS market (id, game)
            """)
        try await pool.execute(
            """
            INSERT INTO assignments (game_id, shard, epoch, state)
            SELECT id, \(OrderMarkets.shard.rawValue), 1, 'assigned'
            FROM unnest(\(games.map(\.rawValue))::text[]) AS game (id)
            """)
    }

    /// Tells the top of every book once a second, until it is cancelled: an intent outlives its signal's own price when
    /// a process dies that would have sent it, or the kill switch holds it back.
    func tellPrices() async {
        while !Task.isCancelled {
            let at = VenueInstant.wall
            for market in OrderMarkets.ids {
                let price = PriceUpdate(
                    game: OrderMarkets.game(of: market), market: market,
                    yesBid: try? BookLevel(price: OrderMarkets.bid, quantity: .contracts(1_000)),
                    yesAsk: try? BookLevel(price: OrderMarkets.ask, quantity: .contracts(1_000)), at: at)
                // A hint: the next one says the same.
                _ = try? await bus.publish(price, on: Channels.price(price.game))
            }
            try? await MachineClock.real.sleep(for: .seconds(1))  // cancelled: the loop sees it
        }
    }

    /// Feeds as many as there is room for.
    func feed(atMost limit: Int, _ generator: inout SeededGenerator) async throws {
        var copy = generator
        try await pool.retryingTransaction("feed") { transaction in
            _ = try await account.lock(transaction)
            let markets = try await OrderWish.Market.all(transaction)
            let open = markets.reduce(0) { $0 + Int($1.open) }
            var wishes = OrderWish.some(in: markets, atMost: min(limit, Self.waiting - open), &copy)
            Self.keepWithinLimits(&wishes, markets)
            try await insert(wishes, transaction)
        }
        generator = copy
    }

    private static func keepWithinLimits(_ wishes: inout [OrderWish], _ markets: [OrderWish.Market]) {
        let exposure = Dictionary(uniqueKeysWithValues: markets.map { ($0.id, $0.exposure) })
        var total = markets.reduce(Money.zero) { $0 + $1.exposure }
        wishes.removeAll { wish in
            guard exposure[wish.market, default: .zero] + wish.amount <= market, total + wish.amount <= Self.total
            else { return wish.amount > .zero }
            total += wish.amount
            return false
        }
    }

    /// Stores wishes as approved intents; those that sell reserve nothing.
    func insert(_ wishes: [OrderWish], _ transaction: PostgresTransaction) async throws {
        if wishes.isEmpty { return }
        let now = VenueInstant.wall.microseconds
        let ids = wishes.map(\.id)
        let lives = wishes.map(\.life.inSeconds)
        let outcomes = wishes.map(\.outcome.rawValue)
        let prices = wishes.map(\.limit.tenThousandths)
        try await transaction.execute(
            """
            INSERT INTO signals (signal_id, game_id, market_id, shard, epoch, kind, outcome, model_probability, price,
                edge_basis_points, venue_created_at, venue_expires_at, trace, verdict)
            SELECT id, m.game_id, m.market_id, \(OrderMarkets.shard.rawValue), 1, 'model_edge_yes', outcome, 0.6, price,
                100, \(now), \(now) + (life * 1000000)::int8, '', 'approved'
            FROM unnest(\(ids)::text[], \(wishes.map(\.market))::text[], \(outcomes)::text[], \(prices),
                \(lives)) AS fed (id, market, outcome, price, life) JOIN market_mappings m ON market_id = market
            """)
        try await transaction.execute(
            """
            INSERT INTO reservations (reservation_id, game_id, market_id, sport, amount)
            SELECT id, m.game_id, m.market_id, 'nba', amount
            FROM unnest(\(ids)::text[], \(wishes.map(\.market))::text[], \(wishes.map(\.amount.microdollars)))
                AS fed (id, market, amount) JOIN market_mappings m ON market_id = market
            WHERE amount > 0
            """)
        try await transaction.execute(
            """
            INSERT INTO intents (intent_id, signal_id, reservation_id, game_id, market_id, epoch, outcome, action,
                limit_price, quantity, venue_expires_at, expires_at, trace)
            SELECT id, id, CASE WHEN amount > 0 THEN id END, m.game_id, m.market_id, 1, fed.outcome, action,
                price, quantity, \(now) + (life * 1000000)::int8, now() + make_interval(secs => life), ''
            FROM unnest(\(ids)::text[], \(wishes.map(\.market))::text[], \(outcomes)::text[],
                \(wishes.map(\.action.rawValue))::text[], \(prices), \(wishes.map(\.quantity.hundredths)),
                \(wishes.map(\.amount.microdollars)), \(lives))
                AS fed (id, market, outcome, action, price, quantity, amount, life)
            JOIN market_mappings m ON market_id = market
            """)
    }
}
