import Domain
import ExecutionServiceEngine
import Hosting
import Runtime
import Testing

@testable import ExecutionService
@testable import SignalProcessor

/// Several orders on their way at once (CHECKLIST N33, S20, H2, H3, H12, H28).
struct LaneTests {
    private func approve(_ path: OrderPath, _ game: GameID) async throws {
        try await path.rig.approve(in: game, name: "s-\(game)")
    }

    private func addGames(_ path: OrderPath, _ numbers: ClosedRange<Int>) async throws -> [GameID] {
        let games = numbers.map { GameID(stringLiteral: "game-\($0)") }
        for game in games { try await path.rig.addGame(game) }
        return games
    }

    @Test func `entries at a venue that hangs hold up no exit`() async throws {
        try await withOrderPath { path in
            let games = try await addGames(path, 2...8)
            path.startExecution(["ORDER_SUBMIT_TIMEOUT_MS": "60000", "NON_ACCEPTANCE_WAIT_SECS": "120"])
            try await approve(path, "game-1")
            try await path.untilOrder(.filled)
            path.venue.will(.hangs, .hangs, .hangs, .hangs, .hangs, .hangs)
            for game in games { try await approve(path, game) }
            try await path.untilOrder(.sent, 6)
            try await path.rig.addExit("exit-1", contracts: 40)
            try await eventually("the exit is filled") {
                try await path.rig.number("SELECT count(*) AS n FROM orders WHERE reduces AND state = 'filled'") == 1
            }
            #expect(try await path.rig.number("SELECT count(*) AS n FROM orders WHERE state = 'sent'") == 6)
            #expect(try await path.rig.number("SELECT count(*) AS n FROM intents WHERE state = 'approved'") == 1)
            path.venue.release()
            try await path.untilOrder(.filled, 9)
            #expect(path.venue.submits.count == 9)
        }
    }

    @Test func `a venue that keeps to no time-out frees the lane, and its order is an error until it is found`()
        async throws
    {
        try await withOrderPath { path in
            let games = try await addGames(path, 2...2)
            path.venue.will(.hangs)
            path.startExecution([
                "ORDER_SUBMIT_TIMEOUT_MS": "100", "ORDERS_IN_FLIGHT": "1", "ORDERS_IN_FLIGHT_FOR_EXITS": "0",
            ])
            try await approve(path, "game-1")
            try await eventually("it is on its way") { path.venue.submits.count == 1 }
            try await approve(path, games[0])
            try await path.untilOrder(.filled, 2)
            let order = try #require(
                try await path.rig.text("SELECT order_id AS t FROM audit_log WHERE event = 'order_unknown'"))
            #expect(order == path.venue.submits.first?.rawValue)
            try await path.untilAlert("orderUnknown:\(order)")
            #expect(path.venue.submits.count == 2)
            path.venue.release()
        }
    }

    @Test func `an order whose task fails is taken up, and its market and reservation are freed`() async throws {
        try await withOrderPath { path in
            // A sequence forgets nothing with a transaction: the first fill breaks, and no later one.
            try await path.rig.pool.execute("CREATE SEQUENCE breakings")
            try await path.rig.pool.execute(
                """
                CREATE FUNCTION break_sending() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    IF NEW.state = 'filled' AND nextval('breakings') = 1 THEN
                        RAISE EXCEPTION 'broken on purpose' USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                END $$
                """)
            try await path.rig.pool.execute(
                "CREATE TRIGGER broken BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION break_sending()")
            path.startExecution()
            try await approve(path, "game-1")
            // Its answer could not be booked, and its task is gone: the next sweep takes it up.
            try await path.untilOrder(.filled)
            try await path.untilCounted(1, "order_failures_total", by: "execution-service")
            #expect(
                try await path.rig.number("SELECT count(*) AS n FROM audit_log WHERE event = 'order_unknown'") == 1)
            #expect(path.venue.submits.count == 1)
            #expect(try await path.rig.text("SELECT state AS t FROM reservations") == "committed")
            try await path.rig.addExit("exit-1", contracts: 10)
            try await path.untilOrder(.filled, 2)
        }
    }

    @Test func `an order that was held up on its way to the write is not written, and frees what it held`()
        async throws
    {
        try await withOrderPath { path in
            // A quarter of the wait of 4 seconds, and a little.
            try await path.rig.pool.execute(
                """
                CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    PERFORM pg_sleep(1.1);
                    RETURN NEW;
                END $$
                """)
            try await path.rig.pool.execute(
                "CREATE TRIGGER hold_up BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION hold_up()")
            path.startExecution(["NON_ACCEPTANCE_WAIT_SECS": "4"])
            try await approve(path, "game-1")
            try await path.untilOrder(.rejected)
            #expect(try await path.rig.text("SELECT reason AS t FROM orders") == "held_up")
            #expect(path.venue.submits.isEmpty)
            #expect(try await path.rig.text("SELECT state AS t FROM reservations") == "released")
        }
    }

    @Test func `orders whose tasks are cancelled are found by the next life, once each`() async throws {
        try await withOrderPath { path in
            _ = try await addGames(path, 2...2)
            path.venue.will(.hangs, .hangs)
            path.startExecution([
                "ORDER_SUBMIT_TIMEOUT_MS": "60000", "NON_ACCEPTANCE_WAIT_SECS": "120", "DRAIN_TIMEOUT_SECS": "0.3",
            ])
            for game in ["game-1", "game-2"] as [GameID] { try await approve(path, game) }
            try await path.untilOrder(.sent, 2)
            await path.stop()
            #expect(try await path.rig.number("SELECT count(*) AS n FROM reservations WHERE state = 'held'") == 2)
            path.startExecution()
            try await path.untilOrder(.filled, 2)
            #expect(path.venue.submits.count == 2)
            #expect(try await path.rig.number("SELECT count(*) AS n FROM reservations WHERE state = 'held'") == 0)
            path.venue.release()
        }
    }

    @Test func `a drain starts nothing and waits for every order on its way`() async throws {
        try await withOrderPath { path in
            _ = try await addGames(path, 2...3)
            path.venue.will(.hangs, .hangs)
            path.startExecution(["ORDERS_IN_FLIGHT": "2", "ORDERS_IN_FLIGHT_FOR_EXITS": "0"])
            for game in ["game-1", "game-2", "game-3"] as [GameID] { try await approve(path, game) }
            try await path.untilOrder(.sent, 2)
            try await eventually("the third waits") {
                try await path.rig.number("SELECT count(*) AS n FROM intents WHERE state = 'approved'") == 1
            }
            async let codes = path.stop()
            // Nothing lands before the venue answers, so the order in which this and the drain begin does not matter.
            path.venue.release()
            #expect(await codes == [.ok])
            let open = try await path.rig.number(
                "SELECT count(*) AS n FROM orders WHERE state NOT IN ('filled', 'expired')")
            #expect(open == 0)
        }
    }

    @Test func `an exit does not wait for a lost purchase of what it sells, but for a lost sale`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let store = OrderStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        let signals = SignalStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        let engine = ExecutionServiceEngine(safeguards: Safeguards())
        func claim(_ intent: IntentID) async throws -> IntentClaim {
            try await store.claim(intent, engine: engine, seen: .clear, at: tipOff)
        }
        func lose(_ order: OrderRecord) async throws {
            for news in [OrderNews.sent, .unanswered(reason: "timeout")] {
                _ = try await store.book(order.request.id, news, at: tipOff)
            }
        }
        _ = try await signals.process(try rig.signal("s1"), trace: nil, engine: .init(limits: .init()), at: tipOff)
        let intent = try #require(try await store.waitingIntents().first)
        let entry = try #require(try await claim(intent).claimed).order
        try await lose(entry)
        // Half of it is seen, the rest is not.
        let half = try Fill(
            id: "f1", order: entry.request.id, market: entry.request.market, outcome: .yes, action: .buy,
            price: .cents(50), quantity: .contracts(40), fee: .zero, at: tipOff)
        _ = try await store.book(
            entry.request.id, .accepted("v1", fills: [half], reported: entry.request.quantity, rests: false),
            at: tipOff)
        #expect(try await rig.text("SELECT state AS t FROM orders") == "unknown")
        try await rig.addExit("exit-1", contracts: 20)
        try await rig.addExit("exit-2", contracts: 20)
        let exit = try #require(try await claim("exit-1").claimed).order
        try await lose(exit)
        #expect(try await claim("exit-2").decision == .wait)
        await rig.pool.close(grace: .milliseconds(100))
    }
}
