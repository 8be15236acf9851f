import FleetTestKit
import Foundation
import Servers

/// One message over the bare line: microseconds since 1970 at five points.
struct BareJourney: Sendable {
    static let partNames = ["hop_1", "commit_1", "hop_2", "commit_2"]

    let times: [Int64]

    var milliseconds: Double { Double(times[4] - times[0]) / 1_000 }
    /// Between the points, in milliseconds.
    var parts: [Double] { zip(times, times.dropFirst()).map { Double($1 - $0) / 1_000 } }

    /// A line of `Peers/path.c`.
    init(_ line: Substring) throws(BenchError) {
        times = line.split(separator: " ").compactMap { Int64($0) }
        guard times.count == 5 else { throw BenchError(.failure, "not five times: \(line)") }
    }
}

/// `Peers/path.c`, which runs beside the suite.
struct BareLine: Sendable {
    private let child: ChildProcess
    private let count: Int

    /// Starts it: `count` messages, `rate` a second.
    init(_ fleet: PathFleet, program: String, rate: Int, count: Int) throws {
        self.count = count
        child = try ChildProcess.spawn(
            program, ["\(fleet.redis.port)", "\(rate)", "\(count)"],
            environment: ["DATABASE_URL": fleet.postgres.url(database: "bare")], output: .captured, errors: .inherit)
    }

    /// Ends it before its time.
    func end() async { await child.kill9() }

    /// Waits for its end.
    func journeys() async throws -> [BareJourney] {
        let status = await child.wait()
        guard status.isSuccess else { throw BenchError(.failure, "the bare line has ended with \(status)") }
        let journeys = try child.captured.split(separator: "\n").map { line in try BareJourney(line) }
        guard journeys.count == count else {
            throw BenchError(.failure, "\(journeys.count) of \(count) messages came over the bare line")
        }
        return journeys
    }
}
