import Domain

/// Names for what an approval makes; derived from the signal's, so that a repetition makes the same.
public struct IntentNames: Hashable, Sendable {
    public let intent: IntentID
    public let reservation: ReservationID

    public init(intent: IntentID, reservation: ReservationID) {
        self.intent = intent
        self.reservation = reservation
    }
}

/// What every verdict has, on one bet or on two legs.
public protocol CountedVerdict: Hashable, Sendable {
    /// `approved`, or the reason: as stored with the signal and as counted.
    var name: String { get }
}

extension CountedVerdict {
    public var isApproved: Bool { name == "approved" }
}

/// What becomes of a signal.
public enum Verdict: CountedVerdict {
    /// `reserved` is the price of everything and its fee: the most that the intent can cost.
    case approved(ApprovedIntent, reserved: Money)
    case refused(RefusalReason)

    public var name: String {
        switch self {
        case .approved: "approved"
        case .refused(let reason): reason.rawValue
        }
    }
}

/// Decides which signals become intents, and how large.
///
/// Holds the limits and the rules; what is held and reserved is handed in with every decision, because only the
/// transaction that reserves may look at it. Deciding changes nothing: a transaction may be tried again.
public struct SignalProcessorEngine: Sendable {
    public private(set) var limits: TradingLimits
    private var book: RuleBook
    /// Verdicts that were committed, by their name.
    public private(set) var counts: [String: Int]

    public init(limits: TradingLimits, rules: [TradingRule] = []) {
        self.limits = limits
        book = RuleBook(rules)
        counts = Dictionary(
            uniqueKeysWithValues: (["approved"] + RefusalReason.allCases.map(\.rawValue)).map { ($0, 0) })
    }

    public var rules: [TradingRule] { book.rules }

    /// Decides by other limits from now on; what was approved before stays approved.
    public mutating func change(_ limits: TradingLimits) {
        self.limits = limits
    }

    public mutating func replaceRules(_ rules: [TradingRule]) {
        book = RuleBook(rules)
    }

    /// Takes the rules as they are written now; returns those that were refused, each of them worth an alert.
    public mutating func reloadRules(_ written: [WrittenRule]) -> [RefusedRule] {
        book.replace(with: written)
    }

    /// The rules that speak of a signal, for their own counters.
    public func rulesApplying(to signal: Signal, at now: VenueInstant) -> [RuleID] {
        rules.filter { $0.applies(to: signal, at: now) }.map(\.id)
    }

    /// Counts a verdict once its transaction is committed.
    public mutating func committed(_ verdict: some CountedVerdict) {
        counts[verdict.name, default: 0] += 1
    }

    /// The verdict on a signal, given what is held and reserved at this instant.
    public func decide(
        _ signal: Signal, portfolio: PortfolioView, as names: IntentNames, at now: VenueInstant
    ) -> Verdict {
        if let reason = screen(signal, portfolio, at: now) { return .refused(reason) }
        let contracts: Int64
        let reserved: Money
        switch size(signal, portfolio) {
        case .refused(let reason): return .refused(reason)
        case .sized(let whole, let cost): (contracts, reserved) = (whole, cost)
        }
        if portfolio.isClockOff { return .refused(.databaseClock) }
        if !portfolio.killSwitch.permitsOrders { return .refused(.killSwitch) }
        if portfolio.epoch != signal.epoch { return .refused(.staleEpoch) }
        do {
            let intent = try ApprovedIntent(
                id: names.intent, signal: signal.id, reservation: names.reservation, game: signal.game,
                sport: signal.sport, market: signal.market, venue: signal.venue, epoch: signal.epoch,
                outcome: signal.outcome, action: .buy, limit: signal.price, quantity: .contracts(contracts),
                expiresAt: signal.expiresAt)
            return .approved(intent, reserved: reserved)
        } catch {
            // A signal's price is tradable and the size is above zero, so this is not reached; if it were: no order.
            return .refused(.sizeZero)
        }
    }

    /// What can be refused without a size.
    private func screen(_ signal: Signal, _ portfolio: PortfolioView, at now: VenueInstant) -> RefusalReason? {
        if isStale(created: signal.createdAt, expires: signal.expiresAt, at: now) { return .staleSignal }
        let active = rules.filter { $0.applies(to: signal, at: now) }
        if signal.edgeBasisPoints < minimumEdge(for: signal.kind, active) { return .edgeBelowMinimum }
        if signal.kind.isArbitrage { return .missingLeg }
        if !limits.probabilityBounds.contains(signal.probability.value) {
            return .probabilityOutOfBounds
        }
        let side = portfolio.marketTeam.map { signal.outcome == .yes ? $0 : $0.opposite }
        if let side {
            if portfolio.holdings.count(where: { $0.backs == side }) >= limits.entriesPerSide {
                return .duplicateSide
            }
            let isCoolingDown = portfolio.closed.contains { closed in
                closed.backs == side
                    && closed.at.duration(to: now) < (closed.won ? limits.winCoolDown : limits.lossCoolDown)
            }
            if isCoolingDown { return .coolDown }
        }
        if active.contains(where: { $0.action == .reject }) { return .ruleBlocked }
        if side == nil { return .noMarket }
        return limits.venues.contains(signal.venue) ? nil : .noGateway
    }

