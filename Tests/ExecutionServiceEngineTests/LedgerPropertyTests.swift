import Domain
import ExecutionServiceEngine
import Resilience
import Testing

/// Orders of one market with random fates, checked against sums that know nothing of the booking (CHECKLIST H5, N14).
private struct Ledger {
    var cash = Money.dollars(1_000)
    var position = Position(market: market)
    var fills: [Fill] = []
    var realised = Money.zero
    var fees = Money.zero

    mutating func keep(_ booking: OrderBooking) {
        cash += booking.account.cash
        realised += booking.account.realised
        fees += booking.account.fees
        position = booking.position
        fills += booking.newFills
    }

    /// What the fills say is held, in 1/100 contract of YES.
    var netOfFills: Int64 {
        fills.reduce(0) { net, fill in
            net + (fill.outcome == .yes ? fill.quantity.hundredths : -fill.quantity.hundredths)
        }
    }

    /// What the fills say was paid: buying NO at q gives up a dollar less q for each YES that it closes or owes.
    var paidOnYesScale: Money {
        fills.reduce(.zero) { sum, fill in
            fill.outcome == .yes
                ? sum + fill.price * fill.quantity + fill.fee
                : sum - fill.price.complement * fill.quantity + fill.fee
        }
    }
}

struct LedgerPropertyTests {
    /// Splits what an order got into fills at its limit or better.
    private func fills(
        of order: OrderRecord, contracts: Int64, using random: inout SeededGenerator
    ) throws -> [Fill] {
        var left = contracts
        var made: [Fill] = []
        while left > 0 {
            let part = Int64.random(in: 1...left, using: &random)
            let cents = Int64.random(in: 1...(order.request.limit.tenThousandths / 100), using: &random)
            made.append(
                try makeFill(
                    FillID(stringLiteral: "\(order.request.id)-\(made.count)"), of: order, contracts: part,
                    cents: cents))
            left -= part
        }
        return made
    }

    /// One order from stored to its end by a random way, with lost answers, repetitions and late fills.
    private func live(
        _ number: Int, _ ledger: inout Ledger, using random: inout SeededGenerator
    ) throws -> ReservationRecord? {
        let order = try makeOrder(
            OrderID(stringLiteral: "o\(number)"), cents: Int64.random(in: 5...95, using: &random),
            contracts: Int64.random(in: 1...100, using: &random), outcome: Bool.random(using: &random) ? .yes : .no)
        var booking = makeBooking(order, position: ledger.position)
        let asked = order.request.quantity.hundredths / 100
        let all = try fills(of: order, contracts: Int64.random(in: 0...asked, using: &random), using: &random)
        let total = all.reduce(Quantity.zero) { $0 + $1.quantity }
        let whole = OrderNews.accepted("v", fills: all, reported: total, rests: false)

        if Int.random(in: 0..<20, using: &random) == 0 {
            booking.apply(.notSent(reason: "kill_switch"))
        } else {
            booking.apply(.sent)
            var last = booking.reservation?.held ?? .zero
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                switch Int.random(in: 0..<6, using: &random) {
                case 0: booking.apply(.unanswered(reason: "timeout"))
                case 1: booking.apply(.sent)
                case 2:
                    let some = Array(all.shuffled(using: &random).prefix(Int.random(in: 0...all.count, using: &random)))
                    let seen = some.reduce(Quantity.zero) { $0 + $1.quantity }
                    booking.apply(.accepted("v", fills: some, reported: total, rests: seen < order.request.quantity))
                case 3 where total.isZero: booking.apply(.refused(reason: "invalid_order"))
                case 4 where total.isZero:
                    booking.apply(.unanswered(reason: "reset"))
                    booking.apply(.provenAbsent(retries: false))
                default: booking.apply(whole)
                }
                let held = booking.reservation?.held ?? .zero
                #expect(held <= last && held >= .zero)
                last = held
            }
            // In the end the venue is asked once more, as the resolver does until the order has ended.
            booking.apply(whole)
            booking.apply(whole)
            #expect(booking.order.filled == total)
        }
        #expect(booking.order.state.isTerminal, "\(booking.order)")
        #expect(booking.intent.isTerminal)
        ledger.keep(booking)
        return booking.reservation
    }

    @Test(arguments: 0..<60)
    func `reservations end at nothing, the position is the sum of the fills and the cash adds up`(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        var ledger = Ledger()
        for number in 0..<100 {
            let reservation = try live(number, &ledger, using: &random)
            #expect(reservation?.held == .zero, "seed \(seed), order \(number)")
            #expect(reservation?.state != .held)
        }
        let position = ledger.position
        #expect(position.netHundredths == ledger.netOfFills, "seed \(seed)")
        #expect(ledger.cash == .dollars(1_000) + ledger.realised - ledger.fees - position.cost, "seed \(seed)")
        #expect(position.realised == ledger.realised && position.fees == ledger.fees)

        let value = Price.cents(Int64.random(in: 0...100, using: &random))
        let settled = SettlementBooking(position, at: value)
        let end = ledger.cash + settled.account.cash
        // On the YES scale the whole story is: pay for each fill, be paid the value of what is left.
        let held = try Quantity(hundredths: abs(ledger.netOfFills))
        let worth = value * held
        let expected = .dollars(1_000) - ledger.paidOnYesScale + (ledger.netOfFills < 0 ? -worth : worth)
        #expect(end == expected, "seed \(seed): \(end) and \(expected)")
        #expect(end == .dollars(1_000) + settled.position.realised - settled.position.fees)
    }
}
