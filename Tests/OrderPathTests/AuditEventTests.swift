import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Resilience
import Runtime
import Testing

@testable import ExecutionService
@testable import Linesman
@testable import SignalProcessor

/// Each event of the field has a writer on the order path, in the transaction of what it tells of (CHECKLIST R92).
@Suite struct AuditEventTests {
    /// How an order path is brought to write an event.
    struct Scenario: Sendable, CustomTestStringConvertible {
        let event: AuditEvent
        var settings: [String: String] = [:]
        var manner: FakeVenue.Manner?
        /// Between the approval and the start of the execution-service.
        var meanwhile: [SQL] = []
        var signals = 1
        /// What the same transaction wrote.
        var told: Told = .order

        var testDescription: String { event.rawValue }
    }

    enum Told { case order, intent }

    static let scenarios: [Scenario] = [
        Scenario(event: .orderFilled),
        Scenario(event: .orderPartialFill, manner: .fillsInPart(5)),
        Scenario(event: .orderCancelled, manner: .fillsInPart(0)),
        Scenario(event: .orderRejected, manner: .refuses),
        Scenario(event: .orderFailed, settings: ["MAX_ORDER_ATTEMPTS": "1"], manner: .losesRequest),
        Scenario(event: .rateLimitExceeded, settings: ["MAX_ORDERS_PER_MINUTE": "1"], signals: 3, told: .intent),
        Scenario(
            event: .insufficientBalance,
            meanwhile: ["UPDATE bankroll SET cash = cash - 999000000, initial = initial - 999000000"], told: .intent),
        Scenario(
            event: .priceSanityFailed, settings: ["MIN_SAFE_PRICE": "0.05", "MAX_SAFE_PRICE": "0.40"], told: .intent),
    ]

    @Test(.timeLimit(.minutes(6)), arguments: scenarios)
    func `it is written in the transaction of what it tells of`(scenario: Scenario) async throws {
        try await withOrderPath { path in
            let rig = path.rig
            path.startSignalProcessor()
            for number in 1...scenario.signals {
                let game = GameID(stringLiteral: "game-\(number)")
                if number > 1 { try await rig.addGame(game) }
                try await path.publish(try rig.signal(SignalID(stringLiteral: "s\(number)"), game: game))
            }
            try await eventually("approved") {
                try await rig.number("SELECT count(*) AS n FROM intents") == Int64(scenario.signals)
            }
            // Nothing has touched the intents since: the request for execution was written with them.
            #expect(
                try await rig.number(
                    """
                    SELECT count(*) AS n FROM audit_log a JOIN intents i USING (intent_id)
                    WHERE a.event = 'execution_requested' AND i.xmin::text::int8 = a.writer::text::int8 % 4294967296
                    """) == Int64(scenario.signals))
            for statement in scenario.meanwhile { try await rig.pool.execute(statement) }
            if let manner = scenario.manner { path.venue.will(manner) }
            path.startExecution(scenario.settings)
            try await eventually(scenario.event.rawValue) {
                let open = try await rig.number(
                    "SELECT count(*) AS n FROM intents WHERE state IN ('approved', 'sending')")
                let written = try await count(scenario.event, rig)
                return open == 0 && written > 0
            }
            let told: SQL = scenario.told == .order ? "orders o USING (order_id)" : "intents o USING (intent_id)"
            let together = try await rig.number(
                """
                SELECT count(*) AS n FROM audit_log a JOIN \(told)
                WHERE a.event = \(scenario.event.rawValue)
                    AND o.xmin::text::int8 = a.writer::text::int8 % 4294967296
                """)
            let written = try await count(scenario.event, rig)
            #expect(together == written)
            // The rest was sent: venue time begins with the first message, so one order may fall before its minute.
            let placed = try await count(.orderPlaced, rig)
            #expect(placed == (scenario.told == .order ? 1 : Int64(scenario.signals) - written))
        }
    }

    private func count(_ event: AuditEvent, _ rig: Rig) async throws -> Int64 {
        try await rig.number("SELECT count(*) AS n FROM audit_log WHERE event = \(event.rawValue)")
    }

    @Test func `a signal that comes again is written down, with nothing else`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let store = SignalStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        for _ in 0..<3 {
            _ = try await store.process(try rig.signal("s1"), trace: nil, engine: .init(limits: .init()), at: tipOff)
        }
        #expect(
            try await rig.text("SELECT string_agg(event, ' ' ORDER BY id) AS t FROM audit_log")
                == "signal_approved execution_requested duplicate_detected duplicate_detected")
        await rig.pool.close(grace: .milliseconds(100))
    }

    @Test func `every refusal of an intent has its event`() {
        var events: [AuditEvent: Int] = [:]
        for refusal in SendRefusal.allCases {
            events[.closing(as: .refused, reason: refusal.rawValue), default: 0] += 1
        }
        #expect(events == [.rateLimitExceeded: 3, .insufficientBalance: 3, .priceSanityFailed: 4, .intentRefused: 8])
        #expect(AuditEvent.closing(as: .expired, reason: "order_value") == .intentExpired)
        #expect(AuditEvent.ofTheField.count == 15 && AuditEvent.ofTheField.last == .dailyLossExceeded)
    }

    // MARK: `linesman why`

    @Test(.timeLimit(.minutes(6)))
    func `why tells the whole story of an order, of a refused signal, of an intent and of a game`() async throws {
        try await withOrderPath { path in
            let rig = path.rig
            path.startSignalProcessor()
            path.startExecution()
            try await path.publish(try rig.signal("s1"))
            try await path.untilOrder(.filled)
            try await path.publish(try rig.signal("s2", game: "game-1"))
            try await path.publish(try rig.signal("s3", game: "game-9"))
            try await eventually("both are refused") {
                try await rig.number("SELECT count(*) AS n FROM audit_log WHERE event = 'signal_refused'") == 2
            }
            let order = try #require(try await rig.text("SELECT order_id AS t FROM orders"))
            let intent = try #require(try await rig.text("SELECT intent_id AS t FROM intents"))
            func why(_ id: String) async throws -> String { try await Story.find(id, in: rig.pool).text }
            let whole = try await why(String(order.prefix(8)))
            for event in ["signal_approved", "execution_requested", "order_stored", "order_placed", "order_filled"] {
                #expect(whole.contains("  audit   ") && whole.contains(event), "\(event)")
            }
            let approved = try await why(intent)
            #expect(approved.contains("signal  s1") && approved.contains("order   \(order)"), "\(approved)")
            #expect(try await why("s1") == approved)
            let refused = try await why("s2")
            #expect(refused.contains("signal_refused") && refused.contains("verdict duplicate_side"), "\(refused)")
            let unknown = try await why("s3")
            #expect(unknown.hasPrefix("a market that is not known") && unknown.contains("verdict no_market"))
            let game = try await why("game-1")
            #expect(game.contains("signals 1 approved, 1 duplicate_side"), "\(game)")
            #expect(game.contains("orders  1 filled"), "\(game)")
            await #expect(throws: OrderChain.Refusal.self) { _ = try await why("nothing") }
            for id in [order, "s2", "game-1"] {
                #expect(try await Story.find(id, in: rig.pool).document().contains("\"audit\" : ["))
            }
        }
    }
}
