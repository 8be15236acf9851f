import Domain
import Resilience
import Testing

/// Whatever is called an arbitrage earns nothing less than nothing, whoever wins (CHECKLIST R76, PITFALLS 8 row 18).
struct ArbitrageValueTests {
    private struct Draw {
        let prices: [Price]
        let venues: [Venue]
        let available: [Quantity]
        let contracts: Int64

        init(_ random: inout SeededGenerator) throws {
            let home = Int64.random(in: 1...97, using: &random)
            prices = try [home, .random(in: 1...(99 - home), using: &random)].map {
                try Price(tenThousandths: $0 * 100 + .random(in: -50...50, using: &random))
            }
            venues = (0..<2).map { _ in Venue.allCases.randomElement(using: &random) ?? .kalshi }
            available = try (0..<2).map { _ in try Quantity(hundredths: .random(in: 1...20_000, using: &random)) }
            // Of few the fees' rounding takes the most.
            contracts = .random(in: 1...(Bool.random(using: &random) ? 3 : 200), using: &random)
        }

        func signal() throws -> ArbitrageSignal {
            let instant = VenueInstant.epoch
            return try ArbitrageSignal(
                id: "a", game: "g", sport: .nba, epoch: .first, shard: "s",
                legs: [0, 1].map {
                    try ArbitrageLeg(
                        market: $0 == 0 ? "A" : "B", venue: venues[$0], outcome: .yes, backs: $0 == 0 ? .home : .away,
                        price: prices[$0], available: available[$0])
                },
                createdAt: instant, expiresAt: instant.advanced(by: .seconds(1)))
        }

        /// In microdollars, by the venues' own words on fees: WIRE 1.7.
        func profit(of contracts: Int64) -> Int64 {
            zip(prices, venues).reduce(contracts * 1_000_000) { rest, leg in
                let price = leg.0.tenThousandths
                // Price times its complement in 1e-8, times the rate in percent, in 1e-10 of a dollar.
                let exact = contracts * price * (10_000 - price) * (leg.1 == .kalshi ? 7 : 3)
                let unit: Int64 = leg.1 == .kalshi ? 100_000_000 : 100_000
                let fee = (exact + unit - 1) / unit * (unit / 10_000)
                return rest - contracts * price * 100 - fee
            }
        }
    }

    @Test func `neither a signal nor a plan can be made that loses after fees`() throws {
        var random = SeededGenerator(seed: 7)
        var (signals, plans, refusedSignals, refusedPlans) = (0, 0, 0, 0)
        for _ in 0..<20_000 {
            let draw = try Draw(&random)
            let most = draw.available.map { $0.hundredths / 100 }.min() ?? 0
            guard let signal = try? draw.signal() else {
                refusedSignals += 1
                #expect(draw.profit(of: most) < 0, "\(draw)")
                continue
            }
            signals += 1
            #expect(draw.profit(of: most) >= 0, "\(draw)")
            let plan = try? ApprovedPlan(
                id: "p", signal: signal, reservation: "r", quantity: .contracts(draw.contracts), maximumLoss: .dollar)
            if plan == nil { refusedPlans += 1 } else { plans += 1 }
            #expect((plan == nil) == (draw.profit(of: draw.contracts) < 0), "\(draw)")
        }
        #expect(signals > 1_000 && plans > 1_000 && refusedSignals > 100 && refusedPlans > 10)
    }
}
