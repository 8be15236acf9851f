import Domain
import Hosting
import SignalProcessorEngine

extension TradingLimits {
    /// The limits that the settings ask for.
    init(_ settings: SignalProcessorSettings) {
        self.init()
        minimumEdgeBasisPoints = Int((settings.minimumEdgePercent * 100).rounded())
        minimumArbitrageBasisPoints = Int((settings.minimumArbitrageEdgeCents * 100).rounded())
        kellyFraction = settings.kellyFraction
        positionShare = settings.positionPercent / 100
        minimumStake = settings.minimumStake
        probabilityBounds = settings.minimumProbability...settings.maximumProbability
        priceBounds = settings.order.minimumPrice...settings.order.maximumPrice
        allowsHedging = settings.allowsHedging
        entriesPerSide = settings.entriesPerSide
        positionsPerGame = settings.positionsPerGame
        trimsToLimits = settings.trimsToLimits
        dailyLoss = settings.dailyLoss
        gameExposure = settings.gameExposure
        sportExposure = settings.sportExposure
        marketExposure = settings.marketExposure
        totalExposure = settings.totalExposure
        minimumArbitrageProfit = settings.minimumArbitrageProfit
        maximumArbitrageLoss = settings.maximumArbitrageLoss
        sizePercent = Int64(settings.sizePercent)
        orderValue = settings.order.orderValue
        orderContracts = Int64(settings.order.orderContracts)
        // What the execution-service has gateways for.
        venues = [.kalshi]
        minimumLiquidity = settings.minimumLiquidity
        liquidityPercent = Int64(settings.liquidityPercent)
        winCoolDown = settings.winCoolDown
        lossCoolDown = settings.lossCoolDown
        signalAge = settings.signalAge
        clockTolerance = settings.clockTolerance
    }
}
