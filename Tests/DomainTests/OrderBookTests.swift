import Domain
import Testing

private func level(_ cents: Int64, _ contracts: Int64) throws -> BookLevel {
    try BookLevel(price: .cents(cents), quantity: .contracts(contracts))
}

/// SplitMix64, so that a failure names a seed.
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

@Suite struct OrderBookTests {
    @Test func `an ask is the complement of the other outcome's best bid`() throws {
        let book = try OrderBook(yesBids: [level(52, 10), level(53, 5)], noBids: [level(46, 7), level(40, 100)])
        #expect(try book.bestBid(.yes) == level(53, 5))
        #expect(try book.bestAsk(.yes) == level(54, 7))
        #expect(try book.bestAsk(.no) == level(47, 5))
        #expect(try book.asks(.yes) == [level(54, 7), level(60, 100)])
        #expect(book.isTwoSided)
    }

    @Test func `a crossed, one-sided or empty book may not be traded on`() throws {
        let crossed = try OrderBook(yesBids: [level(60, 1)], noBids: [level(45, 1)])
        #expect(crossed.isCrossed && !crossed.isTwoSided && crossed.midProbability == nil)
        let oneSided = try OrderBook(yesBids: [level(60, 1)], noBids: [])
        #expect(oneSided.isOneSided && !oneSided.isTwoSided)
        #expect(OrderBook.empty.isEmpty && !OrderBook.empty.isTwoSided)
        let locked = try OrderBook(yesBids: [level(60, 1)], noBids: [level(40, 1)])
        #expect(!locked.isCrossed)
    }

    @Test func `a level at exactly zero goes, below zero is corruption`() throws {
        var book = try OrderBook(yesBids: [level(50, 3)], noBids: [])
        try book.apply(-300, to: .yes, at: .cents(50))
        #expect(book.isEmpty)
        let error = #expect(throws: DomainError.self) { try book.apply(-1, to: .yes, at: .cents(50)) }
        #expect(error?.code == .inconsistent)
        #expect(throws: DomainError.self) { try book.apply(100, to: .yes, at: .one) }
        #expect(book.isEmpty)
    }

    @Test func `a snapshot with a price twice is refused`() throws {
        let twice = [try level(50, 1), try level(50, 2)]
        #expect(throws: DomainError.self) { try OrderBook(yesBids: twice, noBids: []) }
    }

    @Test(arguments: 1...20)
    func `deltas in any order give the book of a plain dictionary`(seed: UInt64) throws {
        var random = Seeded(state: seed)
        var book = OrderBook.empty
        var oracle: [Outcome: [Int64: Int64]] = [.yes: [:], .no: [:]]
        for _ in 0..<2_000 {
            let outcome: Outcome = Bool.random(using: &random) ? .yes : .no
            let price = Int64.random(in: 1...9_999, using: &random) / 50 * 50 + 1
            let before = oracle[outcome]?[price] ?? 0
            let after = Bool.random(using: &random) ? 0 : Int64.random(in: 0...500, using: &random)
            try book.apply(after - before, to: outcome, at: Price(tenThousandths: price))
            oracle[outcome]?[price] = after == 0 ? nil : after
        }
        for outcome in Outcome.allCases {
            let expected = (oracle[outcome] ?? [:]).sorted { $0.key < $1.key }
            let actual = book.bids(outcome).map { ($0.price.tenThousandths, $0.quantity.hundredths) }
            #expect(actual.map(\.0) == expected.map(\.key), "seed \(seed)")
            #expect(actual.map(\.1) == expected.map(\.value), "seed \(seed)")
        }
    }
}
