import Domain
import ExecutionServiceEngine
import Hosting
import Runtime
import Testing
import Wire

@testable import ExecutionService

/// What becomes of an entry while nobody tells a price (decision 0055).
struct UnknownPriceTests {
    private static let later = tipOff.advanced(by: .seconds(20))

    @Test func `an entry whose signal is old waits with its reservation until a price is told`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let store = rig.orders
        let prices = LatestPrices(metrics: MetricsRegistry())
        let intent = try await rig.approve()
        func claim(at now: VenueInstant) async throws -> IntentClaim {
            try await store.claim(
                intent, engine: ExecutionServiceEngine(safeguards: Safeguards()),
                seen: VenueReadings(isReconciled: true, prices: prices), at: now)
        }
        func expectWaiting(_ why: Comment) async throws {
            let claim = try await claim(at: Self.later)
            #expect(claim.decision == .wait && claim.claimed == nil, why)
            #expect(claim.heldBack?.by == .priceUnknown && claim.heldBack?.intent.id == intent, why)
            #expect(try await rig.text("SELECT state AS t FROM intents") == "approved", why)
            #expect(try await rig.text("SELECT state AS t FROM reservations") == "held", why)
            #expect(try await store.waitingIntents() == [intent], why)
        }
        try await expectWaiting("nothing was told")
        prices.note(try rig.price(of: "game-1", bid: 48, ask: 50, at: Self.later.advanced(by: .seconds(-31))))
        try await expectWaiting("what was told is old")
        prices.note(
            PriceUpdate(
                game: "game-1", market: rig.home("game-1"),
                yesBid: try BookLevel(price: .cents(48), quantity: .contracts(9)), yesAsk: nil, at: Self.later))
        try await expectWaiting("nobody sells")
        prices.note(try rig.price(of: "game-1", bid: 48, ask: 50, at: Self.later))
        #expect(try await claim(at: Self.later).decision == .send(attempt: 1))
        await rig.pool.close(grace: .milliseconds(100))
    }

    @Test func `an entry that waits for a price ends with its life, and frees its reservation`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let (intent, engine) = (try await rig.approve(), ExecutionServiceEngine(safeguards: Safeguards()))
        for (seconds, decision) in [(59, SendDecision.wait), (60, .expire)] {
            let now = tipOff.advanced(by: .seconds(seconds))
            #expect(try await rig.orders.claim(intent, engine: engine, seen: .clear, at: now).decision == decision)
        }
        #expect(try await rig.text("SELECT state AS t FROM intents") == "expired")
        #expect(try await rig.text("SELECT state AS t FROM reservations") == "released")
        await rig.pool.close(grace: .milliseconds(100))
    }

    @Test func `who waits for a price is told of the first that has one`() throws {
        let prices = LatestPrices(metrics: MetricsRegistry())
        func tell(_ market: MarketID, bid: Int64?, ask: Int64?, second: Int64) throws -> Bool {
            prices.note(
                PriceUpdate(
                    game: "game-1", market: market,
                    yesBid: try bid.map { try BookLevel(price: .cents($0), quantity: .contracts(1)) },
                    yesAsk: try ask.map { try BookLevel(price: .cents($0), quantity: .contracts(1)) },
                    at: tipOff.advanced(by: .seconds(second))))
        }
        var isAwaited = try tell("A", bid: 48, ask: 50, second: 0)
        #expect(!isAwaited)
        var isFirst = prices.expect("A", .yes)
        #expect(isFirst)
        isFirst = prices.expect("A", .yes)
        #expect(!isFirst)
        isAwaited = try tell("B", bid: 48, ask: 50, second: 1)
        #expect(!isAwaited, "of another market")
        isAwaited = try tell("A", bid: 48, ask: nil, second: 2)
        #expect(!isAwaited, "what can be bought is NO")
        isAwaited = try tell("A", bid: 48, ask: 50, second: 3)
        #expect(isAwaited)
        isAwaited = try tell("A", bid: 48, ask: 50, second: 4)
        #expect(!isAwaited, "once")
    }

    // DESIGN rule 8.
    @Test(.timeLimit(.minutes(5)))
    func `a service that has just begun sends what was signalled a moment ago, and the rest when it knows the price`()
        async throws
    {
        try await withOrderPath { path in
            let rig = path.rig
            try await rig.addGame("game-2")
            try await rig.approve()
            let young = try await rig.approve(in: "game-2", name: "s2")
            // It is what tells a replay how late it is.
            try await rig.pool.execute(
                """
                UPDATE signals SET venue_created_at = \(Self.later.microseconds),
                    venue_expires_at = \(Self.later.microseconds + 60_000_000) WHERE signal_id = 's2'
                """)
            func heldBack() -> Int {
                path.counted("intents_held_back_total", ["reason": "price_unknown"], by: "execution-service")
            }
            path.startExecution()
            try await path.untilOrder(.filled)
            try await eventually("the other is held back") { heldBack() > 0 }
            #expect(try await rig.text("SELECT intent_id AS t FROM orders") == young.rawValue)
            #expect(path.venue.submits.count == 1)
            #expect(try await rig.text("SELECT state AS t FROM intents WHERE intent_id = 's1'") == "approved")
            #expect(try await rig.text("SELECT state AS t FROM reservations WHERE reservation_id = 's1'") == "held")
            try await eventually("it goes at a price that is told") {
                try await path.publishPrice(of: "game-1", bid: 48, ask: 50, at: Self.later)
                return try await rig.number("SELECT count(*) AS n FROM orders WHERE state = 'filled'") == 2
            }
            #expect(path.venue.submits.count == 2)
        }
    }

    @Test(.timeLimit(.minutes(5)))
    func `a price of a clock that is a minute ahead is refused, and shuts out none that is right`() async throws {
        try await withOrderPath { path in
            let rig = path.rig
            try await rig.approve()
            func now() -> VenueInstant { .epoch.advanced(by: .microseconds(WallClock.real.microseconds)) }
            // Too old for its own price.
            let created = now().microseconds - 20_000_000
            let expires = created + 300_000_000
            try await rig.pool.execute(
                "UPDATE signals SET venue_created_at = \(created), venue_expires_at = \(expires)")
            try await rig.pool.execute("UPDATE intents SET venue_expires_at = \(expires)")
            path.startExecution(["REPLAY_SPEED": "0"])
            try await eventually("it is held back") {
                path.counted("intents_held_back_total", ["reason": "price_unknown"], by: "execution-service") > 0
            }
            try await eventually("the price is refused") {
                try await path.publishPrice(of: "game-1", bid: 48, ask: 50, at: now().advanced(by: .seconds(60)))
                return path.counted("prices_ahead_total", by: "execution-service") > 0
            }
            try await eventually("it is audited") {
                try await rig.number(
                    """
                    SELECT count(*) AS n FROM audit_log
                    WHERE event = 'input_refused' AND details->>'kind' = 'price_ahead'
                    """) > 0
            }
            #expect(path.venue.submits.isEmpty)
            try await eventually("it goes at a price of now") {
                try await path.publishPrice(of: "game-1", bid: 48, ask: 50, at: now())
                return try await rig.number("SELECT count(*) AS n FROM orders WHERE state = 'filled'") == 1
            }
        }
    }
}
