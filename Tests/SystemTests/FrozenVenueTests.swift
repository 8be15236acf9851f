import Foundation
import Runtime
import Servers
import TestKit
import Testing

/// A venue that freezes under the real executables while the scores go on (CHECKLIST N19).
@Suite(.processes) struct FrozenVenueTests {
    /// A market that a model finds far too cheap for three hours; its bid moves, its ask does not.
    private static var recording: String {
        var lines = [
            "linesman-recording\t1", "name\tfrozen", "attribution\tmade for a test", "synthetic\tall of it",
            "game\t401869369\tnba\t2026-04-20T23:00:00.000000Z\tCLE\tCleveland Cavaliers\tTOR\tToronto Raptors",
            "start\t2026-04-20T23:10:00.000000Z",
            "market\tKXNBAGAME-26APR20TORCLE-CLE\tkalshi\tKXNBAGAME-26APR20TORCLE\thome\tlinear_cent\t1.0000"
                + "\tToronto vs Cleveland Winner?",
            "market\tKXNBAGAME-26APR20TORCLE-TOR\tkalshi\tKXNBAGAME-26APR20TORCLE\taway\tlinear_cent\t0.0000"
                + "\tToronto vs Cleveland Winner?",
            "depth\t3\t40\t10",
        ]
        var facts: [String] = []
        for step in 0..<2_160 {
            let at = step * 5_000_000
            if step % 12 == 0 { facts.append("\(at)\tstatus\tlive\t3\t\(719 - step / 4).0\t70\t60") }
            facts.append("\(at)\tquote\t0\t\(step % 2 == 0 ? "0.4800" : "0.4900")\t0.5000")
            facts.append("\(at)\tquote\t1\t0.5000\t0.5200")
        }
        facts.append("10800000000\tstatus\tfinal\t4\t0.0\t70\t60")
        lines.append("facts\t\(facts.count)")
        return (lines + facts).joined(separator: "\n") + "\n"
    }

    /// Small orders without end, and a book that may be 30 s old, all in venue time at twenty times the speed.
    private static let settings = [
        "SIGNAL_DEBOUNCE_SECS": "5", "MAX_ENTRIES_PER_SIDE": "1000", "MAX_GAME_EXPOSURE": "900",
        "MAX_SPORT_EXPOSURE": "900", "MAX_POSITION_PER_MARKET": "900", "MAX_ORDER_SIZE": "2",
        "MAX_ORDERS_PER_MINUTE": "100000", "MAX_ORDERS_PER_HOUR": "1000000",
        "MAX_ORDERS_PER_DAY": "10000000", "PRICE_STALENESS_TTL": "30",
        "SIGNAL_LIFE_SECS": "60", "DISCOVERY_INTERVAL_SECS": "2", "NON_ACCEPTANCE_WAIT_SECS": "4",
        "ORDER_SUBMIT_TIMEOUT_MS": "1000", "UNKNOWN_ORDER_POLL_MS": "200",
    ]

    private struct Desk {
        let fleet: RealFleet
        let database: TestDatabase

        func number(_ sql: String) async throws -> Int64 {
            let text = try await database.run(sql: sql).trimmingCharacters(in: .whitespacesAndNewlines)
            return try #require(Int64(text), "\(sql): \(text)")
        }

        /// Decided and sent after a venue time.
        func signals(after at: Int64) async throws -> Int64 {
            try await number("SELECT count(*) FROM signals WHERE venue_created_at > \(at)")
        }
        func orders(after at: Int64) async throws -> Int64 {
            try await number("SELECT count(*) FROM orders WHERE venue_at > \(at)")
        }

        /// How often the shard refused a signal because it had no book that may be traded on.
        func refusals() async throws -> Int {
            let text = try await fleet.get("game-shard", "/metrics").body
            return text.matches(of: /shard_no_signal_total\{kind="(?:staleBook|noBook)"\} (\d+)/)
                .reduce(0) { $0 + (Int($1.1) ?? 0) }
        }
    }

    @Test(.timeLimit(.minutes(10)))
    func `no order is decided on a book older than its time, none is sent twice, and all goes on after the thaw`()
        async throws
    {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                var starting = try RealFleet()
                let file = "\(starting.folder.path)/frozen.recording"
                try Self.recording.write(toFile: file, atomically: true, encoding: .utf8)
                try await starting.start(
                    redis: redis.url, database: database.url, speed: 20, recording: file, Self.settings)
                let fleet = starting
                let desk = Desk(fleet: fleet, database: database)
                try await eventually(within: .seconds(90), "all is well") {
                    try await fleet.status()?.isAllWell == true
                }
                try await eventually(within: .seconds(60), "the game is watched") {
                    try await database.run(sql: "SELECT state FROM assignments").contains("assigned")
                }
                try await fleet.startGame()
                try await eventually(within: .seconds(90), "orders flow") {
                    try await desk.number("SELECT count(*) FROM orders WHERE state = 'filled'") >= 3
                }
                let before = try await desk.refusals()

                try await fleet.arm(#"{"kind":"mute"}"#)
                try await fleet.arm(#"{"kind":"hang","target":"/trade-api","count":100000}"#)
                let frozen = try await fleet.venueTime()
                // The 30 s that a book may be old, and as much again for the machine's own hesitation.
                let latest = frozen + 60_000_000
                try await eventually(within: .seconds(120), "the scores go on for five minutes") {
                    try await fleet.venueTime() > frozen + 300_000_000
                }
                try await eventually(within: .seconds(60), "the shard says why there is no signal") {
                    try await desk.refusals() > before
                }
                try await eventually(within: .seconds(60), "whoever looks is told that not all is well") {
                    try await fleet.status()?.isAllWell == false
                }
                let thawed = try await fleet.venueTime()
                #expect(try await desk.signals(after: latest) == 0)
                #expect(try await desk.orders(after: latest) == 0)
                #expect(
                    try await desk.number("SELECT count(*) FROM game_states WHERE venue_at > \(latest)") > 0,
                    "the scores themselves were heard")

                try await fleet.disarm()
                try await eventually(within: .seconds(120), "orders flow again, and none is unknown") {
                    let unknown = "SELECT count(*) FROM orders WHERE state = 'unknown'"
                    let open = try await desk.number(unknown)
                    return try await desk.orders(after: thawed) >= 3 && open == 0
                }
                try await eventually(within: .seconds(60), "all is well again") {
                    try await fleet.status()?.isAllWell == true
                }
                try await fleet.arm(#"{"kind":"sequenceGap","target":"orderbook_delta"}"#)
                try await eventually(within: .seconds(60), "the gap is seen, and the book fetched afresh") {
                    try await fleet.get("game-shard", "/metrics").body.contains(#"code="gap"} "#)
                }
                let gap = try await fleet.venueTime()
                try await eventually(within: .seconds(60), "and orders flow on") {
                    try await desk.orders(after: gap) >= 3
                }
                // What was on its way at the freeze reached the venue once or not at all.
                let twice = """
                    SELECT count(*) FROM (SELECT intent_id FROM orders WHERE coalesce(reason, '') <> 'not_accepted'
                        GROUP BY intent_id HAVING count(*) > 1) AS twice
                    """
                #expect(try await desk.number(twice) == 0)
                let late = "SELECT count(*) FROM orders WHERE sent_at > closed_at"
                #expect(try await desk.number(late) == 0)
                let ends = await fleet.stop()
                #expect(ends.values.allSatisfy { $0 == .exited(0) }, "\(ends)")
            }
        }
    }
}
