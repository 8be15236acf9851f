import Domain
import Testing

@Suite struct FeeScheduleTests {
    // The first two rows are recorded fills (WIRE 1.7); the rest is rate × C × P × (1 − P) by hand, rounded up.
    @Test(arguments: [
        (FeeSchedule.kalshi, "5.52", "0.17", "0.054600"),
        (.kalshi, "1.16", "0.16", "0.011000"),
        (.kalshi, "100.00", "0.50", "1.750000"),
        (.kalshi, "1.00", "0.50", "0.017500"),
        (.kalshi, "1.00", "0.01", "0.000700"),
        (.kalshiWholeCent, "100.00", "0.50", "1.750000"),
        (.kalshiWholeCent, "1.00", "0.50", "0.020000"),
        (.kalshiWholeCent, "10.00", "0.15", "0.090000"),
        (.polymarketSports, "100.00", "0.50", "0.750000"),
        (.none, "100.00", "0.50", "0.000000"),
    ])
    func `a fee equals the schedule`(schedule: FeeSchedule, count: String, price: String, fee: String) throws {
        let charged = try schedule.fee(Quantity(contracts: count), at: Price(dollars: price))
        #expect(charged.description == fee)
    }

    @Test func `an order in parts is rounded once`() throws {
        let parts = try (0..<7).map { _ in try BookLevel(price: .cents(17), quantity: Quantity(contracts: "0.13")) }
        let fees = FeeSchedule.kalshiWholeCent.fees(for: parts)
        let whole = FeeSchedule.kalshiWholeCent.fee(try Quantity(contracts: "0.91"), at: .cents(17))
        #expect(fees.reduce(.zero, +) == whole)
        #expect(fees.allSatisfy { $0 >= .zero })
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
                #expect(fee.approximateDollars < exact + 0.0001 + 1e-9)
            }
        }
    }
}
