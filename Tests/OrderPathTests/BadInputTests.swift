import Bus
import Domain
import ExecutionServiceEngine
import Foundation
import Hosting
import Runtime
import Testing
import Wire

@testable import ExecutionService
@testable import SignalProcessor
@testable import VenueSimulator

/// What makes no sense is refused by name, counted and written down, and costs nothing but itself.
struct BadInputTests {
    private func audited(_ event: AuditEvent, _ rig: Rig) async throws -> Int64 {
        try await rig.number("SELECT count(*) AS n FROM audit_log WHERE event = \(event.rawValue)")
    }

    // MARK: From the venue

    @Test func `a settlement of a market that we never traded pays nothing, and is counted and written down`()
        async throws
    {
        let rig = try await Rig()
        try await rig.addGame()
        let store = OrderStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        for (market, known) in [("game-1-HOME", "true"), ("NEVER-HEARD-OF", "false")] {
            let id = MarketID(stringLiteral: market)
            #expect(try await store.settle(id, at: .one, voided: false, now: tipOff) == .neverTraded)
            let told = try await rig.text(
                """
                SELECT concat_ws(' ', details->>'value', details->>'market_is_known', game_id) AS t FROM audit_log
                WHERE event = 'settlement_unmatched' AND market_id = \(market)
                """)
            #expect(told == (known == "true" ? "1.0000 true game-1" : "1.0000 false"))
        }
        #expect(try await rig.statistics.count("settlements:unmatched", rig) == 2)
        #expect(try await rig.number("SELECT cash AS n FROM bankroll") == 1_000_000_000)
        #expect(try await rig.number("SELECT count(*) AS n FROM positions") == 0)
        #expect(try await rig.text("SELECT status AS t FROM market_mappings") == "active", "not settled by hearsay")
        // What is held later is paid once, and told again it is no news.
        try await rig.buy(10, at: 40, store)
        #expect(try await store.settle("game-1-HOME", at: .one, voided: false, now: tipOff) == .paid)
        #expect(try await store.settle("game-1-HOME", at: .one, voided: false, now: tipOff) == .nothingHeld)
        #expect(try await audited(.settlementUnmatched, rig) == 2)
        try await rig.expectBooksToBalance()
        await rig.pool.close(grace: .milliseconds(100))
    }

    /// A simulator whose market was paid out under three contracts that no order of ours bought.
    private func withForeignSettlement(
        _ body: @escaping @Sendable (Simulator, OrderPath, [String: String]) async throws -> Void
    ) async throws {
        try await SimulatedVenue.withPath { simulator, path, settings in
            try simulator.state.withLockedValue { state in
                try state.plant(PlantOrder(contracts: "3"))
                _ = state.start(at: MachineClock.real.now)
            }
            try await eventually("paid out") {
                simulator.state.withLockedValue { !$0.exchange.account.settlements.isEmpty }
            }
            try await body(simulator, path, settings)
        }
    }

    @Test func `a settlement that the venue lists of a market we never traded is written down`() async throws {
        try await withForeignSettlement { simulator, path, settings in
            path.startRealExecution(settings)
            try await eventually("written down") { try await audited(.settlementUnmatched, path.rig) == 1 }
            let told = try await path.rig.text(
                """
                SELECT concat_ws(' ', market_id, details->>'value', details->>'yes', details->>'no',
                    details->>'venue_paid', details->>'market_is_known') AS t
                FROM audit_log WHERE event = 'settlement_unmatched'
                """)
            #expect(told == "\(SimulatedVenue.market) 1.0000 3.00 0.00 3.000000 true")
            try await eventually("counted") {
                path.counted("settlements_total", ["result": "never_traded"], by: "execution-service") == 1
            }
            #expect(try await path.rig.number("SELECT cash AS n FROM bankroll") == 1_000_000_000)
        }
    }

    @Test func `a settlement of a market that is not ours is told once, whoever reads of it and however often`()
        async throws
    {
        try await withOrderPath { path in
            func pay(_ market: MarketID) {
                path.venue.pay(
                    VenueSettlement(
                        market: market, yesValue: .zero, isVoid: false, yes: .contracts(1), no: .zero, paid: .zero,
                        at: tipOff))
            }
            pay("THEIRS-1")
            path.startExecution()
            try await eventually("the first is told") { try await audited(.settlementUnmatched, path.rig) == 1 }
            await path.stop()
            pay("THEIRS-2")
            path.startExecution()
            try await eventually("the second is told, behind the first in the list") {
                try await path.rig.number(
                    "SELECT count(*) AS n FROM audit_log WHERE market_id = 'THEIRS-2'") == 1
            }
            #expect(try await audited(.settlementUnmatched, path.rig) == 2)
        }
    }

