import FleetTestKit
import Foundation
import Resilience
import Runtime

/// What becomes of games, reservations and alerts while shards, links and Redis fail: real processes, real time.
///
/// Games lost, stale reservations accepted and false alarms are promises, and fail the run; times are bars.
enum FleetFaults {
    /// What can be run alone.
    enum Part: String, CaseIterable {
        case failover
        case redisAway = "redis-away"
        case busy
        case alerts
        case storm
        case leadership
        case recovery
    }

    static func run(_ options: Options) async throws -> Report {
        var report = Report(title: "fleet faults: two shards, \(options.games) games, seed \(options.seed)")
        for part in Part.allCases where options.fleetParts.isEmpty || options.fleetParts.contains(part) {
            let bench = FleetBench(options: options, part: part)
            bench.say("load \(FleetBench.load)")
            report.set("\(bench.key)_load_before", to: .text(FleetBench.load))
            switch part {
            case .failover: try await FailoverBench.run(bench, &report)
            case .redisAway: try await RedisAwayBench.run(bench, &report)
            case .busy: try await BusyBench.run(bench, &report)
            case .alerts: try await AlertsBench.run(bench, &report)
            case .storm: try await StormBench.run(bench, &report)
            case .leadership: try await LeadershipBench.run(bench, &report)
            case .recovery: try await RecoveryBench.run(bench, &report)
            }
            report.set("\(bench.key)_load_after", to: .text(FleetBench.load))
        }
        Machine.describe(&report)
        return report
    }
}

/// What every part needs.
struct FleetBench: Sendable {
    let options: Options
    let part: FleetFaults.Part
    let clock = MachineClock.real

    /// The part's name as it begins the names of figures.
    var key: String { part.rawValue.replacing("-", with: "_") }

    /// Progress, beside the results.
    func say(_ text: String) {
        FileHandle.standardError.write(Data("fleet-faults: \(part.rawValue): \(text)\n".utf8))
    }

    /// Asks every 20 ms; throws when it takes too long.
    func until(
        _ what: String, within limit: Duration = .seconds(60), _ condition: () async throws -> Bool
    ) async throws {
        let end = clock.now.advanced(by: limit)
        while try await !condition() {
            guard clock.now < end else { throw BenchError(.failure, "\(part.rawValue): not within \(limit): \(what)") }
            try await clock.sleep(for: .milliseconds(20))
        }
    }

    /// Asks every 20 ms.
    ///
    /// - Returns: whether it held in time.
    func holds(within limit: Duration = .seconds(60), _ condition: () -> Bool) async -> Bool {
        let end = clock.now.advanced(by: limit)
        while !condition() {
            guard clock.now < end, !Task.isCancelled else { return false }
            // Cancelled: the loop's condition sees it.
            try? await clock.sleep(for: .milliseconds(20))
        }
        return true
    }

    /// Load averages of 1, 5 and 15 minutes and what runs now, as the kernel says it; empty where there is no /proc.
    static var load: String {
        ((try? String(contentsOfFile: "/proc/loadavg", encoding: .utf8)) ?? "").split(separator: " ").prefix(4)
            .joined(separator: " ")
    }

    /// The suite's programs, built beside this one.
    static var executables: String {
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(filePath: own).deletingLastPathComponent().path
    }

    /// Runs `body` with a fleet of its own, and watches its alerts.
    func withFleet<R: Sendable>(
        _ body: @escaping @Sendable (FaultyFleet, AlertLog) async throws -> R
    ) async throws -> R {
        let kept = ProcessInfo.processInfo.environment["LINESMAN_KEEP_LOGS"] == "1"
        return try await FaultyFleet.run(
            executables: Self.executables, games: options.games, isKept: kept
        ) { fleet in
            let log = AlertLog(path: fleet.alertFile)
            let reading = Task { await log.run() }
            defer { reading.cancel() }
            say("every game is watched; alerts in \(fleet.alertFile)")
            return try await body(fleet, log)
        }
    }
}

extension [Double] {
    /// The smallest value that at least this share of all do not exceed, by rank; nil of nothing.
    func percentile(_ share: Double) -> Double? {
        guard !isEmpty else { return nil }
        let rank = Int((share * Double(count)).rounded(.up))
        return sorted()[Swift.max(0, Swift.min(count, rank) - 1)]
    }
}

extension Duration {
    var seconds: Double { Double(wholeNanoseconds) / 1e9 }
}
