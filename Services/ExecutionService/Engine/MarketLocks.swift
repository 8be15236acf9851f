import Domain

/// One order or plan at a time in a market (CHECKLIST H28).
///
/// All markets of a holder are taken at once or none, so two plans cannot wait for each other. A lock is freed by its
/// holder on every path, and by `release` of a holder that died without a word (CHECKLIST H3).
public struct MarketLocks: Hashable, Sendable {
    private var holders: [MarketID: IntentID] = [:]

    public init() {}

    /// - Returns: false when one of the markets is somebody else's; then nothing is taken.
    public mutating func take(_ markets: Set<MarketID>, for holder: IntentID) -> Bool {
        guard markets.allSatisfy({ holders[$0] == nil || holders[$0] == holder }) else { return false }
        for market in markets { holders[market] = holder }
        return true
    }

    /// Frees everything that a holder has; again does nothing.
    public mutating func release(_ holder: IntentID) {
        holders = holders.filter { $0.value != holder }
    }

    public func holder(of market: MarketID) -> IntentID? { holders[market] }
    public var count: Int { holders.count }
}
