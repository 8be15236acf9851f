import Foundation
import Runtime
import Servers
import TestKit
import Testing

/// The system monitor of the real orchestrator, and what arrives at the sink.
@Suite(.serialized, .processes) struct MonitorTests {
    private static let fleet = ["market-discovery", "shard-01", "shard-02", "orchestrator-1"]

    private func start(_ suite: SmallSuite) throws {
        try suite.spawn("market-discovery")
        try suite.spawnShard("shard-01")
        try suite.spawnShard("shard-02")
        try suite.spawnOrchestrator("1")
    }

    private func startHealthy(_ suite: SmallSuite) async throws {
        try start(suite)
        try await untilHealthy(suite)
    }

    private func untilHealthy(_ suite: SmallSuite) async throws {
        try await eventually(within: .seconds(60), "all four checks are healthy") {
            try await suite.status("orchestrator-1")?.isAllHealthy == true
        }
    }

    private func states(_ suite: SmallSuite) async throws -> [String: String] {
        try await suite.status("orchestrator-1")?.states ?? [:]
    }

    // CHECKLIST R12, R15, R21, R22, R23.
    @Test(.timeLimit(.minutes(6)))
    func `a quiet fleet alerts nobody; all shards gone, and discovery gone, are told once each, and so is their end`()
        async throws
    {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                try await SmallSuite.with(redis: redis.url, database: database.url) { suite in
                    try start(suite)
                    try await eventually(within: .seconds(60), "all four checks are healthy") {
                        guard let status = try await suite.status("orchestrator-1") else { return false }
                        return status.isAllHealthy && status.fleet.shards.count == 2
                    }
                    let first = try #require(try await suite.status("orchestrator-1")).monitor.checks.map(\.at)
                    try await eventually(within: .seconds(60), "three more looks though nothing changes") {
                        let later = try await suite.status("orchestrator-1")?.monitor.checks.map(\.at) ?? []
                        return later.count == 4 && zip(later, first).allSatisfy { $0 - $1 >= 3_000_000 }
                    }
                    #expect(suite.world.requests == 0 && suite.alerts(in: "alerts.log").isEmpty)
                    // A starved machine may be unsure for a moment.
                    try await eventually(within: .seconds(60), "the metrics say that all four are well") {
                        guard let metrics = try await suite.get("orchestrator-1", "/metrics")?.body else {
                            return false
                        }
                        return metrics.contains("system_monitor_cycle_seconds_count")
                            && ["shards", "redis", "postgres", "discovery"].allSatisfy { check in
                                metrics.contains("system_monitor_state{check=\"\(check)\"} 1")
                            }
                    }
                    let ready = try await suite.get("orchestrator-1", "/readyz")
                    let live = try await suite.get("orchestrator-1", "/healthz")
                    #expect(ready?.status == 200 && live?.status == 200)
                    let shown = try await suite.shown("orchestrator-1")
                    #expect(shown.contains("monitor every 1.0 s") && shown.contains("2 of 2 shards serve"), "\(shown)")

                    for shard in ["shard-01", "shard-02"] { _ = try await suite.process(shard).kill9() }
                    try await eventually(within: .seconds(60), "the sink") {
                        suite.world.count("AllShardsUnhealthy", "firing") == 1
                    }
                    let alert = try #require(suite.world.heard.first { $0.kind == "AllShardsUnhealthy" })
                    #expect(alert.detail["total_shards"] == "2" && alert.detail["dead_shards"] == "2")
                    try await eventually("the page says so") { try await states(suite)["shards"] == "unhealthy" }
                    _ = try await suite.process("market-discovery").kill9()
                    try await eventually(within: .seconds(60), "discovery is missed") {
                        suite.world.count("NoMarketDiscoveryServices", "firing") == 1
                    }
                    for shard in ["shard-01", "shard-02"] { try suite.spawnShard(shard) }
                    try suite.spawn("market-discovery")
                    try await eventually(within: .seconds(60), "both are back") {
                        suite.world.count("AllShardsUnhealthy", "recovered") == 1
                            && suite.world.count("NoMarketDiscoveryServices", "recovered") == 1
                    }
                    try await untilHealthy(suite)
                    #expect(suite.world.heard.count == 4, "\(suite.world.heard)")
                }
            }
        }
    }

    // CHECKLIST R13, R14, R20: at the sink, though Redis, the database and then both are away.
    @Test(.timeLimit(.minutes(6)))
    func `the database and Redis are told once each while away, and a sink that fails hears of it later`()
        async throws
    {
        try await withOwnPostgres { postgres in
            try await withOwnRedis { redis in
                // Who comes back after an outage has the time that it has by default.
                let patience = ["SERVICE_TIMEOUT_SECS": "10"]
                let quick = ["DB_HEALTH_CHECK_INTERVAL_SECS": "0.3", "DB_HEALTH_ALERT_THRESHOLD": "3"]
                    .merging(patience) { $1 }
                try await SmallSuite.with(
                    redis: redis.url, database: postgres.url(database: "linesman"), quick
                ) { suite in
                    try await startHealthy(suite)
                    await postgres.kill()
                    try await eventually(within: .seconds(60), "the sink") {
                        suite.world.count("DatabaseConnectivityIssue", "firing") == 1
                    }
                    for attempt in 1...3 { #expect(suite.log("orchestrator-1").contains("\(attempt) of 3")) }
                    try await postgres.startAgain()
                    try await eventually(within: .seconds(60), "its end") {
                        suite.world.count("DatabaseConnectivityIssue", "recovered") == 1
                    }
                    try await untilHealthy(suite)
                    suite.world.behave(.fails)
                    let requests = suite.world.requests
                    await redis.kill()
                    try await eventually(within: .seconds(60), "the file") {
                        suite.lines("alerts.log").contains { $0.contains("\"kind\":\"RedisConnectivityIssue\"") }
                    }
                    try await eventually(within: .seconds(60), "the sink was tried") { suite.world.requests > requests }
                    #expect(suite.world.count("RedisConnectivityIssue", "firing") == 0)
                    suite.world.behave(.takes)
                    try await eventually(within: .seconds(60), "the sink after all") {
                        suite.world.count("RedisConnectivityIssue", "firing") == 1
                    }
                    try await redis.startAgain()
                    try await eventually(within: .seconds(60), "its end") {
                        suite.world.count("RedisConnectivityIssue", "recovered") == 1
                    }
                    try await untilHealthy(suite)
                    let told = Set(suite.world.heard.map(\.kind)).subtracting(["alertDeliveryFailing"])
                    #expect(told == ["DatabaseConnectivityIssue", "RedisConnectivityIssue"])
                }
            }
        }
    }

    @Test(.timeLimit(.minutes(6)))
    func `a Redis that answers and takes no writes is told once, and so is its end`() async throws {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                try await SmallSuite.with(redis: redis.url, database: database.url) { suite in
                    try await startHealthy(suite)
                    try await redis.ask("CONFIG SET maxmemory 1")
                    try await eventually(within: .seconds(60), "the sink") {
                        suite.world.count("RedisConnectivityIssue", "firing") == 1
                    }
                    try await eventually(within: .seconds(60), "the page says what is wrong") {
                        guard let status = try await suite.status("orchestrator-1") else { return false }
                        return status.checks["redis"] == true && status.checks["redis-writes"] == false
                            && status.states["redis"] == "unhealthy"
                    }
                    try await redis.ask("CONFIG SET maxmemory 0")
                    try await eventually(within: .seconds(60), "its end") {
                        suite.world.count("RedisConnectivityIssue", "recovered") == 1
                    }
                    try await untilHealthy(suite)
                    #expect(suite.world.heard.count == 2, "\(suite.world.heard)")
                }
            }
        }
    }

    // CHECKLIST R20.
    @Test(.timeLimit(.minutes(6)))
    func `while a sink hangs the orchestrator goes on assigning`() async throws {
        let games = SeededGames.names(3)
        try await withOwnRedis { redis in
            try await withPostgres { database in
                try await SmallSuite.with(redis: redis.url, database: database.url, games: games) { suite in
                    try await SeededGames.store(games, ownedBy: [], in: database, of: suite)
                    try await database.run(
                        sql: """
                            INSERT INTO market_mappings
                                (market_id, venue, game_id, event_ticker, title, outcome_team, price_step, status)
                            SELECT 'market-' || game_id, 'kalshi', game_id, 'event-' || game_id, 'wins', 'home',
                                'linear_cent', 'active' FROM games
                            """)
                    suite.world.behave(.hangs)
                    try suite.spawnOrchestrator("1")
                    try await eventually(within: .seconds(60), "a message is under way") { suite.world.requests > 0 }
                    try suite.spawnShard("shard-01")
                    try await eventually(within: .seconds(60), "every game has an owner") {
                        let rows = try await database.run(sql: "SELECT 'owned ' || count(*) FROM assignments")
                        return rows.contains("owned 3")
                    }
                    #expect(suite.world.heard.isEmpty)
                    let live = try await suite.get("orchestrator-1", "/healthz")
                    #expect(live?.status == 200)
                }
            }
        }
    }

    // Alerting's own switch is in AlertTests; here are health checks.
    @Test(.timeLimit(.minutes(6)))
    func `health checks are switched off and on by SIGHUP, and what is true by then is told at once`() async throws {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                try await SmallSuite.with(redis: redis.url, database: database.url) { suite in
                    try await startHealthy(suite)
                    try await switchChecks(on: false, suite)
                    let off = try #require(try await suite.status("orchestrator-1"))
                    #expect(!off.monitor.isOn && off.monitor.checks.allSatisfy { $0.state == "unknown" })
                    #expect(off.checks.isEmpty)
                    let shown = try await suite.shown("orchestrator-1")
                    #expect(shown.contains("monitor OFF"), "\(shown)")

                    // What the fleet stands on goes, and every part that would say so is asked nothing.
                    await redis.kill()
                    for name in ["shard-01", "shard-02", "market-discovery"] {
                        _ = try await suite.process(name).kill9()
                    }
                    try await eventually(within: .seconds(60), "the engine hears nothing") {
                        try await suite.status("orchestrator-1")?.fleet.busIsUp == false
                    }
                    try await redis.startAgain()
                    try await eventually(within: .seconds(60), "the engine has judged both") {
                        let log = suite.log("orchestrator-1")
                        return ["AllShardsUnhealthy", "NoMarketDiscoveryServices"].allSatisfy { kind in
                            log.contains("kind=\(kind)")
                        }
                    }
                    #expect(suite.world.requests == 0 && suite.alerts(in: "alerts.log").isEmpty)

                    try await switchChecks(on: true, suite)
                    try await eventually(within: .seconds(60), "what is true by now") {
                        suite.world.count("AllShardsUnhealthy", "firing") == 1
                            && suite.world.count("NoMarketDiscoveryServices", "firing") == 1
                    }
                    let states = try await states(suite)
                    #expect(states["redis"] == "healthy" && states["shards"] == "unhealthy", "\(states)")
                    #expect(suite.world.count("RedisConnectivityIssue", "firing") == 0)
                    try suite.spawnShard("shard-01")
                    try await eventually(within: .seconds(60), "a recovery, as ever") {
                        suite.world.count("AllShardsUnhealthy", "recovered") == 1
                    }
                }
            }
        }
    }

    private func switchChecks(on: Bool, _ suite: SmallSuite) async throws {
        try suite.configure("HEALTH_CHECKS_ENABLED = \(on)\n")
        for name in Self.fleet {
            let process = try suite.process(name)
            guard process.isRunning else { continue }
            process.signal(SIGHUP)
        }
        for name in Self.fleet where try suite.process(name).isRunning {
            try await eventually(within: .seconds(60), "\(name) has read it") {
                suite.log(name).contains("health checks switched state=\(on ? "on" : "off")")
            }
        }
    }
}

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif
