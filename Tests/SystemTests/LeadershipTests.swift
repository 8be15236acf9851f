import Foundation
import Runtime
import Servers
import TestKit
import Testing

/// Two real orchestrators: one leads, the other takes over; and one alone that is killed.
@Suite(.serialized, .processes) struct LeadershipTests {
    enum Loss: String, CaseIterable, Sendable { case killed, stopped, cutOff }

    private static let shards = ["shard-01", "shard-02"]

    private func leads(_ suite: SmallSuite, _ name: String) async throws -> Bool {
        try await suite.status(name)?.fleet.isLeading == true
    }

    /// Whether every game is watched where it was, as this orchestrator sees it.
    private func areWatched(_ games: [String], _ suite: SmallSuite, by name: String) async throws -> Bool {
        guard let status = try await suite.status(name), status.fleet.isLeading else { return false }
        let watched = status.fleet.games.filter { $0.state == "watched" && $0.epoch == 1 }
        return watched.count == games.count
            && status.fleet.shards.filter { $0.status == "healthy" }.map(\.observed).reduce(0, +) == games.count
    }

    // CHECKLIST N3.
    @Test(.timeLimit(.minutes(6)))
    func `an orchestrator that is killed with 50 games and started again reassigns none`() async throws {
        let games = SeededGames.names(50)
        try await withRedisAndSuite(games) { suite, database in
            try await SeededGames.store(games, ownedBy: Self.shards, in: database, of: suite)
            let before = try await SeededGames.owners(database)
            for shard in Self.shards { try suite.spawnShard(shard) }
            let first = try suite.spawnOrchestrator("1")
            try await eventually(within: .seconds(60), "every game is watched") {
                try await areWatched(games, suite, by: "orchestrator-1")
            }
            _ = await first.kill9()
            try suite.spawnOrchestrator("1")
            try await eventually(within: .seconds(60), "every game is watched again") {
                try await areWatched(games, suite, by: "orchestrator-1")
            }
            let term = try await suite.status("orchestrator-1")?.fleet.term ?? 0
            #expect(term >= 2)
            // Longer than any grace: what would be moved would have been.
            let cycles = MachineClock.real.now
            try await eventually(within: .seconds(60), "every grace has passed") {
                MachineClock.real.now.since(cycles) >= .seconds(6)
            }
            let after = try await SeededGames.owners(database)
            #expect(after == before && after.contains("moves 0"))
        }
    }

