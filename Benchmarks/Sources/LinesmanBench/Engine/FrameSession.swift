import Domain
import Foundation
import Resilience

/// The frames of one WebSocket session: what sets the books up, and the deltas that are measured.
struct FrameSession {
    /// Everything up to the last frame that is not a delta; handled once, not measured.
    let opening: [[UInt8]]
    let deltas: [[UInt8]]

    /// The session that was recorded from a venue, when it lies in `folder`.
    static func recorded(in folder: String) throws -> FrameSession? {
        let file = URL(fileURLWithPath: folder).appendingPathComponent("kalshi/ws_session_demo_20260701_part1.jsonl")
        guard FileManager.default.fileExists(atPath: file.path) else { return nil }
        let frames = try Data(contentsOf: file).split(separator: UInt8(ascii: "\n")).map(Array.init)
        let isDelta = frames.map { String(decoding: $0.prefix(64), as: UTF8.self).contains("\"orderbook_delta\"") }
        let opening = (isDelta.lastIndex(of: false) ?? -1) + 1
        return FrameSession(opening: Array(frames[..<opening]), deltas: Array(frames[opening...]))
    }

    /// A session of `count` deltas over five markets, in the shape of July 2026 (WIRE 1.5), the same in every run.
    ///
    /// Most changes are near the best price, as in real sessions, and no level falls below zero.
    static func made(count: Int = 2_000) throws -> FrameSession {
        var generator = SeededGenerator(seed: 2_026)
        var maker = FrameMaker()
        let markets = ["CLE", "TOR", "BOS", "MIA", "GSW"].map { "KXNBAGAME-26JUL01TORCLE-\($0)" }
        let opening = try markets.map { try maker.snapshot($0, using: &generator) }
        let deltas = try (0..<count).map { _ in try maker.delta(markets, using: &generator) }
        return FrameSession(opening: opening, deltas: deltas)
    }
}

/// Writes frames, and remembers the books that they describe.
private struct FrameMaker {
    private static let startMilliseconds: Int64 = 1_782_864_000_000

    private var books: [String: OrderBook] = [:]
    private var sequence: Int64 = 0

    mutating func snapshot(_ market: String, using generator: inout SeededGenerator) throws -> [UInt8] {
        func levels(below best: Int64) throws -> [BookLevel] {
            try (0..<15).map { step in
                let quantity = try Quantity(hundredths: .random(in: 100...5_000_000, using: &generator))
                return try BookLevel(price: .cents(best - Int64(step)), quantity: quantity)
            }
        }
        func json(_ levels: [BookLevel]) -> String {
            levels.map { "[\"\($0.price)\",\"\($0.quantity)\"]" }.joined(separator: ",")
        }
        let best = Int64.random(in: 30...60, using: &generator)
        let book = try OrderBook(yesBids: levels(below: best), noBids: levels(below: 99 - best))
        books[market] = book
        sequence += 1
        let frame = """
            {"type":"orderbook_snapshot","sid":1,"seq":\(sequence),"msg":{"market_ticker":"\(market)",\
            "market_id":"\(marketID(market))","yes_dollars_fp":[\(json(book.yes))],"no_dollars_fp":[\(json(book.no))]}}
            """
        return Array(frame.utf8)
    }

    mutating func delta(_ markets: [String], using generator: inout SeededGenerator) throws -> [UInt8] {
        let market = markets[Int.random(in: 0..<markets.count, using: &generator)]
        var book = books[market] ?? .empty
        let outcome: Outcome = Bool.random(using: &generator) ? .yes : .no
        let (price, hundredths) = try change(to: book.bids(outcome), using: &generator)
        try book.apply(hundredths, to: outcome, at: price)
        books[market] = book
        sequence += 1
        let milliseconds = Self.startMilliseconds + sequence * 137
        let at = try VenueInstant(microseconds: milliseconds * 1_000 + .random(in: 0...999, using: &generator))
        let frame = """
            {"type":"orderbook_delta","sid":1,"seq":\(sequence),"msg":{"market_ticker":"\(market)",\
            "market_id":"\(marketID(market))","price_dollars":"\(price)",\
            "delta_fp":"\(FixedPoint.format(hundredths, scale: 2))","side":"\(outcome.rawValue)",\
            "ts":"\(at)","ts_ms":\(milliseconds)}}
            """
        return Array(frame.utf8)
    }

    /// A level near the top that is taken away, reduced, or added to.
    private func change(
        to levels: [BookLevel], using generator: inout SeededGenerator
    ) throws -> (Price, Int64) {
        let added = Int64.random(in: 1...2_000_000, using: &generator)
        guard levels.count > 8 else {
            return (.cents(.random(in: 1...39, using: &generator)), added)
        }
        let depth = Int.random(in: 0..<3, using: &generator) * Int.random(in: 0...2, using: &generator)
        let level = levels[levels.count - 1 - depth]
        switch Int.random(in: 0..<10, using: &generator) {
        case 0: return (level.price, -level.quantity.hundredths)
        case 1...4: return (level.price, -Int64.random(in: 1...level.quantity.hundredths, using: &generator))
        default: return (level.price, added)
        }
    }

    private func marketID(_ market: String) -> String { "abbbad28-f309-4dd5-af38-2ad7ebf2\(market.utf8.count)c3" }
}
