import Domain
import Matching
import Recording

/// The exchange: its markets follow the recording, its one account trades against them.
///
/// Pure; every change returns what is to be published, in order.
///
/// What an order takes is gone until the next recorded quote of that market, which restores the synthetic depth. So
/// two runs with the same orders at the same venue times publish the same frames.
struct SimulatedExchange: Sendable {
    let header: RecordingHeader
    let fees: FeeSchedule
    /// Whether a client order id that was used before is refused.
    let refusesDuplicates: Bool
    private(set) var markets: [MarketID: SimulatedMarket]
    private(set) var account: SimulatedAccount
    private(set) var orders: [String: SimulatedOrder] = [:]
    /// Oldest first.
    private(set) var orderIDs: [String] = []
    private(set) var fills: [SimulatedFill] = []
    private(set) var now: VenueInstant
    private var ordersByClientID: [String: String] = [:]
    private var tradeCount = 0
    /// Ids of the orders that rest, oldest first: what time and cash ask for, however many orders there were.
    private var restingIDs: [String] = []

    init(header: RecordingHeader, balance: Money, fees: FeeSchedule = .kalshi, refusesDuplicates: Bool = true) {
        self.header = header
        self.fees = fees
        self.refusesDuplicates = refusesDuplicates
        account = SimulatedAccount(opening: balance)
        now = header.start
        markets = Dictionary(
            header.markets.enumerated().map { ($1.market.id, SimulatedMarket(recorded: $1, number: $0 + 1)) },
            uniquingKeysWith: { first, _ in first })
    }

    /// In the order of the header.
    var sortedMarkets: [SimulatedMarket] { header.markets.compactMap { markets[$0.market.id] } }
    var recentOrders: [SimulatedOrder] { orderIDs.compactMap { orders[$0] } }
    private var restingOrders: [SimulatedOrder] { restingIDs.compactMap { orders[$0] } }

    /// The book as everybody sees it: own resting orders included.
    func publishedBook(_ market: MarketID) -> OrderBook {
        guard let state = markets[market] else { return .empty }
        var book = state.book
        for id in state.resting {
            guard let order = orders[id] else { continue }
            let (outcome, price) = Self.level(order.request)
            // A resting order has a tradable price and an amount above zero.
            try? book.apply(order.remaining.hundredths, to: outcome, at: price)
        }
        return book
    }

    /// The book level where an order rests: a bid for YES at its price, or for NO at the complement.
    static func level(_ request: PlaceOrder) -> (Outcome, Price) {
        request.side == .bid ? (.yes, request.price) : (.no, request.price.complement)
    }
}

// What the recording does.
extension SimulatedExchange {
    /// Makes a recorded fact true.
    mutating func apply(_ fact: RecordedFact, at instant: VenueInstant) -> [ExchangeEvent] {
        now = instant
        switch fact {
        case .quote(let quote): return apply(quote)
        case .closed(let market): return close(market)
        case .settled(let market): return settle(market)
        case .play, .status: return []
        }
    }

    /// Lets time pass: resting orders expire.
    mutating func pass(to instant: VenueInstant) -> [ExchangeEvent] {
        now = instant
        var events: [ExchangeEvent] = []
        for order in restingOrders {
            if let expiry = order.request.expiresAt, expiry <= instant { events += withdraw(order.id) }
        }
        return events
    }

    private mutating func apply(_ quote: RecordedQuote) -> [ExchangeEvent] {
        guard var market = markets[quote.market], market.phase == .active else { return [] }
        let changes = market.changes(to: header.book(for: quote))
        var events: [ExchangeEvent] = []
        for (outcome, price, change) in changes {
            // The change was computed from this book, so it never falls below zero.
            try? market.book.apply(change, to: outcome, at: price)
            events.append(.delta(market.id, outcome, price, change, clientOrder: nil))
        }
        markets[market.id] = market
        for id in market.resting { events += fillResting(id) }
        if !events.isEmpty { events.append(.ticker(market.id)) }
        return events
    }

    private mutating func close(_ id: MarketID) -> [ExchangeEvent] {
        guard let market = markets[id], market.phase == .active else { return [] }
        var events: [ExchangeEvent] = []
        for order in market.resting { events += withdraw(order) }
        markets[id]?.phase = .closed
        return events + [.lifecycle(id, .closed)]
    }

