import Domain

/// A market in which our books and the venue's do not say the same.
public struct PositionDifference: Hashable, Sendable {
    public let market: MarketID
    /// In 1/100 contract: positive is YES.
    public let ours: Int64
    public let venues: Int64

    public init(market: MarketID, ours: Int64, venues: Int64) {
        self.market = market
        self.ours = ours
        self.venues = venues
    }
}

/// Compares what we think we hold with what the venue says (CHECKLIST N12).
public enum Reconciliation {
    /// The markets that differ, sorted.
    ///
    /// One that is missing on a side counts as nothing held there.
    public static func differences(
        ours: [MarketID: Int64], venues: [MarketID: Int64]
    ) -> [PositionDifference] {
        Set(ours.keys).union(venues.keys).sorted().compactMap { market in
            let (mine, theirs) = (ours[market] ?? 0, venues[market] ?? 0)
            return mine == theirs ? nil : PositionDifference(market: market, ours: mine, venues: theirs)
        }
    }
}
