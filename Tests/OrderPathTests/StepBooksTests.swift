import Domain
import GameShardEngine
import Testing

@testable import GameShard

/// What a feed said within a step of a replay.
@Suite struct StepBooksTests {
    private let home: MarketID = "game-1-home"
    private let away: MarketID = "game-1-away"

    @Test func `a book that has arrived is known of until the step is worked off, or it is none any more`() throws {
        var books = StepBooks()
        let book = try OrderBook(yesBids: [], noBids: [])
        #expect(books.arrived.isEmpty)
        books.add(.bookUpdated(home, book, confirmedAt: .epoch))
        books.add(.bookUpdated(away, book, confirmedAt: .epoch))
        books.add(.booksConfirmed(.kalshi, at: .epoch))
        #expect(books.arrived == [home, away])
        books.add(.booksInvalidated([home]))
        #expect(books.arrived == [away])
        books.add(.bookUpdated(home, book, confirmedAt: .epoch))
        #expect(books.arrived == [home, away])
        #expect(books.take().count == 3)
        #expect(books.arrived.isEmpty)
    }
}
