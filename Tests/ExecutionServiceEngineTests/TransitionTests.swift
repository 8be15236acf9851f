import Domain
import ExecutionServiceEngine
import Testing

/// What news makes of an order, its intent, its reservation and its position (CHECKLIST R91, H5, N14).
struct TransitionTests {
    private func after(_ news: OrderNews, from state: OrderState) throws -> OrderState {
        var booking = makeBooking(try makeOrder(state: state))
        booking.apply(news)
        return booking.order.state
    }

    private static let sixteen = Quantity.contracts(16)

    /// What each piece of news without fills makes of each state; a state that is not named stays as it is.
    @Test func `what nobody works on any more never left, or is unknown, or is looked for`() throws {
        #expect(try makeOrder(state: .stored).newsWhenAbandoned == .notSent(reason: "interrupted"))
        #expect(try makeOrder(state: .sent).newsWhenAbandoned == .unanswered(reason: "interrupted"))
        for state in OrderState.allCases where state != .stored && state != .sent {
            #expect(try makeOrder(state: state).newsWhenAbandoned == nil, "\(state)")
        }
        let unknown = OrderRecord(
            request: try makeOrder().request, intent: "intent-1", attempt: 1, state: .unknown, reason: "timeout")
        #expect(unknown.alert == .orderUnknown("order-1", reason: "timeout"))
        #expect(try makeOrder(state: .resting).alert == nil)
    }

    @Test(arguments: OrderState.allCases)
    func `news changes a state only where the table says so`(state: OrderState) throws {
        let news: [(OrderNews, [OrderState: OrderState])] = [
            (.sent, [.stored: .sent]),
            (.notSent(reason: "kill_switch"), [.stored: .expired]),
            (
                .accepted("v1", fills: [], reported: .zero, rests: false),
                [.sent: .cancelled, .unknown: .cancelled, .resting: .cancelled]
            ),
            (.accepted("v1", fills: [], reported: .zero, rests: true), [.sent: .resting, .unknown: .resting]),
            (
                .accepted("v1", fills: [], reported: Self.sixteen, rests: false),
                [.sent: .unknown, .resting: .unknown]
            ),
            (.refused(reason: "invalid_price"), [.sent: .rejected, .unknown: .rejected]),
            (.unanswered(reason: "timeout"), [.sent: .unknown, .resting: .unknown]),
            (.provenAbsent(retries: false), [.unknown: .rejected]),
            (.provenAbsent(retries: true), [.unknown: .rejected]),
        ]
        for (item, table) in news {
            let next = try after(item, from: state)
            #expect(next == table[state] ?? state, "\(item)")
            #expect(next == state || state.permits(next), "\(item)")
        }
    }

