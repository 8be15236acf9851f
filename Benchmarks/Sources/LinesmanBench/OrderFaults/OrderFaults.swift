import Foundation
import OrderTestKit
import Runtime

/// Orders to a venue on a bad day, through an execution-service that is killed at every point of an order's life: real
/// processes, real time.
///
/// Orders sent twice, forgotten or left over, and limits exceeded, are promises and fail the run.
enum OrderFaults {
    static func run(_ options: Options) async throws -> Report {
        var rehearsal = OrderRehearsal(executables: FleetBench.executables, submits: options.submits)
        rehearsal.rounds = max(1, options.submits / 20_000)
        rehearsal.killsAtEach = max(1, options.submits / 10_000)
        rehearsal.seed = options.seed
        rehearsal.say = { FileHandle.standardError.write(Data("order-faults: \($0)\n".utf8)) }
        let result = try await rehearsal.run()
        var report = Report(
            title: "order faults: \(result.submits) submits, \(result.kills) kills, seed \(options.seed)")
        print(result.table)
        report.set("submits", to: .number(Double(result.submits)))
        report.set("intents", to: .number(Double(result.intents)))
        report.set("kills", to: .number(Double(result.kills)))
        report.set("kill_points", to: .number(Double(KillPoint.all.count)))
        report.set("seconds", to: .number(result.seconds))
        report.set("submits_per_second", to: .number(Double(result.submits) / result.seconds))
        report.set("limit_samples", to: .number(Double(result.samples)))
        report.set("longest_open_s", to: .number(result.longestOpen))
        let least = KillPoint.all.map { result.hits[$0] ?? 0 }.min() ?? 0
        report.add(Bar("kills at the point with the fewest", Double(least), .atLeast(1)), as: "kills_at_least")
        report.add(
            Bar("last order's end after the last fault, s", result.settledWithin, .atMost(30)), as: "settled_within_s")
        report.add(
            Bar(
                "reserved and filled, $", result.largestExposure.approximateDollars,
                .atMost(result.limit.approximateDollars)), as: "largest_exposure_dollars")
        report.set("exposure_limit_dollars", to: .number(result.limit.approximateDollars))
        report.add(Bar("broken promises", Double(result.violations.count), .atMost(0)), as: "violations")
        report.note(Self.list("orders", result.states))
        report.note(Self.list("signals", result.verdicts))
        report.note(Self.list("faults of the venue", result.faults))
        for (fault, count) in result.faults { report.set("faults_\(fault)", to: .number(Double(count))) }
        for violation in result.violations.prefix(50) { report.violation(violation) }
        Machine.describe(&report)
        return report
    }

    private static func list(_ name: String, _ counts: [String: Int]) -> String {
        name + ": " + counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
    }
}
