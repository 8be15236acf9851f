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

    var held: [(game: Int, market: MarketID, amount: Money)] {
        intents.values.filter { ($0.reservation?.held ?? .zero) > .zero }.map {
            (Self.game(of: $0.approved.market), $0.approved.market, $0.reservation?.held ?? .zero)
        } + positions.values.filter { !$0.isFlat }.map { (Self.game(of: $0.market), $0.market, $0.cost) }
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
