import CryptoExtras
import Domain
import Foundation
import Runtime
import Servers
import TestKit
import Testing

/// The go-live list, walked by the command beside a suite that runs on paper (the seed's ladder).
@Suite(.processes) struct CheckLiveTests {
    private struct Line: Decodable {
        let name: String
        let judgement: String
        let note: String
    }

    private static let market = "KXNBAGAME-26APR20TORCLE-CLE"

    /// A venue whose clock is this machine's.
    private static var recording: String {
        let now = WallClock.text(WallClock.real.microseconds)
        return """
            linesman-recording\t1
            name\tlive
            attribution\tmade for a test
            synthetic\tall of it
            game\t401869369\tnba\t\(now)\tCLE\tCleveland Cavaliers\tTOR\tToronto Raptors
            start\t\(now)
            market\t\(market)\tkalshi\tKXNBAGAME-26APR20TORCLE\thome\tlinear_cent\t1.0000\tWinner?
            depth\t3\t40\t10
            facts\t3
            0\tstatus\tscheduled\t0\t0.0\t0\t0
            0\tquote\t0\t0.4900\t0.5000
            3600000000\tstatus\tscheduled\t0\t0.0\t0\t0

            """
    }

    @Test(.timeLimit(.minutes(5)))
    func `the list holds beside a suite that is well, and names each thing that forbids real orders`() async throws {
        try await withOwnPostgres(fsync: true) { postgres in
            try await withOwnRedis { redis in
                var starting = try RealFleet()
                let (recording, key) = (
                    "\(starting.folder.path)/live.recording", "\(starting.folder.path)/key.pem"
                )
                try Self.recording.write(toFile: recording, atomically: true, encoding: .utf8)
                try _RSA.Signing.PrivateKey(keySize: .bits2048).pemRepresentation
                    .write(toFile: key, atomically: true, encoding: .utf8)
                let file = "\(starting.folder.path)/kill-switch"
                try await starting.start(
                    redis: redis.url, database: postgres.url(database: "linesman"), recording: recording,
                    ["KILL_SWITCH_FILE": file])
                let fleet = starting
                try await fleet.startGame()
                try await eventually(within: .seconds(90), "all is well") {
                    try await fleet.status()?.isAllWell == true
                }
                let live = [
                    "REPLAY_SPEED": "", "PAPER_TRADING": "false", "LIVE_TRADING_AUTHORIZED": "true",
                    "KALSHI_API_KEY": "a-key", "KALSHI_PRIVATE_KEY_PATH": key,
                    "CUSTOM_WEBHOOK_URL": "http://127.0.0.1:9/hook",
                ]
                @Sendable func forbidden(
                    _ changes: [String: String] = [:]
                ) async throws -> (names: Set<String>, lines: [Line]) {
                    let (code, output) = try await fleet.linesman(
                        ["check", "live", "--json", "--url", "http://127.0.0.1:\(fleet.statusPort)"],
                        live.merging(changes) { $1 })
                    // The address is never the venue's own in a test.
                    #expect(code == .exited(1), "\(output)")
                    let lines = try JSONDecoder().decode([Line].self, from: Data(output.utf8))
                    return (Set(lines.filter { $0.judgement == "FAILED" }.map(\.name)), lines)
                }

                let first = try await forbidden()
                #expect(first.names == ["address"], "\(first.lines)")
                let names = Set(first.lines.map(\.name))
                let expected: Set = [
                    "mode", "key", "venue", "clock", "balance", "positions", "PostgreSQL", "durability", "kill switch",
                    "unfinished orders", "Redis", "suite", "health", "alerts", "flags", "account",
                ]
                #expect(expected.isSubset(of: names), "\(names)")
                let flags = first.lines.first { $0.name == "flags" }
                #expect(flags?.note == "none runs live yet", "\(first.lines)")
                let account = first.lines.first { $0.name == "account" }
                #expect(account?.judgement == "warning", "\(first.lines)")

                #expect(try await forbidden(["PAPER_TRADING": "true"]).names == ["address", "mode"])
                #expect(try await forbidden(["CUSTOM_WEBHOOK_URL": ""]).names == ["address", "alerts"])
                let poor = try await forbidden(["MAX_ORDER_SIZE": "999999"])
                #expect(poor.names == ["address", "balance"])

                try await fleet.plant(#"{"market":"\#(Self.market)","contracts":"1.00"}"#)
                let engaged = try await fleet.linesman(["kill-switch", "engage", "--reason", "a test"])
                #expect(engaged.code == .exited(0), "\(engaged.output)")
                await fleet.processes["execution-service"]?.terminate(killAfter: .seconds(15))
                try await eventually(within: .seconds(60), "it is not heard of any more") {
                    try await forbidden().names.contains("suite")
                }
                let second = try await forbidden()
                #expect(
                    second.names.isSuperset(of: ["address", "positions", "kill switch", "suite"]), "\(second.lines)")
                let position = second.lines.first { $0.name == "positions" }
                #expect(position?.note.contains(Self.market) == true, "\(second.lines)")

                await postgres.kill()
                #expect(try await forbidden().names.contains("PostgreSQL"))
                let wrong = try await fleet.linesman(["check", "live"], live.merging(["MAX_DAILY_LOSS": "x"]) { $1 })
                #expect(wrong.code == .exited(78) && wrong.output.contains("MAX_DAILY_LOSS"), "\(wrong.output)")
                _ = await fleet.stop()
            }
        }
    }
}
