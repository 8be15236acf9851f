import Domain
import Foundation
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Servers
import TestKit
import Testing
import Wire

/// Where a real orchestrator puts games, and what it does about shards that do not hold what they should; the shards
/// are the test's, but for one.
@Suite(.processes) struct PlacementTests {
    private static let patience = Duration.seconds(60)

    /// Games that are live and have a market; each owned as given, or by nobody.
    private func seed(_ count: Int, owner: (shard: ShardID, epoch: Int)? = nil, in rig: OrchestratorRig) async throws {
        // Any start of an orchestrator makes the tables.
        let first = try rig.spawn("orchestrator", named: "migrator")
        try await eventually(within: Self.patience, "the tables are there") {
            rig.log("migrator").contains(": leading")
        }
        #expect(await first.terminate() == .exited(0))
        try await rig.database.run(
            sql: """
                INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation,
                    scheduled_at, status)
                SELECT 'seeded-' || n, 'nba', 'Cleveland', 'CLE', 'Toronto', 'TOR', 1776726000000000, 'live'
                FROM generate_series(1, \(count)) AS n;
                INSERT INTO market_mappings (market_id, venue, game_id, event_ticker, title, outcome_team, price_step,
                    status)
                SELECT 'MARKET-' || n, 'kalshi', 'seeded-' || n, 'EVENT-' || n, 'wins', 'home', 'linear_cent', 'active'
                FROM generate_series(1, \(count)) AS n
                """)
        guard let owner else { return }
        try await rig.database.run(
            sql: """
                INSERT INTO assignments (game_id, shard, epoch, state)
                SELECT game_id, '\(owner.shard)', \(owner.epoch), 'assigned' FROM games WHERE game_id LIKE 'seeded-%'
                """)
    }

    private func states(_ port: Int) async throws -> [String: Int] {
        let games = try await OrchestratorRig.status(port)?.fleet.games.filter { $0.game.hasPrefix("seeded-") } ?? []
        return Dictionary(grouping: games, by: \.state).mapValues(\.count)
    }

    private func moves(_ condition: String, _ rig: OrchestratorRig) async throws -> Int {
        let told = try await rig.database.run(sql: "SELECT count(*) FROM assignment_log WHERE \(condition)")
        return try #require(Int(told))
    }

    private func alerts(_ rig: OrchestratorRig) -> [String] {
        let path = "\(rig.folder.path)/alerts.log"
        let text = String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
        return text.split(separator: "\n").filter { $0.contains("\"kind\":\"CapacityExhausted\"") }
            .map { $0.contains("\"state\":\"firing\"") ? "firing" : "recovered" }
    }

    // CHECKLIST R51.
    @Test(.timeLimit(.minutes(5)))
    func `of 45 games two shards of 20 get 40, the rest waits and is told, and a third shard takes it`() async throws {
        try await OrchestratorRig.run(["REBALANCE_AFTER_SECS": "600"]) { rig in
            try await seed(45, in: rig)
            let (one, two) = (
                try await ScriptedShard("shard-01", on: rig.peer), try await ScriptedShard("shard-02", on: rig.peer)
            )
            let port = try FreePort.find()
            let orchestrator = try rig.spawn("orchestrator", ["STATUS_PORT": "\(port)"])
            try await eventually(within: Self.patience, "both are full, and five wait") {
                try await states(port) == ["watched": 40, "waiting": 5]
            }
            #expect(one.games.count == 20 && two.games.count == 20)
            try await eventually(within: Self.patience, "the operator is told") { alerts(rig) == ["firing"] }
            let three = try await ScriptedShard("shard-03", on: rig.peer)
            try await eventually(within: Self.patience, "every game is watched") {
                try await states(port) == ["watched": 45]
            }
            #expect(three.games.count == 5 && one.games.count == 20 && two.games.count == 20)
            try await eventually(within: Self.patience, "its end is told") { alerts(rig) == ["firing", "recovered"] }
            let first = try await moves("epoch = 1 AND reason = 'first' AND from_shard IS NULL", rig)
            let all = try await moves("true", rig)
            #expect(first == 45 && all == 45)
            #expect(await orchestrator.terminate() == .exited(0))
        }
    }

