import Domain
import Matching
import Resilience
import Testing

@Suite struct MatcherPropertyTests {
    private func randomBook(_ random: inout SeededGenerator) throws -> OrderBook {
        func side() throws -> [BookLevel] {
            var prices = Set<Int64>()
            for _ in 0..<Int.random(in: 0...8, using: &random) {
                prices.insert(Int64.random(in: 1...999, using: &random) * 10)
            }
            return try prices.sorted().map {
                try BookLevel(
                    price: Price(tenThousandths: $0),
                    quantity: Quantity(hundredths: Int64.random(in: 1...5_000, using: &random)))
            }
        }
        return try OrderBook(yesBids: side(), noBids: side())
    }

    private func randomOrder(_ random: inout SeededGenerator) throws -> OrderRequest {
        try OrderRequest(
            id: "order-1", market: "M", outcome: Bool.random(using: &random) ? .yes : .no,
            action: Bool.random(using: &random) ? .buy : .sell,
            limit: Price(tenThousandths: Int64.random(in: 1...9_999, using: &random)),
            quantity: Quantity(hundredths: Int64.random(in: 1...20_000, using: &random)),
            timeInForce: TimeInForce.allCases.randomElement(using: &random) ?? .immediateOrCancel)
    }

    private func contracts(_ book: OrderBook) -> Int64 {
        (book.yes + book.no).reduce(0) { $0 + $1.quantity.hundredths }
    }

    @Test func `contracts are conserved, limits hold, and fees add up`() throws {
        for seed in UInt64(1)...4_000 {
            var random = SeededGenerator(seed: seed)
            let book = try randomBook(&random)
            let order = try randomOrder(&random)
            let result = Matcher.match(order, against: book, fees: .kalshi)

            #expect(result.filled + result.remaining == order.quantity, "seed \(seed)")
            var after = book
            for change in result.bookChanges {
                try after.apply(change.hundredths, to: change.outcome, at: change.price)
            }
            let difference = contracts(after) - contracts(book)
            #expect(difference == result.resting.hundredths - result.filled.hundredths, "seed \(seed)")
            for part in result.fills {
                let holds = order.action == .buy ? part.price <= order.limit : part.price >= order.limit
                #expect(holds && part.fee >= .zero && !part.quantity.isZero, "seed \(seed)")
            }
            let prices = result.fills.map(\.price)
            #expect(prices == (order.action == .buy ? prices.sorted() : prices.sorted(by: >)), "seed \(seed)")
            let levels = try result.fills.map { try BookLevel(price: $0.price, quantity: $0.quantity) }
            #expect(result.fees == FeeSchedule.kalshi.fees(for: levels).reduce(.zero, +), "seed \(seed)")
            if order.timeInForce == .fillOrKill {
                #expect(result.fills.isEmpty || result.remaining.isZero, "seed \(seed)")
            }
            try checkNothingBetterIsLeft(order, result, after, seed)
        }
    }

    /// An order that was not filled leaves nothing that it could still have taken.
    private func checkNothingBetterIsLeft(
        _ order: OrderRequest, _ result: MatchResult, _ after: OrderBook, _ seed: UInt64
    ) throws {
        guard order.timeInForce != .fillOrKill, !result.remaining.isZero else { return }
        if order.action == .buy {
            if let ask = after.bestAsk(order.outcome) { #expect(ask.price > order.limit, "seed \(seed)") }
        } else if let bid = after.bestBid(order.outcome) {
            #expect(bid.price < order.limit, "seed \(seed)")
        }
    }

    @Test func `buying one outcome is selling the other at the complement`() throws {
        for seed in UInt64(1)...1_000 {
            var random = SeededGenerator(seed: seed &* 7919)
            let book = try randomBook(&random)
            let order = try randomOrder(&random)
            let mirrored = try OrderRequest(
                id: order.id, market: order.market, outcome: order.outcome.opposite,
                action: order.action == .buy ? .sell : .buy, limit: order.limit.complement, quantity: order.quantity,
                timeInForce: order.timeInForce)
            let one = Matcher.match(order, against: book, fees: .kalshi)
            let other = Matcher.match(mirrored, against: book, fees: .kalshi)
            #expect(one.bookChanges == other.bookChanges, "seed \(seed)")
            #expect(one.fills.map(\.price.complement) == other.fills.map(\.price), "seed \(seed)")
            #expect(one.fees == other.fees, "seed \(seed)")
        }
    }
}
