import Domain
import Testing

private let market: MarketID = "KXNBAGAME-26APR20TORCLE-CLE"

private func fill(
    _ outcome: Outcome, _ action: Action, _ price: Price, _ quantity: Quantity, fee: Money = .zero, id: Int = 1
) throws -> Fill {
    try Fill(
        id: FillID("fill-\(id)"), order: "order", market: market, outcome: outcome, action: action, price: price,
        quantity: quantity, fee: fee, at: .epoch)
}

@Suite struct PositionTests {
    @Test func `NO earns what YES loses`() throws {
        var position = Position(market: market)
        position.apply(try fill(.no, .buy, .cents(30), .contracts(10)))
        #expect(position.outcome == .no)
        #expect(position.cost == .dollars(3))
        #expect(position.unrealised(atYesValue: .cents(60)) == .dollars(1))
        let gain = position.settle(at: .zero)
        #expect(gain == .dollars(7))
        #expect(position.isFlat && position.realised == .dollars(7))
    }

    @Test func `buying the other outcome closes the pair at its dollar`() throws {
        var position = Position(market: market)
        position.apply(try fill(.yes, .buy, .cents(40), .contracts(10)))
        let gain = position.apply(try fill(.no, .buy, .cents(50), .contracts(4)))
        #expect(gain == .cents(40))
        #expect(position.quantity == .contracts(6))
        #expect(position.cost == .cents(240))
    }

    @Test func `a trade through zero opens the rest on the other side`() throws {
        var position = Position(market: market)
        position.apply(try fill(.yes, .buy, .cents(40), .contracts(10)))
        position.apply(try fill(.yes, .sell, .cents(55), .contracts(15)))
        #expect(position.outcome == .no)
        #expect(position.quantity == .contracts(5))
        #expect(position.realised == .cents(150))
        #expect(position.cost == .cents(225))
    }

    @Test(
        arguments: [
            (1_000, Outcome.yes, Action.sell, 1_000, true), (1_000, .yes, .sell, 1_001, false),
            (1_000, .no, .buy, 999, true), (1_000, .yes, .buy, 1, false), (1_000, .no, .sell, 1, false),
            (-1_000, .no, .sell, 1_000, true), (-1_000, .yes, .buy, 1_000, true), (-1_000, .no, .buy, 1, false),
            (0, .yes, .sell, 1, false), (1_000, .yes, .sell, 0, false),
        ] as [(Int64, Outcome, Action, Int64, Bool)])
    func `only what cannot open the other side reduces`(
        net: Int64, outcome: Outcome, action: Action, hundredths: Int64, reduces: Bool
    ) throws {
        let position = try Position(
            market: market, netHundredths: net, cost: net == 0 ? .zero : .dollars(4), realised: .zero, fees: .zero)
        #expect(position.isReduced(by: outcome, action, try Quantity(hundredths: hundredths)) == reduces)
    }

    @Test(
        arguments: [
            (1_000, 0, 1_000), (1_000, 300, 700), (1_000, 1_000, 0), (1_000, 1_001, 0), (1_000, -300, 1_000),
            (-1_000, -300, 700), (-1_000, -1_001, 0), (-1_000, 300, 1_000), (0, 300, 0), (0, -300, 0),
        ] as [(Int64, Int64, Int64)])
    func `what no arbitrage counts on is free, never less than none`(net: Int64, counted: Int64, free: Int64) throws {
        let position = try Position(
            market: market, netHundredths: net, cost: net == 0 ? .zero : .dollars(4), realised: .zero, fees: .zero)
        #expect(position.free(of: counted) == (try Quantity(hundredths: free)))
    }

