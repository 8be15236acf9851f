import Foundation
import OrderTestKit
import Runtime
import Servers
import TestKit
import Testing

/// The kill switch of real processes, from the command line (DESIGN rule 14, CHECKLIST N18).
@Suite(.processes) struct KillSwitchTests {
    private static let names = [
        "execution-service/1", "game-shard/shard-01", "market-discovery/1", "orchestrator/1", "signal-processor/1",
    ]

    private struct Operator {
        let suite: SmallSuite
        let environment: [String: String]

        func callAsFunction(_ arguments: String...) async throws -> (code: ChildProcess.ExitStatus, output: String) {
            let (status, output) = try await ChildProcess.run(
                Executable.path("linesman"), ["kill-switch"] + arguments,
                environment: Executable.environment(temporary: suite.folder.path, environment),
                timeout: .seconds(60))
            return (status, output)
        }

        /// Whether everybody sees it, and nobody does not.
        func isSeen(_ state: String) async throws -> Bool {
            let shown = try await self("status").output
            return KillSwitchTests.names.allSatisfy { name in
                shown.split(separator: "\n").contains { $0.contains(name) && $0.contains(" \(state) ") }
            }
        }
    }

    // CHECKLIST R84: each trigger and each outage, while orders flow; `make bench-kill-switch` measures how fast.
    @Test(.timeLimit(.minutes(10)))
    func `no order leaves once it is engaged, by command, HTTP or hand, whatever is away`() async throws {
        var rehearsal = KillSwitchRehearsal(executables: Executable.folder.path, rounds: 1)
        rehearsal.say = { LogOutput.standardError.line($0) }
        let rounds = try await rehearsal.run()
        #expect(rounds.count == rehearsal.cases.count)
        for round in rounds {
            #expect(round.late == 0, "\(round)")
            #expect(round.refused >= 3, "there was work to be turned away: \(round)")
        }
    }

    @Test(.timeLimit(.minutes(10)))
    func `every executable sees it, with both servers there, with both away, and over a restart`() async throws {
        try await withOwnPostgres { postgres in
            try await withOwnRedis { redis in
                let database = postgres.url(database: "linesman")
                try await SmallSuite.with(redis: redis.url, database: database) { suite in
                    let file = "\(suite.folder.path)/run/kill-switch"
                    let linesman = Operator(
                        suite: suite,
                        environment: ["DATABASE_URL": database, "REDIS_URL": redis.url, "KILL_SWITCH_FILE": file])
                    let own = ["KILL_SWITCH_FILE": file, "SERVICE_INSTANCE": "1", "SHARD_ID": "shard-01"]
                    for name in ["orchestrator", "game-shard", "market-discovery", "signal-processor"] {
                        try suite.spawn(name, as: name, own)
                    }
                    try suite.spawn("execution-service", as: "execution-service", own)
                    try await eventually(within: .seconds(90), "everybody says that it is released") {
                        try await linesman.isSeen("released")
                    }
                    try await engageAndRelease(linesman, file)
                    try await eventually(within: .seconds(20), "raised and recovered") {
                        suite.world.count("killSwitchEngaged", "firing") == 1
                            && suite.world.count("killSwitchEngaged", "recovered") == 1
                    }

                    await postgres.kill()
                    await redis.kill()
                    let alone = try await linesman("engage", "--reason", "both are away", "--within", "20")
                    #expect(alone.code == .exited(75), "\(alone.output)")
                    #expect(alone.output.contains("file        engaged") && !alone.output.contains("HAS NOT SEEN IT"))
                    for name in Self.names { #expect(alone.output.contains(name), "\(alone.output)") }
                    let refused = try await linesman("release", "--reason", "too early")
                    #expect(refused.code == .exited(69) && FileManager.default.fileExists(atPath: file))

                    try await postgres.startAgain()
                    try await eventually(within: .seconds(30), "PostgreSQL has it") {
                        try await linesman("engage", "--reason", "again").code == .exited(0)
                    }
                    let execution = try suite.process("execution-service")
                    execution.signal(SIGKILL)
                    _ = await execution.wait()
                    try await redis.startAgain()
                    try suite.spawn("execution-service", as: "execution-service", own)
                    try await eventually(within: .seconds(60), "the new life is halted too") {
                        let shown = try await linesman("status").output
                        return shown.hasPrefix("kill switch: engaged") && !shown.contains("silent")
                            && !shown.contains("HAS NOT")
                    }
                    let released = try await linesman("release", "--reason", "mended", "--within", "20")
                    #expect(released.code == .exited(0), "\(released.output)")
                    #expect(!FileManager.default.fileExists(atPath: file))
                    try await eventually(within: .seconds(30), "everybody says that it is released") {
                        try await linesman.isSeen("released")
                    }
                }
            }
        }
    }

    private func engageAndRelease(_ linesman: Operator, _ file: String) async throws {
        let engaged = try await linesman("engage", "--reason", "a test", "--within", "20")
        #expect(engaged.code == .exited(0), "\(engaged.output)")
        for part in ["file        engaged", "PostgreSQL  engaged", "Redis       told"] + Self.names {
            #expect(engaged.output.contains(part), "\(part) in \(engaged.output)")
        }
        #expect(!engaged.output.contains("HAS NOT SEEN IT"))
        let shown = try await linesman("status").output
        #expect(shown.hasPrefix("kill switch: engaged") && shown.contains("a test"), "\(shown)")
        #expect(try await linesman("release").code == .exited(64), "no reason")
        let released = try await linesman("release", "--reason", "checked", "--within", "20")
        #expect(released.code == .exited(0), "\(released.output)")
        #expect(!released.output.contains("HAS NOT SEEN IT") && !FileManager.default.fileExists(atPath: file))
    }
}
