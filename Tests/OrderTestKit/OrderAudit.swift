import Domain
import Hosting
import Postgres

/// Holds the books against the venue's own, when nothing moves any more.
struct OrderAudit: Sendable {
    let world: OrderWorld

    private struct Ours {
        let intent: String
        let state: String
        let filled: String
        let venueOrder: String?
    }

    /// Everything that is not as it must be.
    func violations() async throws -> [String] {
        try await BooksCheck.broken(BooksCheck.all, world.pool) + orders() + fills() + account()
    }

    /// Every order that the venue has is one of ours, once, and says the same.
    private func orders() async throws -> [String] {
        let rows = try await world.pool.query(
            """
            SELECT order_id, CASE WHEN purpose IS NULL THEN intent_id ELSE order_id END AS intent_id, state, filled,
                venue_order_id
            FROM orders
            """)
        var ours: [String: Ours] = [:]
        for row in rows {
            ours[try row.text("order_id")] = Ours(
                intent: try row.text("intent_id"), state: try row.text("state"),
                filled: FixedPoint.format(try row.int64("filled"), scale: 2),
                venueOrder: try row.textOrNil("venue_order_id"))
        }
        var found: [String] = []
        var keys: Set<String> = []
        var intents: Set<String> = []
        for order in try await world.venue.orders() {
            if !keys.insert(order.clientOrderId).inserted { found.append("sent twice: \(order.clientOrderId)") }
            guard let own = ours[order.clientOrderId] else {
                found.append("an order at the venue that nobody stored: \(order.clientOrderId)")
                continue
            }
            if !intents.insert(own.intent).inserted { found.append("two orders for intent \(own.intent)") }
            if own.filled != order.fillCountFp {
                found.append("\(order.clientOrderId): \(own.filled) filled, the venue says \(order.fillCountFp)")
            }
            if own.venueOrder != order.orderId {
                found.append("\(order.clientOrderId): venue order \(own.venueOrder ?? "none"), not \(order.orderId)")
            }
        }
        for (id, own) in ours where own.filled != "0.00" && !keys.contains(id) {
            found.append("filled here and not known to the venue: \(id)")
        }
        return found
    }

    private func fills() async throws -> [String] {
        let rows = try await world.pool.query(
            "SELECT fill_id, order_id, quantity, outcome, price, fee FROM fills")
        var ours: Set<String> = []
        for row in rows {
            let price = try row.int64("price")
            let yes = try row.text("outcome") == "yes" ? price : 10_000 - price
            ours.insert(
                Self.line(
                    try row.text("fill_id"), try row.text("order_id"),
                    FixedPoint.format(try row.int64("quantity"), scale: 2),
                    try Price(tenThousandths: yes).description,
                    try Money(microdollars: row.int64("fee")).description))
        }
        let theirs = Set(
            try await world.venue.fills().map {
                Self.line($0.fillId, $0.clientOrderId, $0.countFp, $0.yesPriceDollars, $0.feeCost)
            })
        return theirs.subtracting(ours).sorted().map { "a fill of the venue that is not booked: \($0)" }
            + ours.subtracting(theirs).sorted().map { "a fill that the venue does not have: \($0)" }
    }

    private static func line(_ parts: String...) -> String { parts.joined(separator: " ") }

    /// Positions and money.
    private func account() async throws -> [String] {
        let positions = try await positions()
        return positions + (try await cash())
    }

    private func positions() async throws -> [String] {
        let rows = try await world.pool.query("SELECT market_id, net_quantity FROM positions WHERE net_quantity <> 0")
        let ours = try Self.held(rows)
        let theirs = try await world.venue.positions()
        return Self.differences(ours, theirs.map { ($0.ticker, $0.positionFp) })
    }

    private static func held(_ rows: [Row]) throws -> [String: String] {
        var held: [String: String] = [:]
        for row in rows {
            held[try row.text("market_id")] = FixedPoint.format(try row.int64("net_quantity"), scale: 2)
        }
        return held
    }

    private static func differences(_ ours: [String: String], _ theirs: [(market: String, net: String)]) -> [String] {
        var (ours, found) = (ours, [String]())
        for (market, net) in theirs where net != "0.00" && ours.removeValue(forKey: market) != net {
            found.append("position in \(market): the venue says \(net)")
        }
        return found + ours.map { "position in \($0.key): \($0.value), and the venue has none" }
    }

    private func cash() async throws -> [String] {
        let account = try await world.venue.account()
        let change = try await world.count("SELECT cash - initial AS n FROM bankroll")
        let spent = try Money(dollars: account.cash) - Money(dollars: account.opening)
        let own = try Money(microdollars: Int64(change))
        return spent == own ? [] : ["cash changed by \(own) here and by \(spent) at the venue"]
    }
}
