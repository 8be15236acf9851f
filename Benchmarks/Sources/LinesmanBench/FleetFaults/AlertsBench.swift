import Domain
import FleetTestKit
import Foundation
import Resilience
import Runtime

/// Every shard dead at once: how long until it is in the file, and until a person could read it.
enum AlertsBench {
    private struct Result: Sendable {
        var firings: [AlertLog.Entry] = []
        var messages: [SlackSink.Arrival] = []
        /// From the last death to the message, one a round.
        var whole: [Double] = []
        var recoveries = 0
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
                result.firings = log.firings
                result.messages = fleet.sink.arrivals
                result.recoveries = log.recoveries.count
                return result
            }
            result.firings += own.firings
            result.messages += own.messages
            result.whole += own.whole
            result.recoveries += own.recoveries
        }
        report.set("alerts_rounds", to: .number(Double(rounds)))
        report.set("alerts_firings", to: .number(Double(result.firings.count)))
        report.set("alerts_recoveries", to: .number(Double(result.recoveries)))
        report.add(
            Bar("all shards dead: at the sink after the last died, s", result.whole.max(), .atMost(8)),
            as: "alerts_all_dead_to_sink_max_s")
        AlertTimes(result.firings, result.messages).add(to: &report, key: "alerts")
        for alert in Set(result.firings.map(\.kind)).sorted() { report.note("alerts: \(alert)") }
    }

    private static func round(
        _ fault: FaultyFleet.Fault, _ fleet: FaultyFleet, _ log: AlertLog, _ bench: FleetBench, _ result: inout Result
    ) async throws {
        try await fleet.untilReady(within: .seconds(120))
        let (seen, told) = (log.firings.count, fleet.sink.taken.count)
        for shard in FaultyFleet.shards { try await fleet.hurt(shard, fault) }
        let hurt = WallClock.real.microseconds
        try await bench.until("it is told") { fleet.sink.taken.dropFirst(told).contains { isAlert($0.text) } }
        if let arrival = fleet.sink.taken.dropFirst(told).first(where: { isAlert($0.text) }) {
            result.whole.append(Double(arrival.at - hurt) / 1e6)
        }
        bench.say(
            "all \(fault.rawValue): told after \(result.whole.last ?? -1) s, \(log.firings.count - seen) alerts; "
                + "load \(FleetBench.load)")
        let recovered = log.recoveries.count
        for shard in FaultyFleet.shards { try await fleet.mend(shard, fault) }
        try await bench.until("the end is in the file") { log.recoveries.count > recovered }
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
            let first = messages.first {
                $0.status == 200 && $0.at >= firing.raisedAt && $0.text.contains(firing.summary)
            }
            return first.map { Double($0.at - firing.raisedAt) / 1e6 }
        }
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
