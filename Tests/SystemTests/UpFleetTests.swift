import Foundation
import Runtime
import Servers
import TestKit
import Testing

/// `linesman up` with the real executables.
@Suite(.processes) struct UpFleetTests {
    // Not a replay: nothing may depend on a replay's speed.
    @Test(.timeLimit(.minutes(4)))
    func `every process also starts without a replay, with a second orchestrator, and stops in time`() async throws {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                var fleet = try RealFleet()
                let live = ["REPLAY_SPEED": "0", "PAPER_VENUE_URL": "", "ESPN_BASE_URL": "http://127.0.0.1:9/none"]
                try await fleet.startUp(
                    redis: redis.url, database: database.url, ["--shards", "2", "--standby"], live)
                let running = fleet
                try await eventually(within: .seconds(120), "all run") { running.upSaid(": running") == 7 }
                #expect(running.upSaid("ended with") == 0, "\(running.log("linesman"))")
                #expect(running.upSaid(" answers") == 2, "Redis and PostgreSQL")
                let ends = await fleet.stop()
                #expect(ends["linesman"] == .exited(0))
                #expect(running.upPIDs.allSatisfy { kill($0, 0) != 0 })
            }
        }
    }

    // CHECKLIST R103, N23, N34.
    @Test(.timeLimit(.minutes(6)))
    func `a killed shard and a frozen service come back, the game is watched again, and everything stops`()
        async throws
    {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                var fleet = try RealFleet()
                let more = ["RESTART_BACKOFF_SECS": "0.2", "SUPERVISOR_CHECK_INTERVAL_SECS": "2"]
                try await fleet.startUp(redis: redis.url, database: database.url, ["--shards", "1"], more)
                let running = fleet
                try await eventually(within: .seconds(120), "a game is watched") { try await running.isWatching }
                try await fleet.startGame()

                kill(try #require(running.upPID("shard-01")), SIGKILL)
                try await eventually(within: .seconds(60), "the shard is started again") {
                    running.upSaid("shard-01: running") == 2
                }
                try await eventually(within: .seconds(60), "the game is watched again") {
                    try await running.isWatching
                }
                kill(try #require(running.upPID("signal-processor")), SIGSTOP)
                try await eventually(within: .seconds(90), "the frozen one is started again") {
                    running.upSaid("signal-processor: running") == 2
                }
                #expect(running.upSaid("signal-processor: hangs") == 1)
                // Redis away: the processes live on, and say so to their supervisor.
                redis.pause()
                try await eventually(within: .seconds(60), "Redis is missed") {
                    running.log("market-discovery").contains("redis connection lost")
                }
                redis.resume()
                try await eventually(within: .seconds(60), "all is well") {
                    try await running.status()?.isAllWell == true
                }
                #expect(running.upSaid(": hangs") == 1, "\(running.log("linesman"))")

                let pids = running.upPIDs
                let ends = await fleet.stop()
                #expect(ends["linesman"] == .exited(0))
                #expect(pids.count == 7 && pids.allSatisfy { kill($0, 0) != 0 })
            }
        }
    }
}

extension RealFleet {
    fileprivate var isWatching: Bool {
        get async throws {
            guard let status = try await status() else { return false }
            return status.isAllWell
                && status.fleet.games.contains { $0.state == "watched" && $0.shard == "shard-01" }
        }
    }

    fileprivate func upSaid(_ words: String) -> Int {
        log("linesman").split(separator: "\n").count { $0.contains(words) }
    }

    private static func pid(in line: Substring) -> Int32? {
        guard let range = line.range(of: ", pid "), line.contains(": started") else { return nil }
        return Int32(line[range.upperBound...].prefix { $0.isNumber })
    }

    /// Of all lives.
    fileprivate var upPIDs: [Int32] { log("linesman").split(separator: "\n").compactMap { Self.pid(in: $0) } }

    /// Of the last life.
    fileprivate func upPID(_ name: String) -> Int32? {
        log("linesman").split(separator: "\n").last { $0.contains(" \(name): started") }.flatMap { Self.pid(in: $0) }
    }
}

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif
