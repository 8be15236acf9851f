import Domain
import ExecutionServiceEngine
import Postgres
import Runtime
import Testing

@testable import ExecutionService

/// The outbox announces at least once (DESIGN section 5): a second copy of anything changes nothing, and is counted
/// (CHECKLIST R86).
struct RepeatedNewsTests {
    /// Everything that money rests on, as one text: row counts, states and sums.
    private func books(_ rig: Rig) async throws -> String? {
        try await rig.text(
            """
            SELECT concat_ws(' ', (SELECT string_agg(concat(signal_id, verdict), ',' ORDER BY signal_id) FROM signals),
                (SELECT string_agg(concat(state, ':', amount), ',' ORDER BY reservation_id) FROM reservations),
                (SELECT string_agg(concat(intent_id, state), ',' ORDER BY intent_id) FROM intents),
                (SELECT string_agg(concat(order_id, attempt, state, filled), ',' ORDER BY order_id) FROM orders),
                (SELECT string_agg(concat(fill_id, quantity), ',' ORDER BY fill_id) FROM fills),
                (SELECT string_agg(concat(market_id, net_quantity, cost, state), ',' ORDER BY market_id)
                    FROM positions),
                (SELECT string_agg(concat(cash, ':', realised, ':', fees), ',') FROM bankroll),
                (SELECT count(*) FROM outbox)) AS t
            """)
    }

    @Test func `an intent announced again, before its order is known and after it has ended, makes one order`()
        async throws
    {
        try await withOrderPath { path in
            path.venue.will(.losesAnswer)
            path.venue.failPages(true)
            path.startSignalProcessor()
            path.startExecution()
            try await path.publish(try path.rig.signal("s1"))
            try await path.untilOrder(.unknown)

            // Whoever subscribed late may not have heard the first.
            try await path.announceAgain()
            try await path.announceAgain()
            try await eventually("a copy is dropped") {
                path.counted("intents_repeated_total", by: "execution-service") >= 1
            }
            #expect(path.venue.submits.count == 1)
            #expect(try await path.rig.number("SELECT count(*) AS n FROM orders") == 1)

            path.venue.failPages(false)
            try await path.untilOrder(.filled)
            let before = try await books(path.rig)
            let dropped = path.counted("intents_repeated_total", by: "execution-service")
            // An intent, two states of its order, and a position.
            #expect(try await path.announceAgain() >= 4)
            try await eventually("that copy is dropped too") {
                path.counted("intents_repeated_total", by: "execution-service") == dropped + 1
            }
            // What a second look at it would do is done by the sweep.
            try await path.publish(try path.rig.signal("s1"))
            try await eventually("the signal is known") {
                path.counted("signals_redelivered_total", by: "signal-processor") == 1
            }
            #expect(try await books(path.rig) == before)
            #expect(path.venue.submits.count == 1 && path.venue.accepted == 1)
            #expect(await path.stop() == [.ok, .ok])
        }
    }

    @Test func `a game's end told three times pays a position out once`() async throws {
        try await withOrderPath { path in
            path.startSignalProcessor()
            path.startExecution()
            try await path.publish(try path.rig.signal("s1"))
            try await path.untilOrder(.filled)
            path.venue.settle("game-1-HOME", at: .one)
            for _ in 0..<3 { try await path.publishEnd(of: "game-1") }
            try await eventually("settled") {
                try await path.rig.text("SELECT state AS t FROM positions") == "settled"
            }
            let paid = try await books(path.rig)
            try await path.publishEnd(of: "game-1")
            try await path.announceAgain()
            #expect(try await books(path.rig) == paid)
            try await path.untilCounted(1, "settlements_total", ["result": "paid"], by: "execution-service")
            #expect(try await path.rig.number("SELECT cash AS n FROM bankroll") == 1_046_320_000)
        }
    }

    @Test func `a hint that was ahead of what became of its intent leaves the announcement news`() async {
        let news = IntentNews(metrics: MetricsRegistry())
        #expect(await news.hinted("i1"))
        #expect(await !news.announced("i1"))

        #expect(await news.hinted("i2"))
        await news.foundNothing(of: "i2")
        #expect(await news.announced("i2"))
        #expect(await !news.announced("i2"))
        #expect(await !news.hinted("i2"))
    }
}
