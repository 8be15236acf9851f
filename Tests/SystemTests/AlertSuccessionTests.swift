import Domain
import Foundation
import Runtime
import Servers
import TestKit
import Testing
import Wire

/// Alerts while the leader changes: none is lost, none is told twice by one, and each has its end.
@Suite(.serialized) struct AlertSuccessionTests {
    private static let kind = "AllShardsUnhealthy"
    private static let shards = ["shard-01", "shard-02"]

    /// What the sink took of a kind, as `SOURCE STATE`, in order.
    private func told(_ kind: String, _ suite: SmallSuite) -> [String] {
        suite.world.heard.filter { $0.kind == kind }.map { "\($0.source) \($0.state)" }
    }

    private func startTwo(_ suite: SmallSuite) async throws {
        for name in ["market-discovery", "signal-processor"] { try suite.spawn(name) }
        for shard in Self.shards { try suite.spawnShard(shard) }
        try suite.spawnOrchestrator("1")
        try await eventually(within: .seconds(120), "the first leads") {
            guard let status = try await suite.status("orchestrator-1") else { return false }
            return status.fleet.isLeading && status.isAllHealthy && status.fleet.shards.count == 2
        }
        try suite.spawnOrchestrator("2")
        try await eventually(within: .seconds(120), "the second stands by and hears") {
            guard let status = try await suite.status("orchestrator-2") else { return false }
            return !status.fleet.isLeading && status.fleet.shards.count == 2
                && status.fleet.services.contains { $0.service == "orchestrator" && $0.instance == "1" }
        }
    }

    /// Writes a rule that nobody understands, or one that is, and says so.
    private func writeRule(_ conditions: String, _ database: TestDatabase, _ peer: BusPeer) async throws {
        try await database.run(
            sql: """
                INSERT INTO trading_rules (rule_id, kind, conditions, action, status)
                VALUES ('broken', 'operator', '\(conditions)', '{"type":"reject"}', 'active')
                ON CONFLICT (rule_id) DO UPDATE SET conditions = excluded.conditions
                """)
        _ = try await peer.bus.publish(RulesChanged(), on: Channels.rules)
    }

    // CHECKLIST N28, N35, R20.
    @Test(.timeLimit(.minutes(10)))
    func `what a killed leader had fired is told by it and by the next, once each, and so is its end`() async throws {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                try await SmallSuite.with(redis: redis.url, database: database.url) { suite in
                    let peer = try BusPeer(redis.url)
                    defer { Task { await peer.stop() } }
                    try await startTwo(suite)
                    try await writeRule(#"{"spotr":"nba"}"#, database, peer)
                    try await eventually(within: .seconds(120), "a service's alert, by the leader") {
                        told("tradingRuleRefused", suite) == ["signal-processor/1 firing"]
                    }
                    #expect(suite.alerts(in: "alerts.log").contains { $0.contains("tradingRuleRefused") })

                    // Written, and not yet delivered.
                    suite.world.behave(.fails)
                    for shard in Self.shards { _ = try await suite.process(shard).kill9() }
                    try await eventually(within: .seconds(120), "the first's file") {
                        suite.alerts(in: "alerts.log").contains { $0.contains(Self.kind) }
                    }
                    _ = try await suite.process("orchestrator-1").kill9()
                    #expect(told(Self.kind, suite).isEmpty)
                    suite.world.behave(.takes)
                    try await eventually(within: .seconds(120), "the next leader tells what is still so") {
                        told(Self.kind, suite) == ["orchestrator/2 firing"]
                    }

                    // What the service had told through the dead leader is ended by the service.
                    try await writeRule(#"{"sport":"nhl"}"#, database, peer)
                    try await eventually(within: .seconds(120), "its end") {
                        told("tradingRuleRefused", suite).last == "signal-processor/1 recovered"
                    }
                    for shard in Self.shards { try suite.spawnShard(shard) }
                    try await eventually(within: .seconds(120), "the next leader tells the end") {
                        told(Self.kind, suite) == ["orchestrator/2 firing", "orchestrator/2 recovered"]
                    }

                    // The first comes back: what it had written is not lost, and is over.
                    try suite.spawnOrchestrator("1")
                    let all =
                        ["orchestrator/2 firing", "orchestrator/2 recovered"]
                        + ["orchestrator/1 firing", "orchestrator/1 recovered"]
                    try await eventually(within: .seconds(120), "the first delivers what it owed, with its end") {
                        told(Self.kind, suite) == all
                    }
                    try await eventually(within: .seconds(120), "the operator is told that it is back") {
                        suite.world.count("OrchestratorUnhealthy", "recovered") == 1
                    }
                    #expect(told(Self.kind, suite) == all)
                    #expect(
                        told("OrchestratorUnhealthy", suite).map { $0.split(separator: " ").last } == [
                            "firing", "recovered",
                        ])
                    let rule = told("tradingRuleRefused", suite)
                    #expect(rule == ["signal-processor/1 firing", "signal-processor/1 recovered"], "\(rule)")
                }
            }
        }
    }

    /// A lasting alert as another service raises it.
    private var serviceAlert: SystemAlert {
        SystemAlert(
            id: "test/1", kind: "tradingRuleRefused", fingerprint: "rule:1", state: .firing,
            summary: "rule 1 is not understood", detail: [:], at: 1)
    }

    // CHECKLIST N28: what only this orchestrator sees is over when its next life has looked for long and sees none.
    @Test(.timeLimit(.minutes(5)))
    func `the next life of a killed leader ends what it does not see again, and not what others see`() async throws {
        try await OrchestratorRig.run(["ALERT_CONFIRMATION_SECS": "1"]) { rig in
            _ = try await rig.answerQuestions()
            let shard = try await ScriptedShard("shard-01", on: rig.peer)
            shard.set { $0.capacity = 0 }
            let port = try FreePort.find()
            func file(_ kind: String) -> [String] {
                let path = "\(rig.folder.path)/alerts.log"
                let text = String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
                return text.split(separator: "\n").filter { $0.contains("\"kind\":\"\(kind)\"") }
                    .map { $0.contains("\"state\":\"firing\"") ? "firing" : "recovered" }
            }
            let first = try rig.spawn("orchestrator", named: "first", ["STATUS_PORT": "\(port)"])
            try await eventually(within: .seconds(60), "the game finds no room") {
                file("CapacityExhausted") == ["firing"]
            }
            // The next leader need not ask for its markets.
            try await eventually(within: .seconds(60), "what discovery found is stored all the same") {
                let stored = try await rig.database.run(sql: "SELECT market_id FROM market_mappings")
                return stored == "KXNBAGAME-26APR20TORCLE-CLE"
            }
            _ = try await rig.peer.bus.publish(serviceAlert, on: Channels.alerts)
            try await eventually(within: .seconds(60), "a service's alert is in the file") {
                file("tradingRuleRefused") == ["firing"]
            }
            _ = await first.kill9()
            shard.set { $0.capacity = 20 }
            let second = try rig.spawn("orchestrator", named: "second", ["STATUS_PORT": "\(port)"])
            try await eventually(within: .seconds(60), "the game is watched") {
                try await OrchestratorRig.status(port)?.owner == "shard-01"
            }
            try await eventually(within: .seconds(60), "its end, told by nobody who saw the beginning") {
                file("CapacityExhausted") == ["firing", "recovered"]
            }
            #expect(file("tradingRuleRefused") == ["firing"])
            #expect(await second.terminate() == .exited(0))
        }
    }
}
