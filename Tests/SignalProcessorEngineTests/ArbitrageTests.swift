import Domain
import Resilience
import SignalProcessorEngine
import Testing

private func makeArbitrage(
    home: Int64 = 45, away: Int64 = 45, available: [Int64] = [100, 60], created: VenueInstant = tipOff,
    venues: [Venue] = [.kalshi, .polymarket]
) throws -> ArbitrageSignal {
    try ArbitrageSignal(
        id: "arb-1", game: "game-1", sport: .nba, epoch: .first, shard: "shard-01",
        legs: [
            ArbitrageLeg(
                market: "GAME-1-HOME", venue: venues[0], outcome: .yes, backs: .home, price: .cents(home),
                available: .contracts(available[0])),
            ArbitrageLeg(
                market: "POLY-1-HOME", venue: venues[1], outcome: .no, backs: .away, price: .cents(away),
                available: .contracts(available[1])),
        ],
        createdAt: created, expiresAt: created.advanced(by: .seconds(10)))
}

private func bothKnown() -> PortfolioView {
    var view = freshPortfolio()
    view.marketTeam = nil
    view.marketTeams = ["GAME-1-HOME": .home, "POLY-1-HOME": .home]
    view.paySameTerms = true
    return view
}

/// Both legs or none (CHECKLIST H9, H23, H27).
struct ArbitrageTests {
    private func decide(
        _ signal: ArbitrageSignal, _ portfolio: PortfolioView = bothKnown(), _ limits: TradingLimits = wideLimits()
    ) -> PlanVerdict {
        SignalProcessorEngine(limits: limits).decide(signal, portfolio: portfolio, as: names, at: tipOff)
    }

    @Test func `both legs are approved in equal shares on one reservation`() throws {
        guard case .approved(let plan) = decide(try makeArbitrage()) else {
            Issue.record("refused")
            return
        }
        // 80 % of the 60 that rest on the thinner leg.
        #expect(plan.quantity == .contracts(48))
        // 48 × 0.45 twice; Kalshi 0.07 × 48 × 0.2475 = 0.8316 up to 0.84, Polymarket 0.03 × … = 0.3564; $5 for a miss.
        #expect(plan.reserved == (try Money(dollars: "49.396400")))
        #expect(plan.signal.profit(of: plan.quantity) == (try Money(dollars: "3.603600")))
    }

    @Test(
        arguments: [(10_000, [100, 60], 48), (1_000, [100, 60], 48), (10_000, [100, 30], 24)]
            as [(Int64, [Int64], Int64)])
    func `under the limits as they stand, real money trades a tenth of what paper trades`(
        bankroll: Int64, available: [Int64], pairs: Int64
    ) throws {
        var view = bothKnown()
        view.cash = .dollars(bankroll)
        var limits = TradingLimits()
        let signal = try makeArbitrage(available: available)
        guard case .approved(let paper) = decide(signal, view, limits) else {
            Issue.record("refused on paper")
            return
        }
        limits.sizePercent = 10
        guard case .approved(let live) = decide(signal, view, limits) else {
            Issue.record("refused")
            return
        }
        #expect(paper.quantity == .contracts(pairs) && live.quantity == .contracts(pairs / 10))
        // What one leg may lose is an amount of its own.
        let cost = signal.legs.reduce(live.maximumLoss) { $0 + $1.cost(of: live.quantity) }
        #expect(live.reserved == cost)
    }

    @Test func `an arbitrage of which a tenth is no pair is refused`() throws {
        var limits = wideLimits()
        (limits.minimumLiquidity, limits.sizePercent) = (.dollar, 10)
        let thin = try makeArbitrage(available: [100, 12])
        #expect(decide(thin, bothKnown(), limits) == .refused(.insufficientLiquidity))
        limits.orderValue = .dollars(4)
        #expect(decide(try makeArbitrage(), bothKnown(), limits) == .refused(.orderValue))
        limits.sizePercent = 100
        #expect(decide(thin, bothKnown(), limits).name == "approved")
    }

