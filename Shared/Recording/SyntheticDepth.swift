import Domain

/// The rule that makes a book out of a best bid and ask whose sizes were not recorded.
///
/// Level k of a side (1 is the best) lies k − 1 steps of the market away from the best price and holds
/// `base × k + ripple × (price in cents mod 7)` contracts. So a book looks alike at every replay, differs from
/// price to price, and is thin enough at the best price that an order may be filled in part.
public struct SyntheticDepth: Hashable, Sendable {
    /// Levels a side, 1 to 20.
    public let levels: Int
    /// Whole contracts, 1 to 100,000.
    public let base: Int64
    /// Whole contracts, 0 to 100,000.
    public let ripple: Int64

    public init(levels: Int, base: Int64, ripple: Int64) {
        self.levels = levels
        self.base = base
        self.ripple = ripple
    }

    /// What both importers use: five levels of 40 to 260 contracts.
    public static let standard = SyntheticDepth(levels: 5, base: 40, ripple: 10)

    var isValid: Bool {
        (1...20).contains(levels) && (1...100_000).contains(base) && (0...100_000).contains(ripple)
    }

    /// The bids for one outcome from its best bid downwards.
    ///
    /// - Parameters:
    ///   - best: the best bid, tradable.
    ///   - size: what was recorded at the best bid; replaces the rule there.
    ///   - step: how far apart the levels lie.
    /// - Returns: as many levels as fit above a price of zero.
    public func bids(from best: Price, size: Quantity?, step: PriceStep) -> [BookLevel] {
        var bids: [BookLevel] = []
        var price = best.tenThousandths
        for level in 1...Int64(levels) {
            guard let valid = try? Price(tenThousandths: price), valid.isTradable else { break }
            let contracts = base * level + ripple * (price / 100 % 7)
            let quantity = level == 1 ? size ?? .contracts(contracts) : .contracts(contracts)
            // A tradable price and a quantity above zero are always a level.
            if let made = try? BookLevel(price: valid, quantity: quantity) { bids.append(made) }
            price -= step.size(at: valid)
        }
        return bids
    }
}

extension RecordingHeader {
    /// The whole book that a quote stands for.
    public func book(for quote: RecordedQuote) -> OrderBook {
        let step = markets.first { $0.market.id == quote.market }?.market.priceStep ?? .linearCent
        let yes = side(quote.bid, quote.bidSize, step)
        let no = side(quote.ask?.complement, quote.askSize, step)
        // One run of descending prices has no price twice.
        return (try? OrderBook(yesBids: yes, noBids: no)) ?? .empty
    }

    private func side(_ best: Price?, _ size: Quantity?, _ step: PriceStep) -> [BookLevel] {
        guard let best else { return [] }
        if let depth { return depth.bids(from: best, size: size, step: step) }
        guard let size, let level = try? BookLevel(price: best, quantity: size) else { return [] }
        return [level]
    }
}
