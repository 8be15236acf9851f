import AsyncHTTPClient
import Foundation
import Runtime
import Servers
import TestKit
import Testing

/// A venue that differs from our books, as the operator meets it (CHECKLIST N12).
@Suite(.processes) struct ReconcileTests {
    private struct Ports: Decodable {
        let http: Int
    }

    private struct Shown: Decodable {
        struct Comparison: Decodable {
            struct Difference: Decodable {
                let code: String
                let subject: String
                let ours: Int64?
                let venues: Int64?
            }

            let verdict: String
            let differences: [Difference]
        }

        let comparison: Comparison
    }

    private static let market = "KXNBAGAME-26APR20TORCLE-CLE"

    private func post(_ url: String, _ body: String) async throws -> UInt {
        var request = HTTPClientRequest(url: url)
        request.method = .POST
        request.body = .bytes(Data(body.utf8))
        return try await HTTPClient.shared.execute(request, timeout: .seconds(20)).status.code
    }

    @Test(.timeLimit(.minutes(5)))
    func `a venue that differs by one contract halts, alerts, and is named by the command`() async throws {
        try await withOwnPostgres { postgres in
            try await withOwnRedis { redis in
                let database = postgres.url(database: "linesman")
                try await SmallSuite.with(redis: redis.url, database: database) { suite in
                    let recordings = Executable.environment(temporary: suite.folder.path)["LINESMAN_RECORDINGS"] ?? ""
                    let ready = "\(suite.folder.path)/venue.json"
                    try suite.spawn(
                        "venue-simulator", as: "venue-simulator",
                        [
                            "SIMULATOR_READY_FILE": ready,
                            "SIMULATOR_RECORDING": "\(recordings)/tor-at-cle-2026-04-20.recording",
                        ])
                    try await eventually(within: .seconds(60), "the venue listens") {
                        FileManager.default.fileExists(atPath: ready)
                    }
                    let data = FileManager.default.contents(atPath: ready) ?? Data()
                    let venue = "http://127.0.0.1:\(try JSONDecoder().decode(Ports.self, from: data).http)"
                    let environment = Executable.environment(
                        temporary: suite.folder.path, ["DATABASE_URL": database])

                    @Sendable func reconcile(
                        _ arguments: String...
                    ) async throws -> (code: ChildProcess.ExitStatus, output: String) {
                        let (code, output) = try await ChildProcess.run(
                            Executable.path("linesman"), ["reconcile"] + arguments, environment: environment,
                            timeout: .seconds(60))
                        return (code, output)
                    }

                    let file = "\(suite.folder.path)/run/kill-switch"
                    try suite.spawn(
                        "execution-service", as: "execution-service",
                        ["PAPER_VENUE_URL": venue, "REPLAY_SPEED": "1", "KILL_SWITCH_FILE": file])
                    try await eventually(within: .seconds(90), "compared, and equal") {
                        try await reconcile().code == .exited(0)
                    }
                    let planted = #"{"market":"\#(Self.market)","contracts":"1.00"}"#
                    #expect(try await post("\(venue)/control/account", planted) == 200)
                    let now = try await reconcile("--now")
                    #expect(now.code == .exited(1), "\(now.output)")
                    #expect(now.output.hasPrefix("DIFFERS, no new orders"), "\(now.output)")
                    let line = now.output.split(separator: "\n").first { $0.contains("position") && $0.contains("KX") }
                    #expect(
                        line?.split(separator: " ").prefix(4).map(String.init)
                            == ["position", Self.market, "0.00", "1.00"], "\(now.output)")
                    try await eventually(within: .seconds(60), "said, in the file of whoever writes it") {
                        let names = try FileManager.default.contentsOfDirectory(atPath: suite.folder.path)
                        return names.contains { name in
                            name.hasPrefix("alerts") && name.hasSuffix(".log")
                                && suite.lines(name).contains { $0.contains("\"reconciliationMismatch\"") }
                        }
                    }
                    try await eventually(within: .seconds(30), "the kill switch is engaged for it") {
                        let shown = try await ChildProcess.run(
                            Executable.path("linesman"), ["kill-switch", "status", "--database", database],
                            environment: environment.merging(["KILL_SWITCH_FILE": file, "REDIS_URL": redis.url]) { $1 },
                            timeout: .seconds(30)
                        ).output
                        return shown.hasPrefix("kill switch: engaged") && shown.contains("reconciliation mismatch")
                    }
                    let json = try await reconcile("--json")
                    let shown = try JSONDecoder().decode(Shown.self, from: Data(json.output.utf8)).comparison
                    #expect(json.code == .exited(1) && shown.verdict == "differs")
                    #expect(shown.differences.map(\.subject) == [Self.market] && shown.differences[0].venues == 100)

                    #expect(try await reconcile("accept").code == .exited(64), "no reason")
                    let accepted = try await reconcile("accept", "--reason", "bought by hand")
                    #expect(accepted.code == .exited(0) && accepted.output.contains(Self.market), "\(accepted.output)")
                    let equal = try await reconcile("--now")
                    #expect(equal.code == .exited(0) && equal.output.hasPrefix("equal"), "\(equal.output)")
                    #expect(try await reconcile("accept", "--reason", "again").code == .exited(75))
                    #expect(try await reconcile("adopt").code == .exited(64), "no reason")
                    let nothing = try await reconcile("adopt", "--reason", "restored")
                    #expect(nothing.code == .exited(75) && !nothing.output.contains("no look"), "\(nothing.output)")
                    let unknown = try await reconcile("adopt", "--reason", "restored", "--fill", "nobodys")
                    #expect(unknown.code == .exited(75) && unknown.output.contains("not_kept"), "\(unknown.output)")
                    await postgres.kill()
                    #expect(try await reconcile().code == .exited(69), "no database")
                    #expect(try await reconcile("adopt", "--reason", "restored").code == .exited(69), "no database")
                }
            }
        }
    }
}