    @Test func `a stored position that cannot be is refused`() throws {
        let refused: [(Int64, Money, Money)] = [
            (100, .cents(101), .zero), (0, .cents(1), .zero), (100, .cents(-1), .zero), (100, .cents(50), .cents(-1)),
            (.max, .zero, .zero), (.min, .zero, .zero), (10_000_000_001, .zero, .zero),
        ]
        for (net, cost, fees) in refused {
            #expect(throws: DomainError.self, "\(net) \(cost) \(fees)") {
                try Position(market: market, netHundredths: net, cost: cost, realised: .zero, fees: fees)
            }
        }
    }

    @Test func `without a fill that was taken back the position is as if it had never been`() throws {
        let first = try fill(.yes, .buy, .cents(40), .contracts(10), fee: .cents(17), id: 1)
        let taken = try fill(.yes, .buy, .cents(60), .contracts(10), fee: .cents(17), id: 2)
        let sold = try fill(.yes, .sell, .cents(55), .contracts(5), fee: .cents(9), id: 3)
        let rebuilt = Position.rebuilt(market, from: [first, sold])
        #expect(rebuilt.realised == .cents(75) && rebuilt.cost == .cents(200) && rebuilt.fees == .cents(26))
        #expect(Position.rebuilt(market, from: [first, taken, sold]).realised == .cents(25))
        #expect(Position.rebuilt(market, from: [first], settledAt: .one).realised == .dollars(6))
    }

    @Test func `of a void market what was closed counts, and what is open is paid back with its fees`() throws {
        let bought = try fill(.yes, .buy, .cents(40), .contracts(10), fee: .cents(17), id: 1)
        let sold = try fill(.yes, .sell, .cents(55), .contracts(10), fee: .cents(18), id: 2)
        let again = try fill(.yes, .buy, .cents(50), .contracts(4), fee: .cents(7), id: 3)
        let more = try fill(.yes, .buy, .cents(60), .contracts(4), fee: .cents(8), id: 4)
        let paidBack = Position.rebuilt(market, from: [bought, sold, again, more], isRefunded: true)
        #expect(paidBack.isFlat && paidBack.realised == .cents(150) && paidBack.fees == .cents(35))
        // Turned over at once: what is open since is of the fill that turned it.
        let turned = try fill(.yes, .sell, .cents(55), .contracts(20), fee: .cents(30), id: 5)
        #expect(Position.rebuilt(market, from: [bought, turned], isRefunded: true).fees == .cents(17))
        let closed = Position.rebuilt(market, from: [bought, sold], isRefunded: true)
        #expect(closed == Position.rebuilt(market, from: [bought, sold]))
    }

    @Test func `a market settles at any value from nothing to a dollar`() throws {
        var position = Position(market: market)
        position.apply(try fill(.yes, .buy, .cents(40), .contracts(10)))
        #expect(position.settle(at: try Price(dollars: "0.3333")).description == "-0.667000")
    }

    @Test(arguments: 1...50)
    func `cash, realised, cost and fees add up to the unit`(seed: UInt64) throws {
        var random = Seeded(state: seed)
        var position = Position(market: market)
        // Cash on the YES scale as an exchange nets it: a contract sold short leaves its dollar as collateral.
        var cash = Money.zero
        for step in 0..<200 {
            let outcome: Outcome = Bool.random(using: &random) ? .yes : .no
            let action: Action = Bool.random(using: &random) ? .buy : .sell
            let price = try Price(tenThousandths: .random(in: 1...9_999, using: &random))
            let quantity = try Quantity(hundredths: .random(in: 1...5_000, using: &random))
            let fee = FeeSchedule.kalshi.fee(quantity, at: price)
            position.apply(try fill(outcome, action, price, quantity, fee: fee, id: step))
            let yesPrice = outcome == .yes ? price : price.complement
            cash += (outcome == .yes) == (action == .buy) ? -(yesPrice * quantity) : yesPrice * quantity
            cash -= fee
        }
        let collateral = position.netHundredths < 0 ? Price.one * position.quantity : .zero
        #expect(cash - collateral == position.realised - position.cost - position.fees, "seed \(seed)")
        let value = try Price(tenThousandths: .random(in: 0...10_000, using: &random))
        let holding = position.netHundredths
        position.settle(at: value)
        let payout =
            holding >= 0
            ? value * (try Quantity(hundredths: holding)) : -(value * (try Quantity(hundredths: -holding)))
        #expect(cash + payout == position.realised - position.fees, "seed \(seed)")
    }

    @Test func `a stored position with a cost but no contracts is refused`() {
        #expect(throws: DomainError.self) {
            try Position(market: market, netHundredths: 0, cost: .dollar, realised: .zero, fees: .zero)
        }
    }
}
