import Domain
import Foundation
import NIOCore
import Runtime
import Servers
import TestKit
import Testing
import Wire

/// What operators ask of real orchestrators, and who may ask (CHECKLIST N32).
@Suite(.processes) struct ControlTests {
    private static let token = "a token for this test only"
        .replacingOccurrences(of: " ", with: "-")

    @Test(.timeLimit(.minutes(5)))
    func `a drain moves the game, keeps the shard empty over a new leader, and is undone`() async throws {
        try await OrchestratorRig.run(["CONTROL_TOKEN": Self.token]) { rig in
            _ = try await rig.answerQuestions()
            let shards: [ShardID] = ["shard-01", "shard-02"]
            for shard in shards { _ = try await ScriptedShard(shard, on: rig.peer) }
            let (one, two) = (try FreePort.find(), try FreePort.find())
            let leader = try rig.spawn(
                "orchestrator", named: "one", ["STATUS_PORT": "\(one)", "SERVICE_INSTANCE": "1"])
            try await eventually(within: .seconds(60), "the game is watched") {
                try await OrchestratorRig.status(one)?.owner != nil
            }
            let standby = try rig.spawn(
                "orchestrator", named: "two", ["STATUS_PORT": "\(two)", "SERVICE_INSTANCE": "2"])
            let from = try #require(try await OrchestratorRig.status(one)?.owner)
            let to = from == "shard-01" ? "shard-02" : "shard-01"

            try await refusals(one, two, from)
            let drained = try await command(rig, one, ["drain", from, "--wait"])
            #expect(drained.code == .exited(0), "\(drained.output)")
            #expect(drained.output.contains("\(from) gets no more games; 1 game moves away"))
            #expect(drained.output.contains("401869369  TOR at CLE") && drained.output.contains("is empty after"))
            #expect(try await OrchestratorRig.status(one)?.owner == to)
            let again = try await command(rig, one, ["drain", from])
            #expect(again.code == .exited(0) && again.output.contains("drained already"))
            let back = try await command(rig, one, ["reassign", "401869369", "--to", from])
            #expect(back.code == .exited(1) && back.output.contains("drained"))
            let nowhere = try await command(rig, one, ["reassign", "401869369"])
            #expect(nowhere.code == .exited(1) && nowhere.output.contains("no other shard has room"))

            leader.signal(SIGKILL)
            try await eventually(within: .seconds(30), "the standby leads and knows the drain") {
                let status = try await OrchestratorRig.status(two)
                let isDrained = status?.fleet.shards.first { $0.shard == from }?.isDrained
                return status?.fleet.isLeading == true && isDrained == true && status?.owner == to
            }
            let still = try await command(rig, two, ["reassign", "401869369", "--to", from])
            #expect(still.code == .exited(1), "\(still.output)")
            let undone = try await command(rig, two, ["drain", from, "--undo"])
            #expect(undone.code == .exited(0) && undone.output.contains("may have games again"))
            let moved = try await command(rig, two, ["reassign", "401869369", "--wait"])
            #expect(moved.code == .exited(0) && moved.output.contains("is watched by \(from) under epoch 3"))
            try await audit(rig)
            #expect(await standby.terminate() == .exited(0))
        }
    }

    private func command(
        _ rig: OrchestratorRig, _ port: Int, _ arguments: [String]
    ) async throws -> (code: ChildProcess.ExitStatus, output: String) {
        try await rig.linesman(
            arguments + ["--url", "http://127.0.0.1:\(port)"], ["CONTROL_TOKEN": Self.token])
    }

    private func refusals(_ leader: Int, _ standby: Int, _ shard: String) async throws {
        let order = #"{"shard":"\#(shard)"}"#
        for token in [nil, "", "wrong"] {
            #expect(try await OrchestratorRig.send(leader, "/control/drain", post: order, token: token).code == 401)
        }
        func send(_ path: String, _ body: String?) async throws -> Int {
            try await OrchestratorRig.send(leader, path, post: body, token: Self.token).code
        }
        #expect(try await send("/control/drain", nil) == 405)
        #expect(try await send("/control/nothing", order) == 404)
        #expect(try await send("/control", order) == 404)
        #expect(try await send("/control/drain", #"{"shard":"shard-99"}"#) == 404)
        #expect(try await send("/control/undrain", order) == 409)
        #expect(try await send("/control/reassign", #"{"game":"nobody"}"#) == 404)
        for garbage in ["", "{", "[]", #"{"shard":7}"#, #"{"shard":"with space"}"#, #"{"game":"401869369"}"#] {
            #expect(try await send("/control/drain", garbage) == 400, "\(garbage)")
        }
        #expect(try await send("/control/drain", String(repeating: " ", count: 70_000)) == 413)
        try await eventually(within: .seconds(60), "the standby is there") {
            try await OrchestratorRig.status(standby) != nil
        }
        let elsewhere = try await OrchestratorRig.send(standby, "/control/drain", post: order, token: Self.token)
        #expect(elsewhere.code == 409 && elsewhere.body.contains("orchestrator/1/"), "\(elsewhere.body)")
    }

