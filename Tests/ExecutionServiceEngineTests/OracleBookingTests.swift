import Domain
import ExecutionServiceEngine
import TestKit
import Testing

/// The bookings of random trade histories, account included, against exact fractions (CHECKLIST N15).
struct OracleBookingTests {
    /// One history: an order's fills are booked together, as they are when its answer comes.
    private struct Reading {
        var position = Position(market: market)
        var cash = Money.zero
        var fills: [Fill] = []
        var orders = 0

        mutating func add(_ words: [Substring]) throws {
            fills.append(
                try Fill(
                    id: FillID("f-\(orders)-\(fills.count)"), order: OrderID("o-\(orders)"), market: market,
                    outcome: try #require(Outcome(rawValue: String(words[1]))),
                    action: try #require(Action(rawValue: String(words[2]))), price: Price(dollars: words[3]),
                    quantity: Quantity(contracts: words[4]), fee: Money(dollars: words[5]), at: tipOff))
        }

        mutating func bookOrder() throws {
            guard let first = fills.first else { return }
            let quantity = fills.reduce(Quantity.zero) { $0 + $1.quantity }
            let request = try OrderRequest(
                id: first.order, market: market, outcome: first.outcome, action: first.action, limit: first.price,
                quantity: quantity, timeInForce: .immediateOrCancel)
            var booking = OrderBooking(
                order: OrderRecord(request: request, intent: "i", attempt: 1, state: .sent), reservation: nil,
                position: position, intent: .sending, knownFills: [])
            let news = OrderNews.accepted("v", fills: fills, reported: quantity, rests: false)
            // A second time by a paging, which changes nothing.
            booking.apply(news)
            booking.apply(news)
            #expect(booking.order.state == .filled && booking.newFills == fills)
            position = booking.position
            cash += booking.account.cash
            fills = []
        }
    }

    @Test(.enabled(if: Oracle.python != nil, Comment(rawValue: Oracle.reason)))
    func `the account gains what the oracle says, to the unit`() throws {
        var reading = Reading()
        var differences: [String] = []
        for words in try Oracle.run("ledger_oracle.py", "250", "5") {
            switch words[0] {
            case "history": reading = Reading()
            case "order": reading.orders += 1
            case "fill": try reading.add(words)
            case "state":
                try reading.bookOrder()
                let position = reading.position
                let ours = ["\(position.cost)", "\(position.realised)", "\(position.fees)"]
                if ours != words.dropFirst(2).map(String.init) { differences.append("\(ours) for \(words)") }
            default:
                let booking = SettlementBooking(reading.position, at: try Price(dollars: words[1]))
                reading.cash += booking.account.cash
                if "\(reading.cash)" != words[4] { differences.append("\(reading.cash) for \(words)") }
            }
        }
        #expect(differences.isEmpty, "\(differences.count), first \(differences.first ?? "")")
    }
}
