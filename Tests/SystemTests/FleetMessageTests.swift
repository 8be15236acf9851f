import Domain
import Foundation
import Resilience
import Runtime
import Servers
import TestKit
import Testing
import Wire

/// What a real orchestrator asks, answers and announces, with the test as discovery and as shards.
@Suite(.processes) struct FleetMessageTests {
    // CHECKLIST N6, R57: the first answer is lost; what is found in the end is stored and told.
    @Test(.timeLimit(.minutes(3)))
    func `a lost answer is asked again within two cycles, and the assignment that follows is announced`() async throws {
        try await OrchestratorRig.run { rig in
            let port = try FreePort.find()
            let questions = try await rig.answerQuestions(ignoring: 1)
            let announced = try await rig.peer.listen(to: Channels.marketAssignments)
            let shard = try await ScriptedShard("shard-01", on: rig.peer)
            let orchestrator = try rig.spawn("orchestrator", ["STATUS_PORT": "\(port)"])
            try await eventually(within: .seconds(60), "the question is asked again") {
                questions.all.filter { $0.game.id == OrchestratorRig.game }.count >= 2
            }
            let again = questions.all.filter { $0.game.id == OrchestratorRig.game }.prefix(2).map(\.id)
            #expect(Set(again).count == 2)
            try await eventually(within: .seconds(30), "the game is watched") {
                try await OrchestratorRig.status(port)?.owner == "shard-01"
            }
            #expect(shard.games.keys.contains(OrchestratorRig.game))
            let stored = try await rig.database.run(
                sql: "SELECT market_id || '/' || game_id FROM market_mappings")
            #expect(stored.contains("KXNBAGAME-26APR20TORCLE-CLE/401869369"))
            try await eventually("the assignment is announced") { !announced.all.isEmpty }
            let first = try #require(announced.all.first)
            #expect(first.shard == "shard-01" && first.epoch == .first && first.reason == "first")
            #expect(first.game.id == OrchestratorRig.game && first.markets.map(\.venue) == [.kalshi])
            #expect(await orchestrator.terminate() == .exited(0))
        }
    }

    // CHECKLIST N6: the engine's own count, so that no clock decides.
    @Test(.timeLimit(.minutes(3)))
    func `without an answer every second cycle asks`() async throws {
        try await OrchestratorRig.run(["DISCOVERY_INTERVAL_SECS": "0.3"]) { rig in
            let port = try FreePort.find()
            let orchestrator = try rig.spawn("orchestrator", ["STATUS_PORT": "\(port)"])
            var last: OrchestratorRig.Status.Fleet?
            try await eventually(within: .seconds(60), "ten cycles") {
                last = try await OrchestratorRig.status(port)?.fleet
                return (last?.discoveryCycles ?? 0) >= 10
            }
            let fleet = try #require(last)
            #expect(fleet.counters["questions"] == (fleet.discoveryCycles + 1) / 2)
            #expect(await orchestrator.terminate() == .exited(0))
        }
    }

