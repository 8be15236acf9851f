import Domain
import ExecutionServiceEngine
import Resilience
import Testing

struct PiggybankTests {
    @Test(arguments: 0..<20)
    func `what is put aside is the part of every gain, never less than before, and replays to the same`(
        seed: Int
    ) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        var (piggybank, position) = (Piggybank(), Position(market: market))
        var fills: [Fill] = []
        var (gains, last) = (Money.zero, Money.zero)
        for step in 0..<60 {
            let sells = position.outcome != nil && Bool.random(using: &random)
            let fill = try Fill(
                id: FillID(stringLiteral: "f\(step)"), order: "o", market: market,
                outcome: position.outcome ?? (Bool.random(using: &random) ? .yes : .no),
                action: sells ? .sell : .buy, price: .cents(Int64.random(in: 1...99, using: &random)),
                quantity: sells ? position.quantity : .contracts(Int64.random(in: 1...50, using: &random)),
                fee: .cents(Int64.random(in: 0...50, using: &random)), at: tipOff)
            fills.append(fill)
            position.apply(fill)
            let before = piggybank.saved
            let part = piggybank.note(position, percent: 50)
            #expect(piggybank.saved == before + part && part >= .zero, "seed \(seed)")
            if position.isFlat {
                let net = position.realised - position.fees
                if net > last { gains += net - last }
                last = net
            }
        }
        let half = gains.scaled(1, over: 2)
        #expect(piggybank.saved <= half && half - piggybank.saved <= Money.cents(1), "seed \(seed)")
        let replayed = Piggybank.replayed(market, fills, settledAt: nil, percent: 50)
        #expect(replayed == piggybank, "seed \(seed)")
    }
}