    /// The strictest of the rules' minimum edges, or the limit where no rule names one.
    private func minimumEdge(for kind: SignalKind, _ rules: [TradingRule]) -> Int {
        let asked = rules.compactMap { rule -> Int? in
            if case .minimumEdge(let basisPoints) = rule.action { basisPoints } else { nil }
        }
        return asked.max() ?? limits.minimumEdge(for: kind)
    }

    private enum Size {
        case sized(contracts: Int64, cost: Money)
        case refused(RefusalReason)
    }

    /// The stake, made to fit every limit in turn, and of that the part that is traded; the first limit that leaves
    /// less than the smallest order refuses.
    private func size(_ signal: Signal, _ portfolio: PortfolioView) -> Size {
        let price = signal.price
        let fees = FeeSchedule.taker(at: signal.venue)
        func fitting(_ budget: Money) -> Int64 { Sizing.contracts(within: budget, at: price, fees: fees) }
        func isEnough(_ contracts: Int64) -> Bool {
            let traded = limits.traded(contracts)
            return traded > 0 && Sizing.cost(traded, at: price, fees: fees) >= limits.minimumStake
        }

        var contracts = fitting(Sizing.stake(signal, bankroll: portfolio.bankroll, limits: limits))
        if !isEnough(contracts) { return .refused(.sizeZero) }
        if price * signal.available < limits.minimumLiquidity { return .refused(.insufficientLiquidity) }
        contracts = min(contracts, signal.available.hundredths * limits.liquidityPercent / 10_000)
        if !isEnough(contracts) { return .refused(.insufficientLiquidity) }
        if let reason = dayIsOver(portfolio) { return .refused(reason) }

        /// Keeps the size within `cap`; false when that leaves no order, or the limits say to refuse instead.
        func keep(within cap: Int64) -> Bool {
            if contracts <= cap { return true }
            contracts = cap
            return limits.trimsToLimits && isEnough(cap)
        }
        if let limit = limits.gameExposure, !keep(within: fitting(limit - portfolio.gameExposure)) {
            return .refused(.gameExposure)
        }
        if let limit = limits.sportExposure, !keep(within: fitting(limit - portfolio.sportExposure)) {
            return .refused(.sportExposure)
        }
        let inMarket = portfolio.marketExposure[signal.market] ?? .zero
        if let limit = limits.marketExposure, !keep(within: fitting(limit - inMarket)) {
            return .refused(.marketExposure)
        }
        if let limit = limits.totalExposure, !keep(within: fitting(limit - portfolio.totalExposure)) {
            return .refused(.totalExposure)
        }
        if let reason = positions(signal, portfolio) { return .refused(reason) }
        if !keep(within: limits.orderValue.microdollars / (price.tenThousandths * 100)) {
            return .refused(.orderValue)
        }
        if !keep(within: limits.orderContracts) { return .refused(.orderContracts) }
        if !limits.priceBounds.contains(price) { return .refused(.priceOutOfBounds) }
        let available = min(portfolio.available, portfolio.availableAt[signal.venue] ?? portfolio.available)
        if !keep(within: fitting(available)) { return .refused(.insufficientBalance) }
        contracts = limits.traded(contracts)
        return .sized(contracts: contracts, cost: Sizing.cost(contracts, at: price, fees: fees))
    }

    /// Whether the losses of the day, realised and marked, leave no room for an entry (CHECKLIST N17).
    func dayIsOver(_ portfolio: PortfolioView) -> RefusalReason? {
        if portfolio.dailyProfit <= -limits.dailyLoss { return .dailyLoss }
        guard let result = portfolio.dayResult else { return .unmarkedPosition }
        return result <= -limits.dailyLoss ? .dailyLoss : nil
    }

    /// What else is held in the game.
    private func positions(_ signal: Signal, _ portfolio: PortfolioView) -> RefusalReason? {
        guard let team = portfolio.marketTeam else { return .noMarket }
        let side = signal.outcome == .yes ? team : team.opposite
        // The venue nets both sides of a market, so a bet against a leg would leave the other leg alone; no hedge.
        let opposes = portfolio.holdings.contains { holding in
            holding.backs != side && (!limits.allowsHedging || (holding.isLeg && holding.market == signal.market))
        }
        if opposes { return .opposingPosition }
        let others = Set(portfolio.holdings.map(\.market)).subtracting([signal.market]).count
        return others + 1 + portfolio.recentlyClosed > limits.positionsPerGame ? .tooManyPositions : nil
    }
}
