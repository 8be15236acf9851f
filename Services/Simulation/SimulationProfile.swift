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

    var hasOrderPath: Bool { processors > 0 }

    /// The fleet alone.
    static let fleet = SimulationProfile()

    /// Everything: three minutes of two shards, twenty games and ten ticks a second.
    ///
    /// In every fourth seed a second execution-service works on the same books, as when one that was taken for dead
    /// comes back.
    static func suite(seed: UInt64) -> SimulationProfile {
        SimulationProfile(
            shards: 2, games: 20, capacity: 20, processors: 1, executors: seed % 4 == 0 ? 2 : 1,
            length: .seconds(180))
    }
}
