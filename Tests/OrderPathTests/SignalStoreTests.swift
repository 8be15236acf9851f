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
}
