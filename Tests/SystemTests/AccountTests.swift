import Foundation
import Runtime
import Servers
import TestKit
import Testing

/// Which account a database trades for, seen and changed from the command line (CHECKLIST R89, decision 0081).
@Suite(.processes) struct AccountTests {
    private static let live = ["PAPER_TRADING": "false", "LIVE_TRADING_AUTHORIZED": "true"]

    @Test(.timeLimit(.minutes(5)))
    func `flags of the other account do not start, and a change ends those that run`() async throws {
        try await withOwnPostgres { postgres in
            try await withOwnRedis { redis in
                let database = postgres.url(database: "linesman")
                try await SmallSuite.with(redis: redis.url, database: database) { suite in
                    let environment = Executable.environment(
                        temporary: suite.folder.path, ["DATABASE_URL": database, "INITIAL_BANKROLL": "250"])

                    @Sendable func account(
                        _ arguments: String...
                    ) async throws -> (code: ChildProcess.ExitStatus, output: String) {
                        let (code, output) = try await ChildProcess.run(
                            Executable.path("linesman"), ["account"] + arguments, environment: environment,
                            timeout: .seconds(60))
                        return (code, output)
                    }

                    let paper = try suite.spawn("signal-processor", as: "paper", ["SERVICE_INSTANCE": "1"])
                    try await eventually(within: .seconds(60), "the account is open") {
                        try await account().output.contains("paper    trades")
                    }
                    #expect(try await account().output.contains("open: nothing"))
                    let early = try suite.spawn("signal-processor", as: "early", Self.live)
                    #expect(await early.wait() == .exited(78))
                    #expect(suite.log("early").contains("this database trades for the paper account"))
                    #expect(suite.log("early").contains("linesman account use live"))

                    #expect(try await account("use", "live").code == .exited(64), "no reason")
                    #expect(try await account("use", "real", "--reason", "a test").code == .exited(64), "no such one")
                    let planted = """
                        INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation,
                            scheduled_at, status) VALUES ('g', 'nba', 'Home', 'HOM', 'Away', 'AWY', 1, 'live');
                        INSERT INTO market_mappings (market_id, venue, game_id, event_ticker, title, outcome_team,
                            price_step, status) VALUES ('m', 'kalshi', 'g', 'E', 'T', 'home', 'linear_cent', 'active');
                        INSERT INTO positions (market_id, game_id, net_quantity) VALUES ('m', 'g', 100)
                        """
                    _ = try await postgres.run(sql: planted, database: "linesman")
                    let open = try await account("use", "live", "--reason", "a test")
                    #expect(open.code == .exited(75) && open.output.contains("1 positions"), "\(open.output)")
                    _ = try await postgres.run(
                        sql: "UPDATE positions SET net_quantity = 0, state = 'closed'", database: "linesman")

                    let used = try await account("use", "live", "--reason", "the first real day")
                    #expect(used.code == .exited(0), "\(used.output)")
                    #expect(await paper.wait() == .exited(0))
                    #expect(suite.log("paper").contains("the database trades for another account"))
                    let shown = try await account().output
                    #expect(shown.contains("live     trades   cash 250.000000"), "\(shown)")
                    let late = try suite.spawn("signal-processor", as: "late", ["SERVICE_INSTANCE": "1"])
                    #expect(await late.wait() == .exited(78))
                    let live = try suite.spawn("signal-processor", as: "live", Self.live)
                    try await eventually(within: .seconds(60), "it takes part") {
                        suite.log("live").contains("trading rules read")
                    }
                    #expect(await live.terminate() == .exited(0))
                    let audited = "SELECT details->>'reason' FROM audit_log WHERE event = 'account_changed'"
                    #expect(try await postgres.run(sql: audited, database: "linesman").contains("the first real day"))
                }
            }
        }
    }
}