    @Test(arguments: IntentState.allCases, IntentState.allCases)
    func `an intent moves only forward`(from: IntentState, to: IntentState) {
        let legal: [IntentState: Set<IntentState>] = [
            .approved: [.sending, .expired, .refused], .sending: [.done, .expired, .refused],
        ]
        #expect(from.permits(to) == (legal[from]?.contains(to) ?? false))
        let closing = IntentClosing(from, ReservationRecord(id: "r", amount: .dollars(1)), as: to)
        #expect((closing != nil) == (to.isTerminal && from.permits(to)))
        if let closing { #expect(closing.reservation?.held == .zero) }
    }

    @Test func `an order filled in full ends the intent and commits the reservation`() throws {
        var booking = makeBooking(try makeOrder(state: .sent))
        let fill = try makeFill("f1", of: booking.order, contracts: 40)
        booking.apply(.accepted("v1", fills: [fill], reported: .contracts(40), rests: false))
        #expect(booking.order.state == .filled)
        #expect(booking.order.venueOrder == "v1")
        #expect(booking.intent == .done)
        #expect(booking.reservation?.state == .committed)
        #expect(booking.reservation?.held == .zero)
        #expect(booking.position.netHundredths == 4_000)
        #expect(booking.account.cash == (try Money(dollars: "-20.70")))
        #expect(booking.account.fees == (try Money(dollars: "0.70")))
        #expect(booking.newFills == [fill])
    }

    @Test func `a partial fill is a position, and the rest of the reservation is freed`() throws {
        var booking = makeBooking(try makeOrder(state: .sent))
        let fill = try makeFill("f1", of: booking.order, contracts: 15, cents: 48)
        booking.apply(.accepted("v1", fills: [fill], reported: .contracts(15), rests: false))
        #expect(booking.order.state == .partiallyFilled)
        #expect(booking.order.filled == .contracts(15))
        #expect(booking.position.cost == (try Money(dollars: "7.20")))
        #expect(booking.reservation?.state == .committed)
        #expect(booking.reservation?.held == .zero)
    }

    @Test func `an order of a plan leaves the intent and the rest of the reservation to the plan`() throws {
        let order = try makeOrder(state: .sent)
        var booking = OrderBooking(
            order: order, reservation: ReservationRecord(id: "r", amount: .dollars(50)),
            position: Position(market: market), intent: .sending, knownFills: [], isPartOfPlan: true)
        let fill = try makeFill("f1", of: booking.order, contracts: 40)
        booking.apply(.accepted("v1", fills: [fill], reported: .contracts(40), rests: false))
        #expect(booking.order.state == .filled && booking.intent == .sending)
        #expect(booking.reservation?.held == .dollars(50) - .cents(2_070))
        let closing = try #require(IntentClosing(booking.intent, booking.reservation, as: .done))
        #expect(closing.intent == .done && closing.reservation?.held == .zero)
    }

    @Test func `a resting order keeps what is not filled reserved`() throws {
        var booking = makeBooking(try makeOrder(state: .sent))
        let fill = try makeFill("f1", of: booking.order, contracts: 10)
        booking.apply(.accepted("v1", fills: [fill], reported: .contracts(10), rests: true))
        #expect(booking.order.state == .resting)
        #expect(booking.intent == .sending)
        #expect(booking.reservation?.state == .held)
        // $20.70 less 10 contracts at 50 cents and their fee of 18 cents.
        #expect(booking.reservation?.held == (try Money(dollars: "15.52")))
    }

    @Test func `an order that reports more than the fills we have stays unknown and keeps its reservation`() throws {
        var booking = makeBooking(try makeOrder(state: .sent))
        let first = try makeFill("f1", of: booking.order, contracts: 10)
        booking.apply(.accepted("v1", fills: [first], reported: .contracts(40), rests: false))
        #expect(booking.order.state == .unknown)
        #expect(booking.reservation?.state == .held)
        let rest = try makeFill("f2", of: booking.order, contracts: 30)
        booking.apply(.accepted("v1", fills: [first, rest], reported: .contracts(40), rests: false))
        #expect(booking.order.state == .filled)
        #expect(booking.newFills == [first, rest])
        #expect(booking.reservation?.held == .zero)
    }

    @Test func `an unanswered order keeps its reservation and is alerted`() throws {
        var booking = makeBooking(try makeOrder(state: .sent))
        booking.apply(.unanswered(reason: "timeout"))
        #expect(booking.reservation?.held == booking.reservation?.amount)
        #expect(booking.intent == .sending)
        #expect(booking.alerts == [.orderUnknown("order-1", reason: "timeout")])
    }

    @Test func `a proven absence frees the reservation only when there is no other attempt`() throws {
        var last = makeBooking(try makeOrder(state: .unknown))
        last.apply(.provenAbsent(retries: false))
        #expect(last.reservation?.state == .released)
        #expect(last.intent == .expired)
        var again = makeBooking(try makeOrder(state: .unknown))
        again.apply(.provenAbsent(retries: true))
        #expect(again.order.isProvenAbsent)
        #expect(again.reservation?.held == again.reservation?.amount)
        #expect(again.intent == .sending)
    }

    @Test func `an order of which the venue has shown anything is never taken for absent`() throws {
        var known = makeBooking(try makeOrder(state: .sent))
        known.apply(.accepted("v1", fills: [], reported: .contracts(5), rests: false))
        known.apply(.provenAbsent(retries: false))
        #expect(known.order.state == .unknown)
        #expect(known.reservation?.state == .held)
    }

    @Test func `a straggler is booked and alerted, and releases nothing twice`() throws {
        var booking = makeBooking(try makeOrder(state: .unknown))
        booking.apply(.provenAbsent(retries: false))
        let late = try makeFill("f1", of: booking.order, contracts: 40)
        booking.apply(.accepted("v1", fills: [late], reported: .contracts(40), rests: false))
        #expect(booking.order.state == .rejected)
        #expect(booking.order.filled == .contracts(40))
        #expect(booking.position.netHundredths == 4_000)
        #expect(booking.alerts == [.straggler("order-1")])
        #expect(booking.reservation?.state == .released)
        booking.apply(.accepted("v1", fills: [late], reported: .contracts(40), rests: false))
        #expect(booking.alerts.count == 1)
        #expect(booking.position.netHundredths == 4_000)
    }

    @Test func `fills of another order are not booked`() throws {
        var booking = makeBooking(try makeOrder(state: .sent))
        let foreign = try makeFill("f9", of: try makeOrder("order-2"), contracts: 3)
        booking.apply(.accepted("v1", fills: [foreign], reported: .zero, rests: false))
        #expect(booking.newFills.isEmpty)
        #expect(booking.order.state == .cancelled)
    }

    @Test(arguments: [Int64(0), 1, 37, 50, 100])
    func `a position is settled once at any value`(cents: Int64) throws {
        var booking = makeBooking(try makeOrder(outcome: .no, state: .sent))
        let fill = try makeFill("f1", of: booking.order, contracts: 40, cents: 30)
        booking.apply(.accepted("v1", fills: [fill], reported: .contracts(40), rests: false))
        let settled = SettlementBooking(booking.position, at: .cents(cents))
        #expect(settled.account.cash == Price.cents(100 - cents) * .contracts(40))
        #expect(settled.account.realised == settled.account.cash - .dollars(12))
        #expect(settled.position.isFlat)
        #expect(SettlementBooking(settled.position, at: .cents(cents)).account.cash == .zero)
    }
}
