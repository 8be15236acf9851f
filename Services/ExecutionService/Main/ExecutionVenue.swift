import Domain
import ExecutionServiceEngine
import Resilience

/// What became of a market, as its venue says.
enum MarketOutcome: Hashable, Sendable {
    case open
    /// No more trading, and no result yet.
    case closed
    /// Each YES contract pays this, anything from 0 to 1 dollar.
    case settled(yesValue: Price)
    case voided(yesValue: Price)
}

/// What the execution-service asks of a venue, in the engine's words.
protocol ExecutionVenue: Sendable {
    /// Sends an order once; an answer that does not come by the deadline is `.unanswered`, never an error.
    func submit(_ order: OrderRequest, deadline: MachineInstant) async -> OrderNews
    /// Takes an order back; false when it may still rest there.
    func cancel(_ order: VenueOrderID, deadline: MachineInstant) async -> Bool
    /// Looks through all orders and all fills of the venue; nil when both were paged to the end without it.
    ///
    /// - Throws: when any page is missing: then nothing is known.
    func find(_ order: OrderRecord) async throws -> OrderNews?
    /// What the venue says of a market, asked for by its stored ticker.
    func outcome(of market: MarketID) async throws -> MarketOutcome
    /// What the venue says we hold, in 1/100 contract of YES; nil when it keeps no positions for us.
    func positions() async throws -> [MarketID: Int64]?
    /// What the account holds there; nil where our own books are the account.
    func balance() async throws -> Money?
    /// Asks the venue one thing.
    func ping() async throws
}
