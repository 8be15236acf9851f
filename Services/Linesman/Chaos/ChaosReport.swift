import ChaosEngine
import Foundation
import NIOConcurrencyHelpers
import Resilience
import Runtime

/// What is rehearsed, and when: a report may be gone on with at another build, on another day, and says so.
struct ChaosBuild: Hashable, Sendable {
    let name: String
    /// As in 2026-01-31, in UTC.
    let day: String

    init(_ name: String, at clock: WallClock = .real) {
        self.name = name
        let now = Date(timeIntervalSince1970: Double(clock.microseconds) / 1_000_000)
        day = String(now.formatted(.iso8601).prefix(10))
    }
}

/// Every round that was held, as JSON for the next run and as a table for people.
struct ChaosReport: Codable, Sendable {
    struct Round: Codable, Hashable, Sendable {
        let scenario: String
        let round: Int
        let isControl: Bool
        /// What a control had to find; nil in reports that know of one control only.
        let finding: String?
        let passed: Bool
        let detectedMs: Int64?
        let recoveredMs: Int64?
        /// From the fault to the sink; nil without a sink or an alert.
        let deliveredMs: Int64?
        /// From the fault to an alert file; nil without one, and in reports that do not say so.
        let filedMs: Int64?
        let orders: Int
        /// That left while none may; nil in reports that do not count them.
        let ordersMeanwhile: Int?
        let moved: Int
        let lost: Int
        /// At the venue; nil where none could be asked.
        let duplicated: Int?
        /// Journaled ones; nil in reports that do not count them.
        let messages: Int?
        let messagesLost: Int?
        /// Of processes that lived through the fault.
        let streams: Int?
        let gaps: Int?
        let alertsExpected: Int
        let alertsReceived: Int
        let falseAlerts: [String]
        let problems: [String]
        /// What the recovery waited for, longest first, each with its milliseconds.
        let waits: [String]?
        /// With its precondition and its rest.
        let tookMs: Int64
        /// What was rehearsed, and on which day; nil where nobody has said.
        let build: String?
        let day: String?

        init(_ verdict: Verdict, took: Duration, of build: ChaosBuild) {
            scenario = verdict.scenario
            round = verdict.round
            isControl = verdict.isControl
            finding = verdict.control?.rawValue
            passed = verdict.passed
            detectedMs = verdict.detected?.wholeMilliseconds
            recoveredMs = verdict.recovered?.wholeMilliseconds
            deliveredMs = verdict.delivered?.wholeMilliseconds
            filedMs = verdict.filed?.wholeMilliseconds
            orders = verdict.orders
            ordersMeanwhile = verdict.ordersMeanwhile
            moved = verdict.moved
            lost = verdict.lost
            duplicated = verdict.duplicated
            messages = verdict.messages
            messagesLost = verdict.messagesLost
            streams = verdict.streams
            gaps = verdict.gaps
            alertsExpected = verdict.alertsExpected
            alertsReceived = verdict.alertsReceived
            falseAlerts = verdict.falseAlerts
            problems = verdict.problems
            waits = verdict.waits.prefix(8).map { "\($0.until.wholeMilliseconds) ms: \($0.trouble)" }
            tookMs = took.wholeMilliseconds
            self.build = build.name
            day = build.day
        }
    }

    var rounds: [Round] = []
    /// Where the last of them was held.
    var machine: String?
    /// What they were held against, one and the same for all of a report; nil in reports that do not say so, which are
    /// of private servers.
    var target: ChaosCommand.Target?
    /// Scenarios that could not be held there, each with why; nil in reports that do not say so.
    var leftOut: [String: String]?

    /// Rounds of a scenario that are held already, controls apart.
    func held(_ scenario: String) -> Int { rounds.count { $0.scenario == scenario && !$0.isControl } }

    /// Controls that were not held yet, in their order.
    ///
    /// Whatever counts messages or orders needs a suite that is busy all the time.
    func missingControls(of scenario: Scenario, onBusySuite isBusy: Bool = true) -> [Finding] {
        let held = rounds.filter { $0.scenario == scenario.name && $0.isControl }
            .map { $0.finding ?? Finding.unsteady.rawValue }
        return scenario.controls.filter { !held.contains($0.rawValue) && (isBusy || $0 == .unsteady) }
    }

