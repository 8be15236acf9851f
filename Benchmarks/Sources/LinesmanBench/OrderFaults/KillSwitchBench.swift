import Foundation
import OrderTestKit
import Runtime

/// From the return of whoever engages the kill switch to the first byte of the last order that left, while orders flow:
/// real processes, real time, with each server away in turn.
enum KillSwitchBench {
    static func run(_ options: Options) async throws -> Report {
        var rehearsal = KillSwitchRehearsal(
            executables: FleetBench.executables, rounds: max(50, options.fleetRounds))
        rehearsal.say = { FileHandle.standardError.write(Data("kill-switch: \($0)\n".utf8)) }
        let rounds = try await rehearsal.run()
        var report = Report(title: "kill switch: \(rounds.count) times while orders flow")
        for (outage, trigger) in rehearsal.cases {
            let own = rounds.filter { $0.outage == outage && $0.trigger == trigger }
            let key = "\(outage.rawValue)_\(trigger.rawValue)"
            let away = outage == .nothing ? "all there" : "\(outage.rawValue) away"
            report.add(
                Bar(
                    "\(away), by \(trigger.rawValue): return to the last order's first byte, ms p99",
                    own.map { $0.leaving * 1_000 }.percentile(0.99), .atMost(100)), as: "\(key)_leaving_p99_ms")
            report.set("\(key)_rounds", to: .number(Double(own.count)))
            for (name, values) in [("engaging", own.map(\.engaging)), ("stopping", own.map(\.stopping))] {
                for (share, label) in [(0.5, "p50"), (0.99, "p99")] {
                    let value = values.percentile(share) ?? 0
                    report.set("\(key)_\(name)_\(label)_ms", to: .number(value * 1_000))
                }
            }
            let late = own.reduce(0) { $0 + $1.late }
            if late > 0 { report.violation("\(late) orders left while the kill switch was engaged: \(key)") }
        }
        report.set("turned_away", to: .number(Double(rounds.reduce(0) { $0 + $1.refused })))
        Machine.describe(&report)
        return report
    }
}
