import Domain
import ExecutionServiceEngine
import Resilience
import SignalProcessorEngine

/// The tables of the order path, and the transactions of the real stores on them.
///
/// Every transaction of the real stores takes the account's lock first, so they follow one another; here each is one
/// call. What it reads, hands to the engines and writes is what `SignalStore` and `OrderStore` read, hand and write:
/// that both end in equal states is proven on a real server by `StoreAgreementTests`.
struct SimulatedBooks {
    struct IntentRow: Hashable {
        let intent: ApprovedIntent
        var state = IntentState.approved
        /// By the database's clock.
        var expiresAt: MachineInstant
        /// When its signal was made.
        let signalledAt: VenueInstant
        /// In the order of their storing.
        let number: Int
        /// Why it sells; nil of a purchase.
        var exit: ExitReason?
        /// Whose leg it is, and which.
        var plan: IntentID?
        var leg = 0

        var priority: OrderPriority { exit?.priority ?? (intent.action == .sell ? .takeProfit : .entry) }
    }

    struct OrderRow: Hashable {
        var record: OrderRecord
        let venueAt: VenueInstant
        let reduces: Bool
        let number: Int
        /// What it does for its plan.
        var purpose: LegOrder.Purpose?
        /// When its fate became certain, by the database's clock.
        var closedAt: MachineInstant?
    }

    struct PositionRow: Hashable {
        enum State: String {
            case open
            case closed
            case settled
        }

        var position: Position
        let game: GameID
        var state: State
        var openedAt: VenueInstant
        /// What was put aside of its profits.
        var piggybank = Piggybank()
    }

    struct MarketRow: Hashable {
        let game: GameID
        let sport: Sport
        let venue: Venue
        let team: HomeAway
        var isActive = true
        /// What YES was worth; nil while it is not settled.
        var value: Price?
        /// Void without a value: what was open was paid back.
        var isRefunded = false
    }

    struct ReservationRow: Hashable {
        var record: ReservationRecord
        let game: GameID
        let market: MarketID
        let sport: Sport
        /// Whose other market it may be spent in as well.
        var plan: IntentID?
    }

    /// A mistake of this store alone that is made on purpose, and that a comparison with PostgreSQL has to find.
    enum Slip: CaseIterable, Sendable {
        /// Nothing runs out by the database's clock.
        case expiryUnread
        /// What was bought since a balance was read is taken for unspent.
        case purchasesUncounted
        /// The orders of the day are not counted.
        case dayUncounted
    }

    /// A mistake made on purpose; nil in every honest run.
    var plant: Plant?
    /// The same; nil wherever this store is not compared.
    var slip: Slip?
    let initialCash: Money
    var cash: Money
    var realised = Money.zero
    var fees = Money.zero
    /// The part of the cash that is not traded with.
    var saved = Money.zero
    var killSwitch = KillSwitchState.released
    var markets: [MarketID: MarketRow] = [:]
    /// What became of each signal, by the verdict's name.
    var signals: [SignalID: String] = [:]
    var intents: [IntentID: IntentRow] = [:]
    var reservations: [ReservationID: ReservationRow] = [:]
    var orders: [OrderID: OrderRow] = [:]
    var plans: [IntentID: PlanRow] = [:]
    /// The database's clock, for what it dates itself.
    var databaseNow = MachineInstant.origin
    var fills: [FillID: Fill] = [:]
    /// When each was booked, by the database's clock.
    var bookedAt: [FillID: MachineInstant] = [:]
    /// Of fills when they are first told.
    var fillStanding = FillStanding.confirmed
    /// Fills that their venue may still take back, and those that it did.
    var provisional: Set<FillID> = []
    var reversed: Set<FillID> = []
    /// The fills of each market in the order of their booking.
    var tape: [MarketID: [FillID]] = [:]
    /// What the account may ask of its venue; nil where nobody counts.
    var budgetLimits: AccountBudget.Limits?
    var budget = AccountBudget()
    /// Orders that were sent: a run has one trading day.
    var ordersToday = 0
    /// The deepest limit that the kill switch was engaged for by the day's loss.
    var haltedFor: Money?
    var positions: [MarketID: PositionRow] = [:]
    /// Grows with every booking: `OrderStore.mark`.
    var mark = 0
    /// `alerts_to_tell`: alerts of bookings until somebody has them, and since when.
    var untold: [ExecutionAlert: MachineInstant] = [:]
    /// What the last transaction touched, for whoever watches.
    var touched: [IntentID] = []

    init(cash: Money, plant: Plant? = nil) {
        initialCash = cash
        self.cash = cash
        self.plant = plant
    }

    /// How much of a trade's profit is put aside, in percent.
    static let savedPercent: Int64 = 50

    // MARK: Sums

    /// What may be traded with: `TradingAccount.locked`.
    var spendable: Money { cash - saved }

    var reserved: Money {
        reservations.values.reduce(.zero) { $0 + ($1.record.state == .held ? $1.record.held : .zero) }
    }

    var openPositions: [MarketID: PositionRow] { positions.filter { $0.value.state == .open } }

    /// Held reservations and open cost.
    struct Exposure: Hashable {
        var reserved = Money.zero
        var openCost = Money.zero
        var games: [GameID: Money] = [:]
        var sports: [Sport: Money] = [:]
        var markets: [MarketID: Money] = [:]
        /// Of each market, without what a plan may still spend there or in its other one.
        var certain: [MarketID: Money] = [:]

        fileprivate mutating func add(_ amount: Money, _ game: GameID, _ sport: Sport, _ market: MarketID) {
            games[game, default: .zero] += amount
            sports[sport, default: .zero] += amount
            markets[market, default: .zero] += amount
        }
    }

    var exposure: Exposure {
        var sum = Exposure()
        for row in reservations.values where row.record.state == .held {
            sum.reserved += row.record.held
            sum.add(row.record.held, row.game, row.sport, row.market)
            if row.plan == nil { sum.certain[row.market, default: .zero] += row.record.held }
            // Whatever a plan still has may be spent in either of its markets.
            if let plan = row.plan.flatMap({ plans[$0] }), plan.state != .finished {
                for other in Set(plan.approved.signal.legs.map(\.market)) where other != row.market {
                    sum.markets[other, default: .zero] += row.record.held
                }
            }
        }
        for (market, row) in positions where row.state == .open {
            sum.openCost += row.position.cost
            sum.add(row.position.cost, row.game, markets[market]?.sport ?? .nba, market)
            sum.certain[market, default: .zero] += row.position.cost
        }
        return sum
    }

    func orders(of intent: IntentID) -> [OrderRecord] {
        orders.values.filter { $0.record.intent == intent }.map(\.record).sorted { $0.attempt < $1.attempt }
    }

    /// Of one reservation nothing is known but through its intent.
    func reservation(of intent: ApprovedIntent) -> ReservationRecord? { reservations[intent.reservation]?.record }
}
