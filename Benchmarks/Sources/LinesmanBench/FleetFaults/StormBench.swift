import FleetTestKit
import Foundation
import Resilience
import Runtime
import TestKit

/// A thousand alerts at once, and their end: the file must have each, a person must be told each in few messages.
enum StormBench {
    private struct Phase: Sendable {
        var first: Double?
        var all: Double?
        var messages = 0
        var inFile = 0
        var unnamed = 0
        var refused = 0
    }

    static func run(_ bench: FleetBench, _ report: inout Report) async throws {
        let (count, phases) = try await bench.withFleet { fleet, log in
            let storm = AlertStorm(fleet)
            var phases: [Phase] = []
            for state in [Storm.firing, .recovered] { phases.append(try await phase(state, storm, fleet, log, bench)) }
            return (storm.count, phases)
        }
        report.set("storm_alerts", to: .number(Double(count)))
        for (name, phase) in zip(["firing", "recovery"], phases) {
            report.add(
                Bar("storm: \(name) messages at the sink", Double(phase.messages), .atMost(3)),
                as: "storm_\(name)_messages")
            // An end may wait for the group that the firings began.
            let first = Bar("the first after, s", phase.first, .atMost(name == "firing" ? 5 : 60))
            report.add(first, as: "storm_\(name)_first_s")
            report.add(Bar("all named after, s", phase.all, .atMost(60)), as: "storm_\(name)_all_s")
            if phase.inFile != count { report.violation("\(name): \(phase.inFile) of \(count) are in the file") }
            if phase.unnamed > 0 { report.violation("\(name): \(phase.unnamed) never named at the sink") }
            if phase.refused > 0 { report.violation("\(name): the sink refused \(phase.refused) messages") }
        }
    }

    private enum Storm { case firing, recovered }

    private static func phase(
        _ state: Storm, _ storm: AlertStorm, _ fleet: FaultyFleet, _ log: AlertLog, _ bench: FleetBench
    ) async throws -> Phase {
        let (seen, told) = (log.entries.count, fleet.sink.arrivals.count)
        let began = bench.clock.now
        try await storm.say(state == .firing ? .firing : .recovered)
        bench.say("all \(state) said after \(began.duration(to: bench.clock.now).seconds) s")
        func messages() -> ArraySlice<SlackSink.Arrival> { fleet.sink.arrivals.dropFirst(told) }
        func unnamed() -> Int {
            let text = messages().filter { $0.status == 200 }.map(\.text).joined(separator: "\n")
            return (0..<storm.count).count { !text.contains(AlertStorm.name($0)) }
        }
        func inFile() -> Int { log.entries.dropFirst(seen).count { $0.kind == AlertStorm.kind } }
        _ = await bench.holds(within: .seconds(120)) { inFile() >= storm.count && unnamed() == 0 }
        // One more would come within a second.
        try await bench.clock.sleep(for: .seconds(3))
        let taken = messages().filter { $0.status == 200 }
        return Phase(
            first: taken.first.map { began.duration(to: $0.at).seconds },
            all: taken.last.map { began.duration(to: $0.at).seconds }, messages: messages().count, inFile: inFile(),
            unnamed: unnamed(), refused: messages().count - taken.count)
    }
}