    @Test(arguments: [(53, true), (54, false)] as [(Int64, Bool)])
    func `what is left after both fees decides, not the sum of the prices`(away: Int64, passes: Bool) throws {
        // With 43 and 53: 4 cents less 1.716 and 0.747 leave 1.53; with 54: 0.54 and so below a cent.
        let verdict = decide(try makeArbitrage(home: 43, away: away, available: [1_000, 1_000]))
        #expect(verdict.name == (passes ? "approved" : "edge_below_minimum"))
    }

    @Test func `legs that are no arbitrage cannot be made`() throws {
        #expect(throws: DomainError.self) { try makeArbitrage(home: 50, away: 50) }
        #expect(throws: DomainError.self, "less than a dollar, and more with the fees") {
            try makeArbitrage(home: 49, away: 49)
        }
        let leg = try ArbitrageLeg(
            market: "A", venue: .kalshi, outcome: .yes, backs: .home, price: .cents(40), available: .contracts(1))
        for legs in [[], [leg], [leg, leg], [leg, leg, leg]] {
            #expect(throws: DomainError.self) {
                try ArbitrageSignal(
                    id: "a", game: "g", sport: .nba, epoch: .first, shard: "s", legs: legs, createdAt: tipOff,
                    expiresAt: tipOff.advanced(by: .seconds(1)))
            }
        }
    }

    @Test func `each wrong thing refuses for its own reason`() throws {
        let signal = try makeArbitrage()
        func reason(
            _ change: (inout PortfolioView) -> Void = { _ in }, _ limit: (inout TradingLimits) -> Void = { _ in },
            signal: ArbitrageSignal? = nil
        ) throws -> RefusalReason? {
            var (view, limits) = (bothKnown(), wideLimits())
            limits.trimsToLimits = false
            change(&view)
            limit(&limits)
            if case .refused(let reason) = decide(try signal ?? makeArbitrage(), view, limits) { return reason }
            return nil
        }
        #expect(try reason() == nil)
        #expect(try reason(signal: makeArbitrage(created: tipOff.advanced(by: .seconds(-10)))) == .staleSignal)
        #expect(try reason(signal: makeArbitrage(home: 48, away: 49)) == .edgeBelowMinimum)
        #expect(try reason({ $0.marketTeams = [:] }) == .noMarket)
        #expect(try reason({ $0.marketTeams["POLY-1-HOME"] = .away }) == .noMarket)
        #expect(try reason({ _ in }, { $0.venues = [.kalshi] }) == .noGateway)
        #expect(try reason({ $0.paySameTerms = false }) == .differentTerms)
        #expect(try reason({ $0.holdings = [Holding(market: "POLY-1-HOME", backs: .home)] }) == .opposingPosition)
        #expect(try reason({ $0.holdings = [Holding(market: "POLY-1-HOME", backs: .away)] }) == nil)
        #expect(try reason(signal: makeArbitrage(available: [100, 20])) == .insufficientLiquidity)
        #expect(try reason({ $0.dailyProfit = .dollars(-100) }) == .dailyLoss)
        #expect(try reason({ $0.markedProfit = nil }) == .unmarkedPosition)
        #expect(try reason({ $0.cash = .dollars(400) }) == .sizeZero)
        #expect(try reason({ $0.gameExposure = .dollars(9_960) }) == .gameExposure)
        #expect(try reason({ $0.sportExposure = .dollars(9_960) }) == .sportExposure)
        #expect(try reason({ $0.marketExposure["POLY-1-HOME"] = .dollars(980) }) == .marketExposure)
        #expect(try reason({ $0.openCost = .dollars(9_960) }) == .totalExposure)
        #expect(try reason({ $0.reserved = .dollars(960) }) == .insufficientBalance)
        #expect(try reason({ $0.availableAt = [.polymarket: .dollars(20)] }) == .insufficientBalance)
        #expect(try reason({ _ in }, { $0.orderValue = .dollars(20) }) == .orderValue)
        #expect(try reason({ _ in }, { $0.orderContracts = 40 }) == .orderContracts)
        #expect(try reason(signal: makeArbitrage(home: 4, away: 60, available: [500, 40])) == .priceOutOfBounds)
        #expect(try reason({ _ in }, { $0.minimumArbitrageProfit = .dollars(10) }) == .profitBelowMinimum)
        #expect(try reason({ $0.isClockOff = true }) == .databaseClock)
        #expect(try reason({ $0.killSwitch = .unknown }) == .killSwitch)
        #expect(try reason({ $0.epoch = nil }) == .staleEpoch)
        #expect(signal.kind == .crossMarketArbitrage)
    }

    /// PITFALLS 8, rows 18 and 19.
    @Test(arguments: 0..<20)
    func `whatever is approved earns after fees whoever wins, and its reservation fits`(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        var approved = 0
        for _ in 0..<500 {
            let home = Int64.random(in: 5...94, using: &random)
            let away = Int64.random(in: 1...(99 - home), using: &random)
            let available = (0..<2).map { _ in Int64.random(in: 1...400, using: &random) }
            let venues = (0..<2).map { _ in Venue.allCases.randomElement(using: &random) ?? .kalshi }
            // What the fees take is none.
            guard let signal = try? makeArbitrage(home: home, away: away, available: available, venues: venues) else {
                continue
            }
            var view = bothKnown()
            view.gameExposure = .cents(.random(in: 0...5_000, using: &random))
            view.reserved = .dollars(.random(in: 0...900, using: &random))
            var limits = TradingLimits()
            limits.gameExposure = .dollars(60)
            guard case .approved(let plan) = decide(signal, view, limits) else { continue }
            approved += 1
            let cost = signal.legs.reduce(Money.zero) { $0 + $1.cost(of: plan.quantity) }
            #expect(Price.one * plan.quantity - cost >= .cents(5), "seed \(seed)")
            #expect(signal.edgeBasisPoints(of: plan.quantity) >= 100, "seed \(seed)")
            #expect(view.gameExposure + plan.reserved <= .dollars(60) && plan.reserved <= view.available)
        }
        #expect(approved > 10, "seed \(seed)")
    }
}

