import Foundation
import Servers
import TestKit
import Testing

/// `linesman chaos` on a suite of its own; how long things took decides nothing here.
@Suite(.serialized) struct ChaosCommandTests {
    private struct Report: Decodable {
        struct Round: Decodable {
            let scenario: String
            let isControl: Bool
            let recoveredMs: Int64?
            let lost: Int
            let duplicated: Int?
            let problems: [String]
        }

        let rounds: [Round]
    }

    /// A short rehearsal is over within this, or it has failed: the command is ended, and there is no whole report.
    private static let limit: Duration = .seconds(360)

    private static func hold(_ words: [String], in folder: String) async throws -> ([Report.Round], String) {
        let file = "\(folder)/chaos.json"
        let (end, output) = try await ChildProcess.run(
            Executable.path("linesman"), ["chaos"] + words + ["--report", file],
            environment: Executable.environment(temporary: folder), directory: folder, timeout: limit)
        let data = try #require(FileManager.default.contents(atPath: file), "\(end): \(output)")
        return (try JSONDecoder().decode(Report.self, from: data).rounds, output)
    }

    @Test(.timeLimit(.minutes(7)))
    func `each kind of loss is recovered from, with nothing lost and nothing sent twice`() async throws {
        let folder = try TemporaryDirectory("chaos")
        defer { folder.remove() }
        let (rounds, output) = try await Self.hold(["--core", "--suites", "2"], in: folder.path)
        #expect(rounds.count == 7, "\(output)")
        for round in rounds {
            #expect(round.lost == 0 && round.duplicated == 0 && round.recoveredMs != nil, "\(round)")
            let problems = round.problems.filter { !$0.hasSuffix("later than allowed") }
            #expect(problems.isEmpty, "\(round)")
        }
    }

    @Test(.timeLimit(.minutes(7)))
    func `a suite that cannot recover is seen not to`() async throws {
        let folder = try TemporaryDirectory("chaos")
        defer { folder.remove() }
        let (rounds, output) = try await Self.hold(["redis-kill", "--control"], in: folder.path)
        let control = try #require(rounds.first { $0.isControl }, "\(output)")
        #expect(control.recoveredMs == nil && !control.problems.isEmpty, "\(control)")
    }
}