    // CHECKLIST R56.
    @Test(.timeLimit(.minutes(3)))
    func `whoever asks for the startup state is told all of it, by its kind`() async throws {
        try await OrchestratorRig.run { rig in
            let port = try FreePort.find()
            _ = try await rig.answerQuestions()
            _ = try await ScriptedShard("shard-01", on: rig.peer)
            var answers: [StartupStateRequest.Asker: Inbox<StartupState>] = [:]
            for asker in StartupStateRequest.Asker.allCases {
                answers[asker] = try await rig.peer.listen(to: Channels.startupAnswers(asker))
            }
            let orchestrator = try rig.spawn("orchestrator", ["STATUS_PORT": "\(port)"])
            try await eventually(within: .seconds(60), "the game is watched") {
                try await OrchestratorRig.status(port)?.owner == "shard-01"
            }
            // A hundred and fifty more games make an answer of two parts.
            _ = try await rig.database.run(sql: Self.moreGames)
            func ask(
                _ asker: StartupStateRequest.Asker, _ id: CommandID, shard: ShardID? = nil
            ) async throws -> [StartupState] {
                _ = try await rig.peer.bus.publish(
                    StartupStateRequest(id: id, asker: asker, shard: shard), on: Channels.startupRequests)
                var parts: [StartupState] = []
                try await eventually(within: .seconds(5), "\(asker) is answered") {
                    parts = answers[asker]?.all.filter { $0.request == id } ?? []
                    return !parts.isEmpty && parts.count == parts[0].parts
                }
                return parts.sorted { $0.part < $1.part }
            }
            let kalshi = try await ask(.kalshi, "ask-kalshi")
            let own = try #require(kalshi.flatMap(\.games).first)
            #expect(kalshi.flatMap(\.games).count == 1)
            #expect(own.shard == "shard-01" && own.assignment.epoch == .first)
            #expect(own.assignment.game.id == OrchestratorRig.game && own.assignment.markets.count == 1)
            #expect(try await ask(.polymarket, "ask-polymarket").flatMap(\.games).isEmpty)
            let everything = try await ask(.gameShard, "ask-all")
            let games = everything.flatMap(\.games).map(\.assignment.game.id)
            #expect(everything.count == 2 && games.count == 151 && Set(games).count == 151)
            #expect(Set(everything.map(\.answer)).count == 1 && everything.map(\.term) == [1, 1])
            #expect(try await ask(.gameShard, "ask-one", shard: "shard-01").flatMap(\.games).count == 1)
            #expect(try await ask(.gameShard, "ask-none", shard: "shard-99").flatMap(\.games).isEmpty)
            #expect(await orchestrator.terminate() == .exited(0))
        }
    }

    private static let moreGames = """
        INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation, scheduled_at,
            status, home_score, away_score)
        SELECT 'more-' || n, 'nba', 'Home', 'HOM', 'Away', 'AWY', 1776726000000000, 'live', 0, 0
        FROM generate_series(1, 150) AS n;
        INSERT INTO assignments (game_id, shard, epoch, state)
        SELECT 'more-' || n, 'shard-02', 1, 'assigned' FROM generate_series(1, 150) AS n
        """

    // CHECKLIST R56: who asks uses it.
    @Test(.timeLimit(.minutes(3)))
    func `a shard that missed commands and cannot reach PostgreSQL is told its games by the leader`() async throws {
        try await OrchestratorRig.run { rig in
            let port = try FreePort.find()
            let proxy = try await FaultProxy.start(to: rig.database.server.port)
            let own = "127.0.0.1:\(rig.database.server.port)"
            let indirect = rig.database.url.replacingOccurrences(of: own, with: "127.0.0.1:\(proxy.port)")
            try #require(indirect != rig.database.url)
            let orchestrator = try rig.spawn("orchestrator", ["STATUS_PORT": "\(port)"])
            try await eventually(within: .seconds(60), "it leads") {
                try await OrchestratorRig.status(port)?.fleet.isLeading == true
            }
            _ = try await rig.database.run(sql: Self.moreGames)
            let shard = try rig.spawn("game-shard", ["SHARD_ID": "shard-02", "DATABASE_URL": indirect])
            try await eventually(within: .seconds(60), "the shard has read its games") {
                rig.log("game-shard").contains("assignments read")
            }
            try await proxy.refuse()
            try await proxy.reset()
            // The journals are gone: what was missed can only be reread.
            _ = try await rig.peer.client.send(["FLUSHALL"])
            try await eventually(within: .seconds(60), "the leader told it") {
                rig.log("game-shard").split(separator: "\n").contains {
                    $0.contains("assignments told by the orchestrator") && $0.contains("150")
                }
            }
            #expect(shard.isRunning)
            await shard.terminate()
            #expect(await orchestrator.terminate() == .exited(0))
            try await proxy.close()
        }
    }

