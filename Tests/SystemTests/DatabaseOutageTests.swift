import Foundation
import Runtime
import Servers
import TestKit
import Testing

/// PostgreSQL goes away and comes back under the real executables.
@Suite(.serialized, .processes) struct DatabaseOutageTests {
    private struct Alert: Decodable {
        let kind: String
        let state: String
    }

    private func alerts(_ fleet: RealFleet) -> [Alert] {
        let data = FileManager.default.contents(atPath: "\(fleet.folder.path)/alerts.log") ?? Data()
        return data.split(separator: 0x0A).compactMap { try? JSONDecoder().decode(Alert.self, from: $0) }
            .filter { $0.kind == "DatabaseConnectivityIssue" }
    }

    /// Bytes of rows that wait on disk.
    private func waiting(_ fleet: RealFleet) -> Int {
        let folder = "\(fleet.folder.path)/journal/game-shard-shard-01"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { $0.hasSuffix(".journal") }.reduce(0) { sum, name in
            sum + (FileManager.default.contents(atPath: "\(folder)/\(name)")?.count ?? 0)
        }
    }

    private func count(_ postgres: PrivatePostgres, _ sql: String) async throws -> Int {
        let text = try await postgres.run(sql: "SELECT 'count=' || (\(sql))", database: "linesman")
        let digits = text.split(separator: "=").last?.prefix { $0.isNumber } ?? ""
        return try #require(Int(digits), "\(text)")
    }

    // CHECKLIST R34, R27, R28, N22.
    @Test(.timeLimit(.minutes(5)))
    func `PostgreSQL goes away under all five services, which live on, say so, and lose no row`() async throws {
        try await withOwnPostgres { postgres in
            try await withOwnRedis { redis in
                var starting = try RealFleet()
                try await starting.start(
                    redis: redis.url, database: postgres.url(database: "linesman"), speed: 60,
                    [
                        "DB_HEALTH_CHECK_INTERVAL_SECS": "0.5", "DB_HEALTH_ALERT_THRESHOLD": "3",
                        "DISCOVERY_INTERVAL_SECS": "1",
                    ])
                let fleet = starting
                try await eventually(within: .seconds(90), "all is well") {
                    try await fleet.status()?.isAllWell == true
                }
                try await fleet.startGame()
                let states = "SELECT count(*) FROM game_states"
                try await eventually(within: .seconds(60), "the game is recorded") {
                    try await count(postgres, states) >= 5
                }
                let pids = fleet.processes.mapValues(\.processID)
                await postgres.kill()

                // Said, by everybody; and heard, because heartbeats go on.
                try await eventually(within: .seconds(20), "every service says that it is degraded") {
                    guard let status = try await fleet.status(), status.checks["database"] == false else {
                        return false
                    }
                    let members = status.fleet.shards + status.fleet.services
                    return members.count >= 5
                        && members.allSatisfy {
                            $0.status == "degraded" && $0.failedChecks.contains("database") && $0.heardMsAgo < 2_000
                        }
                }
                try await eventually(within: .seconds(60), "the operator is told") {
                    alerts(fleet).contains { $0.state == "firing" }
                }
                for attempt in 1...3 { #expect(fleet.log("orchestrator").contains("\(attempt) of 3")) }
                try await eventually(within: .seconds(60), "rows wait on disk") { waiting(fleet) > 0 }
                #expect(fleet.areAllRunning)

                try await postgres.startAgain()
                let restarted = try await count(postgres, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8")
                try await eventually(within: .seconds(60), "all is well again") {
                    try await fleet.status()?.isAllWell == true
                }
                try await eventually(within: .seconds(20), "the operator is told that too") {
                    alerts(fleet).contains { $0.state == "recovered" }
                }
                try await eventually(within: .seconds(30), "what waited is stored") { waiting(fleet) == 0 }
                let late = try await count(
                    postgres, "\(states) WHERE at >= to_timestamp(\(restarted) / 1000.0) - interval '1 second'")
                #expect(late > 0)
                #expect(fleet.log("game-shard").contains("journal stored"))
                #expect(!fleet.log("game-shard").contains("rows not kept"))
                for service in RealFleet.services {
                    #expect(fleet.log(service).contains("outage_ms"), "\(service) announces the recovery")
                }
                #expect(fleet.processes.mapValues(\.processID) == pids)
                let ends = await fleet.stop()
                #expect(ends.values.allSatisfy { $0 == .exited(0) }, "\(ends)")
            }
        }
    }
}
