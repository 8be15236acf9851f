import Domain
import Foundation
import Venues

/// Payload bytes to updated book, ours and Foundation's.
enum DeltaBench {
    /// One pass applies every delta of the session to the books that its opening left.
    static func ours(_ session: FrameSession) throws -> Contender {
        var opened = OurBooks()
        for frame in session.opening { try opened.handle(frame) }
        let start = opened
        return Contender(name: "ours", unitsPerPass: session.deltas.count) {
            var books = start
            for frame in session.deltas { try books.handle(frame) }
            return books.books.count
        }
    }

    static func foundation(_ session: FrameSession) throws -> Contender {
        var opened = FoundationBooks()
        for frame in session.opening { try opened.handle(Data(frame)) }
        let start = opened
        let deltas = session.deltas.map { Data($0) }
        return Contender(name: "JSONDecoder", unitsPerPass: deltas.count) {
            var books = start
            for frame in deltas { try books.handle(frame) }
            return books.books.count
        }
    }

    /// Refuses a comparison of two contenders that do not end in the same books.
    static func compareBooks(_ session: FrameSession) throws {
        var ours = OurBooks()
        var foundation = FoundationBooks()
        for frame in session.opening + session.deltas {
            try ours.handle(frame)
            try foundation.handle(Data(frame))
        }
        guard ours.books == foundation.books, !ours.books.isEmpty, !session.deltas.isEmpty else {
            throw BenchError(.disagreement, "our decoder and Foundation's end in different books")
        }
    }
}

/// What the game-shard does with a frame: decode in place, apply.
private struct OurBooks {
    private(set) var books: [MarketID: OrderBook] = [:]
    private var decoder = KalshiFrameDecoder()

    mutating func handle(_ frame: [UInt8]) throws {
        switch try decoder.decode(frame) {
        case .delta(_, _, let delta):
            try books[delta.market, default: .empty].apply(delta.hundredths, to: delta.outcome, at: delta.price)
        case .snapshot(_, _, let market, let book):
            books[market] = book
        default:
            break
        }
    }
}
