import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Resilience
import Runtime
import Venues

/// What became of a market, as its venue says.
enum MarketOutcome: Hashable, Sendable {
    case open
    /// No more trading, and no result yet.
    case closed
    /// Each YES contract pays this, anything from 0 to 1 dollar.
    case settled(yesValue: Price)
    case voided(yesValue: Price)
    /// Void without a value: every trade that is open is paid back, with its fees.
    case refunded
}

/// What the execution-service asks of a venue, in the engine's words.
protocol ExecutionVenue: Sendable {
    /// Sends an order once; an answer that does not come by the deadline is `.unanswered`, never an error.
    ///
    /// `lastLook` is asked when the way to the venue is open; what it says no to is refused for that reason.
    func submit(_ order: OrderRequest, deadline: MachineInstant, lastLook: LastLook) async -> OrderNews
    /// Takes an order back; false when it may still rest there.
    func cancel(_ order: VenueOrderID, deadline: MachineInstant) async -> Bool
    /// Looks through all orders and all fills of the venue; nil when both were paged to the end without it.
    ///
    /// - Throws: when any page is missing: then nothing is known.
    func find(_ order: OrderRecord) async throws -> OrderNews?
    /// What the venue says of a market, asked for by its stored ticker.
    func outcome(of market: MarketID) async throws -> MarketOutcome
    /// Everything the venue says of the account, orders and fills from then on; nil when it keeps nothing for us.
    ///
    /// - Throws: when any page is missing: then nothing is known.
    func snapshot(since: VenueInstant?) async throws -> VenueSnapshot?
    /// What the venue has paid the account for markets, from then on, whoever traded there; `take` is handed each.
    ///
    /// - Throws: when the list, or an item of it, cannot be read; what could be was handed over.
    func settlements(since: VenueInstant, take: (VenueSettlement) async throws -> Void) async throws
    /// What the account holds there; nil where our own books are the account.
    func balance() async throws -> Money?
    /// What rests in a market now, for a leg that stands alone while nobody tells its prices; nil where it cannot be
    /// asked.
    func book(of market: MarketID) async throws -> OrderBook?
    /// Asks the venue one thing.
    func ping() async throws
    /// Whether a fill may still be taken back when it is first told: it is booked, and asked about until it is certain.
    var fillsAreProvisional: Bool { get }
    /// What became of fills that were not certain; what the venue does not say stays as it is.
    func standings(of fills: [ProvisionalFill]) async throws -> [FillID: FillStanding]
}

extension ExecutionVenue {
    /// Sends an order once; a venue that does not even keep to the time-out holds up nobody: the order is unknown
    /// (CHECKLIST H2).
    func submit(
        _ order: OrderRequest, within limit: Duration, _ clock: MachineClock, lastLook: LastLook
    ) async -> OrderNews {
        let deadline = clock.now.advanced(by: limit)
        do {
            // From the commit to the request on one thread.
            return try await withDeadline(limit + SubmitWindow.grace, clock: clock, on: PostgresPool.executor) {
                await submit(order, deadline: deadline, lastLook: lastLook)
            }
        } catch {
            return .unanswered(reason: error is DeadlineExceeded ? "no_answer" : "interrupted")
        }
    }

    func book(of market: MarketID) async throws -> OrderBook? { nil }

    /// A fill is final where the venue itself is the clearing house, as Kalshi is.
    var fillsAreProvisional: Bool { false }
    func standings(of fills: [ProvisionalFill]) async throws -> [FillID: FillStanding] {
        Dictionary(uniqueKeysWithValues: fills.map { ($0.id, .confirmed) })
    }
}
