import Domain
import SignalProcessorEngine
import Testing

/// One thing that is wrong, and the reason that it must be refused for.
struct Wrong: Sendable, CustomTestStringConvertible {
    let reason: RefusalReason
    var signal: @Sendable () throws -> Signal = { try makeSignal() }
    var limits: @Sendable (inout TradingLimits) -> Void = { _ in }
    var portfolio: @Sendable (inout PortfolioView) -> Void = { _ in }
    var written: [WrittenRule] = []
    var now = tipOff.advanced(by: .seconds(1))

    var testDescription: String { reason.rawValue }

    func verdict() throws -> Verdict {
        var limits = wideLimits()
        limits.trimsToLimits = false
        self.limits(&limits)
        var view = freshPortfolio()
        portfolio(&view)
        var engine = SignalProcessorEngine(limits: limits)
        #expect(engine.reloadRules(written).isEmpty)
        return engine.decide(try signal(), portfolio: view, as: names, at: now)
    }

    static let home = Holding(market: "GAME-1-HOME", backs: .home)
    static let away = Holding(market: "GAME-1-AWAY", backs: .away)

    /// In the order of `RefusalReason`.
    static let each: [Wrong] = [
        Wrong(reason: .staleSignal, now: tipOff.advanced(by: .seconds(60))),
        Wrong(reason: .edgeBelowMinimum, signal: { try makeSignal(edge: 1_499) }),
        Wrong(reason: .missingLeg, signal: { try makeSignal(kind: .crossMarketArbitrage) }),
        Wrong(reason: .probabilityOutOfBounds, signal: { try makeSignal(probability: 0.951) }),
        Wrong(reason: .duplicateSide, portfolio: { $0.holdings = [home] }),
        Wrong(
            reason: .coolDown,
            portfolio: {
                $0.closed = [ClosedPosition(backs: .home, won: true, at: tipOff.advanced(by: .seconds(-178)))]
            }
        ),
        Wrong(
            reason: .ruleBlocked,
            written: [WrittenRule(id: "no-nba", conditions: ["sport": .text("nba")], action: "reject")]),
        Wrong(reason: .noMarket, portfolio: { $0.marketTeam = nil }),
        Wrong(reason: .noGateway, limits: { $0.venues = [.polymarket] }),
        Wrong(reason: .sizeZero, signal: { try makeSignal(probability: 0.5) }),
        Wrong(reason: .insufficientLiquidity, signal: { try makeSignal(available: 19) }),
        Wrong(reason: .dailyLoss, portfolio: { $0.dailyProfit = .dollars(-100) }),
        Wrong(reason: .unmarkedPosition, portfolio: { $0.markedProfit = nil }),
        Wrong(
            reason: .gameExposure, limits: { $0.gameExposure = .dollars(50) },
            portfolio: { $0.gameExposure = .dollars(10) }),
        Wrong(
            reason: .sportExposure, limits: { $0.sportExposure = .dollars(200) },
            portfolio: { $0.sportExposure = .dollars(160) }),
        Wrong(
            reason: .marketExposure, limits: { $0.marketExposure = .dollars(1_000) },
            portfolio: { $0.marketExposure = ["GAME-1-HOME": .dollars(960)] }),
        Wrong(
            reason: .totalExposure, limits: { $0.totalExposure = .dollars(500) },
            portfolio: { $0.openCost = .dollars(460) }),
        Wrong(reason: .opposingPosition, portfolio: { $0.holdings = [away] }),
        Wrong(reason: .tooManyPositions, portfolio: { $0.recentlyClosed = 2 }),
        Wrong(reason: .orderValue, limits: { $0.orderValue = .dollars(40) }),
        Wrong(reason: .orderContracts, limits: { $0.orderContracts = 90 }),
        Wrong(reason: .priceOutOfBounds, signal: { try makeSignal(probability: 0.3, cents: 4) }),
        Wrong(reason: .insufficientBalance, portfolio: { $0.reserved = .dollars(960) }),
        Wrong(reason: .databaseClock, portfolio: { $0.isClockOff = true }),
        Wrong(reason: .killSwitch, portfolio: { $0.killSwitch = .unknown }),
        Wrong(reason: .staleEpoch, portfolio: { $0.epoch = Epoch.first.next }),
    ]
}

