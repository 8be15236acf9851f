import Foundation
import Runtime
import Servers
import TestKit
import Testing

/// The real executables, and a venue at which both teams of one game cost ninety cents together (CHECKLIST N13, N14).
@Suite struct ArbitrageTests {
    private static let recording = """
        linesman-recording\t1
        name\tplanted
        attribution\tmade for a test
        synthetic\tall of it
        game\t401869369\tnba\t2026-04-20T23:00:00.000000Z\tCLE\tCleveland Cavaliers\tTOR\tToronto Raptors
        start\t2026-04-20T23:10:00.000000Z
        market\tKXNBAGAME-26APR20TORCLE-CLE\tkalshi\tKXNBAGAME-26APR20TORCLE\thome\tlinear_cent\t1.0000\
        \tToronto vs Cleveland Winner?
        market\tKXNBAGAME-26APR20TORCLE-TOR\tkalshi\tKXNBAGAME-26APR20TORCLE\taway\tlinear_cent\t0.0000\
        \tToronto vs Cleveland Winner?
        depth\t3\t40\t10
        facts\t10
        0\tstatus\tlive\t1\t600.0\t5\t3
        0\tquote\t0\t0.4400\t0.4500
        0\tquote\t1\t0.4400\t0.4500
        30000000\tquote\t0\t0.4900\t0.5100
        30000000\tquote\t1\t0.4900\t0.5100
        60000000\tstatus\tfinal\t4\t0.0\t5\t3
        61000000\tclosed\t0
        61000000\tclosed\t1
        62000000\tsettled\t0
        62000000\tsettled\t1

        """

    @Test(.timeLimit(.minutes(5)))
    func `both sides of a game that cost less than a dollar become even positions, and pay whoever wins`()
        async throws
    {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                @Sendable func text(_ sql: String) async throws -> String { try await database.run(sql: sql) }
                var starting = try RealFleet()
                let file = "\(starting.folder.path)/planted.recording"
                try Self.recording.write(toFile: file, atomically: true, encoding: .utf8)
                try await starting.start(
                    redis: redis.url, database: database.url, recording: file,
                    [
                        // No model trades beside it.
                        "MIN_EDGE_PCT": "100", "SETTLEMENT_POLL_MS": "500", "DISCOVERY_INTERVAL_SECS": "2",
                    ])
                let fleet = starting
                try await eventually(within: .seconds(90), "all is well") {
                    try await fleet.status()?.isAllWell == true
                }
                try await eventually(within: .seconds(60), "the game is watched") {
                    try await text("SELECT state FROM assignments") == "assigned"
                }
                try await fleet.startGame()
                do {
                    try await eventually(within: .seconds(60), "a plan is complete") {
                        try await text("SELECT ending FROM plans").contains("complete")
                    }
                } catch {
                    for service in RealFleet.services {
                        for line in fleet.log(service).split(separator: "\n").suffix(30) {
                            LogOutput.standardError.line("\(service): \(line)")
                        }
                    }
                    throw error
                }
                try await eventually(within: .seconds(90), "everything is paid out") {
                    try await text("SELECT 'settled=' || count(*) FROM positions WHERE state = 'settled'")
                        .contains("settled=2")
                }
                let uneven = """
                    SELECT 'uneven=' || count(*) FROM (SELECT i.plan_id FROM intents i JOIN orders o USING (intent_id)
                        WHERE i.plan_id IS NOT NULL GROUP BY i.plan_id
                        HAVING sum(CASE WHEN (i.leg = 1) = (o.action = 'buy') THEN o.filled ELSE -o.filled END) <> 0
                        ) AS plan
                    """
                #expect(try await text(uneven).contains("uneven=0"))
                #expect(
                    try await text("SELECT 'open=' || count(*) FROM plans WHERE state <> 'finished' OR result < 0")
                        .contains("open=0"))
                #expect(
                    try await text("SELECT 'held=' || count(*) FROM reservations WHERE state = 'held'")
                        .contains("held=0"))
                let earned = "SELECT 'right=' || (realised - fees = (SELECT sum(result) FROM plans)) FROM bankroll"
                #expect(try await text(earned).contains("right=true"), "what the plans said they earn is earned")
                let ends = await fleet.stop()
                #expect(ends.values.allSatisfy { $0 == .exited(0) }, "\(ends)")
            }
        }
    }
}
