import BusTestKit
import Foundation
import Redis
import RedisTestKit
import Resilience
import Runtime

/// What the bus does while servers and links fail: real servers, real time, seeded chance.
///
/// Counts that are promises (nothing lost, one gap) are violations and fail the run; times and memory are bars.
enum BusFaults {
    /// What can be run alone.
    enum Part: String, CaseIterable {
        case cuts
        case flushall
        case away
        case halfOpen = "half-open"
        case churn
        case idle
        case memory
    }

    static func run(_ options: Options) async throws -> Report {
        var report = Report(title: "bus faults: seed \(options.seed), settings as in docker-compose.yml")
        for part in Part.allCases where options.faultParts.isEmpty || options.faultParts.contains(part) {
            say("\(part.rawValue) …")
            let bench = FaultBench(options: options, part: part)
            switch part {
            case .cuts: try await CutsBench.run(bench, &report)
            case .flushall: try await FlushBench.run(bench, &report)
            case .away: try await AwayBench.run(bench, &report)
            case .halfOpen: try await HalfOpenBench.run(bench, &report)
            case .churn: try await ChurnBench.run(bench, &report)
            case .idle: try await IdleBench.run(bench, &report)
            case .memory: try await MemoryBench.run(bench, &report)
            }
        }
        Machine.describe(&report)
        return report
    }

    /// Progress, beside the results.
    static func say(_ text: String) {
        FileHandle.standardError.write(Data("bus-faults: \(text)\n".utf8))
    }
}

/// What every part needs.
struct FaultBench: Sendable {
    let options: Options
    let part: BusFaults.Part
    let clock = MachineClock.real

    /// The settings of docker-compose.yml (DESIGN section 7): quick and never beyond a second.
    static func settings(_ url: String, _ more: [String: String] = [:]) -> RedisSettings {
        let compose = [
            "REDIS_URL": url, "REDIS_RECONNECT_BASE_DELAY_MS": "100", "REDIS_RECONNECT_MAX_DELAY_MS": "1000",
            "REDIS_RECONNECT_JITTER_PCT": "0.5", "REDIS_RECONNECT_JITTER_ONLY_SHORTENS": "true",
            "REDIS_RECONNECT_MAX_FAILURES": "10", "REDIS_RECONNECT_RESET_SECS": "10",
            "REDIS_BREAKER_COOLDOWN_MS": "1000", "REDIS_CONNECT_TIMEOUT_MS": "1000", "REDIS_PING_INTERVAL_MS": "1000",
            "REDIS_PONG_TIMEOUT_MS": "1500",
        ]
        return RedisSettings(SettingsReader(environment: compose.merging(more) { $1 }))
    }

    func say(_ text: String) { BusFaults.say("\(part.rawValue): \(text)") }

    /// A generator of this part's own, so that one part alone draws what it draws in the whole.
    func generator(_ stream: Int = 0) -> SeededGenerator {
        let index = BusFaults.Part.allCases.firstIndex(of: part) ?? 0
        return SeededGenerator(seed: options.seed &+ UInt64(index * 1_000 + stream))
    }

    /// Asks every millisecond; throws when it takes too long.
    ///
    /// - Returns: when it was first true.
    @discardableResult
    func until(_ what: String, within limit: Duration = .seconds(60), _ condition: () -> Bool) async throws
        -> MachineInstant
    {
        let end = clock.now.advanced(by: limit)
        while clock.now < end {
            if condition() { return clock.now }
            try await clock.sleep(for: .milliseconds(1))
        }
        throw BenchError(.failure, "\(part.rawValue): not within \(limit): \(what)")
    }
}

/// Times of several rounds, in seconds.
struct RoundTimes: Sendable {
    private(set) var seconds: [Double] = []

    mutating func add(_ time: Duration) { seconds.append(Double(time.wholeNanoseconds) / 1e9) }
    mutating func add(_ other: RoundTimes) { seconds += other.seconds }

    var mean: Double { seconds.isEmpty ? 0 : seconds.reduce(0, +) / Double(seconds.count) }
    /// Nil without rounds.
    var maximum: Double? { seconds.max() }
}