    @Test func `what the venue has paid is listed from where it was read whole, by the next life too`() async throws {
        try await withOrderPath { path in
            @Sendable func readTo() async throws -> Int64 {
                try await path.rig.number("SELECT coalesce(settlements_read_to, -1) AS n FROM reconciliations")
            }
            @Sendable func live(until what: String, _ isReached: @escaping @Sendable () async throws -> Bool)
                async throws
            {
                path.startExecution()
                try await eventually("\(what)", isReached)
                await path.stop()
            }
            // An order tells the lives after it how late it is.
            try await path.rig.approve(10)
            try await live(until: "read") {
                let isFilled = try await path.rig.number("SELECT count(*) AS n FROM orders WHERE state = 'filled'") == 1
                let until = try await readTo()
                return isFilled && until >= 0
            }
            let known = tipOff.advanced(by: .seconds(-7_200))
            try await path.rig.pool.execute(
                "UPDATE reconciliations SET settlements_read_to = \(known.microseconds)")
            path.venue.failSettlements(true)
            try await live(until: "not read") { path.venue.settlementsListedFrom.count == 2 }
            #expect(try await readTo() == known.microseconds)
            path.venue.failSettlements(false)
            try await live(until: "read after all") { try await readTo() > known.microseconds }
            let hour = known.advanced(by: .seconds(-3_600))
            #expect(path.venue.settlementsListedFrom.dropFirst() == [hour, hour])
        }
    }

    @Test(arguments: [
        ("market_result", "perhaps"), ("revenue", "NaN"), ("yes_count_fp", "-3"), ("settled_time", "soon"),
    ])
    func `a settlement that makes no sense holds up nothing, is counted and written down, and read again`(
        field: String, value: String
    ) async throws {
        try await withForeignSettlement { simulator, path, settings in
            simulator.state.withLockedValue { state in
                var order = FaultOrder(
                    kind: .spoil, target: "GET /trade-api/v2/portfolio/settlements", count: 9_999)
                (order.field, order.value) = (field, value)
                _ = state.faults.arm(order, at: .epoch)
            }
            path.startRealExecution(settings)
            try await eventually("counted") {
                path.counted("settlements_not_read_total", by: "execution-service") == 1
            }
            try await eventually("written down") {
                try await path.rig.number("SELECT count(*) AS n FROM audit_log WHERE event = 'input_refused'") > 0
            }
            await path.stop()
            #expect(path.counted("reconciliations_total", ["verdict": "equal"], by: "execution-service") >= 1)
            #expect(try await audited(.settlementUnmatched, path.rig) == 0)
            let told = try await path.rig.text(
                """
                SELECT concat_ws(' ', details->>'kind', details->>'from') AS t FROM audit_log
                WHERE event = 'input_refused' ORDER BY id LIMIT 1
                """)
            #expect(told == "venue_answer invalid_field")
            simulator.state.withLockedValue { $0.faults.disarmAll() }
            path.startRealExecution(settings)
            try await eventually("read again") { try await audited(.settlementUnmatched, path.rig) == 1 }
        }
    }

