import Domain
import ExecutionServiceEngine
import Resilience
import SignalProcessorEngine

extension PathWatch {
    /// By how much each sum is past its limit; empty where none is.
    struct Excess {
        var games: [GameID: Money] = [:]
        var sports: [Sport: Money] = [:]
        var markets: [MarketID: Money] = [:]
        /// Of everything that is held and reserved.
        var total = Money.zero
        /// What is reserved and not there to be spent.
        var short = Money.zero

        var isNone: Bool { games.isEmpty && sports.isEmpty && markets.isEmpty && total == .zero && short == .zero }

        init() {}

        init(_ exposure: SimulatedBooks.Exposure, _ limits: TradingLimits, spendable: Money) {
            if let limit = limits.gameExposure {
                games = exposure.games.mapValues { $0 - limit }.filter { $0.value > .zero }
            }
            if let limit = limits.sportExposure {
                sports = exposure.sports.mapValues { $0 - limit }.filter { $0.value > .zero }
            }
            if let limit = limits.marketExposure {
                markets = exposure.certain.mapValues { $0 - limit }.filter { $0.value > .zero }
            }
            if let limit = limits.totalExposure { total = max(.zero, exposure.reserved + exposure.openCost - limit) }
            short = max(.zero, exposure.reserved - spendable)
        }
    }

    /// When orders were stored, counted anew, window by window.
    struct OrderWatch {
        /// A process' word for an instant is up to so far from another's: windows are looked at without their ends.
        private static let doubt = Duration.seconds(1)

        private var stored: [MachineInstant] = []

        /// How many there were, this one included, within a length that ends now.
        mutating func note(at now: MachineInstant) { stored.append(now) }

        func count(within length: Duration, before now: MachineInstant) -> Int {
            stored.count { now.since($0) < length - Self.doubt }
        }
    }
}

/// What must hold of entries: how many, how large, and on which side.
extension Simulation {
    /// An order that opens or enlarges a position was stored.
    mutating func watchEntry(_ request: OrderRequest) {
        path.watch.entries.note(at: now)
        let (entries, safeguards) = (path.watch.entries, path.safeguards)
        let inMinute = entries.count(within: .seconds(60), before: now)
        if inMinute > safeguards.ordersPerMinute { violated("\(request.id) makes \(inMinute) orders in a minute") }
        let inHour = entries.count(within: .seconds(3_600), before: now)
        if inHour > safeguards.ordersPerHour { violated("\(request.id) makes \(inHour) orders in an hour") }
        let value = request.limit * request.quantity
        if value > safeguards.orderValue { violated("\(request.id) is worth \(value)") }
        if request.quantity > .contracts(safeguards.orderContracts) {
            violated("\(request.id) asks for \(request.quantity)")
        }
    }

    /// An order that only makes a position smaller was stored.
    mutating func watchExit(_ request: OrderRequest) {
        path.watch.exits.note(at: now)
        let inMinute = path.watch.exits.count(within: .seconds(60), before: now)
        if inMinute > path.safeguards.exitsPerMinute { violated("\(request.id) makes \(inMinute) exits in a minute") }
    }

    /// Where nobody may hedge, what is bet on one side of a game leaves no room for the other.
    ///
    /// Looked at from intents and fills: whatever may still trade, and whatever stands in an open position.
    mutating func watchSides(_ intent: ApprovedIntent) {
        guard !path.limits.allowsHedging, let side = backed(by: intent) else { return }
        let books = path.books
        for (id, row) in books.intents.sorted(by: { $0.key < $1.key })
        where id != intent.id && row.intent.game == intent.game && row.intent.action == .buy {
            guard let other = backed(by: row.intent), other != side else { continue }
            let mayTrade =
                !row.state.isTerminal || row.plan.flatMap { books.plans[$0] }.map { $0.state != .finished } ?? false
            let orders = Set(books.orders(of: id).map(\.request.id))
            let isHeld =
                books.positions[row.intent.market].map { $0.state == .open && !$0.position.isFlat } ?? false
                && books.fills.values.contains { orders.contains($0.order) && !books.reversed.contains($0.id) }
            if mayTrade || isHeld { violated("\(intent.id) and \(id) bet on both sides of \(intent.game)") }
        }
    }

    private func backed(by intent: ApprovedIntent) -> HomeAway? {
        path.books.markets[intent.market].map { intent.outcome == .yes ? $0.team : $0.team.opposite }
    }
}
