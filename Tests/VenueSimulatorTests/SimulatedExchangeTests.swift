import Domain
import Recording
import Testing

@testable import VenueSimulator

struct SimulatedExchangeTests {
    static func expect(_ code: OrderRefusal.Code, for order: PlaceOrder, by exchange: inout SimulatedExchange) {
        let refusal = exchange.place(order).refusal
        #expect(refusal?.code == code)
    }

    /// What the deltas make of a book.
    static func apply(_ events: [ExchangeEvent], to book: inout OrderBook, of market: MarketID) throws {
        for case .delta(market, let outcome, let price, let change, _) in events {
            try book.apply(change, to: outcome, at: price)
        }
    }

    @Test func `an order takes the recorded book and pays the fee`() throws {
        var exchange = try Fixture.exchange()
        // Ask 0.80: best level 40 + 10 * (20 % 7) = 100 contracts.
        let (order, events) = try exchange.place(Fixture.order(.bid, 80, 10)).get()
        #expect(order.status == .executed)
        #expect(order.averageYesPrice == .cents(80))
        #expect(order.takerFees == FeeSchedule.kalshi.fee(.contracts(10), at: .cents(80)))
        #expect(exchange.account.cash == Money.dollars(1_000) - .dollars(8) - order.takerFees)
        #expect(exchange.account.position(Fixture.home).netHundredths == 1_000)
        #expect(events.count { if case .delta = $0 { true } else { false } } == 1)
        #expect(events.count { if case .trade = $0 { true } else { false } } == 1)
        #expect(events.count { if case .fill = $0 { true } else { false } } == 1)
    }

    @Test func `the rest of an immediate order is cancelled`() throws {
        var exchange = try Fixture.exchange()
        let (order, _) = try exchange.place(Fixture.order(.bid, 80, 150)).get()
        #expect(order.filled == .contracts(100))
        #expect(order.remaining == .zero)
        #expect(order.status == .canceled)
        #expect(exchange.publishedBook(Fixture.home).bestAsk(.yes)?.price == .cents(81))
    }

    @Test func `an order without a counterpart fills nothing`() throws {
        var exchange = try Fixture.exchange()
        let (order, events) = try exchange.place(Fixture.order(.bid, 79, 5)).get()
        #expect(order.filled == .zero)
        #expect(order.status == .canceled)
        #expect(events.isEmpty)
        #expect(exchange.account.cash == .dollars(1_000))
    }

    @Test func `buying NO is an ask at the complement`() throws {
        var exchange = try Fixture.exchange()
        let (order, _) = try exchange.place(Fixture.order(.ask, 79, 10)).get()
        #expect(order.averageYesPrice == .cents(79))
        #expect(exchange.account.position(Fixture.home).netHundredths == -1_000)
        #expect(exchange.account.cash == Money.dollars(1_000) - .cents(210) - order.takerFees)
    }

    @Test func `what was taken is gone until the next quote restores it`() throws {
        var exchange = try Fixture.exchange()
        let before = exchange.publishedBook(Fixture.home)
        var followed = before
        let (_, taken) = try exchange.place(Fixture.order(.bid, 80, 70)).get()
        try Self.apply(taken, to: &followed, of: Fixture.home)
        #expect(followed == exchange.publishedBook(Fixture.home))
        #expect(exchange.publishedBook(Fixture.home).bestAsk(.yes)?.quantity == .contracts(30))
        let quote = RecordedQuote(market: Fixture.home, bid: .cents(79), ask: .cents(80))
        let restored = exchange.apply(.quote(quote), at: exchange.now.advanced(by: .seconds(1)))
        try Self.apply(restored, to: &followed, of: Fixture.home)
        #expect(followed == before)
        #expect(exchange.publishedBook(Fixture.home) == before)
    }

    @Test func `the deltas of a whole game rebuild its books`() throws {
        let recording = try ShippedRecording.torAtCle()
        var exchange = SimulatedExchange(header: recording.header, balance: .dollars(1_000))
        var followed = OrderBook.empty
        for moment in recording.moments {
            for fact in moment.facts {
                try Self.apply(exchange.apply(fact, at: moment.at), to: &followed, of: Fixture.home)
            }
            #expect(followed == exchange.publishedBook(Fixture.home))
        }
    }

