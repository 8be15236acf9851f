import Domain
import Hosting
import Runtime
import SignalProcessorEngine
import Testing

@testable import SignalProcessor

/// Limits that a person changes while orders flow (CHECKLIST H37).
struct LimitChangeTests {
    private func change(_ key: String, to value: String, _ rig: Rig) async throws -> Int64 {
        try await rig.pool.transaction("change") {
            try await RuntimeLimits.set(key, to: value, reason: "a test", by: "test", $0)
        }
    }

    private func untilTaken(_ row: Int64, _ rig: Rig) async throws {
        try await eventually("the change is taken") {
            try await RuntimeLimits.takers(since: row, rig.pool) == ["signal-processor/1"]
        }
    }

    /// Contracts approved for a signal, and 0 for one that was refused.
    private func contracts(_ signal: String, _ rig: Rig) async throws -> Int64 {
        try await eventually("\(signal) is decided") {
            try await rig.number("SELECT count(*) AS n FROM signals WHERE signal_id = \(signal)") == 1
        }
        return try await rig.number(
            "SELECT coalesce(sum(quantity), 0)::int8 / 100 AS n FROM intents WHERE signal_id = \(signal)")
    }

    @Test(arguments: [(nil, 10), ("0.25", 25), ("0.29", 29), ("1", 100)] as [(String?, Int64)])
    func `the part of every size that is traded with real money is read from the settings`(
        fraction: String?, percent: Int64
    ) throws {
        var environment = ["DATABASE_URL": "postgres://linesman@127.0.0.1/linesman"]
        environment["LIVE_SIZE_FRACTION"] = fraction
        let paper = try RuntimeLimits.settings([:], over: environment, nil)
        #expect(TradingLimits(paper).sizePercent == 100)
        environment.merge(["PAPER_TRADING": "false", "LIVE_TRADING_AUTHORIZED": "true"]) { $1 }
        let live = try RuntimeLimits.settings([:], over: environment, nil)
        #expect(TradingLimits(live).sizePercent == percent)
    }

    @Test func `a changed limit counts for the next signal, over a restart, until it is taken back`() async throws {
        try await withOrderPath { path in
            let rig = path.rig
            for game in ["game-2", "game-3", "game-4"] as [GameID] { try await rig.addGame(game) }
            path.startSignalProcessor()
            try await path.publish(rig.signal("s1"))
            // $50 a game.
            #expect(try await contracts("s1", rig) == 96)
            let row = try await change("MAX_GAME_EXPOSURE", to: "25", rig)
            try await untilTaken(row, rig)
            try await path.publish(rig.signal("s2", game: "game-2"))
            #expect(try await contracts("s2", rig) == 48)

            await path.stop()
            path.startSignalProcessor()
            try await path.publish(rig.signal("s3", game: "game-3"))
            #expect(try await contracts("s3", rig) == 48, "a restart forgets nothing")

            let back = try await rig.pool.transaction("reset") {
                try await RuntimeLimits.reset("MAX_GAME_EXPOSURE", reason: "enough", by: "test", $0)
            }
            try await untilTaken(try #require(back), rig)
            try await path.publish(rig.signal("s4", game: "game-4"))
            #expect(try await contracts("s4", rig) == 96)
            let told = try await rig.text(
                """
                SELECT string_agg(concat_ws(' ', details->>'limit', details->>'before', details->>'value',
                    details->>'reason', details->>'by'), ', ' ORDER BY id) AS t
                FROM audit_log WHERE event = 'limit_changed'
                """)
            #expect(
                told == "MAX_GAME_EXPOSURE as configured 25 a test test, "
                    + "MAX_GAME_EXPOSURE 25 as configured enough test")
        }
    }

    @Test func `what is not valid, however it came in, changes nothing and is told of; the others hold`() async throws {
        try await withOrderPath { path in
            let rig = path.rig
            for game in ["game-2", "game-3"] as [GameID] { try await rig.addGame(game) }
            path.startSignalProcessor()
            try await untilTaken(change("MAX_GAME_EXPOSURE", to: "25", rig), rig)
            // Past the command, which would have refused them.
            _ = try await change("MAX_GAME_EXPOSURE", to: "2500", rig)
            _ = try await change("PAPER_TRADING", to: "0", rig)
            try await untilTaken(change("MAX_ORDER_SIZE", to: "12", rig), rig)
            for key in ["MAX_GAME_EXPOSURE", "PAPER_TRADING"] { try await path.untilAlert("limitRefused:\(key)") }
            try await path.publish(rig.signal("s1"))
            #expect(try await contracts("s1", rig) == 24, "the order's limit holds")
            try await untilTaken(change("MAX_ORDER_SIZE", to: "100", rig), rig)
            try await path.publish(rig.signal("s2", game: "game-2"))
            #expect(try await contracts("s2", rig) == 48, "and the last good one of the game")
            try await rig.pool.execute("DELETE FROM trading_rules WHERE kind = 'limit'")
            try await eventually("told that it is over") { try path.alerts("limitRefused:PAPER_TRADING") == 2 }
            try await path.publish(rig.signal("s3", game: "game-3"))
            #expect(try await contracts("s3", rig) == 96)
        }
    }

    @Test func `a daily loss that is made tighter halts at once`() async throws {
        try await withOrderPath { path in
            let rig = path.rig
            path.startSignalProcessor(["DAILY_LOSS_INTERVAL_SECS": "0.05"])
            try await path.publish(rig.signal("s1"))
            // Its clock begins with what is stored.
            #expect(try await contracts("s1", rig) == 96)
            path.startExecution()
            try await path.untilOrder(.filled)
            path.venue.settle("game-1-HOME", at: .zero)
            try await eventually("lost") {
                try await rig.text("SELECT state AS t FROM positions") == "settled"
            }
            #expect(try await rig.number("SELECT count(*) AS n FROM kill_switch WHERE engaged") == 0)
            try await untilTaken(change("MAX_DAILY_LOSS", to: "20", rig), rig)
            try await path.untilAlert("dailyLossExceeded")
            try await eventually("engaged") {
                try await rig.number("SELECT count(*) AS n FROM kill_switch WHERE engaged") == 1
            }
        }
    }
}