    var hasPassed: Bool { !rounds.isEmpty && rounds.allSatisfy(\.passed) }

    // MARK: - Files

    /// Empty when the file is not there.
    static func load(_ path: String) throws -> ChaosReport {
        guard let data = FileManager.default.contents(atPath: path) else { return ChaosReport() }
        return try JSONDecoder().decode(ChaosReport.self, from: data)
    }

    /// The JSON, and the Markdown beside it.
    func save(_ path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try encoder.encode(self).write(to: URL(filePath: path), options: .atomic)
        let beside = URL(filePath: path).deletingPathExtension().appendingPathExtension("md")
        try Data((markdown + "\n").utf8).write(to: beside, options: .atomic)
    }

    /// Between which a Markdown file has the table of what was held against one target.
    private var marks: (begin: String, end: String) {
        switch target ?? .local {
        case .local: ("<!-- measured -->\n", "<!-- end of measured -->")
        case .compose: ("<!-- measured on containers -->\n", "<!-- end of measured on containers -->")
        }
    }

    /// Writes the table between the marks of a Markdown file.
    ///
    /// - Throws: when the file has no marks, or there is no round.
    func publish(in path: String) throws {
        guard !rounds.isEmpty else { throw ChaosFailure("there is no round to publish") }
        let text = try String(contentsOfFile: path, encoding: .utf8)
        guard let begin = text.range(of: marks.begin),
            let end = text.range(of: marks.end, range: begin.upperBound..<text.endIndex)
        else { throw ChaosFailure("\(path) has no \(marks.begin)and \(marks.end)") }
        let own = rounds.filter { !$0.isControl }
        let sentence =
            "\(own.count) rounds, \(own.count(where: \.passed)) of them held; \(rounds.count - own.count) controls. "
            + "Machine: \(machine ?? "not known"). One after the other they took "
            + "\(rounds.reduce(0) { $0 + $1.tookMs } / 60_000) minutes."
        let measured = "\(sentence)\n\n\(markdown)\n"
        try text.replacingCharacters(in: begin.upperBound..<end.lowerBound, with: measured)
            .write(toFile: path, atomically: true, encoding: .utf8)
    }

    // MARK: - Tables

    private static let columns = [
        "Scenario", "Rounds", "Held", "Detected p50 / p99 / max (s)", "At the sink p50 / p99 / max (s)",
        "Recovered p50 / p99 / max (s)", "Orders", "Moved", "Lost", "Twice", "Messages lost", "Gaps on streams",
        "Alerts", "False alerts", "Controls", "Build",
    ]

    private var rows: [[String]] {
        Scenario.all.compactMap { scenario in
            let own = rounds.filter { $0.scenario == scenario.name && !$0.isControl }
            let controls = rounds.filter { $0.scenario == scenario.name && $0.isControl }
            guard !own.isEmpty || !controls.isEmpty else {
                guard leftOut?[scenario.name] != nil else { return nil }
                return [scenario.name, "0", "left out"] + Self.columns.dropFirst(3).map { _ in "-" }
            }
            let isCaught = controls.allSatisfy(\.passed)
            return [
                scenario.name, "\(own.count)", "\(own.count { $0.passed })", Self.spread(own.map(\.detectedMs)),
                Self.spread(own.map(\.deliveredMs)), Self.spread(own.map(\.recoveredMs)),
                "\(Self.sum(own, \.orders))", "\(Self.sum(own, \.moved))", "\(Self.sum(own, \.lost))",
                own.contains { $0.duplicated != nil } ? "\(Self.sum(own, \.knownDuplicated))" : "-",
                "\(Self.sum(own, \.knownLost)) of \(Self.sum(own, \.knownMessages))",
                scenario.givesOneGap ? "\(Self.sum(own, \.knownGaps)) on \(Self.sum(own, \.knownStreams))" : "-",
                "\(Self.sum(own, \.alertsReceived)) of \(Self.sum(own, \.alertsExpected))",
                "\(own.map(\.falseAlerts.count).reduce(0, +))",
                controls.isEmpty ? "-" : isCaught ? "\(controls.count) caught" : "MISSED",
                Self.builds(of: own + controls),
            ]
        }
    }

