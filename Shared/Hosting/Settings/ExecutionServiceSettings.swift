import Domain
import Runtime

/// What the execution-service sends, where to, and what it concludes from silence (DOMAIN 2.2, DESIGN rule 6).
public struct ExecutionServiceSettings: Sendable {
    public let host: HostSettings
    public let order: OrderLimitSettings
    public let exits: ExitSettings
    public let ordersPerMinute: Int
    public let ordersPerHour: Int
    /// Of one account at one venue.
    public let ordersPerDay: Int
    public let exitsPerMinute: Int
    public let slippagePercent: Int
    public let balancePercent: Int
    public let balanceInterval: Duration
    public let killSwitchAllowsReducing: Bool
    /// The simulator that fills paper orders; nil fills them from the live book.
    public let paperVenue: String?
    public let ordersInFlight: Int
    /// Of them those that entries may not use.
    public let exitLanes: Int
    /// Tokens a second that all processes of the account together may spend at the venue; nil where nobody counts.
    public let venueTokens: Int64?
    /// Tokens that only cancels may take.
    public let cancelReserve: Int64
    /// The time-out of an order, and the wait before silence proves anything.
    public let window: SubmitWindow
    public let attempts: Int
    public let unknownInterval: Duration
    public let sweepInterval: Duration
    public let settlementInterval: Duration
    public let provisionalInterval: Duration
    public let reconciliationInterval: Duration
    public let reconciliationConfirmation: Duration
    public let reconciliationAlertAfter: Duration
    /// How a plan of two legs goes about a leg that is missing; machine time.
    public let nakedLimit: Duration
    public let nakedPatience: Duration
    public let patientLossPercent: Int
    public let planRetryInterval: Duration
    public let planLease: Duration
    public let openPlans: Int

