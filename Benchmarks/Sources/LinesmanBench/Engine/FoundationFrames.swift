import Domain
import Foundation

/// The peer: what one would write with Foundation, a `Codable` frame and then the same book.
struct FoundationBooks {
    private(set) var books: [MarketID: OrderBook] = [:]
    private let decoder = JSONDecoder()

    mutating func handle(_ frame: Data) throws {
        let frame = try decoder.decode(FoundationFrame.self, from: frame)
        switch frame.type {
        case "orderbook_delta":
            guard let ticker = frame.msg.market_ticker, let side = frame.msg.side,
                let price = frame.msg.price_dollars, let delta = frame.msg.delta_fp
            else { throw BenchError(.failure, "a delta without its fields") }
            try books[MarketID(ticker), default: .empty].apply(
                FixedPoint.parse(delta, scale: 2, field: "delta_fp"), to: side, at: Price(dollars: price))
        case "orderbook_snapshot":
            guard let ticker = frame.msg.market_ticker else { throw BenchError(.failure, "a snapshot of nothing") }
            books[try MarketID(ticker)] = try OrderBook(
                yesBids: Self.levels(frame.msg.yes_dollars_fp), noBids: Self.levels(frame.msg.no_dollars_fp))
        default:
            break
        }
    }

    private static func levels(_ texts: [[String]]?) throws -> [BookLevel] {
        try (texts ?? []).map { try BookLevel(price: Price(dollars: $0[0]), quantity: Quantity(contracts: $0[1])) }
    }
}

// The names are the venue's, so that no coding keys stand between (WIRE 1.5).
// swift-format-ignore: AlwaysUseLowerCamelCase
private struct FoundationFrame: Decodable {
    struct Message: Decodable {
        let market_ticker: String?
        let price_dollars: String?
        let delta_fp: String?
        let side: Outcome?
        let ts_ms: Int64?
        let yes_dollars_fp: [[String]]?
        let no_dollars_fp: [[String]]?
    }

    let type: String
    let sid: Int64?
    let seq: Int64?
    let msg: Message
}
