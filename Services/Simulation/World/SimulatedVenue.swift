import Domain
import ExecutionServiceEngine
import Resilience

/// An exchange with books, an account and lists that lag; it knows nothing of us but what reaches it.
///
/// What is written to it arrives within `longestFlight` or never, and its lists lag by at most `longestLag`: that is
/// what the proof of non-acceptance presumes of a venue, and not more.
struct SimulatedVenue {
    static let longestFlight = Duration.seconds(3)
    static let longestLag = Duration.milliseconds(1_500)

    struct Listing {
        let market: Market
        var book = OrderBook.empty
        var isTrading = true
        /// What YES is worth; nil until it is settled.
        var value: Price?
    }

    struct Order {
        let name: VenueOrderID
        let request: OrderRequest
        var fills: [Fill] = []
        var isOpen = false
        /// When its lists show it.
        let listedAt: MachineInstant

        var filled: Quantity { fills.reduce(.zero) { $0 + $1.quantity } }
    }

    private(set) var listings: [MarketID: Listing] = [:]
    private(set) var orders: [Order] = []
    /// Under one key there may be several, where keys are not kept.
    private(set) var byKey: [OrderID: [Int]] = [:]
    private(set) var positions: [MarketID: Position] = [:]
    private(set) var cash: Money
    /// When the lists show each fill.
    private var fillsListedAt: [FillID: MachineInstant] = [:]
    private var fillCount = 0
    /// Whether a second order under a known key is refused; some venues take it.
    let keepsKeys: Bool
    /// Whether a fill is certain only some time after it was told.
    let takesFillsBack: Bool
    /// Orders of which a fill was taken back: what is free again may trade before anybody heard of that.
    private(set) var takenFrom: Set<OrderID> = []
    /// Markets in which a fill was taken back.
    private(set) var takenBackIn: Set<MarketID> = []
    private(set) var standings: [FillID: FillStanding] = [:]
    /// Of each market, in their order.
    private var tape: [MarketID: [Fill]] = [:]
    /// New fills of which it is not decided yet whether they last.
    private var undecided: [FillID] = []

    init(cash: Money, keepsKeys: Bool, takesFillsBack: Bool) {
        self.cash = cash
        self.keepsKeys = keepsKeys
        self.takesFillsBack = takesFillsBack
    }

    mutating func list(_ market: Market) { listings[market.id] = Listing(market: market) }
    mutating func quote(_ market: MarketID, _ book: OrderBook) { listings[market]?.book = book }
    mutating func halt(_ market: MarketID) { listings[market]?.isTrading = false }

    /// Ends the market: what is held is paid out, what is open is cancelled.
    mutating func settle(_ market: MarketID, at value: Price) {
        guard listings[market]?.value == nil else { return }
        listings[market]?.isTrading = false
        listings[market]?.value = value
        for index in orders.indices where orders[index].request.market == market { orders[index].isOpen = false }
        guard let held = positions[market] else { return }
        let booking = SettlementBooking(held, at: value)
        cash += booking.account.cash
        positions[market] = booking.position
    }

    /// What chance decides about one order.
    struct Chance {
        var isRefused = false
        /// Of what rests, at most this much trades at once.
        var share: Int64 = 100
        /// The rest is worked for a while before it is cancelled.
        var lingers = false
        var orderLag = Duration.zero
        var fillLag = Duration.zero
    }

    /// An order arrives.
    mutating func receive(
        _ request: OrderRequest, _ chance: Chance, at now: MachineInstant, venue: VenueInstant
    ) -> OrderNews {
        guard let listing = listings[request.market], listing.isTrading else { return .refused(reason: "closed") }
        if keepsKeys, byKey[request.id] != nil { return .refused(reason: "duplicate") }
        if chance.isRefused { return .refused(reason: "rejected") }
        let name = VenueOrderID(stringLiteral: "v\(orders.count + 1)")
        let index = orders.count
        orders.append(Order(name: name, request: request, listedAt: now.advanced(by: chance.orderLag)))
        byKey[request.id, default: []].append(index)
        trade(index, share: chance.share, lag: chance.fillLag, at: now, venue: venue)
        orders[index].isOpen = chance.lingers && orders[index].filled < request.quantity
        return news(of: index, at: now, isAnswer: true)
    }

    /// An order that is worked trades more, or not, and ends.
    mutating func finish(_ index: Int, share: Int64, lag: Duration, at now: MachineInstant, venue: VenueInstant) {
        guard orders[index].isOpen else { return }
        trade(index, share: share, lag: lag, at: now, venue: venue)
        orders[index].isOpen = false
    }

