import Domain
import Resilience

/// A market's book with what is known of its truth: gone when invalidated, stale when not confirmed.
struct WatchedBook: Sendable {
    private(set) var book: OrderBook?
    private var freshness: Staleness<VenueInstant>
    private var published: (bid: Price?, ask: Price?)?
    private var publishedAt: VenueInstant?

    init(limit: Duration) {
        freshness = Staleness(limit: limit)
    }

    /// A confirmation from the future counts as of now: it must not keep a book fresh for longer.
    mutating func update(_ book: OrderBook, confirmedAt: VenueInstant, now: VenueInstant) {
        self.book = book
        freshness.confirm(at: min(confirmedAt, now))
    }

    mutating func confirm(at confirmedAt: VenueInstant, now: VenueInstant) {
        if book != nil { freshness.confirm(at: min(confirmedAt, now)) }
    }

    mutating func invalidate() {
        book = nil
        freshness.invalidate()
    }

    /// Whether the whole book is known as of now, however little is in it.
    func isFresh(at now: VenueInstant) -> Bool { book != nil && !freshness.isStale(at: now) }

    /// The book if it may be traded on, or why not (CHECKLIST H10).
    func tradable(at now: VenueInstant) -> Result<OrderBook, NoSignal> {
        guard let book, !book.isEmpty else { return .failure(.noBook) }
        if freshness.isStale(at: now) { return .failure(.staleBook) }
        if book.isOneSided { return .failure(.oneSidedBook) }
        return book.isCrossed ? .failure(.crossedBook) : .success(book)
    }

    /// Whether the best prices changed since they were last published, or that was long ago.
    mutating func isDue(at now: VenueInstant, republish: Duration) -> Bool {
        let top = (bid: book?.bestBid(.yes)?.price, ask: book?.bestAsk(.yes)?.price)
        if let published, let publishedAt, published == top, publishedAt.duration(to: now) < republish { return false }
        published = top
        publishedAt = now
        return true
    }
}
