import Domain

/// What becomes of an arbitrage.
public enum PlanVerdict: CountedVerdict {
    /// What is reserved is the plan's own `reserved`.
    case approved(ApprovedPlan)
    case refused(RefusalReason)

    public var name: String {
        switch self {
        case .approved: "approved"
        case .refused(let reason): reason.rawValue
        }
    }
}

extension SignalProcessorEngine {
    /// The verdict on an arbitrage, given what is held and reserved at this instant.
    ///
    /// Both legs hang on one reservation that covers their price, their fees and the loss allowed when one is missed.
    /// Sized by what can fill, not by Kelly: there is no opinion in it. Side, cool-down and probability do not apply.
    public func decide(
        _ signal: ArbitrageSignal, portfolio: PortfolioView, as names: IntentNames, at now: VenueInstant
    ) -> PlanVerdict {
        if isStale(created: signal.createdAt, expires: signal.expiresAt, at: now) { return .refused(.staleSignal) }
        // An edge that not even the largest size has, no smaller one has.
        let most = CountStep.whole.down(signal.available)
        if signal.edgeBasisPoints(of: most) < minimumEdge(of: signal, at: now) { return .refused(.edgeBelowMinimum) }
        if rules.contains(where: { $0.action == .reject && $0.applies(to: signal, at: now) }) {
            return .refused(.ruleBlocked)
        }
        for leg in signal.legs {
            let team = leg.outcome == .yes ? leg.backs : leg.backs.opposite
            if portfolio.marketTeams[leg.market] != team { return .refused(.noMarket) }
            if !limits.venues.contains(leg.venue) { return .refused(.noGateway) }
        }
        if !portfolio.paySameTerms { return .refused(.differentTerms) }
        // What closes a bet is no leg: sold again, it would open the bet anew, in room that others have taken since.
        let closes = signal.legs.contains { leg in
            portfolio.holdings.contains { $0.market == leg.market && $0.backs != leg.backs }
        }
        if closes { return .refused(.opposingPosition) }
        if signal.legs.contains(where: { $0.price * $0.available < limits.minimumLiquidity }) {
            return .refused(.insufficientLiquidity)
        }
        if let reason = dayIsOver(portfolio) { return .refused(reason) }
        let contracts: Int64
        switch size(signal, portfolio) {
        case .success(let whole): contracts = whole
        case .failure(let refusal): return .refused(refusal.reason)
        }
        let quantity = Quantity.contracts(contracts)
        if signal.profit(of: quantity) < limits.minimumArbitrageProfit
            || signal.edgeBasisPoints(of: quantity) < minimumEdge(of: signal, at: now)
        {
            return .refused(.profitBelowMinimum)
        }
        if portfolio.isClockOff { return .refused(.databaseClock) }
        if !portfolio.killSwitch.permitsOrders { return .refused(.killSwitch) }
        if portfolio.epoch != signal.epoch { return .refused(.staleEpoch) }
        do {
            return .approved(
                try ApprovedPlan(
                    id: names.intent, signal: signal, reservation: names.reservation, quantity: quantity,
                    maximumLoss: limits.maximumArbitrageLoss))
        } catch {
            // Above zero and earning, so this is not reached; if it were: no order.
            return .refused(.sizeZero)
        }
    }

    func isStale(created: VenueInstant, expires: VenueInstant, at now: VenueInstant) -> Bool {
        let age = created.duration(to: now)
        return expires <= now || age >= limits.signalAge || age < .zero - limits.clockTolerance
    }

    private func minimumEdge(of signal: ArbitrageSignal, at now: VenueInstant) -> Int {
        let asked = rules.compactMap { rule -> Int? in
            guard case .minimumEdge(let basisPoints) = rule.action, rule.applies(to: signal, at: now) else {
                return nil
            }
            return basisPoints
        }
        return asked.max() ?? limits.minimumEdge(for: signal.kind)
    }

    private struct Refusal: Error {
        let reason: RefusalReason
    }

    /// The most pairs that every limit lets through, and of those the part that is traded; the first limit that leaves
    /// none refuses.
    private func size(_ signal: ArbitrageSignal, _ portfolio: PortfolioView) -> Result<Int64, Refusal> {
        var contracts = signal.available.hundredths * limits.liquidityPercent / 10_000
        if limits.traded(contracts) < 1 { return .failure(Refusal(reason: .insufficientLiquidity)) }
        for (reason, fits) in bounds(signal, portfolio) {
            if fits(contracts) { continue }
            guard limits.trimsToLimits else { return .failure(Refusal(reason: reason)) }
            var high = contracts - 1
            contracts = 0
            while contracts < high {
                let middle = (contracts + high + 1) / 2
                if fits(middle) { contracts = middle } else { high = middle - 1 }
            }
            if limits.traded(contracts) < 1 { return .failure(Refusal(reason: reason)) }
        }
        if signal.legs.contains(where: { !limits.priceBounds.contains($0.price) }) {
            return .failure(Refusal(reason: .priceOutOfBounds))
        }
        return .success(limits.traded(contracts))
    }

    private typealias Bound = (reason: RefusalReason, fits: (Int64) -> Bool)

    /// Whether so many pairs stay within each limit; each holds for every smaller number when it holds for one.
    private func bounds(_ signal: ArbitrageSignal, _ portfolio: PortfolioView) -> [Bound] {
        let loss = limits.maximumArbitrageLoss
        func cost(_ contracts: Int64, _ counts: (ArbitrageLeg) -> Bool = { _ in true }) -> Money {
            signal.legs.filter(counts).reduce(loss) { $0 + $1.cost(of: .contracts(contracts)) }
        }
        let share = portfolio.bankroll.scaled(Int64(limits.positionShare * 1_000_000), over: 1_000_000)
        var bounds: [Bound] = [(.sizeZero, { cost($0) - loss <= share })]
        if let limit = limits.gameExposure {
            bounds.append((.gameExposure, { portfolio.gameExposure + cost($0) <= limit }))
        }
        if let limit = limits.sportExposure {
            bounds.append((.sportExposure, { portfolio.sportExposure + cost($0) <= limit }))
        }
        if let limit = limits.marketExposure {
            for market in Set(signal.legs.map(\.market)).sorted() {
                let held = portfolio.marketExposure[market] ?? .zero
                bounds.append((.marketExposure, { held + cost($0) { $0.market == market } <= limit }))
            }
        }
        if let limit = limits.totalExposure {
            bounds.append((.totalExposure, { portfolio.totalExposure + cost($0) <= limit }))
        }
        for leg in signal.legs {
            bounds.append((.orderValue, { leg.price * .contracts($0) <= limits.orderValue }))
        }
        bounds.append((.orderContracts, { $0 <= limits.orderContracts }))
        bounds.append((.insufficientBalance, { cost($0) <= portfolio.available }))
        for venue in Venue.allCases {
            guard let available = portfolio.availableAt[venue] else { continue }
            bounds.append((.insufficientBalance, { cost($0) { $0.venue == venue } <= available }))
        }
        return bounds
    }
}
