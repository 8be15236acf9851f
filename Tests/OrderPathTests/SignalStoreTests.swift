import Domain
import Postgres
import Resilience
import Runtime
import SignalProcessorEngine
import Testing
import Wire

@testable import SignalProcessor

struct SignalStoreTests {
    private func store(_ rig: Rig) -> SignalStore {
        SignalStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
    }

    @Test func `an approved signal, its reservation, intent and announcement are one transaction`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let engine = SignalProcessorEngine(limits: TradingLimits())
        let outcome = try await store(rig).process(try rig.signal("s1"), trace: "t1", engine: engine, at: tipOff)
        guard case .decided(.approved(let intent, let reserved)) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(try await rig.number("SELECT amount AS n FROM reservations") == reserved.microdollars)
        #expect(try await rig.text("SELECT state AS t FROM intents") == "approved")
        #expect(try await rig.text("SELECT verdict AS t FROM signals") == "approved")
        #expect(try await rig.text("SELECT topic AS t FROM outbox") == "execution:requests")
        let announced = try await rig.pool.first("SELECT payload, trace FROM outbox")
        #expect(try announced?.json("payload", as: IntentMessage.self).intent == intent)
        #expect(try announced?.text("trace") == "t1")
        #expect(try await rig.text("SELECT event AS t FROM audit_log") == "signal_approved")
    }

    @Test func `a redelivered signal is dropped, of a known market or not`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let engine = SignalProcessorEngine(limits: TradingLimits())
        for id in ["s1", "s2"] as [SignalID] {
            let signal = try rig.signal(id, game: id == "s1" ? "game-1" : "game-9")
            let first = try await store(rig).process(signal, trace: nil, engine: engine, at: tipOff)
            let again = try await store(rig).process(signal, trace: nil, engine: engine, at: tipOff)
            #expect(first != .known)
            #expect(again == .known)
            if id == "s2" { #expect(first == .decided(.refused(.noMarket))) }
        }
        #expect(try await rig.number("SELECT count(*) AS n FROM intents") == 1)
        #expect(try await rig.number("SELECT value AS n FROM daily_stats WHERE key = 'signals'") == 2)
    }

    @Test func `what the database says is what is decided on`() async throws {
        let rig = try await Rig()
        try await rig.addGame("game-1", epoch: 2)
        try await rig.addGame("game-2")
        try await rig.addGame("game-3")
        try await rig.addGame("game-4")
        let engine = SignalProcessorEngine(limits: TradingLimits())
        func verdict(_ id: SignalID, _ game: GameID, epoch: Epoch = .first) async throws -> String {
            let outcome = try await store(rig).process(
                try rig.signal(id, game: game, epoch: epoch), trace: nil, engine: engine, at: tipOff)
            guard case .decided(let verdict) = outcome else { return "known" }
            return verdict.name
        }
        #expect(try await verdict("s1", "game-1") == "stale_epoch")
        #expect(try await verdict("s2", "game-1", epoch: Epoch.first.next) == "approved")
        #expect(try await verdict("s3", "game-1", epoch: Epoch.first.next) == "duplicate_side")
        try await rig.pool.execute("UPDATE assignments SET state = 'revoking' WHERE game_id = 'game-2'")
        #expect(try await verdict("s4", "game-2") == "stale_epoch")
        try await rig.pool.execute("UPDATE market_mappings SET status = 'closed' WHERE game_id = 'game-3'")
        #expect(try await verdict("s5", "game-3") == "no_market")
        try await rig.pool.execute("UPDATE kill_switch SET engaged = true")
        #expect(try await verdict("s6", "game-4") == "kill_switch")
        try await rig.pool.execute("DELETE FROM kill_switch")
        #expect(try await verdict("s7", "game-4") == "kill_switch")
        try await rig.pool.execute("INSERT INTO kill_switch (engaged, reason, changed_by) VALUES (false, '', 't')")
        try await rig.pool.transaction("loss") { transaction in
            try await rig.statistics.add(
                ["paper:realised": -99_000_000, "paper:fees": 1_000_000], at: tipOff, transaction)
        }
        #expect(try await verdict("s8", "game-4") == "daily_loss")
    }

    @Test func `two hundred signals at once exceed no limit`() async throws {
        let rig = try await Rig()
        var random = SeededGenerator(seed: 7)
        for game in 0..<10 {
            try await rig.addGame(GameID(stringLiteral: "game-\(game)"), sport: game < 7 ? .nba : .nhl)
        }
        var limits = TradingLimits()
        limits.entriesPerSide = 100
        let engine = SignalProcessorEngine(limits: limits)
        let store = store(rig)
        let signals = try (0..<200).map { number in
            let game = Int.random(in: 0..<10, using: &random)
            let cents = Int64.random(in: 10...80, using: &random)
            return try rig.signal(
                SignalID(stringLiteral: "s\(number)"), game: GameID(stringLiteral: "game-\(game)"),
                sport: game < 7 ? .nba : .nhl, probability: Double(cents) / 100 + 0.02, cents: cents)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for signal in signals {
                group.addTask { _ = try await store.process(signal, trace: nil, engine: engine, at: tipOff) }
            }
            try await group.waitForAll()
        }
        let approved = try await rig.number("SELECT count(*) AS n FROM intents")
        #expect(approved > 20)
        #expect(
            try await rig.number(
                "SELECT max(s)::int8 AS n FROM (SELECT sum(amount) AS s FROM reservations GROUP BY game_id) AS g")
                <= Money.dollars(50).microdollars)
        #expect(
            try await rig.number(
                "SELECT max(s)::int8 AS n FROM (SELECT sum(amount) AS s FROM reservations GROUP BY sport) AS g")
                <= Money.dollars(200).microdollars)
        #expect(try await rig.number("SELECT count(*) AS n FROM signals") == 200)
        #expect(try await rig.number("SELECT value AS n FROM daily_stats WHERE key = 'signals'") == 200)
    }

    @Test func `rules come from the database, and one that cannot be read blocks everything`() async throws {
        let rig = try await Rig()
        let rules = RuleStore(pool: rig.pool, log: .init(label: "test"))
        func add(_ id: String, _ conditions: String, _ action: String) async throws {
            try await rig.pool.execute(
                """
                INSERT INTO trading_rules (rule_id, kind, conditions, action, status)
                VALUES (\(id), 'operator', \(.jsonText(conditions)), \(.jsonText(action)), 'active')
                """)
        }
        try await add("a", #"[{"field":"sport","comparison":"==","text":"nba"}]"#, #"{"type":"reject"}"#)
        try await add("b", "[]", #"{"type":"min_edge","min_edge_pct":20}"#)
        #expect(
            try await rules.load() == [
                TradingRule(id: "a", conditions: [.init(.sport, .equal, .text("nba"))], action: .reject),
                TradingRule(id: "b", conditions: [], action: .minimumEdge(basisPoints: 2_000)),
            ])
        try await add("c", #"[{"field":"sprot","comparison":"==","text":"nba"}]"#, #"{"type":"reject"}"#)
        #expect(try await rules.load().last == TradingRule(id: "c", conditions: [], action: .reject))
    }
}
