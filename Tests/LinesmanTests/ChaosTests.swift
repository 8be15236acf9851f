import ChaosEngine
import Foundation
import Servers
import Testing

@testable import Linesman

@Suite struct ChaosTests {
    private static func verdict(_ scenario: String, _ round: Int, recovered: Int64?) throws -> Verdict {
        var verdict = Verdict(scenario, round: round, alertsExpected: 1)
        verdict.recovered = recovered.map(Duration.milliseconds)
        verdict.alertsReceived = 1
        // Where no venue can be asked nobody knows.
        verdict.duplicated = recovered == nil ? nil : 0
        if recovered == nil { verdict.problems = ["not recovered"] }
        return verdict
    }

    private static let build = ChaosBuild("v1")

    @Test func `a report that is gone on with at another build says so for each scenario`() throws {
        let folder = try TemporaryDirectory("chaos")
        defer { folder.remove() }
        let path = "\(folder.path)/chaos.json"
        // As a report of a version that said neither build nor day, and counted no messages.
        let old = """
            {"machine": "2 cores, 8 GB", "rounds": [{"scenario": "shard-crash", "round": 1, "isControl": false,
            "passed": true, "recoveredMs": 900, "orders": 3, "moved": 2, "lost": 0, "duplicated": 0,
            "alertsExpected": 0, "alertsReceived": 0, "falseAlerts": [], "problems": [], "tookMs": 20000},
            {"scenario": "redis-kill", "round": 0, "isControl": true, "passed": true, "orders": 0, "moved": 0,
            "lost": 0, "duplicated": 0, "alertsExpected": 0, "alertsReceived": 0, "falseAlerts": [],
            "problems": ["not steady in time, as it must be"], "tookMs": 20000}]}
            """
        try old.write(toFile: path, atomically: true, encoding: .utf8)
        let kill = try #require(Scenario.named("redis-kill"))
        let kept = try KeptRounds(path: path)
        #expect(kept.report.missingControls(of: kill) == [.lostMessages], "the other is held")
        #expect(kept.report.missingControls(of: kill, onBusySuite: false).isEmpty)
        for build in ["v1", "v1", "v2"] {
            try kept.add(
                ChaosReport.Round(
                    try Self.verdict("shard-crash", 1, recovered: 700), took: .seconds(20), of: ChaosBuild(build)))
        }
        let table = try ChaosReport.load(path).markdown
        let day = Self.build.day
        #expect(day.wholeMatch(of: /20\d\d-\d\d-\d\d/) != nil)
        #expect(table.contains("| not known, not known: 1; v1, \(day): 2; v2, \(day): 1 |"), "\(table)")
        #expect(table.contains("| 1 caught | not known, not known |"), "\(table)")
    }