/// Each reason has its signal and its counter (CHECKLIST R78, R80, R82, N19).
struct FilterChainTests {
    @Test(arguments: Wrong.each)
    func `each wrong thing is refused for its own reason`(wrong: Wrong) throws {
        let verdict = try wrong.verdict()
        #expect(verdict == .refused(wrong.reason))
    }

    @Test func `every reason has its case above, in the order of the chain`() {
        // Only an arbitrage with both legs is refused for its terms, and for what it would earn.
        let ofBothLegs: Set<RefusalReason> = [.differentTerms, .profitBelowMinimum]
        #expect(Wrong.each.map(\.reason) == RefusalReason.allCases.filter { !ofBothLegs.contains($0) })
    }

    @Test func `a signal with nothing wrong is approved and reserves price and fee`() throws {
        let engine = SignalProcessorEngine(limits: wideLimits())
        let verdict = engine.decide(try makeSignal(), portfolio: freshPortfolio(), as: names, at: tipOff)
        guard case .approved(let intent, let reserved) = verdict else {
            Issue.record("refused: \(verdict)")
            return
        }
        // f = 0.2, a quarter of it 5 % of $1,000; 96 contracts cost $48 and $1.68 fee, 97 would cost $50.1975.
        #expect(intent.quantity == .contracts(96))
        #expect(intent.limit == .cents(50))
        #expect(reserved == (try Money(dollars: "49.68")))
        #expect(intent.id == "intent-1")
        #expect(intent.reservation == "reservation-1")
        #expect(intent.epoch == .first)
        #expect(intent.action == .buy)
    }

    @Test func `a signal with several faults is counted under the first of the chain`() throws {
        var view = freshPortfolio()
        view.killSwitch = .engaged
        view.epoch = nil
        view.dailyProfit = .dollars(-500)
        let engine = SignalProcessorEngine(limits: wideLimits())
        let low = engine.decide(try makeSignal(edge: 0), portfolio: view, as: names, at: tipOff)
        let good = engine.decide(try makeSignal(), portfolio: view, as: names, at: tipOff)
        #expect(low == .refused(.edgeBelowMinimum))
        #expect(good == .refused(.dailyLoss))
    }

    @Test func `verdicts are counted when they are committed, and deciding counts nothing`() throws {
        var engine = SignalProcessorEngine(limits: wideLimits())
        let verdict = engine.decide(try makeSignal(edge: 0), portfolio: freshPortfolio(), as: names, at: tipOff)
        #expect(engine.counts.values.allSatisfy { $0 == 0 })
        engine.committed(verdict)
        #expect(engine.counts["edge_below_minimum"] == 1)
        #expect(engine.counts.values.reduce(0, +) == 1)
        #expect(engine.counts.count == RefusalReason.allCases.count + 1)
    }

    @Test func `NO of one team's market is the same side as YES of the other's`() throws {
        var view = freshPortfolio()
        view.marketTeam = .away
        view.holdings = [Wrong.home]
        let engine = SignalProcessorEngine(limits: wideLimits())
        let no = try makeSignal(market: "GAME-1-AWAY", kind: .modelEdgeNo, outcome: .no)
        let yes = try makeSignal(market: "GAME-1-AWAY", outcome: .yes)
        #expect(engine.decide(no, portfolio: view, as: names, at: tipOff) == .refused(.duplicateSide))
        #expect(engine.decide(yes, portfolio: view, as: names, at: tipOff) == .refused(.opposingPosition))
    }

