import GameShardEngine
import Hosting

extension ShardRules {
    /// The rules that the settings ask for.
    init(_ settings: GameShardSettings) {
        self.init()
        maximumGames = settings.maximumGames
        minimumEdgeBasisPoints = Int((settings.minimumEdgePercent * 100).rounded())
        minimumArbitrageBasisPoints = Int((settings.minimumArbitrageEdgeCents * 100).rounded())
        arbitrageDebounce = settings.arbitrageDebounce
        arbitrageLife = settings.arbitrageLife
        lowestProbability = settings.minimumProbability
        highestProbability = settings.maximumProbability
        debounce = settings.debounce
        bookLimit = settings.priceLimit
        stateLimit = settings.stateLimit
        signalLife = settings.signalLife
        scoreConfirmation = settings.scoreConfirmation
        lease = settings.lease
        takesSports = settings.type == .sports
    }
}
