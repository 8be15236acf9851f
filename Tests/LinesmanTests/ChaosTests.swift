import ChaosEngine
import Foundation
import Servers
import Testing

@testable import Linesman

@Suite struct ChaosTests {
    private static func verdict(_ scenario: String, _ round: Int, recovered: Int64?) throws -> Verdict {
        var verdict = Verdict(scenario, round: round, isControl: false, alertsExpected: 1)
        verdict.recovered = recovered.map(Duration.milliseconds)
        verdict.alertsReceived = 1
        if recovered == nil { verdict.problems = ["not recovered"] }
        return verdict
    }

    @Test func `a report goes on where it was interrupted, and shows every scenario's spread`() throws {
        let folder = try TemporaryDirectory("chaos")
        defer { folder.remove() }
        let path = "\(folder.path)/chaos.json"
        var report = try ChaosReport.load(path)
        #expect(report.rounds.isEmpty && !report.hasPassed)
        for round in 1...3 {
            report.rounds.append(
                ChaosReport.Round(try Self.verdict("redis-restart", round, recovered: Int64(round) * 1_000)))
        }
        try report.save(path)
        report = try ChaosReport.load(path)
        #expect(report.held("redis-restart") == 3 && report.held("shard-crash") == 0 && report.hasPassed)
        report.rounds.append(ChaosReport.Round(try Self.verdict("shard-crash", 1, recovered: nil)))
        try report.save(path)
        #expect(!report.hasPassed)
        let text = try String(contentsOfFile: "\(folder.path)/chaos.md", encoding: .utf8)
        #expect(
            text.contains("| redis-restart | 3 | 3 | - | - | 2.00 / 3.00 / 3.00 | 0 | 0 | 0 | 0 | 3 of 3 | 0 | - |"),
            "\(text)")
        #expect(text.contains("- shard-crash, round 1: not recovered"))
    }

    @Test func `every fault of a container that lasts has an undoing that may run without it`() {
        let containers = ["a", "b"].map {
            ComposeTarget.Container(service: $0, name: "linesman-\($0)-1", address: "10.0.0.1", network: "linesman")
        }
        let lasting: [Fault.Kind] = [.kill, .stop, .restart, .freeze, .partition, .stutter, .starve]
        for kind in lasting {
            let script = ComposeTarget.script(kind, containers, memory: "512")
            #expect(!script.make.isEmpty && !script.undo.isEmpty, "\(kind)")
            for container in containers {
                #expect(script.undo.contains { $0.contains(container.name) }, "\(kind)")
            }
        }
        for kind in [Fault.Kind.flush, .terminate] {
            #expect(!ComposeTarget.script(kind, containers, memory: "").make.isEmpty, "\(kind)")
        }
    }

    @Test func `a target says of each fault of each scenario that it can be made, or why not`() {
        let target = ComposeTarget(project: "nothing")
        for scenario in Scenario.all where scenario.faults.allSatisfy({ target.obstacle(to: $0) == nil }) {
            for fault in scenario.faults where ![.venue, .scores, .machine].contains(fault.part) {
                let container = ComposeTarget.Container(service: "a", name: "a", address: "10.0.0.1")
                #expect(!ComposeTarget.script(fault.kind, [container], memory: "0").make.isEmpty, "\(scenario.name)")
            }
        }
    }
}
