import Domain
import Matching
import Resilience
import Runtime

/// Where a market's standing can be read.
public protocol MarketSource: BookSource {
    func venueMarket(_ market: MarketID) async throws(VenueError) -> VenueMarket
}

extension KalshiREST: MarketSource {
    public func venueMarket(_ market: MarketID) async throws(VenueError) -> VenueMarket {
        let found = try await self.market(market)
        return VenueMarket(market: market, status: found.status, yesValue: found.yesValue, closeAt: found.closeAt)
    }
}

/// Orders on paper: filled from the live order book by the matcher and fees that the simulator uses too.
///
/// An order is kept by its key, so that sending it again changes nothing and gives the same receipt. What one of our
/// orders took from a level is not there for the next, as long as the venue shows the level unchanged. Only immediate
/// orders are taken: a resting one would need counterparties that do not exist on paper.
public actor PaperGateway: OrderGateway {
    private struct Kept {
        let request: OrderRequest
        let receipt: OrderReceipt
        let fills: [Fill]
    }

    private struct LevelKey: Hashable {
        let market: MarketID
        let outcome: Outcome
        let price: Price
    }

    private struct Taken {
        /// What the venue showed when we took from it.
        let shown: Quantity
        var hundredths: Int64
    }

    private let source: any MarketSource
    private let schedule: FeeSchedule
    private let initialBalance: Money
    private let clock: MachineClock
    private var orders: [OrderID: Kept] = [:]
    private var taken: [LevelKey: Taken] = [:]
    private var held: [MarketID: Position] = [:]

    public init(
        source: any MarketSource, schedule: FeeSchedule = .kalshi, balance: Money = .dollars(1_000),
        clock: MachineClock
    ) {
        self.source = source
        self.clock = clock
        self.schedule = schedule
        initialBalance = balance
    }

    public func submit(_ order: OrderRequest, deadline: Duration, lastLook: LastLook) async -> SubmitOutcome {
        if let outcome = known(order) { return outcome }
        guard order.timeInForce != .goodTillCancelled else {
            return .refused(
                VenueError(.invalidOrder, message: "paper orders are immediate", provesNonAcceptance: true))
        }
        guard deadline > .zero else {
            return .refused(VenueError(.timeout, message: "no time was left", provesNonAcceptance: true))
        }
        let shown: OrderBook
        let at: VenueInstant
        do {
            (shown, at) = try await withDeadline(deadline, clock: clock) { [source] in
                try await source.orderBook(order.market)
            }
        } catch {
            // Nothing was matched, so nothing can have been accepted.
            let error = VenueHTTP.classify(error)
            return .refused(
                VenueError(
                    .noBook, status: error.status, detail: error.code.rawValue, message: error.message,
                    provesNonAcceptance: true))
        }
        // The same order may have been sent twice while the book was read.
        if let outcome = known(order) { return outcome }
        if let reason = lastLook.refusal() {
            return .refused(VenueError(.withheld, detail: reason, provesNonAcceptance: true))
        }
        do {
            return .accepted(try match(order, shown, at))
        } catch {
            return .refused(VenueError(.invalidOrder, message: "\(error)", provesNonAcceptance: true))
        }
    }

    private func known(_ order: OrderRequest) -> SubmitOutcome? {
        guard let kept = orders[order.id] else { return nil }
        guard kept.request == order else {
            return .unknown(VenueError(.duplicateOrder, message: "this key belongs to another order"))
        }
        return .accepted(kept.receipt)
    }

    private func match(
        _ order: OrderRequest, _ shown: OrderBook, _ at: VenueInstant
    ) throws(DomainError) -> OrderReceipt {
        let result = Matcher.match(order, against: try open(shown, order.market), fees: schedule)
        var fills: [Fill] = []
        for (index, part) in result.fills.enumerated() {
            fills.append(
                try Fill(
                    id: FillID("\(order.id)-\(index + 1)"), order: order.id, market: order.market,
                    outcome: order.outcome, action: order.action, price: part.price, quantity: part.quantity,
                    fee: part.fee, at: at))
        }
        let receipt = OrderReceipt(
            order: order.id, venueOrder: try VenueOrderID("paper-\(order.id)"), filled: result.filled,
            remaining: result.remaining, averagePrice: result.averagePrice,
            fees: result.filled.isZero ? nil : result.fees, at: at)
        for change in result.bookChanges {
            let key = LevelKey(market: order.market, outcome: change.outcome, price: change.price)
            let level = shown.bids(change.outcome).first { $0.price == change.price }
            guard let level else { continue }
            let before = taken[key].flatMap { $0.shown == level.quantity ? $0.hundredths : nil } ?? 0
            taken[key] = Taken(shown: level.quantity, hundredths: before - change.hundredths)
        }
        for fill in fills {
            held[fill.market, default: Position(market: fill.market)].apply(fill)
        }
        orders[order.id] = Kept(request: order, receipt: receipt, fills: fills)
        return receipt
    }

    /// The shown book without what our own orders took from levels that have not changed since.
    private func open(_ shown: OrderBook, _ market: MarketID) throws(DomainError) -> OrderBook {
        var book = shown
        for outcome in Outcome.allCases {
            for level in shown.bids(outcome) {
                let key = LevelKey(market: market, outcome: outcome, price: level.price)
                guard let ours = taken[key] else { continue }
                if ours.shown == level.quantity {
                    try book.apply(-min(ours.hundredths, level.quantity.hundredths), to: outcome, at: level.price)
                } else {
                    taken[key] = nil
                }
            }
        }
        return book
    }

    public func cancel(_ order: VenueOrderID, deadline: Duration) async -> CancelOutcome { .gone }

    public func find(_ order: OrderID, market: MarketID) async -> FindOutcome {
        guard let kept = orders[order] else { return .absent }
        return .found(
            VenueOrder(
                order: order, venueOrder: kept.receipt.venueOrder, market: kept.request.market, state: .done,
                filled: kept.receipt.filled, remaining: kept.receipt.remaining))
    }

    public func fills(of order: OrderRequest, venueOrder: VenueOrderID) async throws(VenueError) -> [Fill] {
        orders[order.id]?.fills ?? []
    }

    /// All that this process remembers.
    public func account(since: VenueInstant?) async throws(VenueError) -> VenueAccount {
        let kept = orders.values.sorted { $0.receipt.venueOrder < $1.receipt.venueOrder }
        return VenueAccount(
            orders: kept.map { kept in
                AccountOrder(
                    venueOrder: kept.receipt.venueOrder, order: kept.request.id, market: kept.request.market,
                    filled: kept.receipt.filled, isOpen: false)
            },
            fills: kept.flatMap { kept in
                kept.fills.map { fill in
                    AccountFill(
                        id: fill.id, venueOrder: kept.receipt.venueOrder, market: fill.market,
                        quantity: fill.quantity, yesPrice: fill.outcome == .yes ? fill.price : fill.price.complement,
                        bought: fill.action == .buy ? fill.outcome : fill.outcome.opposite, fee: fill.fee, at: fill.at)
                }
            },
            positions: try await positions(), balance: try await balance())
    }

    public func positions() async throws(VenueError) -> [VenuePosition] {
        held.values.filter { !$0.isFlat }.map { VenuePosition(market: $0.market, netHundredths: $0.netHundredths) }
            .sorted { $0.market < $1.market }
    }

    /// Nobody pays this account but we ourselves.
    public func settlements(since: VenueInstant) async throws(VenueError) -> AccountSettlements { AccountSettlements() }

    /// The cash: what was paid for open contracts is not in it, what they will pay is not either.
    public func balance() async throws(VenueError) -> Money {
        held.values.reduce(initialBalance) { $0 + $1.realised - $1.cost - $1.fees }
    }

    /// The real market; once it is settled, so is what we hold of it.
    public func market(_ market: MarketID) async throws(VenueError) -> VenueMarket {
        let found = try await source.venueMarket(market)
        if let yesValue = found.yesValue { held[market]?.settle(at: yesValue) }
        return found
    }
}
