import Domain

/// What the signal-processor allows: one owner for each figure (DESIGN section 7).
public struct TradingLimits: Hashable, Sendable {
    /// Net of fees, in 1/100 of a percentage point; 1,500 is 15 %.
    public var minimumEdgeBasisPoints = 1_500
    /// For arbitrage: 100 is one cent a contract.
    public var minimumArbitrageBasisPoints = 100
    /// Share of the Kelly stake, 0 to 1.
    public var kellyFraction = 0.25
    /// Of the bankroll, at most this share in one position, 0 to 1.
    public var positionShare = 0.10
    /// Of every size that the limits let through, this many percent is really traded: `LIVE_SIZE_FRACTION`, 100 off
    /// the live venue.
    public var sizePercent: Int64 = 100
    /// The smallest stake worth an order.
    public var minimumStake = Money.dollar
    public var probabilityBounds = 0.05...0.95
    public var priceBounds = Price.cents(5)...Price.cents(95)
    /// Whether the other side of a game may be bought too.
    public var allowsHedging = false
    /// Open entries on one side of a game.
    public var entriesPerSide = 1
    /// Different markets of one game, counting those closed within `closedCountsFor`.
    public var positionsPerGame = 2
    /// A limit that a stake would break is kept by a smaller stake (true) or by refusing the signal (false).
    public var trimsToLimits = true
    public var dailyLoss = Money.dollars(100)
    /// Open cost and reservations of one game; nil is no limit.
    public var gameExposure: Money? = .dollars(50)
    public var sportExposure: Money? = .dollars(200)
    /// Of one market (CHECKLIST H27); nil is no limit.
    public var marketExposure: Money? = .dollars(1_000)
    /// Of everything (CHECKLIST H27); nil is no limit.
    public var totalExposure: Money? = .dollars(10_000)
    /// What an arbitrage must earn in all, after fees (CHECKLIST H27).
    public var minimumArbitrageProfit = Money.cents(5)
    /// What an arbitrage that goes wrong may lose; reserved with it (CHECKLIST N13).
    public var maximumArbitrageLoss = Money.dollars(5)
    public var orderValue = Money.dollars(100)
    /// Whole contracts.
    public var orderContracts: Int64 = 100
    /// Venues that orders can be sent to.
    public var venues = Set(Venue.allCases)
    /// Resting dollars below which a price is not traded.
    public var minimumLiquidity = Money.dollars(10)
    /// Of what rests, at most this many percent is taken.
    public var liquidityPercent: Int64 = 80
    public var winCoolDown = Duration.seconds(180)
    public var lossCoolDown = Duration.seconds(300)
    /// A signal older than this is stale even before its own expiry.
    public var signalAge = Duration.seconds(60)
    /// How far a signal may be ahead of our venue time.
    public var clockTolerance = Duration.seconds(5)

    public init() {}

    /// How many of so many contracts are really traded; whole ones, so that a small size comes to none.
    func traded(_ contracts: Int64) -> Int64 { contracts * sizePercent / 100 }

    func minimumEdge(for kind: SignalKind) -> Int {
        kind.isArbitrage ? minimumArbitrageBasisPoints : minimumEdgeBasisPoints
    }
}
