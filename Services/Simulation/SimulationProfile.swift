import Domain
import ExecutionServiceEngine
import Resilience

/// How much of everything a simulation has, and how long it lasts.
struct SimulationProfile: Hashable {
    var shards = 3
    var games = 10
    /// Games that one shard takes.
    var capacity = 8
    /// 0 leaves the order path out.
    var processors = 0
    var executors = 0
    /// Of scores and books together.
    var ticksPerSecond = 10
    var length = Duration.seconds(115)
    /// Whether the venue refuses a second order under a known key; some take it.
    var keepsKeys = true
    /// Whether the venue may take back what it called a fill.
    var takesFillsBack = false
    /// Whether what two markets of a game cost less than together is bought.
    var hasArbitrage = false
    /// What may be lost in a day.
    var dailyLoss = Money.dollars(100)
    /// What the account may ask of its venue; nil where nobody counts.
    var budget: AccountBudget.Limits?
    /// Whether the venue works on some orders for up to half a minute.
    var isSluggish = false
    /// Whether an order may be worth little, an hour has few orders, and nobody bets on both sides of a game.
    var isStrict = false
    /// Whether one market and all of them together have narrow limits, and a minute few exits.
    var isCapped = false
    /// Whether PostgreSQL is slow at times, market-discovery cut off or standing still, and the clocks of the fleet go
    /// at rates of their own.
    var isStretched = false
    /// Whether one shard cannot take all games, and shards are away for up to half a minute.
    var isCrowded = false

    var hasOrderPath: Bool { processors > 0 }

    /// The fleet alone.
    static let fleet = SimulationProfile()

    /// Everything: three minutes of two shards, twenty games and ten ticks a second.
    ///
    /// In every fourth seed a second execution-service works on the same books, as when one that was taken for dead
    /// comes back; in every third the venue takes fills back, in the others there is arbitrage, and in half of these it
    /// lets us ask for little; in every fifth the day's loss is soon reached; in every seventh orders are few,
    /// small, and of one side of a game only. Every fourth is stretched (as is every fourth of those with two
    /// execution-services), in half of the others markets are capped, and in half of each kind the venue takes a second
    /// order under one key. In every eleventh some orders rest for long; every thirteenth is crowded.
    static func suite(seed: UInt64) -> SimulationProfile {
        SimulationProfile(
            shards: 2, games: 20, capacity: seed % 13 == 6 ? 12 : 20, processors: 1, executors: seed % 4 == 0 ? 2 : 1,
            length: .seconds(180), keepsKeys: seed / 8 % 2 == 0, takesFillsBack: seed % 3 == 0,
            hasArbitrage: seed % 3 != 0, dailyLoss: seed % 5 == 0 ? .dollars(10) : .dollars(100),
            budget: seed % 3 == 1 ? scarce : nil, isSluggish: seed % 11 == 3, isStrict: seed % 7 == 2,
            isCapped: seed % 8 == 1, isStretched: seed % 4 == 1 || seed % 16 == 8,
            isCrowded: seed % 13 == 6)
    }

    /// Three orders at once, and one in two seconds.
    private static let scarce = try? AccountBudget.Limits(tokensPerSecond: 5, burst: 50, reserve: 20)
}