    // CHECKLIST N35.
    @Test(.timeLimit(.minutes(6)), arguments: Loss.allCases)
    func `the other leads, moves no game, and tells; the old one comes back as a standby`(
        loss: Loss
    ) async throws {
        let games = SeededGames.names(10)
        try await withRedisAndSuite(games) { suite, database in
            let link = try await FaultProxy.start(to: database.server.port)
            let path = database.url.replacingOccurrences(
                of: ":\(database.server.port)/", with: ":\(link.port)/")
            try await SeededGames.store(games, ownedBy: Self.shards, in: database, of: suite)
            let before = try await SeededGames.owners(database)
            for shard in Self.shards { try suite.spawnShard(shard) }
            let first = try suite.spawnOrchestrator("1", ["DATABASE_URL": path])
            try await eventually(within: .seconds(60), "the first leads") {
                try await areWatched(games, suite, by: "orchestrator-1")
            }
            try suite.spawnOrchestrator("2")
            try await eventually(within: .seconds(60), "the second stands by and has heard the first") {
                guard let status = try await suite.status("orchestrator-2") else { return false }
                let others = status.fleet.services.filter { $0.service == "orchestrator" && $0.instance == "1" }
                return !status.fleet.isLeading && status.fleet.shards.count == 2 && others.count == 1
            }
            switch loss {
            case .killed: _ = await first.kill9()
            case .stopped: first.signal(SIGSTOP)
            case .cutOff: try await link.stall()
            }
            // Within 5 s by its protocol (`SimulationTests`); here the machine may be slow.
            try await eventually(within: .seconds(60), "the other leads") {
                suite.log("orchestrator-2").contains(": leading")
            }
            try await eventually(within: .seconds(60), "the operator is told") {
                suite.world.count("OrchestratorUnhealthy", "firing") == 1
            }
            try await eventually(within: .seconds(60), "the other sees every game where it was") {
                try await areWatched(games, suite, by: "orchestrator-2")
            }
            switch loss {
            case .killed: try suite.spawnOrchestrator("1", ["DATABASE_URL": path])
            case .stopped: first.signal(SIGCONT)
            case .cutOff:
                try await eventually(within: .seconds(60), "the old one knows by itself") {
                    suite.log("orchestrator-1").contains("leadership lost")
                }
                try await link.pass()
            }
            try await eventually(within: .seconds(60), "the operator is told that it is back") {
                suite.world.count("OrchestratorUnhealthy", "recovered") == 1
            }
            if loss != .killed { #expect(suite.log("orchestrator-1").contains("leadership lost")) }
            #expect(try await !leads(suite, "orchestrator-1"))
            #expect(try await leads(suite, "orchestrator-2"))
            #expect(try await SeededGames.owners(database) == before)
            let told = suite.world.heard.map { "\($0.fingerprint) \($0.state)" }
            #expect(told == ["OrchestratorUnhealthy:1 firing", "OrchestratorUnhealthy:1 recovered"])
        }
    }

    // CHECKLIST N35: who cannot hear judges nobody, so who can must lead.
    @Test(.timeLimit(.minutes(6)))
    func `a leader that alone is cut off from Redis is followed, moves no game, and is a standby when it is back`()
        async throws
    {
        let games = SeededGames.names(10)
        try await withOwnRedis { redis in
            let links = [try await FaultProxy.start(to: redis.port), try await FaultProxy.start(to: redis.port)]
            try await withSuite(games, redis: redis.url) { suite, database in
                try await SeededGames.store(games, ownedBy: Self.shards, in: database, of: suite)
                let before = try await SeededGames.owners(database)
                for shard in Self.shards { try suite.spawnShard(shard) }
                try suite.spawnOrchestrator("1", ["REDIS_URL": "redis://127.0.0.1:\(links[0].port)"])
                try await eventually(within: .seconds(60), "the first leads") {
                    try await areWatched(games, suite, by: "orchestrator-1")
                }
                try suite.spawnOrchestrator("2", ["REDIS_URL": "redis://127.0.0.1:\(links[1].port)"])
                try await eventually(within: .seconds(60), "the second stands by and hears") {
                    guard let status = try await suite.status("orchestrator-2") else { return false }
                    let others = status.fleet.services.filter { $0.service == "orchestrator" && $0.instance == "1" }
                    return !status.fleet.isLeading && status.fleet.shards.count == 2 && others.count == 1
                }

                // The standby deaf and nobody else: nothing changes.
                try await links[1].stall()
                try await eventually(within: .seconds(60), "the standby tells that it is deaf for long") {
                    suite.log("orchestrator-1").contains("orchestrator missed")
                }
                #expect(try await leads(suite, "orchestrator-1"))
                try await links[1].pass()
                try await eventually(within: .seconds(60), "the standby is back") {
                    suite.world.count("OrchestratorUnhealthy", "recovered") == 1
                }

                try await links[0].stall()
                try await eventually(within: .seconds(90), "the other leads and sees every game where it was") {
                    try await areWatched(games, suite, by: "orchestrator-2")
                }
                try await eventually(within: .seconds(60), "the old one knows") {
                    suite.log("orchestrator-1").contains("leadership lost")
                }
                #expect(suite.log("orchestrator-1").contains("leadership offered"))
                try await links[0].pass()
                try await eventually(within: .seconds(60), "the operator is told that both are well") {
                    suite.world.count("OrchestratorUnhealthy", "recovered") == 2
                        && suite.world.count("RedisConnectivityIssue", "recovered")
                            == suite.world.count("RedisConnectivityIssue", "firing")
                }
                #expect(try await !leads(suite, "orchestrator-1"))
                #expect(try await leads(suite, "orchestrator-2"))
                #expect(try await SeededGames.owners(database) == before)
            }
        }
    }

    // Decision 0056: whoever hears of one that leads waits no longer, and would find the place free.
    @Test(.timeLimit(.minutes(6)))
    func `while its place is offered a leader does not call itself one, and one leads when Redis is back`()
        async throws
    {
        let games = SeededGames.names(4)
        try await withOwnRedis(appendOnly: true) { redis in
            try await withSuite(games, redis: redis.url) { suite, database in
                try await SeededGames.store(games, ownedBy: Self.shards, in: database, of: suite)
                for shard in Self.shards { try suite.spawnShard(shard) }
                try suite.spawnOrchestrator("1")
                try await eventually(within: .seconds(60), "the first leads") {
                    try await areWatched(games, suite, by: "orchestrator-1")
                }
                try suite.spawnOrchestrator("2")
                /// As its heartbeats say it.
                func callsItselfLeader(_ name: String) async throws -> Bool? {
                    let lines = try await suite.get(name, "/metrics")?.body.split(separator: "\n")
                    return lines?.first { $0.hasPrefix("orchestrator_leading") }.map { $0.hasSuffix(" 1") }
                }
                try await eventually(within: .seconds(60), "the first says so, the second stands by") {
                    let (first, second) = (
                        try await callsItselfLeader("orchestrator-1"), try await callsItselfLeader("orchestrator-2")
                    )
                    return first == true && second == false
                }
                await redis.kill()
                try await eventually(within: .seconds(60), "the place is offered, and it is no leader's") {
                    let isLeader = try await callsItselfLeader("orchestrator-1")
                    return isLeader == false && suite.log("orchestrator-1").contains("leadership offered")
                }
                #expect(!suite.log("orchestrator-1").contains("leadership lost"), "nobody else can hear either")
                try await redis.startAgain()
                try await eventually(within: .seconds(60), "one of them leads, and says so") {
                    let (first, second) = (
                        try await callsItselfLeader("orchestrator-1"), try await callsItselfLeader("orchestrator-2")
                    )
                    guard let first, let second, first != second else { return false }
                    return try await leads(suite, first ? "orchestrator-1" : "orchestrator-2")
                }
            }
        }
    }

    private func withRedisAndSuite(
        _ games: [String], _ body: @escaping @Sendable (SmallSuite, TestDatabase) async throws -> Void
    ) async throws {
        try await withOwnRedis { redis in try await withSuite(games, redis: redis.url, body) }
    }

    private func withSuite(
        _ games: [String], redis: String,
        _ body: @escaping @Sendable (SmallSuite, TestDatabase) async throws -> Void
    ) async throws {
        try await withPostgres { database in
            // No discovery runs here, and nobody is to be told so.
            let patience = ["SERVICE_TIMEOUT_SECS": "10"]
            try await SmallSuite.with(redis: redis, database: database.url, games: games, patience) { suite in
                try suite.spawn("market-discovery")
                try await body(suite, database)
            }
        }
    }
}

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif
