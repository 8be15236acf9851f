import Domain

/// Why an intent is not sent (DOMAIN 2.8), in the order in which it is looked at.
public enum SendRefusal: String, Hashable, Sendable, Codable, CaseIterable {
    case killSwitch = "kill_switch"
    /// Positions have not been compared with the venue's, or differ.
    case notReconciled = "not_reconciled"
    /// The database's clock and ours are further apart than the bound: what expires when cannot be said.
    case databaseClock = "database_clock"
    case ordersPerMinute = "orders_per_minute"
    case ordersPerHour = "orders_per_hour"
    /// Of the account at the order's venue, all of them, in one trading day.
    case ordersPerDay = "orders_per_day"
    case orderValue = "order_value"
    case orderContracts = "order_contracts"
    /// Not a count that the market accepts: the venue would refuse it.
    case countOffStep = "count_off_step"
    case priceOutOfBounds = "price_out_of_bounds"
    /// Not a price that the market accepts: the venue would refuse it.
    case priceOffStep = "price_off_step"
    /// Nobody told lately what the outcome can be bought for, and the signal is too old to say it.
    case priceUnknown = "price_unknown"
    /// The market has moved since the signal, in either direction: a bargain may be news.
    case slippage
    /// No balance could be read.
    case balanceUnknown = "balance_unknown"
    /// The balance was read too long ago.
    case balanceStale = "balance_stale"
    case insufficientBalance = "insufficient_balance"
    /// A sale of more than is held: it would open the other side, and no exposure is reserved for a sale.
    case notHeld = "not_held"
    /// A leg of an arbitrage would close what others hold in its market.
    case opposingPosition = "opposing_position"

    /// Whether the intent waits until this has passed, within its life, instead of ending.
    ///
    /// Nothing is dropped because something could not be read; and an exit is worth waiting for, whatever stops it.
    public func passes(reduces: Bool) -> Bool {
        switch self {
        case .notReconciled, .priceUnknown, .balanceUnknown, .balanceStale: true
        default: reduces
        }
    }
}

/// What is looked at before an order is stored, all of it read in the storing transaction.
public struct SendContext: Hashable, Sendable {
    public var killSwitch = KillSwitchState.unknown
    public var isReconciled = false
    /// Whether the database's clock and ours are further apart than the bound.
    public var isClockOff = false
    /// Orders stored within the last minute and hour, counted in the database so that a restart forgets none.
    public var ordersLastMinute = 0
    public var ordersLastHour = 0
    /// Sent by the account to this venue on the trading day, exits included.
    public var ordersToday = 0
    /// What the account can spend on this order; nil when it cannot be read.
    public var balance: Money?
    /// What the outcome can be bought for now; nil where no fresh price is at hand.
    public var ask: Price?
    /// How old the signal is, in venue time; nil when that is not known.
    public var signalAge: Duration?
    /// How long ago the balance was read; zero where our own books are the account.
    public var balanceAge = Duration.zero
    /// Exits stored within the last minute; they have a bound of their own, so that entries cannot use it up.
    public var exitsLastMinute = 0
    /// Which prices the market accepts.
    public var step = PriceStep.linearCent
    /// Which counts the market is known to accept.
    public var counts = CountStep.whole
    /// Of an order of a plan: what its markets hold that is not the plan's own, in 1/100 contract of YES, below zero of
    /// NO.
    public var heldByOthers: [MarketID: Int64] = [:]

    public init() {}
}

/// The last checks before an order leaves (CHECKLIST R85, R87, R88).
public struct Safeguards: Hashable, Sendable {
    public var ordersPerMinute = 20
    public var ordersPerHour = 100
    /// Of one account at one venue in a trading day (CHECKLIST S20); exits count, and are not held up.
    public var ordersPerDay = 3_000
    /// Against an exit that is repeated for ever.
    public var exitsPerMinute = 60
    public var orderValue = Money.dollars(100)
    /// Whole contracts.
    public var orderContracts: Int64 = 100
    public var priceBounds = Price.cents(5)...Price.cents(95)
    /// How far the ask may have moved from the intent's limit, in percent of the limit (CHECKLIST H26).
    public var slippagePercent: Int64 = 2
    /// For so long a signal's own price is the market's where nobody has told another (decision 0055).
    public var signalPriceLife = Duration.seconds(10)
    /// The balance must cover this many percent of the order's value.
    public var balancePercent: Int64 = 110
    /// A balance older than this is none (CHECKLIST R88).
    public var balanceLife = Duration.seconds(120)
    /// `KILL_SWITCH_ALLOWS_REDUCING`: orders that only reduce a position pass an engaged switch.
    public var killSwitchAllowsReducing = false

    public init() {}

    /// The first reason not to send, or nil.
    ///
    /// `reduces` says whether the order can only make a position smaller; exits stay allowed when the limits of
    /// entries trip (DESIGN rule 7).
    public func refusal(of intent: ApprovedIntent, reduces: Bool = false, _ context: SendContext) -> SendRefusal? {
        let value = intent.limit * intent.quantity
        let isPermitted: Bool =
            switch context.killSwitch {
            case .released: true
            case .engaged: reduces && killSwitchAllowsReducing
            case .reduceOnly: reduces
            case .unknown: false
            }
        if !isPermitted { return .killSwitch }
        if !context.isReconciled { return .notReconciled }
        if reduces { return context.exitsLastMinute >= exitsPerMinute ? .ordersPerMinute : nil }
        if context.isClockOff { return .databaseClock }
        if context.ordersLastMinute >= ordersPerMinute { return .ordersPerMinute }
        if context.ordersLastHour >= ordersPerHour { return .ordersPerHour }
        if context.ordersToday >= ordersPerDay { return .ordersPerDay }
        if value > orderValue { return .orderValue }
        if intent.quantity > .contracts(orderContracts) { return .orderContracts }
        if !context.counts.permits(intent.quantity) { return .countOffStep }
        if !priceBounds.contains(intent.limit) { return .priceOutOfBounds }
        if !context.step.permits(intent.limit) { return .priceOffStep }
        if intent.action == .buy, let refusal = refusal(ofPriceOf: intent, context) { return refusal }
        guard let balance = context.balance else { return .balanceUnknown }
        if context.balanceAge >= balanceLife { return .balanceStale }
        // Exact: neither side is divided.
        let needed = Int128(value.microdollars) * Int128(balancePercent)
        return Int128(balance.microdollars) * 100 < needed ? .insufficientBalance : nil
    }

    /// A price that is told counts for more than the signal's own.
    ///
    /// A signal from after the last venue time that was heard of is young.
    private func refusal(ofPriceOf intent: ApprovedIntent, _ context: SendContext) -> SendRefusal? {
        if let ask = context.ask { return hasMoved(ask, from: intent.limit) ? .slippage : nil }
        guard let age = context.signalAge, age <= signalPriceLife else { return .priceUnknown }
        return nil
    }

    private func hasMoved(_ ask: Price, from limit: Price) -> Bool {
        abs(ask.tenThousandths - limit.tenThousandths) * 100 > limit.tenThousandths * slippagePercent
    }
}
