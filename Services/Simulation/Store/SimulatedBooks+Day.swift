import Domain
import ExecutionServiceEngine
import Resilience
import SignalProcessorEngine

/// What `SignalStore` knows of the trading day, and `BudgetStore` of what the venue may be asked.
extension SimulatedBooks {
    /// What the open positions would add to the day; nil when one of them has no mark.
    func markedProfit(_ marks: [MarketID: PortfolioMark.Mark], at now: VenueInstant) -> Money? {
        PortfolioMark.profit(
            of: positions.sorted { $0.key < $1.key }.filter { $0.value.state == .open }
                .map { ($0.value.position, markets[$0.key]?.venue ?? .kalshi) },
            marks: marks, limit: .seconds(120), at: now)
    }

    /// Engages the kill switch for the loss of the day, so that only exits pass, once a limit; who releases it is not
    /// overruled before a deeper one is reached.
    @discardableResult
    mutating func halt(at limit: Money) -> LossHalt {
        guard limit > haltedFor ?? .zero else { return killSwitch == .released ? .released : .stands }
        haltedFor = limit
        guard killSwitch == .released else { return .stands }
        killSwitch = .reduceOnly
        return .engaged
    }

    // MARK: The budget

    /// Takes what a request costs, or says how long it must wait and takes nothing.
    mutating func take(_ request: AccountBudget.Request, at now: MachineInstant) -> AccountBudget.Answer {
        guard let limits = plant == .reserveSpent ? budgetLimits?.withoutReserve : budgetLimits,
            plant != .budgetUnread
        else { return .granted }
        return budget.take(request, limits, at: now.microseconds)
    }

    /// The venue said that it was too much.
    mutating func refusedAsTooMany(retryAfter: Duration?, at now: MachineInstant) {
        guard let budgetLimits, plant != .refusalForgotten else { return }
        budget.refused(retryAfter: retryAfter, budgetLimits, at: now.microseconds)
    }

    /// The venue took a request again.
    mutating func acceptedAgain() { budget.accepted() }
}

extension MachineInstant {
    /// Since the origin of its time.
    var microseconds: Int64 { nanoseconds / 1_000 }
}

extension AccountBudget.Limits {
    /// The planted mistake of those who let orders take all.
    fileprivate var withoutReserve: AccountBudget.Limits? {
        try? AccountBudget.Limits(
            tokensPerSecond: tokensPerSecond, burst: burst, order: order, cancel: cancel, reserve: 0, pause: pause,
            longestPause: longestPause)
    }
}
