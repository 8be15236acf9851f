import Domain

/// One price at which an order traded.
public struct MatchedPart: Hashable, Sendable {
    /// Of the outcome that the order named, not of YES.
    public let price: Price
    public let quantity: Quantity
    /// What this part adds to the order's fee, which is rounded once over all parts.
    public let fee: Money
}

/// A signed change of the bids for one outcome, in 1/100 contracts, as `OrderBook.apply` takes it.
public struct BookChange: Hashable, Sendable {
    public let outcome: Outcome
    public let price: Price
    public let hundredths: Int64

    public init(outcome: Outcome, price: Price, hundredths: Int64) {
        self.outcome = outcome
        self.price = price
        self.hundredths = hundredths
    }
}

/// What an order does to a book.
public struct MatchResult: Hashable, Sendable {
    /// Best price first; each price once.
    public let fills: [MatchedPart]
    /// What did not trade: of an immediate order it is gone, of a resting one it stands in the book.
    public let remaining: Quantity
    /// The part of `remaining` that stands in the book afterwards.
    public let resting: Quantity
    /// Everything that changes in the book, the resting part included: applied to the book that was matched against,
    /// they give the book afterwards.
    public let bookChanges: [BookChange]

    public var filled: Quantity { fills.reduce(.zero) { $0 + $1.quantity } }
    /// What was paid (or received, for a sell) before fees.
    public var value: Money { fills.reduce(.zero) { $0 + $1.price * $1.quantity } }
    public var fees: Money { fills.reduce(.zero) { $0 + $1.fee } }

    /// Of the outcome that the order named, rounded half up to 1/10000 dollar; nil without a fill.
    public var averagePrice: Price? {
        let hundredths = filled.hundredths
        guard hundredths > 0 else { return nil }
        return try? Price(tenThousandths: (value.microdollars * 2 + hundredths) / (hundredths * 2))  // 0 to 1 by parts
    }
}

/// Matches one order against a book: the only matcher of the suite (paper trading and the simulator share it).
///
/// Both sides of a binary book are bids. Buying an outcome takes the bids for the *other* one at the complement of
/// their price; selling it takes its own bids. The best price is taken first and the limit is never passed.
public enum Matcher {
    public static func match(_ order: OrderRequest, against book: OrderBook, fees: FeeSchedule) -> MatchResult {
        let taken = take(order, from: book)
        let traded = taken.reduce(Quantity.zero) { $0 + $1.quantity }
        if order.timeInForce == .fillOrKill && traded < order.quantity {
            return MatchResult(fills: [], remaining: order.quantity, resting: .zero, bookChanges: [])
        }
        let buys = order.action == .buy
        let takenSide = buys ? order.outcome.opposite : order.outcome
        let parts = zip(taken, fees.fees(for: taken)).map { level, fee in
            MatchedPart(price: buys ? level.price.complement : level.price, quantity: level.quantity, fee: fee)
        }
        var changes = taken.map {
            BookChange(outcome: takenSide, price: $0.price, hundredths: -$0.quantity.hundredths)
        }
        let remaining = order.quantity.subtracting(traded)
        let resting = order.timeInForce == .goodTillCancelled ? remaining : .zero
        if !resting.isZero {
            changes.append(
                BookChange(
                    outcome: takenSide.opposite, price: buys ? order.limit : order.limit.complement,
                    hundredths: resting.hundredths))
        }
        return MatchResult(fills: parts, remaining: remaining, resting: resting, bookChanges: changes)
    }

    /// The bids that the order takes, at their own prices, best first.
    private static func take(_ order: OrderRequest, from book: OrderBook) -> [BookLevel] {
        let buys = order.action == .buy
        let bids = book.bids(buys ? order.outcome.opposite : order.outcome)
        let worst = buys ? order.limit.complement : order.limit
        var open = order.quantity
        var taken: [BookLevel] = []
        for level in bids.reversed() {
            if open.isZero || level.price < worst { break }
            let quantity = min(open, level.quantity)
            open = open.subtracting(quantity)
            if let part = try? BookLevel(price: level.price, quantity: quantity) {  // both come from valid levels
                taken.append(part)
            }
        }
        return taken
    }
}