    @Test func `nobody hedges against a leg of an arbitrage in its own market`() throws {
        var limits = wideLimits()
        limits.allowsHedging = true
        let engine = SignalProcessorEngine(limits: limits)
        func verdict(_ held: [Holding]) throws -> Verdict {
            var view = freshPortfolio()
            view.holdings = held
            return engine.decide(try makeSignal(), portfolio: view, as: names, at: tipOff)
        }
        let market = try makeSignal().market
        #expect(
            try verdict([Holding(market: market, backs: .away, isLeg: true)]) == .refused(.opposingPosition),
            "the venue would close the leg, and leave the other one alone")
        #expect(try verdict([Holding(market: market, backs: .away)]).isApproved, "a bet may be hedged")
        #expect(try verdict([Holding(market: "GAME-1-AWAY", backs: .away, isLeg: true)]).isApproved, "closes nothing")
        let both = [Holding(market: market, backs: .home, isLeg: true), Holding(market: market, backs: .away)]
        #expect(try verdict(both) == .refused(.duplicateSide))
    }

    @Test func `hedging lets the other side in, up to two positions`() throws {
        var limits = wideLimits()
        limits.allowsHedging = true
        var view = freshPortfolio()
        view.holdings = [Wrong.away]
        let engine = SignalProcessorEngine(limits: limits)
        let verdict = engine.decide(try makeSignal(), portfolio: view, as: names, at: tipOff)
        #expect(verdict.name == "approved")
        view.recentlyClosed = 1
        #expect(engine.decide(try makeSignal(), portfolio: view, as: names, at: tipOff) == .refused(.tooManyPositions))
    }

    @Test func `a cool-down is longer after a loss, and of the same team only`() throws {
        let engine = SignalProcessorEngine(limits: wideLimits())
        func verdict(backs: HomeAway, won: Bool, secondsAgo: Int64) throws -> String {
            var view = freshPortfolio()
            view.closed = [
                ClosedPosition(backs: backs, won: won, at: tipOff.advanced(by: .seconds(-secondsAgo))),
                ClosedPosition(backs: .away, won: true, at: tipOff),
            ]
            return engine.decide(try makeSignal(), portfolio: view, as: names, at: tipOff).name
        }
        #expect(try verdict(backs: .home, won: true, secondsAgo: 179) == "cool_down")
        #expect(try verdict(backs: .home, won: true, secondsAgo: 180) == "approved")
        #expect(try verdict(backs: .home, won: false, secondsAgo: 299) == "cool_down")
        #expect(try verdict(backs: .home, won: false, secondsAgo: 300) == "approved")
        #expect(try verdict(backs: .away, won: false, secondsAgo: 1) == "approved")
    }

    @Test func `marked losses count, marked gains do not excuse realised ones, and an unmarked position refuses`()
        throws
    {
        let engine = SignalProcessorEngine(limits: wideLimits())
        func verdict(realised: Int64, marked: Int64?) throws -> String {
            var view = freshPortfolio()
            view.dailyProfit = .dollars(realised)
            view.markedProfit = marked.map { .dollars($0) }
            return engine.decide(try makeSignal(), portfolio: view, as: names, at: tipOff).name
        }
        #expect(try verdict(realised: -60, marked: -39) == "approved")
        #expect(try verdict(realised: -60, marked: -40) == "daily_loss")
        #expect(try verdict(realised: -100, marked: 500) == "daily_loss")
        #expect(try verdict(realised: 0, marked: nil) == "unmarked_position")
    }

    @Test func `a signal from beyond the clock tolerance is stale, within it is not`() throws {
        let engine = SignalProcessorEngine(limits: wideLimits())
        func verdict(secondsAhead: Int64) throws -> String {
            let signal = try makeSignal(created: tipOff.advanced(by: .seconds(secondsAhead)))
            return engine.decide(signal, portfolio: freshPortfolio(), as: names, at: tipOff).name
        }
        #expect(try verdict(secondsAhead: 5) == "approved")
        #expect(try verdict(secondsAhead: 6) == "stale_signal")
    }
}
