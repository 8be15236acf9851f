import Domain
import ExecutionServiceEngine
import Resilience
import SignalProcessorEngine

/// The tables of the order path as one value: a transaction works on a copy, and a crash throws the copy away.
struct SimulatedLedger {
    struct Intent {
        let approved: ApprovedIntent
        var state = IntentState.approved
        var reservation: ReservationRecord?
        var orders: [OrderID] = []
    }

    static let sports: [Sport] = [.nba, .nhl]
    var cash = Money.dollars(1_000)
    var today = Money.zero
    var intents: [IntentID: Intent] = [:]
    var orders: [OrderID: OrderRecord] = [:]
    var fills: [OrderID: Set<FillID>] = [:]
    var positions: [MarketID: Position] = [:]
    var known: Set<SignalID> = []

    static func game(of market: MarketID) -> Int { Int(market.rawValue.split(separator: "-")[1]) ?? 0 }

    struct Held {
        let game: Int
        let market: MarketID
        let amount: Money
    }

    /// Everything that counts against a limit: what is reserved, and what open positions have cost.
    var held: [Held] {
        var found: [Held] = []
        for intent in intents.values {
            guard let amount = intent.reservation?.held, amount > Money.zero else { continue }
            let market = intent.approved.market
            found.append(Held(game: Self.game(of: market), market: market, amount: amount))
        }
        for position in positions.values where !position.isFlat {
            found.append(Held(game: Self.game(of: position.market), market: position.market, amount: position.cost))
        }
        return found
    }

    func exposure(_ counts: (Int, MarketID) -> Bool) -> Money {
        held.reduce(.zero) { counts($1.game, $1.market) ? $0 + $1.amount : $0 }
    }

    var reserved: Money { intents.values.reduce(.zero) { $0 + ($1.reservation?.held ?? .zero) } }

    func view(of game: Int, market: MarketID) -> PortfolioView {
        var view = PortfolioView()
        view.cash = cash
        view.reserved = reserved
        view.openCost = positions.values.reduce(.zero) { $0 + $1.cost }
        view.gameExposure = exposure { other, _ in other == game }
        view.sportExposure = exposure { other, _ in other % 2 == game % 2 }
        view.marketExposure = [market: exposure { _, other in other == market }]
        view.dailyProfit = today
        view.marketTeam = .home
        view.killSwitch = .released
        view.epoch = .first
        return view
    }

    /// Books news about an order as the execution-service does, in one step.
    mutating func book(_ id: OrderID, _ news: OrderNews) -> OrderBooking? {
        guard let order = orders[id], var intent = intents[order.intent] else { return nil }
        let market = order.request.market
        var booking = OrderBooking(
            order: order, reservation: intent.reservation, position: positions[market] ?? Position(market: market),
            intent: intent.state, knownFills: fills[id] ?? [])
        booking.apply(news)
        orders[id] = booking.order
        intent.reservation = booking.reservation
        intent.state = booking.intent
        intents[order.intent] = intent
        positions[market] = booking.position
        fills[id, default: []].formUnion(booking.newFills.map(\.id))
        cash += booking.account.cash
        today += booking.account.realised - booking.account.fees
        return booking
    }

    /// Every limit that what is held and reserved exceeds, and every reservation that outlived its intent.
    func excesses(over limits: TradingLimits) -> [String] {
        var games: [Int: Money] = [:]
        var sports: [Int: Money] = [:]
        var markets: [MarketID: Money] = [:]
        var total = Money.zero
        for part in held {
            games[part.game, default: .zero] += part.amount
            sports[part.game % 2, default: .zero] += part.amount
            markets[part.market, default: .zero] += part.amount
            total += part.amount
        }
        var found: [String] = []
        func bound(_ name: String, _ amount: Money, _ limit: Money?) {
            if let limit, amount > limit { found.append("\(name): \(amount) over \(limit)") }
        }
        bound("total", total, limits.totalExposure)
        bound("reserved", reserved, cash)
        for game in games { bound("game \(game.key)", game.value, limits.gameExposure) }
        for sport in sports { bound("sport \(sport.key)", sport.value, limits.sportExposure) }
        for market in markets { bound("\(market.key)", market.value, limits.marketExposure) }
        for intent in intents.values where intent.state.isTerminal {
            if let reservation = intent.reservation, reservation.held > Money.zero {
                found.append("\(intent.approved.id) has ended and still holds \(reservation.held)")
            }
        }
        return found
    }

    /// Forgets what has ended, so that a long run stays as small as its open orders.
    mutating func sweep() {
        for (id, intent) in intents
        where intent.state.isTerminal && intent.orders.allSatisfy({ orders[$0]?.state.isTerminal ?? true }) {
            for order in intent.orders {
                orders[order] = nil
                fills[order] = nil
            }
            intents[id] = nil
        }
        positions = positions.filter { !$0.value.isFlat }
    }
}

/// What really happened to an order at the venue, which we only hear of.
struct SimulatedVenueOrder {
    var fills: [Fill] = []
    var total: Quantity { fills.reduce(.zero) { $0 + $1.quantity } }
}
