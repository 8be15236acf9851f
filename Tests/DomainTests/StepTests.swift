import Domain
import Testing

@Suite struct StepTests {
    @Test(arguments: PriceStep.allCases)
    func `rounding gives the nearest permitted price on its side`(step: PriceStep) throws {
        let permitted = try (1...9_999).map { try Price(tenThousandths: $0) }.filter { step.permits($0) }
        for tenThousandths: Int64 in 0...10_000 {
            let price = try Price(tenThousandths: tenThousandths)
            let down = step.down(price)
            let up = step.up(price)
            if step.permits(price) { #expect(down == price && up == price) }
            if let down { #expect(step.permits(down) && down <= price, "\(step) \(price)") }
            if let up { #expect(step.permits(up) && up >= price, "\(step) \(price)") }
            if tenThousandths % 333 == 0 {
                #expect(down == permitted.last { $0 <= price }, "\(step) \(price)")
                #expect(up == permitted.first { $0 >= price }, "\(step) \(price)")
            }
        }
    }

    @Test func `counts are whole unless the market takes fractions`() throws {
        let fraction = try Quantity(contracts: "5.52")
        #expect(!CountStep.whole.permits(fraction))
        #expect(CountStep.hundredth.permits(fraction))
        #expect(!CountStep.hundredth.permits(.zero))
        #expect(CountStep.whole.down(fraction) == .contracts(5))
        #expect(CountStep.hundredth.down(fraction) == fraction)
    }

    @Test(
        arguments: [(0, .whole), (300, .whole), (-300, .whole), (552, .hundredth), (-1, .hundredth)]
            as [(Int64, CountStep)])
    func `a market takes the counts that are proven by what is held in it`(held: Int64, step: CountStep) throws {
        let position = try Position(
            market: "M-1", netHundredths: held, cost: held == 0 ? .zero : .cents(1), realised: .zero, fees: .zero)
        #expect(CountStep(provenBy: position) == step)
    }

    @Test func `an order off the steps is not made`() throws {
        let steps = OrderSteps(price: .linearCent, count: .whole)
        func request(_ limit: String, _ count: String) throws -> OrderRequest {
            try OrderRequest(
                id: "order-1", market: "M-1", outcome: .yes, action: .buy, limit: Price(dollars: limit),
                quantity: Quantity(contracts: count), timeInForce: .immediateOrCancel, steps: steps)
        }
        #expect(try request("0.53", "7").quantity == .contracts(7))
        for (limit, count) in [("0.531", "7"), ("0.53", "7.5"), ("0.0001", "1"), ("0.53", "0")] {
            #expect(throws: DomainError.self, "\(limit) \(count)") { try request(limit, count) }
        }
    }
}
