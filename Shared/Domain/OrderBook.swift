/// One price and what rests there.
public struct BookLevel: Hashable, Sendable, Codable {
    public let price: Price
    public let quantity: Quantity

    /// - Throws: `outOfRange` for a price that is not tradable or an empty level.
    public init(price: Price, quantity: Quantity) throws(DomainError) {
        guard price.isTradable else {
            throw DomainError(
                .outOfRange, field: "level.price", value: "\(price)", expected: "strictly between 0 and 1 dollar")
        }
        guard !quantity.isZero else {
            throw DomainError(.outOfRange, field: "level.quantity", value: "\(quantity)", expected: "more than 0")
        }
        self.price = price
        self.quantity = quantity
    }

    init(unchecked price: Price, _ quantity: Quantity) {
        self.price = price
        self.quantity = quantity
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try self.init(
            price: container.decode(Price.self, forKey: .price),
            quantity: container.decode(Quantity.self, forKey: .quantity))
    }
}

/// The bids for both outcomes of a binary market, in the venue's own shape (WIRE 1.4: both sides are bids).
///
/// An ask is the complement of a bid for the other outcome. Levels are kept ascending, so the best bid is last.
/// Invariant: every level has a tradable price and a quantity above zero, no price twice on a side.
public struct OrderBook: Hashable, Sendable {
    public private(set) var yes: [BookLevel]
    public private(set) var no: [BookLevel]

    public static let empty = OrderBook(yes: [], no: [])

    private init(yes: [BookLevel], no: [BookLevel]) {
        self.yes = yes
        self.no = no
    }

    /// A book from a snapshot, in any order.
    ///
    /// - Throws: `inconsistent` when a price stands twice on a side.
    public init(yesBids: [BookLevel], noBids: [BookLevel]) throws(DomainError) {
        yes = try Self.sorted(yesBids, field: "book.yes")
        no = try Self.sorted(noBids, field: "book.no")
    }

    private static func sorted(_ levels: [BookLevel], field: String) throws(DomainError) -> [BookLevel] {
        let sorted = levels.sorted { $0.price < $1.price }
        for (level, next) in zip(sorted, sorted.dropFirst()) where level.price == next.price {
            throw DomainError(.inconsistent, field: field, value: "\(level.price)", expected: "each price once")
        }
        return sorted
    }

    public func bids(_ outcome: Outcome) -> [BookLevel] { outcome == .yes ? yes : no }

    /// The bid for `outcome` that is served first.
    public func bestBid(_ outcome: Outcome) -> BookLevel? { bids(outcome).last }

    /// What `outcome` can be bought for: the complement of the best bid for the other one.
    public func bestAsk(_ outcome: Outcome) -> BookLevel? {
        bids(outcome.opposite).last.map { BookLevel(unchecked: $0.price.complement, $0.quantity) }
    }

    /// What can be bought of `outcome`, cheapest first.
    public func asks(_ outcome: Outcome) -> [BookLevel] {
        bids(outcome.opposite).reversed().map { BookLevel(unchecked: $0.price.complement, $0.quantity) }
    }

    public var isEmpty: Bool { yes.isEmpty && no.isEmpty }
    public var isOneSided: Bool { yes.isEmpty != no.isEmpty }

    /// Whether the best bids together pay more than a dollar: seen for moments in deltas, never a signal.
    public var isCrossed: Bool {
        guard let yes = yes.last, let no = no.last else { return false }
        return yes.price.tenThousandths + no.price.tenThousandths > 10_000
    }

    /// Whether both sides are there and not crossed: only such a book may be traded on.
    public var isTwoSided: Bool { !yes.isEmpty && !no.isEmpty && !isCrossed }

    /// The middle of the best YES bid and ask as a probability; nil without two sides.
    public var midProbability: Probability? {
        guard let bid = bestBid(.yes), let ask = bestAsk(.yes), !isCrossed else { return nil }
        return Probability(clamping: Double(bid.price.tenThousandths + ask.price.tenThousandths) / 20_000)
    }

    /// Adds a signed amount of 1/100 contracts to the bids for `outcome` at `price` (WIRE 1.5: deltas are increments).
    ///
    /// Exactly zero removes the level.
    /// - Throws: `inconsistent` when the level would fall below zero, which means that the book is corrupt and must be
    ///   fetched again; `outOfRange` for a price that is not tradable.
    public mutating func apply(_ hundredths: Int64, to outcome: Outcome, at price: Price) throws(DomainError) {
        guard price.isTradable else {
            throw DomainError(
                .outOfRange, field: "delta.price", value: "\(price)", expected: "strictly between 0 and 1 dollar")
        }
        if outcome == .yes {
            try Self.apply(hundredths, at: price, to: &yes)
        } else {
            try Self.apply(hundredths, at: price, to: &no)
        }
    }

    private static func apply(
        _ hundredths: Int64, at price: Price, to levels: inout [BookLevel]
    ) throws(DomainError) {
        let index = position(of: price, in: levels)
        let exists = index < levels.count && levels[index].price == price
        let before = exists ? levels[index].quantity.hundredths : 0
        let (after, overflow) = before.addingReportingOverflow(hundredths)
        guard !overflow, after >= 0 else {
            throw DomainError(
                .inconsistent, field: "delta.quantity", value: "\(hundredths) onto \(before) at \(price)",
                expected: "a level that stays at or above 0")
        }
        let quantity = try Quantity(hundredths: after, field: "delta.quantity")
        if quantity.isZero {
            if exists { levels.remove(at: index) }
        } else if exists {
            levels[index] = BookLevel(unchecked: price, quantity)
        } else {
            levels.insert(BookLevel(unchecked: price, quantity), at: index)
        }
    }

    /// The first index whose price is not below `price`; searched from the top, where almost all changes are.
    private static func position(of price: Price, in levels: [BookLevel]) -> Int {
        var index = levels.count
        var steps = 0
        while index > 0, levels[index - 1].price >= price, steps < 8 {
            index -= 1
            steps += 1
        }
        if steps < 8 || index == 0 || levels[index - 1].price < price { return index }
        var low = 0
        while low < index {
            let middle = (low + index) / 2
            if levels[middle].price < price { low = middle + 1 } else { index = middle }
        }
        return low
    }
}
