import Domain
import ExecutionServiceEngine
import Testing

struct StragglerTests {
    @Test(arguments: [(100, "20.000000"), (0, "-20.000000"), (33, "-6.800000")] as [(Int64, String)])
    func `a fill after the settlement is paid out at once and opens nothing`(cents: Int64, gain: String) throws {
        let order = try makeOrder(state: .rejected, reason: OrderRecord.notAccepted)
        let settled = try Position(
            market: market, netHundredths: 0, cost: .zero, realised: .dollars(3), fees: .cents(50))
        var booking = OrderBooking(
            order: order, reservation: nil, position: settled, intent: .expired, knownFills: [],
            settledAt: .cents(cents))
        let fill = try makeFill("f1", of: order, contracts: 40)
        for _ in 0..<2 {
            booking.apply(.accepted("v", fills: [fill], reported: .contracts(40), rests: false))
        }
        #expect(booking.position.isFlat && booking.position.cost == .zero)
        let expected = try Money(dollars: gain)
        #expect(booking.account.realised == expected)
        #expect(booking.account.cash == expected - fill.fee)
        #expect(booking.position.realised == .dollars(3) + expected)
        #expect(booking.alerts == [.straggler("order-1")])
        #expect(booking.newFills == [fill])
    }

    @Test func `the settlement of a market that was never traded changes nothing`() {
        let booking = SettlementBooking(Position(market: market), at: .one)
        #expect(booking.account == AccountChange() && booking.position == Position(market: market))
    }

    @Test func `a fill that is taken back leaves everything as if it had never been`() throws {
        let order = try makeOrder(state: .sent)
        var booking = makeBooking(order)
        let first = try makeFill("f1", of: order, contracts: 10, cents: 40)
        let second = try makeFill("f2", of: order, contracts: 30, cents: 50)
        booking.apply(.accepted("v", fills: [first, second], reported: .contracts(40), rests: false))
        let reversal = try #require(
            ReversalBooking(
                order: booking.order, position: booking.position, fills: [first, second], reversing: ["f2", "other"]))
        #expect(reversal.order.state == .partiallyFilled && reversal.order.filled == .contracts(10))
        #expect(reversal.position.netHundredths == 1_000 && reversal.position.cost == .dollars(4))
        #expect(reversal.remaining == [first] && reversal.reversed == [second])
        #expect(reversal.account.cash == .dollars(15) + second.fee && reversal.account.fees == -second.fee)
        let all = try #require(
            ReversalBooking(
                order: reversal.order, position: reversal.position, fills: reversal.remaining, reversing: ["f1", "f2"]))
        #expect(all.order.state == .cancelled && all.position.isFlat)
        #expect(booking.account.cash + reversal.account.cash + all.account.cash == .zero)
        #expect(
            ReversalBooking(order: all.order, position: all.position, fills: all.remaining, reversing: ["f1"]) == nil)
    }

    @Test func `an order that was filled anew before its first fill was taken back has what stays`() throws {
        let order = try makeOrder(state: .sent)
        var booking = makeBooking(order)
        let fills = try [
            makeFill("f1", of: order, contracts: 30, cents: 40), makeFill("f2", of: order, contracts: 40, cents: 40),
        ]
        booking.apply(.accepted("v", fills: fills, reported: .contracts(40), rests: false))
        #expect(booking.order.state == .filled && booking.order.filled == .contracts(70))
        // As its row has it: no more than was asked for.
        let stored = try makeOrder(state: .filled, filled: .contracts(40))
        let reversal = try #require(
            ReversalBooking(order: stored, position: booking.position, fills: fills, reversing: ["f1"]))
        #expect(reversal.order.state == .filled && reversal.order.filled == .contracts(40))
        #expect(reversal.position.netHundredths == 4_000)
    }

    @Test func `a fill that is taken back after the settlement gives back what it was paid`() throws {
        let order = try makeOrder(state: .filled, filled: .contracts(40))
        let fills = try [makeFill("f1", of: order, contracts: 10), makeFill("f2", of: order, contracts: 30)]
        let settled = Position.rebuilt(market, from: fills, settledAt: .one)
        let reversal = try #require(
            ReversalBooking(order: order, position: settled, fills: fills, reversing: ["f2"], settledAt: .one))
        #expect(reversal.position.isFlat)
        #expect(reversal.account.realised == .dollars(-15))
        #expect(reversal.account.cash == .dollars(-15) + fills[1].fee)
    }

    @Test func `a fill that is taken back after its market was paid back changes no money and opens nothing`() throws {
        let order = try makeOrder(state: .filled, filled: .contracts(40))
        let fills = try [
            makeFill("f1", of: order, contracts: 10, cents: 40), makeFill("f2", of: order, contracts: 30, cents: 50),
        ]
        let refunded = Position.rebuilt(market, from: fills, isRefunded: true)
        #expect(refunded == Position(market: market))
        let reversal = try #require(
            ReversalBooking(order: order, position: refunded, fills: fills, reversing: ["f2"], isRefunded: true))
        #expect(reversal.position == refunded && reversal.account == AccountChange())
        #expect(reversal.order.state == .partiallyFilled && reversal.order.filled == .contracts(10))
        #expect(Piggybank.replayed(market, [fills[0]], settledAt: nil, isRefunded: true, percent: 50) == Piggybank())
    }

    @Test(arguments: FillStanding.allCases, FillStanding.allCases)
    func `a fill's standing changes once`(from: FillStanding, to: FillStanding) {
        #expect(from.permits(to) == (from == .provisional && to != .provisional))
    }
}