    /// Each order that reached an orchestrator is written down, with its answer when it was the leader.
    private func audit(_ rig: OrchestratorRig) async throws {
        let rows = try await rig.database.run(
            sql: """
                SELECT count(*) FILTER (WHERE event = 'operator_order') || ' ' ||
                    count(*) FILTER (WHERE event = 'operator_answer') || ' ' ||
                    count(*) FILTER (WHERE details->>'answer' = 'accepted') || ' ' ||
                    count(*) FILTER (WHERE details->>'by' <> '') || ' ' ||
                    (SELECT count(*) FROM drained_shards)
                FROM audit_log
                """)
        #expect(rows.contains("11 10 3 14 0"), "\(rows)")
        let text = try await rig.database.run(sql: "SELECT string_agg(details::text, ' ') FROM audit_log")
        #expect(!text.contains(Self.token))
        for log in ["one", "two"] { #expect(!rig.log(log).contains(Self.token)) }
    }

    @Test(.timeLimit(.minutes(3)))
    func `without a token an orchestrator takes no orders and says what to set`() async throws {
        try await OrchestratorRig.run { rig in
            let port = try FreePort.find()
            let orchestrator = try rig.spawn("orchestrator", ["STATUS_PORT": "\(port)"])
            try await eventually(within: .seconds(60), "it answers") { try await OrchestratorRig.status(port) != nil }
            let refused = try await OrchestratorRig.send(
                port, "/control/drain", post: #"{"shard":"shard-01"}"#, token: "anything-at-all-here")
            #expect(refused.code == 403 && refused.body.contains("CONTROL_TOKEN"))
            let none = try await rig.linesman(["drain", "shard-01", "--url", "http://127.0.0.1:\(port)"])
            #expect(none.code == .exited(78) && none.output.contains("CONTROL_TOKEN"))
            let nobody = try await rig.linesman(
                ["drain", "shard-01", "--url", "http://127.0.0.1:1"], ["CONTROL_TOKEN": Self.token])
            #expect(nobody.code == .exited(69) && nobody.output.contains("no orchestrator answers"))
            #expect(await orchestrator.terminate() == .exited(0))
        }
    }

    // CHECKLIST R84, N18: the same lever as the command's; a standby has it too, and no leader is asked.
    @Test(.timeLimit(.minutes(3)))
    func `the kill switch is engaged and released over HTTP, with the token, audited, and with PostgreSQL away`()
        async throws
    {
        try await withOwnPostgres { postgres in
            try await withOwnRedis { redis in
                let database = postgres.url(database: "linesman")
                try await SmallSuite.with(
                    redis: redis.url, database: database, ["CONTROL_TOKEN": Self.token]
                ) { suite in
                    let file = "\(suite.folder.path)/run/kill-switch"
                    let port = try FreePort.find()
                    try suite.spawn(
                        "orchestrator", as: "one", ["STATUS_PORT": "\(port)", "KILL_SWITCH_FILE": file])
                    try await eventually(within: .seconds(60), "it answers") {
                        try await OrchestratorRig.status(port) != nil
                    }
                    func send(_ what: String, _ body: String, token: String? = Self.token) async throws -> Int {
                        try await OrchestratorRig.send(port, "/control/kill-switch/\(what)", post: body, token: token)
                            .code
                    }
                    #expect(try await send("engage", "{}", token: nil) == 401)
                    #expect(try await send("engage", "{}", token: "another-token-for-this-test") == 401)
                    #expect(try await send("engage", "[") == 400)
                    #expect(!FileManager.default.fileExists(atPath: file))

                    #expect(try await send("engage", #"{"reason": "a test", "by": "ops"}"#) == 200)
                    #expect(FileManager.default.fileExists(atPath: file))
                    #expect(try await send("engage", "") == 200, "again, and in a hurry")
                    for body in ["", "{}", #"{"reason": " "}"#] {
                        #expect(try await send("release", body) == 400, "no reason: \(body)")
                    }
                    #expect(try await send("release", #"{"reason": "checked", "by": "ops"}"#) == 200)
                    #expect(!FileManager.default.fileExists(atPath: file))
                    let rows = try await postgres.run(
                        sql: """
                            SELECT string_agg(event || ' ' || (details ->> 'by') || ' ' || (details ->> 'reason'), '; '
                                ORDER BY id) FROM audit_log WHERE event LIKE 'kill_switch%'
                            """, database: "linesman")
                    #expect(
                        rows == "kill_switch_activated ops a test; "
                            + "kill_switch_activated http engaged by an operator over HTTP; "
                            + "kill_switch_deactivated ops checked")

                    await postgres.kill()
                    #expect(try await send("engage", #"{"reason": "alone"}"#) == 202)
                    #expect(FileManager.default.fileExists(atPath: file))
                    #expect(try await send("release", #"{"reason": "too early"}"#) == 503)
                    #expect(FileManager.default.fileExists(atPath: file), "nothing is released")
                }
            }
        }
    }

    /// An address of this machine that is not the loopback's.
    private static let address = try? System.enumerateDevices().compactMap(\.address).first {
        $0.protocol == .inet && !($0.ipAddress ?? "127.").hasPrefix("127.")
    }?.ipAddress

    @Test(.enabled(if: address != nil), .timeLimit(.minutes(3)))
    func `orders are taken from the loopback only, also where the status page is served elsewhere`() async throws {
        let outside = try #require(Self.address)
        try await OrchestratorRig.run(["CONTROL_TOKEN": Self.token, "STATUS_HOST": "0.0.0.0"]) { rig in
            let port = try FreePort.find()
            let orchestrator = try rig.spawn("orchestrator", ["STATUS_PORT": "\(port)"])
            try await eventually(within: .seconds(60), "it answers") { try await OrchestratorRig.status(port) != nil }
            #expect(try await OrchestratorRig.send(port, "/status", host: outside).code == 200)
            let order = #"{"shard":"shard-99"}"#
            func send(_ host: String) async throws -> (code: Int, body: String) {
                try await OrchestratorRig.send(port, "/control/drain", post: order, token: Self.token, host: host)
            }
            let refused = try await send(outside)
            #expect(refused.code == 403 && refused.body.contains("not_local"), "\(refused.body)")
            // Before it leads it says so, instead of that there is no such shard.
            try await eventually(within: .seconds(60), "it leads") { try await send("127.0.0.1").code == 404 }
            #expect(await orchestrator.terminate() == .exited(0))
        }
    }

    // DESIGN section 5: a leader that was stopped wakes up and must not grant.
    @Test(.timeLimit(.minutes(5)))
    func `a stopped leader that wakes up grants nothing under its old term`() async throws {
        try await OrchestratorRig.run { rig in
            let (one, two) = (try FreePort.find(), try FreePort.find())
            let grants = try await rig.peer.listen(to: Channels.grants("shard-01"))
            let shard = try await ScriptedShard("shard-01", on: rig.peer)
            let first = try rig.spawn(
                "orchestrator", named: "one", ["STATUS_PORT": "\(one)", "SERVICE_INSTANCE": "1"])
            try await eventually(within: .seconds(60), "the first grants") { grants.all.contains { $0.term == 1 } }
            let second = try rig.spawn(
                "orchestrator", named: "two", ["STATUS_PORT": "\(two)", "SERVICE_INSTANCE": "2"])
            try await eventually(within: .seconds(60), "the standby answers") {
                try await OrchestratorRig.status(two) != nil
            }
            first.signal(SIGSTOP)
            let beat = shard.lastBeat
            try await eventually(within: .seconds(60), "the second grants") { grants.all.contains { $0.term == 2 } }
            let before = grants.all.filter { $0.term == 1 }.count
            first.signal(SIGCONT)
            try await eventually(within: .seconds(60), "the first knows that it lost") {
                try await OrchestratorRig.status(one)?.fleet.isLeading == false
            }
            // Everything that it had to say has been said when a later grant of the second has arrived.
            let heard = grants.all.count
            try await eventually(within: .seconds(30), "ten more grants") { grants.all.count >= heard + 10 }
            // It has one in its hands at a time, which the stop may have met between its last look and its write. The
            // shard, which knows a later term, refuses it (LeaseTests).
            let late = grants.all.filter { $0.term == 1 }.dropFirst(before)
            #expect(late.count <= 1 && late.allSatisfy { $0.beat <= beat }, "\(late)")
            #expect(await first.terminate() == .exited(0))
            #expect(await second.terminate() == .exited(0))
        }
    }
}