/// CHECKLIST R93.
struct DailyLossTests {
    @Test func `it warns at 80 % and halts at 100 %, once a day each`() {
        var watch = DailyLossWatch(limit: .dollars(100))
        #expect(watch.observe(realised: .dollars(-79), marked: .zero, on: "monday") == nil)
        #expect(
            watch.observe(realised: .dollars(-70), marked: .dollars(-10), on: "monday") == .warn(loss: .dollars(80)))
        #expect(watch.observe(realised: .dollars(-90), marked: .zero, on: "monday") == nil)
        #expect(
            watch.observe(realised: .dollars(-100), marked: .dollars(50), on: "monday") == .halt(loss: .dollars(100)))
        #expect(watch.observe(realised: .dollars(-200), marked: nil, on: "monday") == nil)
        #expect(watch.state == .halted)
        #expect(watch.observe(realised: .zero, marked: .zero, on: "tuesday") == nil)
        #expect(watch.state == .normal)
        #expect(watch.observe(realised: .zero, marked: .dollars(-100), on: "tuesday") == .halt(loss: .dollars(100)))
    }

    @Test func `positions are marked at what they can be sold for, and a stale mark is none`() throws {
        let yes = try Position(
            market: "A", netHundredths: 1_000, cost: .dollars(4), realised: .zero, fees: .zero)
        let no = try Position(market: "B", netHundredths: -1_000, cost: .dollars(4), realised: .zero, fees: .zero)
        let fresh = try #require(PortfolioMark.Mark(yesBid: .cents(30), yesAsk: .cents(35), at: tipOff))
        func profit(_ marks: [MarketID: PortfolioMark.Mark], at seconds: Int64) -> Money? {
            PortfolioMark.profit(
                of: [(yes, .kalshi), (no, .kalshi), (Position(market: "C"), .kalshi)], marks: marks,
                limit: .seconds(30), at: tipOff.advanced(by: .seconds(seconds)))
        }
        // YES: 3.00 − 4.00 − 0.15; NO: 6.50 − 4.00 − 0.16.
        #expect(profit(["A": fresh, "B": fresh], at: 30) == .cents(119))
        #expect(profit(["A": fresh, "B": fresh], at: 31) == nil)
        #expect(profit(["A": fresh], at: 0) == nil)
        #expect(PortfolioMark.Mark(yesBid: .cents(40), yesAsk: .cents(39), at: tipOff) == nil)
    }
}
