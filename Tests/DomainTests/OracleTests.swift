import Domain
import TestKit
import Testing

/// One thousand random trade histories against exact fractions (CHECKLIST N15, N16).
@Suite struct OracleTests {
    private static let market: MarketID = "ORACLE-1"

    private static func schedule(_ name: Substring) throws -> FeeSchedule {
        if name == "kalshi" { return .kalshi }
        return .polymarket(try #require(PolymarketCategory(rawValue: String(name))))
    }

    /// One history as far as it has been read.
    private struct Reading {
        var position = Position(market: market)
        /// What was paid and taken in, without the dollar that a contract owed to others is secured by.
        var cash = Money.zero
        var schedule = FeeSchedule.none
        var role = TradeRole.taker
        var parts: [BookLevel] = []
        var fills = 0

        mutating func fill(_ words: [Substring]) throws -> (ours: Money, oracles: Money) {
            let part = try BookLevel(price: Price(dollars: words[3]), quantity: Quantity(contracts: words[4]))
            parts.append(part)
            let fee = try #require(schedule.fees(for: parts, as: role).last)
            fills += 1
            let fill = try Fill(
                id: FillID("f-\(fills)"), order: "order", market: market,
                outcome: try #require(Outcome(rawValue: String(words[1]))),
                action: try #require(Action(rawValue: String(words[2]))), price: part.price, quantity: part.quantity,
                fee: fee, at: .epoch)
            let before = position
            position.apply(fill)
            cash += (position.realised - before.realised) - (position.cost - before.cost) - fee
            return (fee, try Money(dollars: words[5]))
        }
    }

    @Test(.enabled(if: Oracle.python != nil, Comment(rawValue: Oracle.reason)), arguments: 1...4)
    func `P&L, fees and positions equal the oracle's to the unit, YES and NO`(seed: Int) throws {
        let lines = try Oracle.run("ledger_oracle.py", "250", "\(seed)")
        var reading = Reading()
        var histories = 0
        var differences: [String] = []
        for words in lines {
            switch words[0] {
            case "history": reading = Reading()
            case "order":
                (reading.schedule, reading.role) = (try Self.schedule(words[1]), words[2] == "maker" ? .maker : .taker)
                reading.parts = []
            case "fill":
                let fee = try reading.fill(words)
                if fee.ours != fee.oracles { differences.append("fee \(fee.ours) for \(words)") }
            case "state":
                let position = reading.position
                let ours = [
                    FixedPoint.format(position.netHundredths, scale: 2), "\(position.cost)", "\(position.realised)",
                    "\(position.fees)",
                ]
                if ours != words.dropFirst().map(String.init) { differences.append("\(ours) for \(words)") }
            default:
                let cost = reading.position.cost
                let gain = reading.position.settle(at: try Price(dollars: words[1]))
                let position = reading.position
                let ours = ["\(position.realised)", "\(position.fees)", "\(reading.cash + gain + cost)"]
                if ours != words.dropFirst(2).map(String.init) { differences.append("\(ours) for \(words)") }
                #expect(position.isFlat && position.realised - position.fees == reading.cash + gain + cost)
                histories += 1
            }
        }
        #expect(histories == 250)
        #expect(differences.isEmpty, "seed \(seed): \(differences.count), first \(differences.first ?? "")")
    }
}