    @Test func `a report goes on where it was interrupted, and shows every scenario's spread`() throws {
        let folder = try TemporaryDirectory("chaos")
        defer { folder.remove() }
        let path = "\(folder.path)/chaos.json"
        var report = try ChaosReport.load(path)
        #expect(report.rounds.isEmpty && !report.hasPassed)
        for round in 1...3 {
            report.rounds.append(
                ChaosReport.Round(
                    try Self.verdict("redis-restart", round, recovered: Int64(round) * 1_000), took: .seconds(20),
                    of: Self.build))
        }
        try report.save(path)
        report = try ChaosReport.load(path)
        #expect(report.held("redis-restart") == 3 && report.held("shard-crash") == 0 && report.hasPassed)
        report.rounds.append(
            ChaosReport.Round(
                try Self.verdict("shard-crash", 1, recovered: nil), took: .seconds(20), of: Self.build))
        try report.save(path)
        #expect(!report.hasPassed)
        let text = try String(contentsOfFile: "\(folder.path)/chaos.md", encoding: .utf8)
        #expect(
            text.contains(
                "| redis-restart | 3 | 3 | - | - | 2.00 / 3.00 / 3.00 | 0 | 0 | 0 | 0 | 0 of 0 | - | 3 of 3 | 0 | - "
                    + "| v1, \(Self.build.day) |"), "\(text)")
        #expect(text.contains("| shard-crash | 1 | 0 | - | - | - | 0 | 0 | 0 | - | 0 of 0 |"), "\(text)")
        #expect(text.contains("- shard-crash, round 1: not recovered"))
    }

    @Test func `a report's table takes the place between the marks, and of nothing else`() throws {
        let folder = try TemporaryDirectory("chaos")
        defer { folder.remove() }
        let (path, book) = ("\(folder.path)/chaos.json", "\(folder.path)/BOOK.md")
        try "before\n<!-- measured -->\nold\n<!-- end of measured -->\nafter\n"
            .write(toFile: book, atomically: true, encoding: .utf8)
        let kept = try KeptRounds(path: path)
        #expect(throws: ChaosFailure.self) { try kept.report.publish(in: book) }
        try kept.add(
            ChaosReport.Round(
                try Self.verdict("redis-restart", 1, recovered: 700), took: .seconds(20), of: Self.build))
        for _ in 1...2 { try ChaosReport.load(path).publish(in: book) }
        let text = try String(contentsOfFile: book, encoding: .utf8)
        #expect(text.hasPrefix("before\n<!-- measured -->\n1 rounds, 1 of them held; 0 controls. Machine: "))
        #expect(text.hasSuffix("\n<!-- end of measured -->\nafter\n") && !text.contains("old"), "\(text)")
        #expect(text.contains("| redis-restart | 1 | 1 | - | - | 0.70 / 0.70 / 0.70 |"))
        try "no marks".write(toFile: book, atomically: true, encoding: .utf8)
        #expect(throws: ChaosFailure.self) { try kept.report.publish(in: book) }
    }

    @Test func `a fault that met nothing proves nothing, and hides nothing that went wrong`() throws {
        let missed = NeverStruck(counted: "lostAcknowledgement")
        let well = try Self.verdict("lost-acknowledgements", 1, recovered: 700)
        let ill = try Self.verdict("lost-acknowledgements", 1, recovered: nil)
        #expect(well.passed && !ill.passed)
        #expect(try ChaosRun.judge(well, missed: nil).passed)
        #expect(throws: NeverStruck.self) { try ChaosRun.judge(well, missed: missed) }
        let told = try ChaosRun.judge(ill, missed: missed)
        #expect(!told.passed && told.problems == ill.problems + ["lostAcknowledgement never struck"])
    }

    @Test func `a report is of one target, and its table has a place of its own`() throws {
        let folder = try TemporaryDirectory("chaos")
        defer { folder.remove() }
        let (path, book) = ("\(folder.path)/chaos.json", "\(folder.path)/BOOK.md")
        let (own, containers) = (
            "<!-- measured -->\nown\n<!-- end of measured -->\n",
            "<!-- measured on containers -->\n<!-- end of measured on containers -->\n"
        )
        try (own + containers).write(toFile: book, atomically: true, encoding: .utf8)
        let kept = try KeptRounds(path: path, target: .compose)
        try kept.add(
            ChaosReport.Round(
                try Self.verdict("redis-restart", 1, recovered: 700), took: .seconds(20), of: Self.build))
        #expect(throws: ChaosFailure.self) { try KeptRounds(path: path, target: .local) }
        #expect(try KeptRounds(path: path, target: .compose).report.held("redis-restart") == 1)
        try ChaosReport.load(path).publish(in: book)
        let text = try String(contentsOfFile: book, encoding: .utf8)
        #expect(text.hasPrefix(own + "<!-- measured on containers -->\n1 rounds, 1 of them held;"), "\(text)")
        #expect(text.hasSuffix("\n<!-- end of measured on containers -->\n"), "\(text)")
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
        // Docker starts no container that is paused, and whoever is interrupted leaves it so.
        for kind in [Fault.Kind.freeze, .stutter] {
            let undo = ComposeTarget.script(kind, containers, memory: "").undo
            #expect(undo.allSatisfy { $0.joined(separator: " ").contains("docker unpause") }, "\(kind)")
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

    @Test func `the logs of a round that failed are copied, and nothing else, over those of an earlier one`() throws {
        let folder = try TemporaryDirectory("chaos")
        defer { folder.remove() }
        let (suite, kept) = ("\(folder.path)/suite", "\(folder.path)/failed/shard-crash-1")
        try FileManager.default.createDirectory(atPath: suite, withIntermediateDirectories: true)
        for text in ["first", "second"] {
            for name in ["shard-01.log", "keys.pem"] {
                try text.write(toFile: "\(suite)/\(name)", atomically: true, encoding: .utf8)
            }
            try LocalTarget.copyLogs(of: suite, to: kept)
            #expect(try FileManager.default.contentsOfDirectory(atPath: kept) == ["shard-01.log"])
            #expect(try String(contentsOfFile: "\(kept)/shard-01.log", encoding: .utf8) == text)
        }
    }

    @Test func `what was left out stands in the report until it is held`() throws {
        let folder = try TemporaryDirectory("chaos")
        defer { folder.remove() }
        let path = "\(folder.path)/chaos.json"
        let kept = try KeptRounds(path: path)
        let crash = try #require(Scenario.named("shard-crash"))
        try kept.leaveOut(crash, "needs the right to mount (root)")
        let report = try ChaosReport.load(path)
        #expect(report.leftOut == ["shard-crash": "needs the right to mount (root)"] && !report.hasPassed)
        #expect(report.markdown.contains("| shard-crash | 0 | left out |"), "\(report.markdown)")
        #expect(report.markdown.hasSuffix("What was left out:\n\n- shard-crash: needs the right to mount (root)"))
        try kept.add(
            ChaosReport.Round(try Self.verdict("shard-crash", 1, recovered: 700), took: .zero, of: Self.build))
        #expect(try ChaosReport.load(path).leftOut == [:] && kept.report.hasPassed)
    }

    @Test func `alert files are read as they grow, each line once and whole`() throws {
        let folder = try TemporaryDirectory("alerts")
        defer { folder.remove() }
        let files = AlertFiles(in: folder.path)
        #expect(files.read().isEmpty)
        func line(_ kind: String, _ state: String, _ more: String = "") -> String {
            "{\"kind\":\"\(kind)\",\"state\":\"\(state)\"\(more)}\n"
        }
        let path = "\(folder.path)/critical_alerts.log"
        var text = line("AllShardsUnhealthy", "firing") + String(line("orderUnknown", "firing").dropLast(5))
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        #expect(files.read() == [.init("AllShardsUnhealthy", isFiring: true)])
        text += String(line("orderUnknown", "firing").suffix(5)) + line("auditHead", "firing", ",\"file_only\":true")
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        // Another process with the same path.
        try line("AllShardsUnhealthy", "recovered").write(
            toFile: "\(folder.path)/critical_alerts.other-1.log", atomically: true, encoding: .utf8)
        #expect(
            files.read() == [.init("orderUnknown", isFiring: true), .init("AllShardsUnhealthy", isFiring: false)])
        #expect(files.read().isEmpty)
    }
}
