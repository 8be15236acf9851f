import Domain
import SignalProcessorEngine
import Testing

/// A row of the table that was worked out by hand (CHECKLIST R79).
struct Sized: Sendable, CustomTestStringConvertible {
    let probability: Double
    let cents: Int64
    let bankroll: Int64
    let kelly: Double
    let contracts: Int64
    let reserved: String

    var testDescription: String { "p \(probability) at \(cents) ¢ of $\(bankroll)" }

    static let table = [
        // b = 1, f = 0.6 − 0.4 = 0.2; stake 5 % = $50: 96 × 0.50 + 0.07 × 96 × 0.25 = 48 + 1.68.
        Sized(probability: 0.6, cents: 50, bankroll: 1_000, kelly: 0.2, contracts: 96, reserved: "49.680000"),
        // b = 3, f = (1.5 − 0.5)/3 = 1/3; stake 8.3333 % = $83.333:
        // 316 × 0.25 + 0.07 × 316 × 0.1875 = 79 + 4.1475, the fee up to the cent.
        Sized(probability: 0.5, cents: 25, bankroll: 1_000, kelly: 1.0 / 3, contracts: 316, reserved: "83.150000"),
        // b = 4, f = (3.2 − 0.2)/4 = 0.75; a quarter is 18.75 %, capped at 10 % = $100:
        // 473 × 0.20 + 0.07 × 473 × 0.16 = 94.60 + 5.2976 up to 5.30, and one more would need $100.11.
        Sized(probability: 0.8, cents: 20, bankroll: 1_000, kelly: 0.75, contracts: 473, reserved: "99.900000"),
        // b = 1/9, f = (0.95/9 − 0.05)·9 = 0.5; stake 10 % of $50 = $5: 5 × 0.90 + 0.0315 up to 0.04.
        Sized(probability: 0.95, cents: 90, bankroll: 50, kelly: 0.5, contracts: 5, reserved: "4.540000"),
        // b = 9, f = (1.08 − 0.88)/9 = 0.0222…; stake 0.5555 % of $1,000 = $5.555:
        // 52 × 0.10 + 0.07 × 52 × 0.09 = 0.3276 up to 0.33.
        Sized(probability: 0.12, cents: 10, bankroll: 1_000, kelly: 0.2 / 9, contracts: 52, reserved: "5.530000"),
    ]
}

struct SizingTests {
    @Test(arguments: Sized.table)
    func `the size is what the table says`(row: Sized) throws {
        let kelly = Sizing.kelly(try Probability(row.probability), at: .cents(row.cents))
        #expect(abs(kelly - row.kelly) < 1e-12)
        var view = freshPortfolio()
        view.cash = .dollars(row.bankroll)
        let signal = try makeSignal(probability: row.probability, cents: row.cents, available: 100_000)
        let verdict = SignalProcessorEngine(limits: wideLimits())
            .decide(signal, portfolio: view, as: names, at: tipOff)
        guard case .approved(let intent, let reserved) = verdict else {
            Issue.record("refused: \(verdict)")
            return
        }
        #expect(intent.quantity == .contracts(row.contracts))
        #expect(reserved == (try Money(dollars: row.reserved)))
    }

    @Test func `a part of every size is traded where that is asked for`() throws {
        var limits = wideLimits()
        limits.sizePercent = 10
        let engine = SignalProcessorEngine(limits: limits)
        guard
            case .approved(let intent, _) = engine.decide(
                try makeSignal(), portfolio: freshPortfolio(), as: names, at: tipOff)
        else {
            Issue.record("refused")
            return
        }
        #expect(intent.quantity == .contracts(9), "$5 of $50")
    }

    private struct Size: Equatable {
        let contracts: Int64
        let reserved: Money
    }

    /// What is stored of a signal, at a part of every size; nil when it is refused.
    private func size(
        _ signal: Signal, _ portfolio: PortfolioView, percent: Int64, _ limits: TradingLimits = TradingLimits()
    ) -> Size? {
        var limits = limits
        limits.sizePercent = percent
        let verdict = SignalProcessorEngine(limits: limits).decide(signal, portfolio: portfolio, as: names, at: tipOff)
        guard case .approved(let intent, let reserved) = verdict else { return nil }
        return Size(contracts: intent.quantity.hundredths / 100, reserved: reserved)
    }

    @Test(arguments: [(10_000, 50), (10_000, 20), (1_000, 50), (1_000, 20), (500, 50)] as [(Int64, Int64)])
    func `under the limits as they stand, real money trades a tenth of what paper trades of the same signal`(
        bankroll: Int64, cents: Int64
    ) throws {
        var view = freshPortfolio()
        view.cash = .dollars(bankroll)
        let signal = try makeSignal(cents: cents)
        let paper = try #require(size(signal, view, percent: 100))
        let live = try #require(size(signal, view, percent: 10))
        #expect(live.contracts == paper.contracts / 10 && live.contracts > 0)
        #expect(live.reserved == Sizing.cost(live.contracts, at: .cents(cents), fees: .kalshi))
    }

