import Domain

/// A shard's advice to buy both sides of a game.
public struct ArbitrageMessage: WireMessage, Hashable {
    public static let type = "arbitrage"

    public let signal: ArbitrageSignal

    public init(signal: ArbitrageSignal) { self.signal = signal }
}

/// An approved plan of two legs, as committed with its reservation.
public struct PlanMessage: WireMessage, Hashable {
    public static let type = "plan"

    public let plan: ApprovedPlan

    public init(plan: ApprovedPlan) { self.plan = plan }
}

/// What a plan came to, as committed; again when an order that had been given up traded after all.
public struct PlanResult: WireMessage, Hashable {
    public static let type = "plan_result"

    public let plan: IntentID
    public let game: GameID
    /// `complete`, `partial`, `flat`, or `naked` when a market ended before its leg was matched.
    public let ending: String
    public let pairs: Quantity
    /// What it earns whoever wins, fees deducted; negative is a loss.
    public let result: Money
    /// The longest that a leg stood alone, less the time in which an order's fate was unknown.
    public let nakedMilliseconds: Int64
    public let orders: Int

    public init(
        plan: IntentID, game: GameID, ending: String, pairs: Quantity, result: Money, nakedMilliseconds: Int64,
        orders: Int
    ) {
        self.plan = plan
        self.game = game
        self.ending = ending
        self.pairs = pairs
        self.result = result
        self.nakedMilliseconds = nakedMilliseconds
        self.orders = orders
    }
}