    /// Which builds it was held on, and when: one after the other, each with its number of rounds where several are.
    private static func builds(of rounds: [Round]) -> String {
        var order: [String] = []
        var counts: [String: Int] = [:]
        for round in rounds {
            let name = "\(round.build ?? "not known"), \(round.day ?? "not known")"
            if counts[name] == nil { order.append(name) }
            counts[name, default: 0] += 1
        }
        return order.map { order.count == 1 ? $0 : "\($0): \(counts[$0] ?? 0)" }.joined(separator: "; ")
    }

    private static func sum(_ rounds: [Round], _ figure: KeyPath<Round, Int>) -> Int {
        rounds.reduce(0) { $0 + $1[keyPath: figure] }
    }

    private static func spread(_ figures: [Int64?]) -> String {
        guard let found = Percentiles(figures.compactMap { $0.map(Duration.milliseconds) }) else { return "-" }
        return [found.median, found.p99, found.maximum].map { $0.inSeconds.formatted(decimals: 2) }
            .joined(separator: " / ")
    }

    var table: String {
        let all = [Self.columns] + rows
        let widths = Self.columns.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in zip(row, widths).map { $0.padded($1) }.joined(separator: "  ") }
            .joined(separator: "\n")
    }

    var markdown: String {
        let lines = rows.map { "| \($0.joined(separator: " | ")) |" }
        let failures = rounds.filter { !$0.passed }.map { round in
            "- \(round.scenario), \(round.isControl ? "control" : "round \(round.round)"): "
                + round.problems.joined(separator: "; ")
        }
        let missing = (leftOut ?? [:]).sorted { $0.key < $1.key }.map { "- \($0.key): \($0.value)" }
        return
            ([
                "| \(Self.columns.joined(separator: " | ")) |",
                "|" + String(repeating: "---|", count: Self.columns.count),
            ]
            + lines + (failures.isEmpty ? [] : ["", "What did not hold:", ""] + failures)
            + (missing.isEmpty ? [] : ["", "What was left out:", ""] + missing)).joined(separator: "\n")
    }
}

extension ChaosReport.Round {
    fileprivate var knownDuplicated: Int { duplicated ?? 0 }
    fileprivate var knownMessages: Int { messages ?? 0 }
    fileprivate var knownLost: Int { messagesLost ?? 0 }
    fileprivate var knownStreams: Int { streams ?? 0 }
    fileprivate var knownGaps: Int { gaps ?? 0 }
}

/// The rounds so far, in memory and in the file that the next command goes on from.
final class KeptRounds: Sendable {
    private let path: String?
    private let kept: NIOLockedValueBox<ChaosReport>

    /// - Throws: when the file is there and is no report, or one of another target.
    init(path: String?, target: ChaosCommand.Target = .local) throws {
        self.path = path
        var report = try path.map { try ChaosReport.load($0) } ?? ChaosReport()
        let before = report.target ?? .local
        guard report.rounds.isEmpty || before == target else {
            throw ChaosFailure("\(path ?? "") has rounds held against \(before); --report must name another file")
        }
        report.target = target
        kept = NIOLockedValueBox(report)
    }

    var report: ChaosReport { kept.withLockedValue { $0 } }

    func isDue(_ scenario: Scenario, _ rounds: Int, withControl: Bool, onBusySuite isBusy: Bool) -> Bool {
        let report = report
        let controls = withControl ? report.missingControls(of: scenario, onBusySuite: isBusy) : []
        return report.held(scenario.name) < rounds || !controls.isEmpty
    }

    private static let machine: String = {
        let info = ProcessInfo.processInfo
        let gigabytes = Int((Double(info.physicalMemory) / 1_073_741_824).rounded())
        return "\(info.processorCount) cores, \(gigabytes) GB"
    }()

    func add(_ round: ChaosReport.Round) throws {
        try kept.withLockedValue { kept in
            kept.rounds.append(round)
            kept.machine = Self.machine
            kept.leftOut?[round.scenario] = nil
            if let path { try kept.save(path) }
        }
    }

    /// Notes that a scenario cannot be held here.
    func leaveOut(_ scenario: Scenario, _ why: String) throws {
        try kept.withLockedValue { kept in
            kept.leftOut = (kept.leftOut ?? [:]).merging([scenario.name: why]) { $1 }
            if let path { try kept.save(path) }
        }
    }
}
