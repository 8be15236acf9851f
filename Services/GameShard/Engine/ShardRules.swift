import Domain

/// The limits a shard decides by; settings, read once at start (DESIGN section 7).
///
/// Durations of trading rules are venue time, those of the lease are machine time (DESIGN rule 12).
public struct ShardRules: Hashable, Sendable {
    /// How many games it takes; one more is refused.
    public var maximumGames = 20
    /// Net of fees, in 1/100 of a percentage point of a dollar.
    public var minimumEdgeBasisPoints = 1_500
    /// Between two signals for the same (team, direction); exactly this long is enough.
    public var debounce: Duration = .seconds(30)
    /// Since a book was last confirmed; exactly this long is still fresh.
    public var bookLimit: Duration = .seconds(30)
    /// Since the feed's own time of a state.
    public var stateLimit: Duration = .seconds(30)
    /// The home probability must lie within; both ends included.
    public var lowestProbability = 0.05
    public var highestProbability = 0.95
    public var signalLife: Duration = .seconds(60)
    /// Net of both fees, in 1/100 of a cent a pair.
    public var minimumArbitrageBasisPoints = 100
    /// Between two arbitrages of one game; exactly this long is enough.
    public var arbitrageDebounce: Duration = .seconds(5)
    public var arbitrageLife: Duration = .seconds(10)
    /// Markets of different venues that are known to pay on exactly the same terms; no other pair of venues is matched.
    public var sameTerms: Set<MarketPair> = []
    /// What the fee for one contract is derived from: fees are rounded once per order, not per contract.
    public var referenceQuantity = Quantity.contracts(100)
    /// How long a score that ran backwards or jumped must stand before it is believed.
    public var scoreConfirmation: Duration = .seconds(5)
    /// Unchanged states and prices are published again this often.
    public var republish: Duration = .seconds(5)
    /// Machine time from when a granted heartbeat was sent.
    public var lease: Duration = .seconds(2)
    /// Between two questions to the database while there is no lease.
    public var askInterval: Duration = .milliseconds(500)
    /// A question older than this without an answer silences the shard.
    public var answerDeadline: Duration = .seconds(1)
    /// Whether games of sports may be given to it: a crypto shard takes slots alone.
    public var takesSports = true

    public init() {}
}

/// Two markets whose settlement terms were compared, overtime, postponement and refund included (PITFALLS 8, row 24).
public struct MarketPair: Hashable, Sendable {
    public let first: MarketID
    public let second: MarketID

    /// The order does not matter.
    public init(_ left: MarketID, _ right: MarketID) {
        first = min(left, right)
        second = max(left, right)
    }
}