    // CHECKLIST R41, R42, R43, R52: most free capacity first; a check that lasts; away before to; back in pace.
    @Test(.timeLimit(.minutes(5)))
    func `a shard whose feed fails for long loses its games to the others, and gets its share when it is well`()
        async throws
    {
        let pace = [
            "SHARD_DEGRADED_AFTER_SECS": "1", "SHARD_RECOVER_AFTER_SECS": "0.5", "REBALANCE_AFTER_SECS": "1",
            // Nothing but its word frees a game: a lease would end first on a machine that is busy enough.
            "SHARD_TIMEOUT_SECS": "120", "SHARD_LEASE_MS": "120000",
        ]
        try await OrchestratorRig.run(pace) { rig in
            try await seed(30, in: rig)
            let names: [ShardID] = ["shard-01", "shard-02", "shard-03"]
            var shards: [ScriptedShard] = []
            for name in names { shards.append(try await ScriptedShard(name, on: rig.peer)) }
            let ill = shards[0]
            // Given to another while the old one still had it.
            let early = NIOLockedValueBox<[GameID]>([])
            for name in names.dropFirst() {
                rig.peer.follow(try await rig.peer.bus.subscribe(to: Channels.commands(name))) { command in
                    guard case .assign = command.order, ill.games[command.game] != nil else { return }
                    early.withLockedValue { $0.append(command.game) }
                }
            }
            let port = try FreePort.find()
            let orchestrator = try rig.spawn("orchestrator", ["STATUS_PORT": "\(port)"])
            func loads() -> [Int] { shards.map(\.games.count) }
            try await eventually(within: Self.patience, "each has ten") { loads() == [10, 10, 10] }
            try await eventually(within: Self.patience, "each is watched") { try await states(port) == ["watched": 30] }

            // More than thirty where one shard was heard before the others.
            let given = try await moves("true", rig)
            let returning = "to_shard = 'shard-01' AND reason = 'rebalanced'"
            let earlier = try await moves(returning, rig)

            ill.set { $0.checks = ["redis": true, "kalshi": false] }
            try await eventually(within: Self.patience, "the others have its games") { loads() == [0, 15, 15] }
            #expect(early.withLockedValue { $0 }.isEmpty)
            let moved = try await moves("from_shard = 'shard-01' AND reason = 'degraded'", rig)
            let all = try await moves("true", rig)
            #expect(moved == 10 && all == given + 10)

            ill.set { $0.checks = ["redis": true, "kalshi": true] }
            try await eventually(within: Self.patience, "it has its share again") { loads() == [10, 10, 10] }
            try await eventually(within: Self.patience, "each is watched") { try await states(port) == ["watched": 30] }
            let back = try await moves(returning, rig)
            let after = try await moves("true", rig)
            #expect(back == earlier + 10 && after == given + 20)
            #expect(await orchestrator.terminate() == .exited(0))
        }
    }

