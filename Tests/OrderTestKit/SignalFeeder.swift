import Bus
import Domain
import Hosting
import Postgres
import Resilience
import Runtime
import Wire

/// Says signals as a shard does, for a real signal-processor to reserve as much as its limits have room for, and sells
/// what is held as the execution-service's own exits do.
///
/// It asks for more than there is room for: what keeps the limits is the signal-processor alone.
actor SignalFeeder {
    /// The limits of the order path, and nothing else in the way of a small order: cool-downs, the share of what rests
    /// and the losses of a day would each have their own say.
    static let settings = [
        "MAX_TOTAL_EXPOSURE": "\(IntentFeeder.total.approximateDollars)",
        "MAX_POSITION_PER_MARKET": "\(IntentFeeder.market.approximateDollars)", "MAX_GAME_EXPOSURE": "-1",
        "MAX_SPORT_EXPOSURE": "-1", "MAX_DAILY_LOSS": "100000000", "MAX_ENTRIES_PER_SIDE": "1000",
        "MAX_POSITIONS_PER_GAME": "1000", "ALLOW_HEDGING": "true", "WIN_COOLDOWN_SECONDS": "0",
        "LOSS_COOLDOWN_SECONDS": "0", "MIN_STAKE": "0.01", "LIQUIDITY_MIN_THRESHOLD": "0",
        "LIQUIDITY_MAX_POSITION_PCT": "100",
    ]

    /// Signals that may wait at one time for the signal-processor: it has decided on all before more are said.
    private static let most = 20
    private static let mostWhenFull = 2

    private let intents: IntentFeeder
    private let bus: Bus
    private var said: [String] = []

    init(_ intents: IntentFeeder, bus: Bus) {
        self.intents = intents
        self.bus = bus
    }

    /// Asks for some more, once everything that was asked for is decided.
    func feed(_ generator: inout SeededGenerator) async throws {
        let waiting = said
        let decided = try await intents.pool.first(
            "SELECT count(*) AS n FROM signals WHERE signal_id = ANY(\(waiting)::text[])")
        guard try decided?.int("n") ?? 0 == waiting.count else { return }
        var copy = generator
        let bought = try await intents.pool.retryingTransaction("feed") { transaction in
            _ = try await self.intents.account.lock(transaction)
            let markets = try await OrderWish.Market.all(transaction)
            let open = markets.reduce(0) { $0 + Int($1.open) }
            let room = min(Self.most, IntentFeeder.waiting - open)
            let wishes = OrderWish.some(in: markets, atMost: room, &copy)
            try await self.intents.insert(wishes.filter { $0.action == .sell }, transaction)
            // Where there is no room a few show that the limit holds; more would only cost time.
            let exposure = markets.reduce(Money.zero) { $0 + $1.exposure }
            let isFull = exposure + .dollars(5) > IntentFeeder.total
            return wishes.filter { $0.action == .buy }.prefix(isFull ? Self.mostWhenFull : Self.most)
        }
        generator = copy
        said = bought.map(\.id)
        for wish in bought { _ = try await bus.publish(SignalMessage(signal: signal(wish)), on: Channels.signals) }
    }

    /// Worth any stake, so that the quantity that rests is what is asked for.
    private func signal(_ wish: OrderWish) throws -> Signal {
        let market = MarketID(stringLiteral: wish.market)
        let now = VenueInstant.wall
        return try Signal(
            id: SignalID(stringLiteral: wish.id), kind: wish.outcome == .yes ? .modelEdgeYes : .modelEdgeNo,
            game: OrderMarkets.game(of: market), sport: .nba, market: market, venue: .kalshi, epoch: .first,
            shard: OrderMarkets.shard, outcome: wish.outcome, probability: Probability(0.9), price: wish.limit,
            available: wish.quantity, edgeBasisPoints: 3_000, play: nil, createdAt: now,
            expiresAt: now.advanced(by: wish.life))
    }
}