    @Test func `a resting order stands in the book and is filled when the market comes to it`() throws {
        var exchange = try Fixture.exchange()
        let (order, events) = try exchange.place(Fixture.order(.bid, 78, 10, .goodTillCancelled)).get()
        #expect(order.status == .resting)
        #expect(events.contains(.delta(Fixture.home, .yes, .cents(78), 1_000, clientOrder: "a")))
        let level = exchange.publishedBook(Fixture.home).yes.first { $0.price == .cents(78) }
        // The market's 40 * 2 + 10 * (78 % 7), and ours.
        #expect(level?.quantity == Quantity.contracts(100))
        let quote = RecordedQuote(market: Fixture.home, bid: .cents(76), ask: .cents(78))
        let later = exchange.apply(.quote(quote), at: exchange.now.advanced(by: .seconds(1)))
        #expect(exchange.orders[order.id]?.status == .executed)
        #expect(exchange.account.fees == .zero)
        #expect(exchange.account.position(Fixture.home).netHundredths == 1_000)
        #expect(later.contains { if case .fill(let fill) = $0 { !fill.isTaker } else { false } })
        #expect(!exchange.publishedBook(Fixture.home).isCrossed)
    }

    @Test func `a cancelled order leaves the book and cannot be cancelled again`() throws {
        var exchange = try Fixture.exchange()
        let before = exchange.publishedBook(Fixture.home)
        let (order, _) = try exchange.place(Fixture.order(.bid, 70, 10, .goodTillCancelled)).get()
        let (cancelled, reduced, _) = try exchange.cancel(order.id).get()
        #expect(cancelled.status == .canceled)
        #expect(reduced == .contracts(10))
        #expect(exchange.publishedBook(Fixture.home) == before)
        let again = exchange.cancel(order.id).refusal
        #expect(again?.code == .notFound)
    }

    @Test func `orders are refused for what is wrong with them`() throws {
        var exchange = try Fixture.exchange(balance: 10)
        Self.expect(.marketNotFound, for: Fixture.order(.bid, 80, 1, market: "NONE"), by: &exchange)
        Self.expect(.insufficientBalance, for: Fixture.order(.bid, 80, 100), by: &exchange)
        Self.expect(.killed, for: Fixture.order(.bid, 80, 1_000, .fillOrKill), by: &exchange)
        var offStep = Fixture.order(.bid, 80, 1)
        offStep = PlaceOrder(
            market: offStep.market, clientOrderID: "b", side: .bid, price: try Price(tenThousandths: 8_050),
            quantity: .contracts(1), timeInForce: .immediateOrCancel)
        Self.expect(.invalidPrice, for: offStep, by: &exchange)
        _ = try exchange.place(Fixture.order(.bid, 80, 1)).get()
        Self.expect(.duplicate, for: Fixture.order(.bid, 80, 1), by: &exchange)
        #expect(exchange.fills.count == 1)
    }

    @Test func `a repeated client order id is taken again when the setting says so`() throws {
        var exchange = try Fixture.exchange(refusesDuplicates: false)
        _ = try exchange.place(Fixture.order(.bid, 80, 1)).get()
        _ = try exchange.place(Fixture.order(.bid, 80, 1)).get()
        #expect(exchange.fills.count == 2)
    }

    @Test func `closed markets take no orders and settlement pays the winner`() throws {
        var exchange = try Fixture.exchange()
        let (order, _) = try exchange.place(Fixture.order(.bid, 80, 10)).get()
        let (lost, _) = try exchange.place(Fixture.order(.bid, 21, 10, id: "b", market: Fixture.away)).get()
        let recording = try Fixture.recording()
        for moment in recording.moments.dropFirst() {
            for fact in moment.facts { _ = exchange.apply(fact, at: moment.at) }
        }
        Self.expect(.marketInactive, for: Fixture.order(.bid, 80, 1, id: "c"), by: &exchange)
        #expect(exchange.markets[Fixture.home]?.phase == .finalized)
        let fees = order.takerFees + lost.takerFees
        #expect(exchange.account.cash == Money.dollars(1_000) + .cents(200) - .cents(210) - fees)
        #expect(exchange.account.profit { _ in nil } == Money.cents(-10) - fees)
        let open = exchange.account.positions.values.filter { !$0.isFlat }
        #expect(open.isEmpty)
    }

    @Test func `two runs with the same orders publish the same events`() throws {
        func run() throws -> [ExchangeEvent] {
            let recording = try ShippedRecording.torAtCle()
            var exchange = SimulatedExchange(header: recording.header, balance: .dollars(10_000))
            var events: [ExchangeEvent] = []
            for (index, moment) in recording.moments.enumerated() {
                events += exchange.pass(to: moment.at)
                for fact in moment.facts { events += exchange.apply(fact, at: moment.at) }
                if index % 10 == 5 {
                    let order = Fixture.order(.bid, 99, 30, id: "\(index)")
                    if case .success((_, let more)) = exchange.place(order) { events += more }
                }
            }
            return events
        }
        let first = try run()
        #expect(first == (try run()))
        #expect(first.count { if case .fill = $0 { true } else { false } } > 10)
    }
}
