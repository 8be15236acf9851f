import Foundation
import Runtime
import Servers
import TestKit
import Testing

/// A limit changed from the command line while the real processes run (CHECKLIST H37).
@Suite(.processes) struct LimitsTests {
    @Test(.timeLimit(.minutes(5)))
    func `a bad value is refused and changes nothing, a good one counts at once, and both are written down or not`()
        async throws
    {
        try await withOwnPostgres { postgres in
            try await withOwnRedis { redis in
                let database = postgres.url(database: "linesman")
                try await SmallSuite.with(redis: redis.url, database: database) { suite in
                    let environment = Executable.environment(
                        temporary: suite.folder.path, ["DATABASE_URL": database])

                    @Sendable func limits(
                        _ arguments: String...
                    ) async throws -> (code: ChildProcess.ExitStatus, output: String) {
                        let (code, output) = try await ChildProcess.run(
                            Executable.path("linesman"), ["limits"] + arguments, environment: environment,
                            timeout: .seconds(60))
                        return (code, output)
                    }

                    try suite.spawn("signal-processor", as: "signal-processor", ["SERVICE_INSTANCE": "1"])
                    try await eventually(within: .seconds(60), "the tables are there") {
                        try await limits().code == .exited(0)
                    }
                    for (limit, value, word) in [
                        ("MAX_GAME_EXPOSURE", "plenty", "MAX_GAME_EXPOSURE"),
                        ("MAX_GAME_EXPOSURE", "500", "a game's limit must not be above its sport's"),
                        ("MAX_DAILY_LOSS", "-5", "MAX_DAILY_LOSS"),
                        ("LIVE_TRADING_AUTHORIZED", "true", "cannot be changed while the suite runs"),
                    ] {
                        let refused = try await limits("set", "\(limit)=\(value)", "--reason", "a test")
                        #expect(refused.code == .exited(78), "\(refused.output)")
                        #expect(refused.output.contains(word), "\(refused.output)")
                    }
                    #expect(try await limits("set", "MAX_GAME_EXPOSURE=25").code == .exited(64), "no reason")
                    #expect(try await limits("set", "25", "--reason", "a test").code == .exited(64), "no limit")
                    let audited = "SELECT count(*) FROM audit_log WHERE event = 'limit_changed'"
                    #expect(try await postgres.run(sql: audited, database: "linesman").contains("0"))

                    let set = try await limits("set", "MAX_GAME_EXPOSURE=25", "--reason", "a quiet night")
                    #expect(set.code == .exited(0), "\(set.output)")
                    #expect(set.output.contains("taken by signal-processor/1"), "\(set.output)")
                    #expect(suite.log("signal-processor").contains("limits taken"))
                    let shown = try await limits().output
                    let line = shown.split(separator: "\n").first { $0.hasPrefix("MAX_GAME_EXPOSURE ") }
                    #expect(line?.contains("25") == true && line?.contains("a quiet night") == true, "\(shown)")

                    let processor = try suite.process("signal-processor")
                    processor.signal(SIGKILL)
                    _ = await processor.wait()
                    let alone = try await limits(
                        "set", "MIN_EDGE_PCT=20", "--reason", "nobody there", "--within", "0")
                    #expect(alone.code == .exited(75), "\(alone.output)")
                    try suite.spawn("signal-processor", as: "signal-processor", ["SERVICE_INSTANCE": "1"])
                    try await eventually(within: .seconds(60), "the next life takes both") {
                        suite.log("signal-processor").contains("limits taken")
                    }
                    let back = try await limits("reset", "MIN_EDGE_PCT", "--reason", "over")
                    #expect(back.code == .exited(0), "\(back.output)")
                    #expect(try await limits("reset", "MIN_EDGE_PCT", "--reason", "over").code == .exited(75))
                }
            }
        }
    }
}
