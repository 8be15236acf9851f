import Domain
import Testing

@Suite struct FeeScheduleTests {
    // The first two rows are recorded fills (WIRE 1.7); the rest is rate × C × P × (1 − P) by hand, rounded up.
    @Test(arguments: [
        (FeeSchedule.kalshi, "5.52", "0.17", "0.054600"),
        (.kalshi, "1.16", "0.16", "0.011000"),
        (.kalshi, "100.00", "0.50", "1.750000"),
        (.kalshi, "1.00", "0.50", "0.020000"),
        (.kalshi, "0.50", "0.50", "0.008800"),
        (.kalshi, "10.00", "0.15", "0.090000"),
        (.kalshi, "1.00", "0.01", "0.010000"),
        (.kalshi, "0.01", "0.01", "0.000100"),
        (.polymarketSports, "100.00", "0.50", "0.750000"),
        (.polymarketSports, "1.00", "0.01", "0.000300"),
        (.polymarket(.crypto), "100.00", "0.50", "1.750000"),
        (.polymarket(.politics), "7.77", "0.33", "0.068720"),
        (.polymarket(.geopolitics), "100.00", "0.50", "0.000000"),
        (.none, "100.00", "0.50", "0.000000"),
    ])
    func `a fee equals the schedule`(schedule: FeeSchedule, count: String, price: String, fee: String) throws {
        let charged = try schedule.fee(Quantity(contracts: count), at: Price(dollars: price))
        #expect(charged.description == fee)
    }

    @Test func `who had rested pays the maker's rate`() throws {
        #expect(FeeSchedule.kalshi.fee(.contracts(100), at: .cents(50), as: .maker) == .zero)
        let charging = try FeeSchedule(
            ratePerMillion: 70_000, makerRatePerMillion: 17_500, roundingMicrodollars: 10_000)
        #expect(charging.fee(.contracts(100), at: .cents(50), as: .maker) == .cents(44))
    }

    @Test func `an order in parts is rounded once over the whole`() throws {
        let parts = try (0..<7).map { _ in try BookLevel(price: .cents(17), quantity: Quantity(contracts: "0.13")) }
        let fees = FeeSchedule.kalshi.fees(for: parts)
        let whole = FeeSchedule.kalshi.fee(try Quantity(contracts: "0.91"), at: .cents(17))
        #expect(fees.reduce(.zero, +) == whole)
        let cents = try (0..<7).map { _ in try BookLevel(price: .cents(17), quantity: .contracts(1)) }
        #expect(
            FeeSchedule.kalshi.fees(for: cents).reduce(.zero, +)
                == FeeSchedule.kalshi.fee(.contracts(7), at: .cents(17)))
    }

    @Test func `nothing is given back when a fraction follows whole contracts`() throws {
        let parts = try [
            BookLevel(price: .cents(50), quantity: .contracts(1)),
            BookLevel(price: .cents(50), quantity: Quantity(contracts: "0.01")),
            BookLevel(price: .cents(50), quantity: Quantity(contracts: "0.99")),
        ]
        #expect(FeeSchedule.kalshi.fees(for: parts) == [.cents(2), .zero, .cents(2)])
    }

    @Test func `a fee is the same on either side of the market and never above the schedule by more than a step`()
        throws
    {
        for tenThousandths in stride(from: Int64(1), to: 10_000, by: 37) {
            let price = try Price(tenThousandths: tenThousandths)
            for hundredths: Int64 in [1, 99, 100, 12_345] {
                let quantity = try Quantity(hundredths: hundredths)
                let fee = FeeSchedule.kalshi.fee(quantity, at: price)
                #expect(fee == FeeSchedule.kalshi.fee(quantity, at: price.complement))
                let exact = 0.07 * Double(hundredths) / 100 * price.probability * (1 - price.probability)
                #expect(fee.approximateDollars >= exact - 1e-9)
                #expect(fee.approximateDollars < exact + (hundredths % 100 == 0 ? 0.01 : 0.0001) + 1e-9)
            }
        }
    }

    @Test(
        arguments: [
            (-1, 0, 1, 1), (1_000_001, 0, 1, 1), (0, -1, 1, 1), (0, 0, 0, 1), (0, 0, 1, 1_000_001),
        ] as [(Int64, Int64, Int64, Int64)])
    func `a schedule out of its bounds is refused`(rate: Int64, maker: Int64, step: Int64, fraction: Int64) {
        #expect(throws: DomainError.self) {
            try FeeSchedule(
                ratePerMillion: rate, makerRatePerMillion: maker, roundingMicrodollars: step,
                fractionRoundingMicrodollars: fraction)
        }
    }
}