    // CHECKLIST R38: each state as a shard says it, and the one that only others conclude.
    @Test(.timeLimit(.minutes(3)))
    func `the status page shows all six states of a service`() async throws {
        try await OrchestratorRig.run { rig in
            let port = try FreePort.find()
            let shard = try await ScriptedShard("shard-01", on: rig.peer)
            let orchestrator = try rig.spawn("orchestrator", ["STATUS_PORT": "\(port)"])
            for status in ServiceStatus.allCases {
                shard.set {
                    $0.status = status
                    $0.isSilent = status == .dead
                }
                try await eventually(within: .seconds(60), "the status says \(status)") {
                    try await OrchestratorRig.status(port)?.shard("shard-01")?.status == status.rawValue
                }
            }
            #expect(ServiceStatus.allCases.count == 6)
            #expect(await orchestrator.terminate() == .exited(0))
        }
    }

    // CHECKLIST R58, R44, R59.
    @Test(.timeLimit(.minutes(5)))
    func `each of the seven notifications is sent with what its reader needs`() async throws {
        let quick = [
            "SHARD_DEGRADED_AFTER_SECS": "0.5", "SHARD_RECOVER_AFTER_SECS": "0.5", "RESYNC_DEBOUNCE_SECS": "0.2",
            "ASSIGNMENT_CIRCUIT_FAILURE_THRESHOLD": "1", "ASSIGNMENT_CIRCUIT_SUCCESS_THRESHOLD": "1",
            "ASSIGNMENT_CIRCUIT_HALF_OPEN_TIMEOUT_SECS": "1", "MISSING_GAME_GRACE_SECS": "1",
            "COMMAND_RESEND_MS": "200", "SHARD_TIMEOUT_SECS": "3", "SHARD_LEASE_MS": "1000",
        ]
        try await OrchestratorRig.run(quick) { rig in
            let port = try FreePort.find()
            _ = try await rig.answerQuestions()
            let notes = try await rig.peer.listen(to: Channels.notifications)
            func note(_ kind: ServiceNotification.Kind) async throws -> ServiceNotification {
                var found: ServiceNotification?
                try await eventually(within: .seconds(60), "\(kind.rawValue) is told") {
                    found = notes.all.first { $0.kind == kind }
                    return found != nil
                }
                let first = try #require(found)
                #expect(first.service == "game-shard" && first.instance == "shard-01")
                return first
            }
            let shard = try await ScriptedShard("shard-01", on: rig.peer)
            shard.set { $0.obeys = false }
            let orchestrator = try rig.spawn("orchestrator", ["STATUS_PORT": "\(port)"])
            #expect(try await note(.breakerOpened).detail["failures"] == "1")
            shard.set { $0.obeys = true }
            _ = try await note(.breakerClosed)
            shard.set { $0.checks = ["redis": true, "kalshi": false] }
            #expect(try await note(.serviceDegraded).detail["failed_checks"] == "kalshi")
            shard.set { $0.checks = ["redis": true, "kalshi": true] }
            _ = try await note(.serviceRecovered)
            try await eventually(within: .seconds(30), "it watches its game again") {
                try await OrchestratorRig.status(port)?.owner == "shard-01"
            }
            shard.set {
                $0.incarnation = "life-2"
                $0.startedAt += 1
                $0.games = [:]
            }
            let restarted = try await note(.serviceRestarted)
            #expect(restarted.detail == ["from": "life-1", "to": "life-2"])
            let resynced = try await note(.resyncComplete)
            #expect(resynced.detail["games_resent"] == "1" && resynced.detail["duration_ms"] != nil)
            #expect(notes.all.filter { $0.kind == .serviceRestarted }.count == 1)
            shard.set { $0.isSilent = true }
            #expect(try await note(.serviceDead).detail["games"] == OrchestratorRig.game.rawValue)
            #expect(Set(notes.all.map(\.kind)) == Set(ServiceNotification.Kind.allCases))
            #expect(await orchestrator.terminate() == .exited(0))
        }
    }
}
