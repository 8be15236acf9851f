import Servers
import TestKit
import Testing

/// Real shards under one name, and of both kinds.
@Suite(.serialized, .processes) struct ShardNameTests {
    private func withLeader(
        _ games: [String], ownedBy shards: [String], _ more: [String: String] = [:],
        _ body: @escaping @Sendable (SmallSuite, TestDatabase) async throws -> Void
    ) async throws {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                // What the monitor shows is no older than what it knows, however seldom it looks by itself.
                let settings = ["SERVICE_TIMEOUT_SECS": "60", "SYSTEM_MONITOR_INTERVAL_SECS": "600"]
                    .merging(more) { $1 }
                try await SmallSuite.with(redis: redis.url, database: database.url, games: games, settings) { suite in
                    try await SeededGames.store(games, ownedBy: shards, in: database, of: suite)
                    try suite.spawnOrchestrator("1")
                    try await body(suite, database)
                }
            }
        }
    }

    private func isWatched(_ game: String, by shard: String, _ suite: SmallSuite) async throws -> Bool {
        try await suite.status("orchestrator-1")?.fleet.games
            .contains { $0.game == game && $0.shard == shard && $0.state == "watched" } ?? false
    }

    // FLEET: the last process to claim a name is the shard.
    @Test(.timeLimit(.minutes(3)))
    func `of two live processes of one name the later one has the games, and the other says what to do`() async throws {
        let games = SeededGames.names(5)
        try await withLeader(games, ownedBy: ["shard-01"]) { suite, database in
            let before = try await SeededGames.owners(database)
            func allAreShown() async throws -> Bool {
                let shards = try await suite.status("orchestrator-1")?.fleet.shards
                return shards?.map(\.status) == ["healthy"] && shards?.map(\.observed) == [games.count]
            }
            let first = try suite.spawnShard("shard-01")
            try await eventually(within: .seconds(60), "the first watches all") { try await allAreShown() }
            try await eventually(within: .seconds(60), "the monitor shows it") {
                try await suite.status("orchestrator-1")?.states["shards"] == "healthy"
            }
            try suite.spawn("game-shard", as: "again", ["SHARD_ID": "shard-01"])
            try await eventually(within: .seconds(60), "the first knows that it is replaced") {
                suite.log("shard-01").contains("another process has this shard's name")
            }
            try await eventually(within: .seconds(60), "the operator is told what to do") {
                suite.world.count("ShardReplaced", "firing") == 1
            }
            try await eventually(within: .seconds(60), "the second watches all") { try await allAreShown() }
            #expect(first.isRunning)
            // By the orchestrator's word and by the database's.
            let life = try await database.run(sql: "SELECT incarnation FROM shard_lives WHERE shard = 'shard-01'")
            #expect(suite.log("again").contains("shard claimed"))
            let known = try await suite.status("orchestrator-1")?.fleet.shards.first?.incarnation
            #expect(known.map { life.contains($0) } == true)
            // The older one may go: nothing depends on it.
            _ = await first.kill9()
            try await eventually(within: .seconds(60), "the second still watches all") { try await allAreShown() }
            #expect(try await SeededGames.owners(database) == before)
            #expect(!suite.log("again").contains("another process has this shard's name"))
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func `one that was replaced is not taken for the other when that dies: its games go to another shard`() async throws
    {
        let games = SeededGames.names(4)
        try await withLeader(games, ownedBy: ["shard-01"], ["REBALANCE_AFTER_SECS": "600"]) { suite, _ in
            let first = try suite.spawnShard("shard-01")
            let later = try suite.spawn("game-shard", as: "again", ["SHARD_ID": "shard-01"])
            try suite.spawnShard("shard-02")
            // Whichever of the two claimed the name last.
            func replaced() -> (old: ChildProcess, new: ChildProcess)? {
                let mark = "another process has this shard's name"
                if suite.log("shard-01").contains(mark) { return (first, later) }
                return suite.log("again").contains(mark) ? (later, first) : nil
            }
            try await eventually(within: .seconds(60), "one knows that it is replaced") { replaced() != nil }
            let (old, new) = try #require(replaced())
            try await eventually(within: .seconds(60), "the other watches all") {
                let shards = try await suite.status("orchestrator-1")?.fleet.shards
                return shards?.map(\.status) == ["healthy", "healthy"]
                    && shards?.first { $0.shard == "shard-01" }?.observed == games.count
            }
            _ = await new.kill9()
            try await eventually(within: .seconds(60), "another shard watches them") {
                let shown = try await suite.status("orchestrator-1")?.fleet.games
                return shown?.count == games.count
                    && shown?.allSatisfy { $0.shard == "shard-02" && $0.state == "watched" } == true
            }
            #expect(old.isRunning)
            let shards = try await suite.status("orchestrator-1")?.fleet.shards
            #expect(shards?.first { $0.shard == "shard-01" }?.status == "dead")
        }
    }

    // CHECKLIST R53.
    @Test(.timeLimit(.minutes(3)))
    func `a slot is on a sports shard until a crypto shard comes, back when that dies, and gone when it is over`()
        async throws
    {
        // No venue shows the slot's book here, and that is not what costs a shard its slot.
        let pace = [
            "DISCOVERY_INTERVAL_SECS": "0.5", "REBALANCE_AFTER_SECS": "2", "SHARD_DEGRADED_AFTER_SECS": "600",
        ]
        try await withLeader(["seeded-1"], ownedBy: ["sports-1"], pace) { suite, database in
            try suite.spawnShard("sports-1")
            try await eventually(within: .seconds(60), "the game is watched") {
                try await isWatched("seeded-1", by: "sports-1", suite)
            }
            // Listed while the leader runs.
            try await database.run(
                sql: """
                    INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation,
                        scheduled_at, status)
                    VALUES ('btc-15m', 'crypto', 'Up', 'UP', 'Down', 'DOWN', 1776726000000000, 'live');
                    INSERT INTO market_mappings (market_id, venue, game_id, event_ticker, title, outcome_team,
                        price_step, status)
                    VALUES ('KXBTC15M-UP', 'kalshi', 'btc-15m', 'KXBTC15M', 'up', 'home', 'linear_cent', 'active')
                    """)
            try await eventually(within: .seconds(60), "without a crypto shard a sports shard stands in") {
                try await isWatched("btc-15m", by: "sports-1", suite)
            }
            let crypto = try suite.spawnShard("crypto-1", ["SHARD_TYPE": "crypto"])
            try await eventually(within: .seconds(60), "it moves to the crypto shard") {
                try await isWatched("btc-15m", by: "crypto-1", suite)
            }
            #expect(try await isWatched("seeded-1", by: "sports-1", suite))
            _ = await crypto.kill9()
            try await eventually(within: .seconds(60), "it falls back") {
                try await isWatched("btc-15m", by: "sports-1", suite)
            }
            let moves = try await database.run(
                sql: "SELECT reason FROM assignment_log WHERE game_id = 'btc-15m' ORDER BY epoch")
            #expect(moves.split(separator: "\n") == ["first", "rebalanced", "dead"])
            try await database.run(sql: "UPDATE games SET status = 'final' WHERE game_id = 'btc-15m'")
            try await eventually(within: .seconds(60), "nobody watches a slot that is over") {
                try await SeededGames.owners(database).contains("released")
            }
        }
    }
}
