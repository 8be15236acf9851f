import Domain

/// What was put aside of the profits of a market's trades: it is traded with no more (DOMAIN 2.6).
///
/// A trade ends when its position is flat; a part of its profit, after all fees, is put aside, and a loss takes nothing
/// back. Invariant: `0 <= saved`, and at most the percentage of all profits.
public struct Piggybank: Hashable, Sendable {
    /// Realised less fees when the position was last flat.
    public private(set) var shared: Money
    public private(set) var saved: Money

    public init(shared: Money = .zero, saved: Money = .zero) {
        self.shared = shared
        self.saved = saved
    }

    /// Looks at a position after a booking.
    ///
    /// - Returns: what is put aside now; zero while it is open and after a loss.
    @discardableResult
    public mutating func note(_ position: Position, percent: Int64) -> Money {
        guard position.isFlat else { return .zero }
        let net = position.realised - position.fees
        let gain = net - shared
        shared = net
        guard gain > .zero else { return .zero }
        let part = gain.scaled(percent, over: 100)
        saved += part
        return part
    }

    /// What would have been put aside if only these fills had been booked: for a fill that its venue takes back.
    public static func replayed(
        _ market: MarketID, _ fills: [Fill], settledAt: Price?, isRefunded: Bool = false, percent: Int64
    ) -> Piggybank {
        var (piggybank, position) = (Piggybank(), Position(market: market))
        for fill in fills {
            position.apply(fill)
            piggybank.note(position, percent: percent)
        }
        let end = Position.rebuilt(market, from: fills, settledAt: settledAt, isRefunded: isRefunded)
        piggybank.note(end, percent: percent)
        return piggybank
    }
}