    private mutating func settle(_ id: MarketID) -> [ExchangeEvent] {
        guard let market = markets[id], market.phase == .closed, let value = market.recorded.settlement else {
            return []
        }
        account.settle(id, at: value, now: now)
        markets[id]?.phase = .finalized
        markets[id]?.settledAt = now
        return [.lifecycle(id, .finalized)]
    }
}

// What the client does.
extension SimulatedExchange {
    /// Takes an order, trades what it can, and rests or cancels the rest.
    mutating func place(_ request: PlaceOrder) -> Result<(SimulatedOrder, [ExchangeEvent]), OrderRefusal> {
        let matched: MatchResult
        switch check(request) {
        case .success(let result): matched = result
        case .failure(let refusal): return .failure(refusal)
        }
        let number = orderIDs.count + 1
        let order = SimulatedOrder(
            id: ExchangeID.order(number), number: number, request: request, createdAt: now, updatedAt: now,
            status: .resting, remaining: request.quantity)
        orders[order.id] = order
        orderIDs.append(order.id)
        ordersByClientID[request.clientOrderID] = order.id
        var events: [ExchangeEvent] = []
        for change in matched.bookChanges where change.hundredths < 0 {
            // Matched against this very book.
            try? markets[request.market]?.book.apply(change.hundredths, to: change.outcome, at: change.price)
            events.append(.delta(request.market, change.outcome, change.price, change.hundredths, clientOrder: nil))
        }
        for part in matched.fills {
            events += trade(order.id, part.price, part.quantity, fee: part.fee, isTaker: true)
        }
        if !matched.resting.isZero {
            let (outcome, price) = Self.level(request)
            markets[request.market]?.resting.append(order.id)
            restingIDs.append(order.id)
            let rest = matched.resting.hundredths
            events.append(.delta(request.market, outcome, price, rest, clientOrder: request.clientOrderID))
        } else {
            orders[order.id]?.remaining = .zero
            orders[order.id]?.status = matched.remaining.isZero ? .executed : .canceled
        }
        if !events.isEmpty { events.append(.ticker(request.market)) }
        return .success((orders[order.id] ?? order, events))
    }

    /// Cancels what rests of an order; returns how much that was.
    mutating func cancel(_ id: String) -> Result<(SimulatedOrder, Quantity, [ExchangeEvent]), OrderRefusal> {
        guard let order = orders[id], order.status == .resting else { return .failure(OrderRefusal(.notFound)) }
        let events = withdraw(id)
        return .success((orders[id] ?? order, order.remaining, events))
    }

    /// See the account's.
    mutating func plant(_ hundredths: Int64, in market: MarketID, cash: Money) throws(DomainError) {
        try account.plant(hundredths, in: market, cash: cash)
    }

    /// The order that an accepted client order id belongs to.
    func order(clientOrderID: String) -> SimulatedOrder? { ordersByClientID[clientOrderID].flatMap { orders[$0] } }

    private func check(_ request: PlaceOrder) -> Result<MatchResult, OrderRefusal> {
        guard let market = markets[request.market] else { return .failure(OrderRefusal(.marketNotFound)) }
        guard market.phase == .active else { return .failure(OrderRefusal(.marketInactive)) }
        if refusesDuplicates, ordersByClientID[request.clientOrderID] != nil {
            return .failure(OrderRefusal(.duplicate))
        }
        guard market.recorded.market.priceStep.permits(request.price) else {
            return .failure(OrderRefusal(.invalidPrice, "price is not a multiple of the market's step"))
        }
        guard
            let order = try? OrderRequest(
                id: "unchecked", market: request.market, outcome: .yes, action: request.side.action,
                limit: request.price, quantity: request.quantity, timeInForce: request.timeInForce)
        else { return .failure(OrderRefusal(.invalidOrder, "count must be more than 0")) }
        let matched = Matcher.match(order, against: market.book, fees: fees)
        if request.postOnly, !matched.fills.isEmpty {
            return .failure(OrderRefusal(.invalidOrder, "post only order would cross"))
        }
        if request.timeInForce == .fillOrKill, !matched.remaining.isZero { return .failure(OrderRefusal(.killed)) }
        let net = account.position(request.market).netHundredths
        let closable = request.side == .bid ? max(0, -net) : max(0, net)
        if request.reduceOnly, request.quantity.hundredths > closable {
            return .failure(OrderRefusal(.invalidOrder, "reduce only order would open a position"))
        }
        let needed = account.cashNeeded(
            request.side, request.price, request.quantity, in: request.market, fees: fees)
        guard needed <= account.cash - heldByResting else { return .failure(OrderRefusal(.insufficientBalance)) }
        return .success(matched)
    }