    @Test func `the part that is traded is an order by itself, or the limit that made it small refuses`() throws {
        let signal = try makeSignal()
        var view = freshPortfolio()
        view.cash = .dollars(200)
        // $10 are 19 contracts, and one of them is half a dollar.
        #expect(size(signal, view, percent: 100)?.contracts == 19)
        #expect(size(signal, view, percent: 10) == nil)
        view.cash = .dollars(1_000)
        view.gameExposure = .dollars(41)
        var limits = TradingLimits()
        limits.sizePercent = 10
        #expect(size(signal, view, percent: 100) != nil)
        #expect(
            SignalProcessorEngine(limits: limits).decide(signal, portfolio: view, as: names, at: tipOff)
                == .refused(.gameExposure))
    }

    @Test func `no edge, no stake; and a stake below a dollar is no order`() throws {
        #expect(Sizing.kelly(try Probability(0.4), at: .cents(50)) == 0)
        #expect(Sizing.kelly(try Probability(0.9), at: .one) == 0)
        let engine = SignalProcessorEngine(limits: wideLimits())
        var view = freshPortfolio()
        view.cash = .dollars(19)
        // 5 % of $19 is 95 cents: one contract would fit, but it is below the floor.
        #expect(engine.decide(try makeSignal(), portfolio: view, as: names, at: tipOff) == .refused(.sizeZero))
        view.cash = .dollars(40)
        #expect(engine.decide(try makeSignal(), portfolio: view, as: names, at: tipOff).name == "approved")
    }

    @Test func `the bankroll counts money at work at its cost`() throws {
        var view = freshPortfolio()
        view.cash = .dollars(600)
        view.openCost = .dollars(400)
        let verdict = SignalProcessorEngine(limits: wideLimits())
            .decide(try makeSignal(), portfolio: view, as: names, at: tipOff)
        guard case .approved(let intent, _) = verdict else {
            Issue.record("refused: \(verdict)")
            return
        }
        #expect(intent.quantity == .contracts(96))
    }

    // CHECKLIST R80.
    @Test(arguments: [(20, 16), (21, 16), (100, 80), (119, 95), (1_000, 96)])
    func `at most four fifths of what rests is taken`(available: Int64, taken: Int64) throws {
        let verdict = SignalProcessorEngine(limits: wideLimits())
            .decide(try makeSignal(available: available), portfolio: freshPortfolio(), as: names, at: tipOff)
        guard case .approved(let intent, _) = verdict else {
            Issue.record("refused: \(verdict)")
            return
        }
        #expect(intent.quantity == .contracts(taken))
    }

    // CHECKLIST H27.
    @Test(arguments: [
        ("game", 60), ("sport", 60), ("value", 60), ("contracts", 60), ("balance", 60),
    ])
    func `a limit that the stake would break makes it smaller`(which: String, contracts: Int64) throws {
        var limits = wideLimits()
        var view = freshPortfolio()
        // 60 contracts at 50 cents cost $30 and $1.05 fee.
        let room = try Money(dollars: "31.05")
        switch which {
        case "game":
            limits.gameExposure = .dollars(50)
            view.gameExposure = .dollars(50) - room
        case "sport":
            limits.sportExposure = .dollars(200)
            view.sportExposure = .dollars(200) - room
        case "value": limits.orderValue = .dollars(30)
        case "contracts": limits.orderContracts = 60
        default: view.reserved = view.cash - room
        }
        let verdict = SignalProcessorEngine(limits: limits)
            .decide(try makeSignal(), portfolio: view, as: names, at: tipOff)
        guard case .approved(let intent, let reserved) = verdict else {
            Issue.record("refused: \(verdict)")
            return
        }
        #expect(intent.quantity == .contracts(contracts))
        #expect(reserved == room)
    }

    @Test func `a limit without room for the smallest order refuses`() throws {
        var limits = wideLimits()
        limits.gameExposure = .dollars(50)
        var view = freshPortfolio()
        view.gameExposure = try Money(dollars: "49.10")
        #expect(
            SignalProcessorEngine(limits: limits).decide(try makeSignal(), portfolio: view, as: names, at: tipOff)
                == .refused(.gameExposure))
    }

    @Test func `the largest fitting number is exact at every price and budget`() throws {
        for cents in Int64(1)...99 {
            for budget in [Money.cents(1), .cents(99), .dollars(1), .dollars(37), .dollars(100)] {
                let fits = Sizing.contracts(within: budget, at: .cents(cents), fees: .kalshi)
                #expect(fits == 0 || Sizing.cost(fits, at: .cents(cents), fees: .kalshi) <= budget)
                #expect(Sizing.cost(fits + 1, at: .cents(cents), fees: .kalshi) > budget)
            }
        }
    }
}
