import Domain
import ExecutionServiceEngine
import Hosting
import Runtime
import Testing

@testable import ExecutionService
@testable import SignalProcessor

/// How markets end for what we hold (CHECKLIST H29, S12, R95).
struct SettlementTests {
    private let market: MarketID = "game-1-HOME"

    private func withStore(_ body: (Rig, OrderStore) async throws -> Void) async throws {
        let rig = try await Rig()
        try await rig.addGame()
        try await body(rig, OrderStore(pool: rig.pool, account: rig.account, statistics: rig.statistics))
        try await rig.expectBooksToBalance()
        await rig.pool.close(grace: .milliseconds(100))
    }

    @Test(arguments: [96, -96] as [Int64], [0, 25, 50, 100] as [Int64])
    func `any value from 0 to 1 pays the outcome that is held, once`(contracts: Int64, cents: Int64) async throws {
        try await withStore { rig, store in
            try await rig.buy(contracts, at: 40, store)
            let paid = (contracts > 0 ? cents : 100 - cents) * 96
            let fee = try await rig.number("SELECT fees AS n FROM bankroll")
            let value = try Price(tenThousandths: cents * 100)
            #expect(try await store.settle(market, at: value, voided: false, now: tipOff) == .paid)
            #expect(try await store.settle(market, at: value, voided: false, now: tipOff) == .nothingHeld)
            let cash = 1_000_000_000 - 40 * 96 * 10_000 - fee + paid * 10_000
            #expect(try await rig.number("SELECT cash AS n FROM bankroll") == cash)
            #expect(try await rig.text("SELECT status AS t FROM market_mappings") == "settled")
        }
    }

    @Test func `a void market pays back cost and fees, and a fill that comes afterwards too`() async throws {
        try await withStore { rig, store in
            try await rig.buy(96, at: 40, store)
            #expect(try await store.settle(market, at: nil, voided: true, now: tipOff) == .paid)
            #expect(try await store.settle(market, at: nil, voided: true, now: tipOff) == .nothingHeld)
            #expect(try await rig.number("SELECT cash AS n FROM bankroll") == 1_000_000_000)
            #expect(try await rig.number("SELECT fees + realised AS n FROM bankroll") == 0)
            #expect(try await rig.text("SELECT status AS t FROM market_mappings") == "voided")
            try await rig.buy(10, at: 40, store, name: "s2")
            #expect(try await rig.number("SELECT cash AS n FROM bankroll") == 1_000_000_000)
            #expect(try await rig.number("SELECT net_quantity AS n FROM positions") == 0)
            #expect(try await rig.text("SELECT state AS t FROM positions") == "settled")
        }
    }

    @Test func `a market that ends in silence while its order is unknown is paid out when the order is found`()
        async throws
    {
        try await withOrderPath { path in
            path.venue.will(.losesAnswer)
            path.venue.failPages(true)
            path.startSignalProcessor()
            path.startExecution()
            try await path.publish(path.rig.signal("s1"))
            try await path.untilOrder(.unknown)
            // Nobody says that the game has ended.
            path.venue.settle(market, at: .cents(50))
            #expect(try await path.rig.number("SELECT count(*) AS n FROM positions") == 0)
            path.venue.failPages(false)
            try await eventually("settled") {
                try await path.rig.text("SELECT state AS t FROM positions") == "settled"
            }
            #expect(try await path.rig.number("SELECT realised AS n FROM bankroll") == 0)
            #expect(path.venue.submits.count == 1)
        }
    }

    @Test func `a market that the venue voids without a value is paid back`() async throws {
        try await withOrderPath { path in
            path.startSignalProcessor()
            path.startExecution()
            try await path.publish(path.rig.signal("s1"))
            try await path.untilOrder(.filled)
            path.venue.refund(market)
            try await eventually("paid back") {
                try await path.rig.number("SELECT cash AS n FROM bankroll") == 1_000_000_000
            }
        }
    }
}