    /// Cash that resting orders may still need.
    var heldByResting: Money {
        restingOrders.reduce(.zero) { sum, order in
            sum
                + account.cashNeeded(
                    order.request.side, order.request.price, order.remaining, in: order.request.market, fees: .none)
        }
    }

    /// Takes a resting order out of the book.
    private mutating func withdraw(_ id: String) -> [ExchangeEvent] {
        guard let order = orders[id], order.status == .resting else { return [] }
        let market = order.request.market
        let (outcome, price) = Self.level(order.request)
        markets[market]?.resting.removeAll { $0 == id }
        restingIDs.removeAll { $0 == id }
        orders[id]?.status = .canceled
        orders[id]?.remaining = .zero
        orders[id]?.updatedAt = now
        let rest = -order.remaining.hundredths
        return [.delta(market, outcome, price, rest, clientOrder: order.request.clientOrderID), .ticker(market)]
    }

    /// Trades a resting order with a book that has come to its price; it pays its own price and no fee.
    private mutating func fillResting(_ id: String) -> [ExchangeEvent] {
        guard let order = orders[id], order.status == .resting, let market = markets[order.request.market],
            let request = try? OrderRequest(
                id: "unchecked", market: market.id, outcome: .yes, action: order.request.side.action,
                limit: order.request.price, quantity: order.remaining, timeInForce: .immediateOrCancel)
        else { return [] }
        let matched = Matcher.match(request, against: market.book, fees: .none)
        guard !matched.filled.isZero else { return [] }
        let (outcome, price) = Self.level(order.request)
        var events: [ExchangeEvent] = []
        for change in matched.bookChanges {
            try? markets[market.id]?.book.apply(change.hundredths, to: change.outcome, at: change.price)
            events.append(.delta(market.id, change.outcome, change.price, change.hundredths, clientOrder: nil))
        }
        let gone = -matched.filled.hundredths
        events.append(.delta(market.id, outcome, price, gone, clientOrder: order.request.clientOrderID))
        events += trade(id, order.request.price, matched.filled, fee: .zero, isTaker: false)
        if orders[id]?.remaining.isZero ?? false {
            orders[id]?.status = .executed
            markets[market.id]?.resting.removeAll { $0 == id }
            restingIDs.removeAll { $0 == id }
        }
        return events
    }

    /// Books one part of an order at a YES price.
    private mutating func trade(
        _ id: String, _ price: Price, _ quantity: Quantity, fee: Money, isTaker: Bool
    ) -> [ExchangeEvent] {
        guard var order = orders[id] else { return [] }
        tradeCount += 1
        let market = order.request.market
        let trade = SimulatedTrade(
            id: ExchangeID.trade(tradeCount), market: market, yesPrice: price, quantity: quantity,
            takerBoughtYes: (order.request.side == .bid) == isTaker, at: now)
        guard
            let booked = try? Fill(
                id: FillID(trade.id), order: OrderID("o\(order.number)"), market: market, outcome: .yes,
                action: order.request.side.action, price: price, quantity: quantity, fee: fee, at: now)
        else { return [] }
        let after = account.book(booked)
        order.filled += quantity
        order.remaining = order.remaining.subtracting(quantity)
        order.value += price * quantity
        let cost = (order.request.side == .bid ? price : price.complement) * quantity
        if isTaker { order.takerCost += cost } else { order.makerCost += cost }
        order.takerFees += fee
        order.updatedAt = now
        orders[id] = order
        markets[market]?.lastPrice = price
        markets[market]?.lastQuantity = quantity
        markets[market]?.volume += quantity
        let fill = SimulatedFill(
            tradeID: trade.id, orderID: id, clientOrderID: order.request.clientOrderID, market: market,
            side: order.request.side, yesPrice: price, quantity: quantity, fee: fee, isTaker: isTaker,
            positionAfter: after, at: now)
        fills.append(fill)
        return [.trade(trade), .fill(fill)]
    }
}
