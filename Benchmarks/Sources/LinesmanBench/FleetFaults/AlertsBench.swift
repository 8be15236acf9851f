import Domain
import FleetTestKit
import Foundation
import Resilience
import Runtime
import TestKit

/// Every shard dead at once: how long until it is in the file, and until a person could read it.
enum AlertsBench {
    private struct Result: Sendable {
        var firings: [AlertLog.Entry] = []
        var recoveries: [AlertLog.Entry] = []
        var messages: [SlackSink.Arrival] = []
        /// From the last death to the message, one a round.
        var whole: [Double] = []
        /// What was promised and did not come.
        var missing: [String] = []
    }

    /// One fleet for each 25 rounds that are asked for, and each fault once in it: the fourth firing of one cause would
    /// be held back (decision 0025).
    static func run(_ bench: FleetBench, _ report: inout Report) async throws {
        let fleets = max(1, bench.options.fleetRounds / 25)
        let rounds = fleets * FaultyFleet.Fault.allCases.count
        var result = Result()
        for number in 1...fleets {
            bench.say("fleet \(number) of \(fleets)")
            let own = try await bench.withFleet { fleet, log in
                var result = Result()
                for fault in FaultyFleet.Fault.allCases { try await round(fault, fleet, log, bench, &result) }
                await untilTold(fleet, log, bench)
                result.firings = log.firings
                result.recoveries = log.recoveries
                result.messages = fleet.sink.arrivals
                result.missing += AlertTimes.untold(log.entries, fleet.sink.arrivals)
                return result
            }
            result.firings += own.firings
            result.messages += own.messages
            result.whole += own.whole
            result.recoveries += own.recoveries
            result.missing += own.missing
        }
        report.set("alerts_rounds", to: .number(Double(rounds)))
        report.set("alerts_firings", to: .number(Double(result.firings.count)))
        report.set("alerts_recoveries", to: .number(Double(result.recoveries.count)))
        report.add(
            Bar("all shards dead: at the sink after the last died, s", result.whole.max(), .atMost(8)),
            as: "alerts_all_dead_to_sink_max_s")
        AlertTimes(result.firings, result.messages).add(to: &report, key: "alerts")
        if result.whole.count < rounds { report.violation("told in \(result.whole.count) of \(rounds) rounds") }
        for text in result.missing { report.violation(text) }
        for alert in Set(result.firings.map(\.kind)).sorted() { report.note("alerts: \(alert)") }
    }

    private static func round(
        _ fault: FaultyFleet.Fault, _ fleet: FaultyFleet, _ log: AlertLog, _ bench: FleetBench, _ result: inout Result
    ) async throws {
        try await fleet.untilReady(within: .seconds(120))
        let (seen, told) = (log.firings.count, fleet.sink.taken.count)
        for shard in FaultyFleet.shards { try await fleet.hurt(shard, fault) }
        let hurt = WallClock.real.microseconds
        let isTold = await bench.holds { fleet.sink.taken.dropFirst(told).contains { isAlert($0.text) } }
        if let arrival = fleet.sink.taken.dropFirst(told).first(where: { isAlert($0.text) }) {
            result.whole.append(Double(arrival.wallTime - hurt) / 1e6)
        }
        if !isTold { result.missing.append("all \(fault.rawValue): the alert never came to the sink") }
        // Written before it is sent, and read here a look later.
        _ = await bench.holds(within: .seconds(10)) { log.firings.dropFirst(seen).contains { isAlert($0.summary) } }
        let own = log.firings.dropFirst(seen)
        bench.say(
            "all \(fault.rawValue): told after \(result.whole.last ?? -1) s, \(own.count) alerts; "
                + "load \(FleetBench.load)")
        let kinds = Set(own.filter { isAlert($0.summary) }.map(\.kind))
        if kinds.isEmpty { result.missing.append("all \(fault.rawValue): the alert is not in the file") }
        let recovered = log.recoveries.count
        for shard in FaultyFleet.shards { try await fleet.mend(shard, fault) }
        let hasEnded = await bench.holds {
            kinds.isSubset(of: log.recoveries.dropFirst(recovered).map(\.kind))
        }
        if !hasEnded { result.missing.append("all \(fault.rawValue): its end is not in the file") }
    }

    /// The last words may still be on their way: a sink takes one message a second.
    private static func untilTold(_ fleet: FaultyFleet, _ log: AlertLog, _ bench: FleetBench) async {
        _ = await bench.holds(within: .seconds(30)) {
            AlertTimes.untold(log.entries, fleet.sink.arrivals).isEmpty
        }
    }

    private static func isAlert(_ text: String) -> Bool { text.contains("No game shard is healthy") }
}

/// From when an alert was raised until it was in the file and until the sink had it.
struct AlertTimes {
    private let file: [Double]
    private let sink: [Double]

    init(_ firings: [AlertLog.Entry], _ messages: [SlackSink.Arrival]) {
        let told = firings.filter { !$0.isHeld }
        file = firings.map { Double($0.seenAt - $0.raisedAt) / 1e6 }
        sink = told.compactMap { firing in
            Self.message(of: firing, messages).map { Double($0.wallTime - firing.raisedAt) / 1e6 }
        }
    }

    /// A sentence for each alert and each recovery that is in the file and never came to the sink.
    static func untold(_ entries: [AlertLog.Entry], _ messages: [SlackSink.Arrival]) -> [String] {
        entries.filter { !$0.isHeld && message(of: $0, messages) == nil }
            .map { "never at the sink: \($0.kind) (\($0.state)), \($0.summary)" }
    }

    private static func message(of entry: AlertLog.Entry, _ messages: [SlackSink.Arrival]) -> SlackSink.Arrival? {
        messages.first { $0.status == 200 && $0.wallTime >= entry.raisedAt && $0.text.contains(entry.summary) }
    }

    func add(to report: inout Report, key: String) {
        report.add(
            Bar("alert in the file after it was raised, s, max of \(file.count)", file.max(), .atMost(1)),
            as: "\(key)_alert_to_file_max_s")
        report.add(
            Bar("alert at the sink after it was raised, s, max of \(sink.count)", sink.max(), .atMost(5)),
            as: "\(key)_alert_to_sink_max_s")
    }
}