    // CHECKLIST R44, R45, R49, R50, N5.
    @Test(.timeLimit(.minutes(5)))
    func `a game given by hand is taken away, one that is missing is sent again, and a new life gets all of its games`()
        async throws
    {
        // On a slow machine a command may take a while, and is then no reason for another epoch.
        let patience = ["RESYNC_DEBOUNCE_SECS": "0.5", "MISSING_GAME_GRACE_SECS": "120"]
        try await OrchestratorRig.run(patience) { rig in
            try await seed(12, in: rig)
            let shard = try await ScriptedShard("shard-01", on: rig.peer)
            let commands = try await rig.peer.listen(to: Channels.commands("shard-01"))
            let notes = try await rig.peer.listen(to: Channels.notifications)
            let port = try FreePort.find()
            let orchestrator = try rig.spawn("orchestrator", ["STATUS_PORT": "\(port)"])
            try await eventually(within: Self.patience, "all are watched") { try await states(port) == ["watched": 12] }
            let given = shard.games
            #expect(given.count == 12 && given.values.allSatisfy { $0 == .first })

            shard.set { $0.games["by-hand"] = .first }
            try await eventually(within: Self.patience, "the zombie is revoked") { shard.games == given }
            func revoked() -> [GameID] {
                commands.all.filter { if case .revoke = $0.order { true } else { false } }.map(\.game)
            }
            // The shard and this test hear each for themselves.
            try await eventually(within: Self.patience, "the revoke is heard here too") { !revoked().isEmpty }
            #expect(Set(revoked()) == ["by-hand"])
            #expect(try await OrchestratorRig.status(port)?.fleet.counters["zombies"] == 1)

            shard.set { $0.games["seeded-3"] = nil }
            try await eventually(within: Self.patience, "what is missing comes again") { shard.games == given }
            #expect(try await OrchestratorRig.status(port)?.fleet.counters["missing"] == 1)

            shard.set {
                $0.incarnation = "life-2"
                $0.startedAt += 1
                $0.games = [:]
            }
            try await eventually(within: Self.patience, "a new life has them all") { shard.games.count == 12 }
            #expect(shard.games == given)
            // The one that was sent to the life before a moment ago is sent again by itself.
            try await eventually(within: Self.patience, "the resync is over") {
                notes.all.contains {
                    $0.kind == .resyncComplete && ["11", "12"].contains($0.detail["games_resent"])
                }
            }
            #expect(notes.all.count { $0.kind == .serviceRestarted } == 1)
            #expect(try await moves("true", rig) == 12)
            #expect(await orchestrator.terminate() == .exited(0))
        }
    }

    // CHECKLIST N2, R51.
    @Test(.timeLimit(.minutes(3)))
    func `a real shard ignores what is older than it knows, and refuses what it has no room for`() async throws {
        try await OrchestratorRig.run { rig in
            try await seed(2, owner: (shard: "shard-02", epoch: 3), in: rig)
            let answers = try await rig.peer.listen(to: Channels.acknowledgements)
            let beats = try await rig.peer.listen(to: Channels.heartbeat("shard-02"))
            let shard = try rig.spawn("game-shard", ["SHARD_ID": "shard-02", "MAX_GAMES": "2"])
            let own: [GameID: Epoch] = ["seeded-1": try Epoch(3), "seeded-2": try Epoch(3)]
            func shown() -> [GameID: Epoch] {
                Dictionary(uniqueKeysWithValues: beats.all.last?.games.map { ($0.game, $0.epoch) } ?? [])
            }
            try await eventually(within: Self.patience, "it has its games") { shown() == own }

            func assignment(_ game: GameID, _ epoch: Int64) throws -> ShardCommand.Order {
                let value = try Game(
                    id: game, sport: .nba, home: Team(name: "Cleveland", abbreviation: "CLE"),
                    away: Team(name: "Toronto", abbreviation: "TOR"),
                    scheduledAt: VenueInstant(rfc3339: "2026-04-20T23:00Z"))
                return .assign(
                    GameAssignment(game: value, markets: [], epoch: try Epoch(epoch), pregameHomeProbability: nil))
            }
            let orders: [(CommandID, ShardCommand.Order, CommandAcknowledgement.Verdict)] = [
                ("old-assign", try assignment("seeded-1", 2), .stale),
                ("old-revoke", .revoke("seeded-1", epoch: try Epoch(2), reason: "old"), .stale),
                ("again", try assignment("seeded-2", 3), .accepted),
                ("too-many", try assignment("seeded-9", 1), .atCapacity),
            ]
            for (id, order, verdict) in orders {
                _ = try await rig.peer.bus.publish(
                    ShardCommand(id: id, shard: "shard-02", order: order), on: Channels.commands("shard-02"))
                try await eventually(within: Self.patience, "\(id) is answered") {
                    answers.all.contains { $0.command == id }
                }
                #expect(answers.all.first { $0.command == id }?.verdict == verdict, "\(id)")
            }
            let heard = beats.all.count
            try await eventually(within: Self.patience, "it goes on as before") { beats.all.count > heard + 2 }
            #expect(shown() == own)
            await shard.terminate()
        }
    }
}
