import Domain
import Foundation
import Postgres
import Resilience

/// An order that a feeder would have: buys until a market is full and a little beyond, then mostly what makes room.
struct OrderWish: Sendable {
    let id: String
    let market: String
    let outcome: Outcome
    let action: Action
    let limit: Price
    let quantity: Quantity
    /// Until it is too late for it.
    let life: Duration

    /// The most that it can cost: the price of everything and its fee; nothing for one that sells.
    var amount: Money { action == .buy ? limit * quantity + FeeSchedule.kalshi.fee(quantity, at: limit) : .zero }

    /// What the database has of a market.
    struct Market: Sendable {
        let id: String
        /// In hundredths of a contract; below zero what is held is NO.
        let net: Int64
        /// Intents that may still trade.
        let open: Int64
        let exposure: Money

        /// Every market, by its name.
        static func all(_ transaction: PostgresTransaction) async throws -> [Market] {
            try await transaction.query(
                """
                SELECT m.market_id, coalesce(p.net_quantity, 0) AS net, coalesce(i.open, 0) AS open,
                    coalesce(p.cost, 0) + coalesce(r.held, 0) AS exposure
                FROM market_mappings m LEFT JOIN positions p ON p.market_id = m.market_id AND p.state = 'open'
                LEFT JOIN (SELECT market_id, sum(amount - released)::int8 AS held FROM reservations
                    WHERE state = 'held' GROUP BY market_id) r ON r.market_id = m.market_id
                LEFT JOIN (SELECT market_id, count(*) AS open FROM intents
                    WHERE state IN ('approved', 'sending') GROUP BY market_id) i ON i.market_id = m.market_id
                ORDER BY m.market_id
                """
            ).map { row in
                Market(
                    id: try row.text("market_id"), net: try row.int64("net"), open: try row.int64("open"),
                    exposure: try Money(microdollars: row.int64("exposure")))
            }
        }
    }

    /// One for each of some markets that have no two open intents.
    static func some(
        in markets: [Market], atMost limit: Int, _ generator: inout SeededGenerator
    ) -> [OrderWish] {
        let free = markets.shuffled(using: &generator).filter { $0.open < 2 }
        return free.prefix(max(0, limit)).map { one(in: $0, &generator) }
    }

    private static func one(in market: Market, _ generator: inout SeededGenerator) -> OrderWish {
        let (outcome, action, quantity) = order(market, &generator)
        let isBought = action == .buy
        // One in thirty asks for a price that nobody gives.
        let miss = Int.random(in: 0..<30, using: &generator) == 0 ? Int64(2) : 0
        let best = isBought ? (outcome == .yes ? Int64(50) : 51) : (outcome == .yes ? Int64(49) : 50)
        return OrderWish(
            id: name(&generator), market: market.id, outcome: outcome, action: action,
            limit: .cents(isBought ? best - miss : best + miss), quantity: quantity,
            life: Int.random(in: 0..<50, using: &generator) == 0 ? .milliseconds(300) : .seconds(3_600))
    }

    private static func order(
        _ market: Market, _ generator: inout SeededGenerator
    ) -> (Outcome, Action, Quantity) {
        let quantity = Quantity.contracts(Int64.random(in: 1...8, using: &generator))
        let isFull =
            market.exposure + .dollars(5) > IntentFeeder.market && Int.random(in: 0..<4, using: &generator) > 0
        let held = market.net.magnitude / 100
        guard held > 0, isFull || Int.random(in: 0..<4, using: &generator) == 0 else {
            return (market.net < 0 ? .no : .yes, .buy, quantity)
        }
        let reduced = min(quantity, .contracts(Int64(held)))
        // What is held is sold, or the other side bought.
        if Bool.random(using: &generator) { return (market.net > 0 ? .yes : .no, .sell, reduced) }
        return (market.net > 0 ? .no : .yes, .buy, reduced)
    }

    private static func name(_ generator: inout SeededGenerator) -> String {
        let parts = [generator.next(), generator.next()].map { value in
            String(repeating: "0", count: 16 - String(value, radix: 16).count) + String(value, radix: 16)
        }
        return "order-\(parts.joined())"
    }
}

extension VenueInstant {
    /// What the machine's clock says: rehearsals play in wall time.
    static var wall: VenueInstant {
        .epoch.advanced(by: .microseconds(Int64(Date().timeIntervalSince1970 * 1_000_000)))
    }
}
