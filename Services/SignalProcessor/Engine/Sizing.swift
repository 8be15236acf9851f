import Domain

/// From a probability and a price to a number of contracts (CHECKLIST R79, DOMAIN 2.6).
public enum Sizing {
    /// The share of the bankroll that Kelly stakes: `f = (p·b − q)/b` with `b = 1/price − 1`; never negative.
    public static func kelly(_ probability: Probability, at price: Price) -> Double {
        guard price.isTradable else { return 0 }
        let odds = 1 / price.probability - 1
        return max(0, (probability.value * odds - (1 - probability.value)) / odds)
    }

    /// The money to stake: the fraction of Kelly, capped at a share of the bankroll.
    public static func stake(_ signal: Signal, bankroll: Money, limits: TradingLimits) -> Money {
        guard bankroll > .zero else { return .zero }
        let share = min(kelly(signal.probability, at: signal.price) * limits.kellyFraction, limits.positionShare)
        return bankroll.scaled(Int64(share * 1_000_000), over: 1_000_000)
    }

    /// What buying costs at most: the price, and the fee reserve.
    public static func cost(_ contracts: Int64, at price: Price, fees: FeeSchedule) -> Money {
        let quantity = Quantity.contracts(contracts)
        return price * quantity + fees.fee(quantity, at: price)
    }

    /// The most whole contracts whose price and fee fit into a budget.
    public static func contracts(within budget: Money, at price: Price, fees: FeeSchedule) -> Int64 {
        guard price.isTradable, budget > .zero else { return 0 }
        var low: Int64 = 0
        var high = min(budget.microdollars / (price.tenThousandths * 100), 100_000_000)
        while low < high {
            let middle = (low + high + 1) / 2
            if cost(middle, at: price, fees: fees) <= budget { low = middle } else { high = middle - 1 }
        }
        return low
    }
}
