import Domain
import Recording

/// When markets moved and when orders came, by the wall clock of this machine, for `GET /control/order-times`.
///
/// Whoever measures the way from one to the other compares times of one clock. What comes after the bound is counted
/// and not kept.
struct OrderTimes: Sendable {
    static let limit = 100_000

    /// A quote whose best prices differ from the one before; its frames are written right after.
    struct Move: Sendable {
        let market: MarketID
        /// Microseconds since 1970.
        let at: Int64
    }

    /// An order, refused ones included.
    struct Arrival: Sendable {
        let clientOrderID: String
        /// When the head of its request was read, microseconds since 1970.
        let at: Int64
    }

    private(set) var moves: [Move] = []
    private(set) var orders: [Arrival] = []
    private(set) var dropped = 0
    private var tops: [MarketID: [Price?]] = [:]

    mutating func note(_ fact: RecordedFact, at now: Int64) {
        guard case .quote(let quote) = fact, tops[quote.market] != [quote.bid, quote.ask] else { return }
        tops[quote.market] = [quote.bid, quote.ask]
        if moves.count < Self.limit { moves.append(Move(market: quote.market, at: now)) } else { dropped += 1 }
    }

    mutating func note(_ order: PlaceOrder, at now: Int64) {
        let arrival = Arrival(clientOrderID: order.clientOrderID, at: now)
        if orders.count < Self.limit { orders.append(arrival) } else { dropped += 1 }
    }
}
