/// Which counts a market accepts.
public enum CountStep: String, Hashable, Sendable, Codable, CaseIterable {
    /// Whole contracts: what is always accepted.
    case whole
    /// 1/100 contract (WIRE 1.3, counts from mid 2026).
    case hundredth

    /// What a market is known to accept by what is held in it: a part of a contract can only have been traded where
    /// parts are.
    public init(provenBy position: Position) {
        self = position.netHundredths % 100 == 0 ? .whole : .hundredth
    }

    /// In 1/100 contract.
    public var size: Int64 { self == .whole ? 100 : 1 }

    public func permits(_ quantity: Quantity) -> Bool {
        !quantity.isZero && quantity.hundredths % size == 0
    }

    /// The largest permitted count that is not above `quantity`; zero when there is none.
    public func down(_ quantity: Quantity) -> Quantity {
        Quantity(unchecked: quantity.hundredths / size * size)
    }
}

extension PriceStep {
    /// The nearest permitted price that is not above `price`; nil below the lowest.
    public func down(_ price: Price) -> Price? {
        var price = price
        if price >= .one {
            price = Price(unchecked: 10_000 - size(at: .one))
        }
        let step = size(at: price)
        let rounded = Price(unchecked: price.tenThousandths / step * step)
        return rounded.isTradable ? rounded : nil
    }

    /// The nearest permitted price that is not below `price`; nil above the highest.
    ///
    /// Every step is symmetric about half a dollar, so up is down for the other outcome.
    public func up(_ price: Price) -> Price? { down(price.complement)?.complement }
}

/// What a market accepts: prices and counts off these steps are refused before they are sent.
public struct OrderSteps: Hashable, Sendable {
    public let price: PriceStep
    public let count: CountStep

    public init(price: PriceStep, count: CountStep) {
        self.price = price
        self.count = count
    }

    /// The steps of a market; counts are whole at every venue unless the market is known to take fractions.
    public init(_ market: Market, count: CountStep = .whole) {
        self.init(price: market.priceStep, count: count)
    }

    /// - Throws: `offStep` for a price or a count that the market does not accept.
    public func check(limit: Price, quantity: Quantity) throws(DomainError) {
        guard price.permits(limit) else {
            throw DomainError(
                .offStep, field: "order.limit", value: "\(limit)", expected: "a price of \(price.rawValue)")
        }
        guard count.permits(quantity) else {
            throw DomainError(
                .offStep, field: "order.quantity", value: "\(quantity)", expected: "a count of \(count.rawValue)")
        }
    }
}

extension OrderRequest {
    /// A request that the market's steps permit.
    ///
    /// - Throws: `offStep` as `OrderSteps.check`, and what the plain constructor refuses.
    public init(
        id: OrderID, market: MarketID, outcome: Outcome, action: Action, limit: Price, quantity: Quantity,
        timeInForce: TimeInForce, steps: OrderSteps
    ) throws(DomainError) {
        try self.init(
            id: id, market: market, outcome: outcome, action: action, limit: limit, quantity: quantity,
            timeInForce: timeInForce)
        try steps.check(limit: limit, quantity: quantity)
    }
}