    private mutating func trade(
        _ index: Int, share: Int64, lag: Duration, at now: MachineInstant, venue: VenueInstant
    ) {
        let request = orders[index].request
        guard share > 0, let listing = listings[request.market], listing.isTrading,
            let level = Self.best(for: request, in: listing.book)
        else { return }
        let wanted = request.quantity.subtracting(orders[index].filled)
        let offered = level.quantity.hundredths * share / 10_000 * 100
        guard let traded = try? Quantity(hundredths: min(wanted.hundredths, offered)), !traded.isZero else { return }
        fillCount += 1
        let parts = (orders[index].fills.map { ($0.price, $0.quantity) } + [(level.price, traded)]).compactMap {
            try? BookLevel(price: $0.0, quantity: $0.1)  // both come from valid fills
        }
        let fee = FeeSchedule.taker(at: listing.market.venue).fees(for: parts).last ?? .zero
        guard
            let fill = try? Fill(
                id: FillID("f\(fillCount)"), order: request.id, market: request.market, outcome: request.outcome,
                action: request.action, price: level.price, quantity: traded, fee: fee, at: venue)
        else { return }
        orders[index].fills.append(fill)
        tape[request.market, default: []].append(fill)
        standings[fill.id] = takesFillsBack ? .provisional : .confirmed
        if takesFillsBack { undecided.append(fill.id) }
        fillsListedAt[fill.id] = now.advanced(by: lag)
        let before = positions[request.market] ?? Position(market: request.market)
        var after = before
        after.apply(fill)
        hold(after, insteadOf: before)
    }

    private mutating func hold(_ after: Position, insteadOf before: Position) {
        cash += (after.realised - before.realised) - (after.cost - before.cost) - (after.fees - before.fees)
        positions[after.market] = after
    }

    // MARK: Fills that may be taken back

    /// The fills since the last call of which it is to be decided whether they last.
    mutating func takeUndecided() -> [FillID] {
        defer { undecided = [] }
        return undecided
    }

    /// A fill is certain now, or never was.
    mutating func conclude(_ id: FillID, isTrue: Bool) {
        guard standings[id] == .provisional else { return }
        standings[id] = isTrue ? .confirmed : .reversed
        guard !isTrue, let index = orders.firstIndex(where: { $0.fills.contains { $0.id == id } }) else { return }
        orders[index].fills.removeAll { $0.id == id }
        takenFrom.insert(orders[index].request.id)
        let market = orders[index].request.market
        takenBackIn.insert(market)
        tape[market]?.removeAll { $0.id == id }
        hold(
            .rebuilt(market, from: tape[market] ?? [], settledAt: listings[market]?.value),
            insteadOf: positions[market] ?? Position(market: market))
    }

    /// Takes an order out of the book; what has traded stays.
    mutating func cancel(_ name: VenueOrderID) {
        guard let index = orders.firstIndex(where: { $0.name == name }) else { return }
        orders[index].isOpen = false
    }

    /// What an order takes first; nil when its limit lets it take nothing.
    private static func best(for request: OrderRequest, in book: OrderBook) -> BookLevel? {
        switch request.action {
        case .buy: book.bestAsk(request.outcome).flatMap { $0.price <= request.limit ? $0 : nil }
        case .sell: book.bestBid(request.outcome).flatMap { $0.price >= request.limit ? $0 : nil }
        }
    }

    func news(of index: Int, at now: MachineInstant, isAnswer: Bool) -> OrderNews {
        let order = orders[index]
        let listed = order.fills.filter { fillsListedAt[$0.id].map { $0 <= now } ?? false }
        return .accepted(order.name, fills: listed, reported: order.filled, rests: order.isOpen && !isAnswer)
    }

    /// Pages all orders and fills; nil when neither names it.
    func find(_ order: OrderRecord, at now: MachineInstant) -> OrderNews? {
        guard let index = byKey[order.request.id]?.first, orders[index].listedAt <= now else { return nil }
        return news(of: index, at: now, isAnswer: false)
    }

    func snapshot(at now: MachineInstant) -> VenueSnapshot {
        let listed = orders.filter { $0.listedAt <= now }
        let fills = orders.flatMap { order in
            order.fills.filter { fillsListedAt[$0.id].map { $0 <= now } ?? false }.map { fill in
                VenueFillState(
                    id: fill.id, venueOrder: order.name, market: fill.market, quantity: fill.quantity,
                    yesPrice: fill.outcome == .yes ? fill.price : fill.price.complement, bought: fill.outcome,
                    at: fill.at)
            }
        }
        return VenueSnapshot(
            orders: listed.map { order in
                VenueOrderState(
                    venueOrder: order.name, key: order.request.id, market: order.request.market, filled: order.filled,
                    isOpen: order.isOpen)
            }, fills: fills, positions: positions.filter { !$0.value.isFlat }.mapValues(\.netHundredths),
            balance: cash)
    }
}
