import FleetTestKit
import Foundation
import Resilience
import Runtime
import Servers

/// Twice as many busy loops as cores: nobody is taken for dead, and nobody is alarmed.
enum BusyBench {
    static func run(_ bench: FleetBench, _ report: inout Report) async throws {
        let minutes = bench.options.minutes
        let loops = 2 * ProcessInfo.processInfo.activeProcessorCount
        let result: (deaths: Int, alerts: [String], moved: Int, slowest: Double, isComplete: Bool) =
            try await bench.withFleet { fleet, log in
                let moves = try await fleet.moves()
                let before = bench.clock.now
                let seen = log.firings.count
                var children: [ChildProcess] = []
                for _ in 0..<loops {
                    children.append(try ChildProcess.spawn("/bin/sh", ["-c", "while :; do :; done"]))
                }
                let end = before.advanced(by: .seconds(Int64(minutes * 60)))
                var slowest = 0.0
                var said = before
                while bench.clock.now < end {
                    try await bench.clock.sleep(for: .milliseconds(50))
                    let now = bench.clock.now
                    slowest = max(slowest, fleet.watch.beats.values.map { $0.at.duration(to: now).seconds }.max() ?? 0)
                    guard now.since(said) > .seconds(60) else { continue }
                    said = now
                    bench.say("\(fleet.watch.deaths(since: before)) deaths, \(log.firings.count - seen) alerts so far")
                }
                for child in children { await child.kill9() }
                return (
                    fleet.watch.deaths(since: before), log.firings.dropFirst(seen).map { "\($0.kind): \($0.summary)" },
                    try await fleet.moves() - moves, slowest, fleet.isComplete
                )
            }
        report.set("busy_minutes", to: .number(minutes))
        report.set("busy_loops", to: .number(Double(loops)))
        report.set("busy_longest_silence_s", to: .number(result.slowest))
        report.add(
            Bar("\(loops) busy loops, \(minutes) min: false deaths", Double(result.deaths), .atMost(0)),
            as: "busy_false_deaths")
        report.add(Bar("false alerts", Double(result.alerts.count), .atMost(0)), as: "busy_false_alerts")
        report.add(Bar("games moved", Double(result.moved), .atMost(0)), as: "busy_moves")
        for alert in Set(result.alerts).sorted() { report.note("busy alert: \(alert)") }
        if result.deaths > 0 { report.violation("\(result.deaths) shards that ran were taken for dead") }
        if !result.alerts.isEmpty { report.violation("\(result.alerts.count) false alerts") }
        if !result.isComplete { report.violation("a process ended") }
    }
}
