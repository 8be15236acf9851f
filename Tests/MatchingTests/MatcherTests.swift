import Domain
import Matching
import Testing

@Suite struct MatcherTests {
    /// YES bids 40 × 10, 38 × 5; NO bids 55 × 4 (YES ask 45), 50 × 20 (YES ask 50).
    private func book() throws -> OrderBook {
        try OrderBook(
            yesBids: [level(38, 5), level(40, 10)],
            noBids: [level(50, 20), level(55, 4)])
    }

    private func level(_ cents: Int64, _ contracts: Int64) throws -> BookLevel {
        try BookLevel(price: .cents(cents), quantity: .contracts(contracts))
    }

    private func order(
        _ action: Action, _ outcome: Outcome, at cents: Int64, _ contracts: Int64,
        _ timeInForce: TimeInForce = .immediateOrCancel
    ) throws -> OrderRequest {
        try OrderRequest(
            id: "order-1", market: "M", outcome: outcome, action: action, limit: .cents(cents),
            quantity: .contracts(contracts), timeInForce: timeInForce)
    }

    private func match(_ order: OrderRequest) throws -> MatchResult {
        Matcher.match(order, against: try book(), fees: .kalshi)
    }

    @Test func `buying YES takes the NO bids, dearest first`() throws {
        let result = try match(order(.buy, .yes, at: 50, 10))
        #expect(result.fills.map(\.price) == [.cents(45), .cents(50)])
        #expect(result.fills.map(\.quantity) == [.contracts(4), .contracts(6)])
        #expect(result.remaining == .zero)
        #expect(
            result.bookChanges == [
                BookChange(outcome: .no, price: .cents(55), hundredths: -400),
                BookChange(outcome: .no, price: .cents(50), hundredths: -600),
            ])
        #expect(result.averagePrice == .cents(48))
    }

    @Test func `buying NO takes the YES bids`() throws {
        let result = try match(order(.buy, .no, at: 61, 12))
        #expect(result.fills.map(\.price) == [.cents(60)])
        #expect(result.remaining == .contracts(2))
        #expect(result.bookChanges == [BookChange(outcome: .yes, price: .cents(40), hundredths: -1_000)])
    }

    @Test func `selling takes the outcome's own bids, highest first`() throws {
        let yes = try match(order(.sell, .yes, at: 38, 12))
        #expect(yes.fills.map(\.price) == [.cents(40), .cents(38)])
        #expect(yes.fills.map(\.quantity) == [.contracts(10), .contracts(2)])
        let no = try match(order(.sell, .no, at: 51, 12))
        #expect(no.fills.map(\.price) == [.cents(55)])
        #expect(no.remaining == .contracts(8))
    }

    @Test func `the limit is never passed`() throws {
        #expect(try match(order(.buy, .yes, at: 44, 10)).fills.isEmpty)
        #expect(try match(order(.sell, .yes, at: 41, 10)).fills.isEmpty)
    }

    @Test func `an immediate order leaves nothing in the book`() throws {
        let result = try match(order(.buy, .yes, at: 45, 10))
        #expect(result.filled == .contracts(4))
        #expect(result.remaining == .contracts(6))
        #expect(result.resting == .zero)
    }

    @Test func `fill or kill trades all or nothing`() throws {
        let killed = try match(order(.buy, .yes, at: 50, 25, .fillOrKill))
        #expect(killed.fills.isEmpty && killed.bookChanges.isEmpty)
        #expect(killed.remaining == .contracts(25))
        let filled = try match(order(.buy, .yes, at: 50, 24, .fillOrKill))
        #expect(filled.filled == .contracts(24))
    }

    @Test func `what rests becomes a bid on the side it belongs to`() throws {
        let bought = try match(order(.buy, .yes, at: 45, 10, .goodTillCancelled))
        #expect(bought.resting == .contracts(6))
        #expect(bought.bookChanges.last == BookChange(outcome: .yes, price: .cents(45), hundredths: 600))
        let sold = try match(order(.sell, .yes, at: 39, 15, .goodTillCancelled))
        #expect(sold.bookChanges.last == BookChange(outcome: .no, price: .cents(61), hundredths: 500))
    }

    @Test func `the fee is rounded once over the order`() throws {
        let result = try match(order(.buy, .yes, at: 50, 10))
        // 0.07 × (4 × 0.45 × 0.55 + 6 × 0.5 × 0.5) = 0.1743, to the cent; the first four alone 0.0693.
        #expect(result.fills.map(\.fee) == [.cents(7), .cents(11)])
    }

    @Test func `an empty book fills nothing`() throws {
        let result = Matcher.match(try order(.buy, .yes, at: 99, 1), against: .empty, fees: .kalshi)
        #expect(result.fills.isEmpty && result.remaining == .contracts(1) && result.averagePrice == nil)
    }
}
