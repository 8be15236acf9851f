import Domain
import Foundation
import Matching
import Resilience
import Wire

/// One order against one book of fifteen levels a side: it takes one to four of them.
enum MatchBench {
    static func contender() throws -> Contender {
        let levels = { (best: Int64) in
            try (0..<15).map { try BookLevel(price: .cents(best - Int64($0)), quantity: .contracts(40)) }
        }
        let book = try OrderBook(yesBids: levels(52), noBids: levels(45))
        var generator = SeededGenerator(seed: 7)
        let orders = try (0..<500).map { number in
            let action: Action = Bool.random(using: &generator) ? .buy : .sell
            return try OrderRequest(
                id: OrderID("order-\(number)"), market: "KXNBAGAME-26JUL01TORCLE-CLE", outcome: .yes, action: action,
                limit: action == .buy ? .cents(60) : .cents(45),
                quantity: .contracts(.random(in: 1...150, using: &generator)), timeInForce: .immediateOrCancel)
        }
        return Contender(name: "ours", unitsPerPass: orders.count) {
            var filled = 0
            for order in orders { filled += Matcher.match(order, against: book, fees: .kalshi).fills.count }
            return filled
        }
    }
}

/// The fee of a trade at one price.
enum FeeBench {
    static func contender() throws -> Contender {
        var generator = SeededGenerator(seed: 11)
        let trades = try (0..<1_000).map { _ in
            try BookLevel(
                price: Price(tenThousandths: .random(in: 1...9_999, using: &generator)),
                quantity: Quantity(hundredths: .random(in: 1...1_000_000, using: &generator)))
        }
        let schedule = FeeSchedule.kalshi
        return Contender(name: "ours", unitsPerPass: trades.count) {
            var sum: Int64 = 0
            for trade in trades { sum &+= schedule.fee(trade.quantity, at: trade.price).microdollars }
            return Int(sum)
        }
    }
}

/// A signal as the bus carries it: a new coder for each message, as there.
enum EnvelopeBench {
    static func contender() throws -> Contender {
        let made = try VenueInstant(microseconds: 1_782_864_000_000_000)
        let signal = try Signal(
            id: "0b8f2c66-5f1d-5a7e-9a43-0d5c3f6f1a20", kind: .modelEdgeYes, game: "401869369", sport: .nba,
            market: "KXNBAGAME-26JUL01TORCLE-CLE", venue: .kalshi, epoch: Epoch(3), shard: "shard-01", outcome: .yes,
            probability: Probability(0.8625), price: .cents(80), available: .contracts(40), edgeBasisPoints: 488,
            play: "401869369-412", createdAt: made, expiresAt: made.advanced(by: .seconds(60)))
        let envelope = Envelope(
            source: "game-shard/shard-01", incarnation: "f3b0a1de-9f7c-4a55-8f0e-2f4f6a9f2f10", sequence: 412,
            trace: "5f0c9c1e7a3b4d58", sentAt: 1_782_864_000_000_000, body: SignalMessage(signal: signal))
        return Contender(name: "ours", unitsPerPass: 1) {
            let bytes = try JSONEncoder().encode(envelope)
            let back = try JSONDecoder().decode(Envelope<SignalMessage>.self, from: bytes)
            guard back.body == envelope.body else {
                throw BenchError(.disagreement, "a signal that changed on its way")
            }
            return bytes.count
        }
    }
}