    @Test func `a market is no stranger while an order of ours may have traded there`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let store = OrderStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        #expect(try await store.isStrange("game-1-HOME"))
        let claim = try await store.claim(
            rig.approve(10), engine: ExecutionServiceEngine(safeguards: Safeguards()), seen: .clear, at: tipOff)
        let order = try #require(claim.claimed).order.request
        for news in [OrderNews.sent, .unanswered(reason: "timeout")] {
            _ = try await store.book(order.id, news, at: tipOff)
            #expect(try await !store.isStrange("game-1-HOME"))
        }
        #expect(try await store.settle("game-1-HOME", at: .one, voided: false, now: tipOff) == .nothingHeld)
        #expect(try await audited(.settlementUnmatched, rig) == 0)
        _ = try await store.book(order.id, .refused(reason: "invalid_order"), at: tipOff)
        #expect(try await store.isStrange("game-1-HOME"))
        #expect(try await store.settle("game-1-HOME", at: .one, voided: false, now: tipOff) == .neverTraded)
        #expect(try await !store.isStrange("game-1-HOME"))
        #expect(try await store.settle("game-1-HOME", at: .one, voided: false, now: tipOff) == .nothingHeld)
        #expect(try await audited(.settlementUnmatched, rig) == 1)
        await rig.pool.close(grace: .milliseconds(100))
    }

    @Test func `a fill that makes no sense is not booked: its order is unknown, told of, and booked once it does`()
        async throws
    {
        let spoilt: [(field: String, value: String, code: String)] = [
            ("yes_price_dollars", "NaN", "invalid_field"), ("yes_price_dollars", "1.5000", "invalid_field"),
            ("yes_price_dollars", "-0.5000", "invalid_field"), ("count_fp", "-96.00", "invalid_field"),
            ("count_fp", "Infinity", "invalid_field"), ("count_fp", "1e2", "invalid_field"),
            ("book_side", "sideways", "invalid_field"), ("book_side", "ask", "conflict"),
            ("fee_cost", "nan", "invalid_field"),
        ]
        try await SimulatedVenue.withPath { simulator, path, settings in
            func spoil(_ index: Int) {
                simulator.state.withLockedValue { state in
                    state.faults.disarmAll()
                    var order = FaultOrder(kind: .spoil, target: "GET /trade-api/v2/portfolio/fills", count: 9_999)
                    (order.field, order.value) = (spoilt[index].field, spoilt[index].value)
                    _ = state.faults.arm(order, at: .epoch)
                }
            }
            spoil(0)
            try await SimulatedVenue.trade(path, settings)
            try await path.untilOrder(.unknown)
            let order = try #require(try await path.rig.text("SELECT order_id AS t FROM orders"))
            for index in spoilt.indices {
                spoil(index)
                func failed() -> Int {
                    path.counted(
                        "unknown_order_looks_failed_total", ["code": spoilt[index].code], by: "execution-service")
                }
                // The first of them may have begun before.
                let before = failed()
                try await eventually("\(spoilt[index]) is counted") { failed() >= before + 2 }
                let state = try await path.rig.text("SELECT state AS t FROM orders")
                #expect(state == "unknown", "\(spoilt[index])")
                #expect(try await path.rig.number("SELECT count(*) AS n FROM fills") == 0)
            }
            try await path.untilAlert("orderUnknown:\(order)")
            #expect(try await audited(.orderUnknown, path.rig) == 1)
            #expect(try await path.rig.text("SELECT state AS t FROM reservations") == "held")
            for code in Set(spoilt.map { $0.code }) {
                try await eventually("\(code) is written down") {
                    try await path.rig.number(
                        """
                        SELECT count(*) AS n FROM audit_log WHERE event = 'input_refused'
                            AND details->>'kind' = 'venue_answer' AND details->>'from' = \(code)
                        """) > 0
                }
            }
            simulator.state.withLockedValue { $0.faults.disarmAll() }
            try await eventually("it is booked") {
                try await path.rig.number(
                    "SELECT count(*) AS n FROM orders WHERE filled > 0 AND closed_at IS NOT NULL") == 1
            }
            #expect(try await path.rig.number("SELECT count(*) AS n FROM orders") == 1)
            try await path.rig.expectBooksToBalance()
        }
    }

    @Test(arguments: [
        ("balance_dollars", "NaN"), ("balance_dollars", "1,000.00"), ("position_fp", "--1"),
        ("yes_price_dollars", "0,5"),
    ])
    func `an account that cannot be read whole permits no order, is counted, and permits them once it can`(
        field: String, value: String
    ) async throws {
        try await SimulatedVenue.withPath { simulator, path, settings in
            // Something of ours is there that can be spoilt.
            try await SimulatedVenue.trade(path, settings)
            try await eventually("a position") {
                try await path.rig.number("SELECT count(*) AS n FROM positions WHERE net_quantity > 0") == 1
            }
            await path.stop()
            simulator.state.withLockedValue { state in
                var order = FaultOrder(kind: .spoil, target: "GET /trade-api/v2/portfolio", count: 9_999)
                (order.field, order.value) = (field, value)
                _ = state.faults.arm(order, at: .epoch)
            }
            path.startRealExecution(settings)
            try await eventually("two looks that told nothing") {
                path.counted("reconciliations_total", ["verdict": "unreachable"], by: "execution-service") >= 2
            }
            try await path.rig.approve(2, name: "s2")
            let waiting = try await path.rig.text("SELECT state AS t FROM intents WHERE intent_id = 's2'")
            #expect(waiting == "approved")
            let records = ReconciliationStore(TradingAccount(.paper), at: .kalshi)
            #expect(try await records.read(path.rig.pool)?.verdict == .unreachable)
            simulator.state.withLockedValue { $0.faults.disarmAll() }
            try await eventually("compared") {
                try await records.read(path.rig.pool)?.verdict == .equal
            }
        }
    }

    // MARK: From other services

    /// A signal whose fields may say anything.
    private struct RawSignal: WireMessage {
        enum Value: Codable {
            case text(String)
            case number(Double)
            case whole(Int64)

            init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                if let whole = try? container.decode(Int64.self) {
                    self = .whole(whole)
                } else if let number = try? container.decode(Double.self) {
                    self = .number(number)
                } else {
                    self = .text(try container.decode(String.self))
                }
            }

            func encode(to encoder: any Encoder) throws {
                var container = encoder.singleValueContainer()
                switch self {
                case .text(let text): try container.encode(text)
                case .number(let number): try container.encode(number)
                case .whole(let whole): try container.encode(whole)
                }
            }
        }

        static let type = SignalMessage.type
        static let channel = Channel<RawSignal>(Channels.signals.name, Channels.signals.kind)

        var signal: [String: Value]

        init(_ signal: Signal, _ field: String, _ value: Value) throws {
            let data = try JSONEncoder().encode(SignalMessage(signal: signal))
            self = try JSONDecoder().decode(RawSignal.self, from: data)
            self.signal[field] = value
        }
    }

    @Test func `a signal that makes no sense is kept as a dead letter, and the next one is decided`() async throws {
        let spoilt: [(field: String, value: RawSignal.Value)] = [
            ("probability", .text("NaN")), ("probability", .text("nan")), ("probability", .number(1.5)),
            ("probability", .whole(-1)), ("available", .whole(-100)), ("price", .whole(0)), ("price", .whole(10_001)),
            ("price", .whole(-5_000)), ("price", .number(0.5)), ("outcome", .text("maybe")), ("sport", .text("chess")),
            ("epoch", .whole(-1)), ("market", .text("")), ("createdAt", .text("yesterday")),
        ]
        try await withOrderPath { path in
            path.startSignalProcessor()
            for (index, spoil) in spoilt.enumerated() {
                let signal = try path.rig.signal(SignalID(stringLiteral: "bad-\(index)"))
                _ = try await path.bus.publish(
                    RawSignal(signal, spoil.field, spoil.value), on: RawSignal.channel, trace: "trace-1")
            }
            try await path.publish(path.rig.signal("good"))
            try await eventually("the good one is approved") {
                try await path.rig.number("SELECT count(*) AS n FROM intents") == 1
            }
            try await path.untilCounted(spoilt.count, "bus_dead_letters_total", by: "signal-processor")
            #expect(try await path.rig.number("SELECT count(*) AS n FROM signals") == 1)
            let stream = DeadLetterStream(path.client)
            try await eventually("all are kept") { try await stream.read(limit: 100).total == spoilt.count }
            for letter in try await stream.read(limit: 100).letters {
                #expect(letter.channel == "signals:new" && !letter.reason.isEmpty, "\(letter)")
            }
            await path.stop()
            let told = try await path.rig.number(
                """
                SELECT sum((details->>'count')::int8)::int8 AS n FROM audit_log
                WHERE event = 'input_refused' AND details->>'kind' = 'dead_letter'
                    AND details->>'from' = 'signals:new'
                """)
            #expect(told == Int64(spoilt.count))
        }
    }

    @Test func `a signal of a clock that is off by a minute is refused as stale, either way`() async throws {
        try await withOrderPath { path in
            path.startSignalProcessor(["REPLAY_SPEED": "0"])
            func publish(_ id: SignalID, _ seconds: Int64) async throws {
                let sample = try path.rig.signal(id)
                let now = VenueInstant.epoch.advanced(by: .microseconds(WallClock.real.microseconds))
                let created = now.advanced(by: .seconds(seconds))
                try await path.publish(
                    Signal(
                        id: id, kind: sample.kind, game: sample.game, sport: sample.sport, market: sample.market,
                        venue: sample.venue, epoch: sample.epoch, shard: sample.shard, outcome: sample.outcome,
                        probability: sample.probability, price: sample.price, available: sample.available,
                        edgeBasisPoints: sample.edgeBasisPoints, play: nil, createdAt: created,
                        expiresAt: created.advanced(by: .seconds(120))))
            }
            try await publish("behind", -60)
            try await publish("ahead", 60)
            try await publish("right", 0)
            try await eventually("all are decided") {
                try await path.rig.number("SELECT count(*) AS n FROM signals") == 3
            }
            let verdicts = try await path.rig.text(
                "SELECT string_agg(signal_id || ' ' || verdict, ', ' ORDER BY signal_id) AS t FROM signals")
            #expect(verdicts == "ahead stale_signal, behind stale_signal, right approved")
            try await path.untilCounted(2, "signals_total", ["verdict": "stale_signal"], by: "signal-processor")
            #expect(try await audited(.signalRefused, path.rig) == 2)
        }
    }
}

extension DailyStatistics {
    /// What was counted on the day of the tip-off.
    fileprivate func count(_ name: String, _ rig: Rig) async throws -> Int64 {
        try await rig.pool.transaction("count") { try await sum(of: [name], at: tipOff, $0) }
    }
}