    public init(_ reader: SettingsReader) {
        host = HostSettings(reader)
        order = OrderLimitSettings(reader)
        exits = ExitSettings(reader)
        ordersPerMinute = reader.integer(
            "MAX_ORDERS_PER_MINUTE", default: 20, in: 1...100_000, "Most orders in any minute of venue time.")
        ordersPerHour = reader.integer(
            "MAX_ORDERS_PER_HOUR", default: 100, in: 1...1_000_000, "Most orders in any hour of venue time.")
        reader.require(
            ordersPerMinute <= ordersPerHour, ["MAX_ORDERS_PER_MINUTE", "MAX_ORDERS_PER_HOUR"],
            "a minute cannot have more orders than its hour")
        ordersPerDay = reader.integer(
            "MAX_ORDERS_PER_DAY", default: 3_000, in: 1...10_000_000,
            "Most orders of one account at one venue in a trading day; exits count, and are sent beyond it.")
        reader.require(
            ordersPerHour <= ordersPerDay, ["MAX_ORDERS_PER_HOUR", "MAX_ORDERS_PER_DAY"],
            "an hour cannot have more orders than its day")
        exitsPerMinute = reader.integer(
            "MAX_EXITS_PER_MINUTE", default: 60, in: 1...100_000,
            "Most orders that only reduce a position in any minute of venue time; entries are counted apart.")
        slippagePercent = reader.integer(
            "MAX_SLIPPAGE_PCT", default: 2, in: 0...100,
            "How far the ask may have moved from an entry's limit, either way, in percent of the limit.")
        balanceInterval = reader.seconds(
            "BALANCE_POLL_SECS", default: .seconds(30), in: .seconds(1)...(.seconds(100)),
            "How often the venue's balance is read; one older than 120 s is none, and entries wait.")
        balancePercent = reader.integer(
            "BALANCE_HEADROOM_PCT", default: 110, in: 100...1_000,
            "How much of an order's value the balance must cover, in percent.")
        killSwitchAllowsReducing = reader.flag(
            "KILL_SWITCH_ALLOWS_REDUCING", default: false,
            "Whether orders that only reduce a position pass an engaged kill switch.")
        paperVenue = reader.optionalText(
            "PAPER_VENUE_URL", "The venue simulator that fills paper orders; empty fills them from the live book.")
        reader.require(
            paperVenue.map { $0.hasPrefix("http://") || $0.hasPrefix("https://") } ?? true, ["PAPER_VENUE_URL"],
            "must begin with http:// or https://")
        ordersInFlight = reader.integer(
            "ORDERS_IN_FLIGHT", default: 8, in: 1...64,
            "Most orders on their way to one venue at once, each in a market of its own.")
        exitLanes = reader.integer(
            "ORDERS_IN_FLIGHT_FOR_EXITS", default: 2, in: 0...63,
            "How many of them are kept for exits, so that entries at a slow venue hold up no stop loss.")
        reader.require(
            exitLanes < ordersInFlight, ["ORDERS_IN_FLIGHT", "ORDERS_IN_FLIGHT_FOR_EXITS"],
            "entries need an order on its way too")
        let tokens = reader.integer(
            "VENUE_TOKENS_PER_SEC", default: 0, in: 0...1_000_000,
            "Write tokens a second of the venue's tier, shared by all processes of the account: an order takes 10, a "
                + "cancel 2. 0 is the lowest tier (100) with money, and no bound on paper.")
        let reserve = reader.integer(
            "VENUE_CANCEL_RESERVE", default: 20, in: 0...100_000, "Write tokens that only cancels may take.")
        let isLive = host.trading.mode == .live
        venueTokens = tokens > 0 ? Int64(tokens) : (isLive ? 100 : nil)
        cancelReserve = Int64(reserve)
        reader.require(
            venueTokens.map { Int64(reserve) + 10 <= $0 } ?? true, ["VENUE_CANCEL_RESERVE", "VENUE_TOKENS_PER_SEC"],
            "the reserve must leave the 10 tokens of an order")
        let timeout = reader.milliseconds(
            "ORDER_SUBMIT_TIMEOUT_MS", default: .seconds(5), in: .milliseconds(50)...(.seconds(60)),
            "How long an order's answer is waited for, at most half of NON_ACCEPTANCE_WAIT_SECS; after it the order is "
                + "unknown.")
        attempts = reader.integer(
            "MAX_ORDER_ATTEMPTS", default: 2, in: 1...10,
            "Orders for one intent, each only after proof that the venue never accepted the one before.")
        let wait = reader.seconds(
            "NON_ACCEPTANCE_WAIT_SECS", default: .seconds(10), in: SubmitWindow.shortestProofWait...(.seconds(600)),
            "From the close of the connection to the first paging that counts as proof.")
        reader.require(
            timeout <= SubmitWindow.longestTimeout(of: wait), ["ORDER_SUBMIT_TIMEOUT_MS", "NON_ACCEPTANCE_WAIT_SECS"],
            "an order may be on its way for half of the wait at most: else it could arrive after it is proven absent")
        window = SubmitWindow(proofWait: wait, timeout: timeout)
        unknownInterval = reader.milliseconds(
            "UNKNOWN_ORDER_POLL_MS", default: .seconds(1), in: .milliseconds(50)...(.seconds(60)),
            "How often unknown orders are looked for at the venue.")
        sweepInterval = reader.milliseconds(
            "INTENT_SWEEP_MS", default: .seconds(1), in: .milliseconds(50)...(.seconds(60)),
            "How often the database is asked for work that no message announced.")
        settlementInterval = reader.milliseconds(
            "SETTLEMENT_POLL_MS", default: .seconds(5), in: .milliseconds(50)...(.seconds(3_600)),
            "How often the venue is asked whether the markets we hold are settled.")
        provisionalInterval = reader.milliseconds(
            "PROVISIONAL_FILL_POLL_MS", default: .seconds(5), in: .milliseconds(50)...(.seconds(600)),
            "How often a venue that may take fills back is asked what became of them.")
        reconciliationInterval = reader.seconds(
            "RECONCILIATION_INTERVAL_SECS", default: .seconds(3_600), in: .seconds(1)...(.seconds(86_400)),
            "How often orders, fills, positions and balance are compared with the venue's after the start.")
        reconciliationConfirmation = reader.seconds(
            "RECONCILIATION_CONFIRM_SECS", default: .seconds(2), in: .milliseconds(100)...(.seconds(600)),
            "How long the same difference must be seen before it alerts and engages the kill switch.")
        reconciliationAlertAfter = reader.seconds(
            "RECONCILIATION_ALERT_SECS", default: .seconds(60), in: .seconds(1)...(.seconds(3_600)),
            "How long a comparison may be impossible before it alerts.")
        nakedLimit = reader.seconds(
            "MAX_NAKED_SECS", default: .seconds(30), in: .seconds(1)...(.seconds(3_600)),
            "How long one leg of an arbitrage may stand alone before it is reported as too long.")
        nakedPatience = reader.seconds(
            "NAKED_PATIENCE_SECS", default: .seconds(5), in: .zero...(.seconds(3_600)),
            "For how long of that a leg that stands alone is only covered or unwound at a part of MAX_ARBITRAGE_LOSS.")
        patientLossPercent = reader.integer(
            "NAKED_PATIENT_LOSS_PCT", default: 50, in: 0...100, "How large that part is, in percent.")
        reader.require(
            nakedPatience <= nakedLimit, ["NAKED_PATIENCE_SECS", "MAX_NAKED_SECS"],
            "patience must end before the limit")
        planRetryInterval = reader.milliseconds(
            "PLAN_RETRY_MS", default: .milliseconds(250), in: .milliseconds(20)...(.seconds(60)),
            "How often an arbitrage at work is looked at, and between two tries that traded nothing.")
        planLease = reader.milliseconds(
            "PLAN_LEASE_MS", default: .seconds(5), in: .milliseconds(200)...(.seconds(600)),
            "How long an arbitrage belongs to the process that looked at it last; another takes it over then.")
        reader.require(
            planRetryInterval * 2 <= planLease, ["PLAN_RETRY_MS", "PLAN_LEASE_MS"],
            "a lease must outlast two looks that renew it")
        openPlans = reader.integer(
            "MAX_OPEN_PLANS", default: 10, in: 1...1_000, "Arbitrages that one process works on at a time.")
    }
}
