import ChaosEngine
import Foundation
import Testing

/// CHAOS_TESTING.md beside the scenarios that it tells of.
@Suite struct RunbookTests {
    private static func text() throws -> String {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return try String(contentsOf: root.appending(path: "CHAOS_TESTING.md"), encoding: .utf8)
    }

    @Test func `the runbook has a section for every scenario, in their order, and for no other`() throws {
        let sections = try Self.text().matches(of: /(?m)^### `([a-z-]+)`$/).map { String($0.1) }
        #expect(sections == Scenario.all.map(\.name))
    }

    private static func section(of scenario: Scenario, in text: String) throws -> Substring {
        let begin = try #require(text.range(of: "### `\(scenario.name)`\n"))
        return text[begin.upperBound...].prefix { $0 != "#" }
    }

    /// Of a line like `- Slack: …`.
    private static func words(quotedAfter title: String, in section: Substring) throws -> Set<String> {
        let line = try #require(section.split(separator: "\n").first { $0.hasPrefix("- \(title): ") }, "\(title)")
        return Set(line.matches(of: /`([^`]+)`/).map { String($0.1) })
    }

    @Test func `each section says what it shows, and the one command`() throws {
        let text = try Self.text()
        for scenario in Scenario.all {
            let section = try Self.section(of: scenario, in: text)
            #expect(section.contains(scenario.shows), "\(scenario.name)")
            #expect(section.contains("`linesman chaos \(scenario.name)`"), "\(scenario.name)")
            for title in ["By hand", "`linesman status`"] {
                #expect(section.contains("\n- \(title): "), "\(scenario.name): \(title)")
            }
        }
    }

    @Test func `each section names the alerts that may come, and no other`() throws {
        let text = try Self.text()
        for scenario in Scenario.all {
            let named = try Self.words(quotedAfter: "Slack", in: Self.section(of: scenario, in: text))
            // What only the outside watcher and Prometheus tell is told there too.
            let others: Set = ["OrchestratorUnhealthy", "ALERT_DEADMAN_URL"]
            let strange = named.subtracting(scenario.alerts).subtracting(scenario.mayAlert).subtracting(others)
                .filter { !$0.hasPrefix("Linesman") }
            #expect(strange.isEmpty, "\(scenario.name) never tells \(strange.sorted())")
            let silent = scenario.alerts.union(scenario.mayAlert).subtracting(named)
            #expect(silent.isEmpty, "\(scenario.name) may tell \(silent.sorted())")
        }
    }

    @Test func `each section has the bounds that its rounds are held to`() throws {
        let text = try Self.text()
        for scenario in Scenario.all {
            let section = try Self.section(of: scenario, in: text)
            let bounds = try #require(section.split(separator: "\n").first { $0.hasPrefix("- At most: ") })
            if bounds.contains("as `orchestrator-alone-kill`") { continue }
            let times =
                [scenario.detection == nil ? nil : scenario.detectWithin, scenario.deliverWithin]
                .compactMap { $0 } + [scenario.recoverWithin]
            let told = Set(bounds.matches(of: /([0-9]+) s\b/).compactMap { Int64($0.1) })
            for time in times { #expect(told.contains(time.components.seconds), "\(scenario.name): \(time)") }
            if let still = scenario.stillAfter {
                #expect(bounds.contains("no order from \(still.components.seconds) s "), "\(scenario.name)")
            }
            if let goesOn = scenario.goesOnAfter {
                let words = "every game watched and orders made from \(goesOn.components.seconds) s after the fault"
                #expect(bounds.contains(words), "\(scenario.name)")
            }
        }
    }

    /// The rows of a published table, by scenario, each with its columns by their titles.
    private static func measured(between begin: String, _ end: String) throws -> [String: [String: String]] {
        let text = try text()
        let from = try #require(text.range(of: begin))
        let to = try #require(text.range(of: end))
        let rows = text[from.upperBound..<to.lowerBound].split(separator: "\n").filter { $0.hasPrefix("| ") }
            .map { $0.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) } }
        let titles = try #require(rows.first)
        return Dictionary(
            uniqueKeysWithValues: rows.dropFirst().map { row in
                (row[0], Dictionary(uniqueKeysWithValues: zip(titles, row)))
            })
    }

    @Test func `every scenario is measured in twenty rounds or more, all held, with nothing lost and no false alert`()
        throws
    {
        let rows = try Self.measured(between: "<!-- measured -->", "<!-- end of measured -->")
        #expect(Set(rows.keys) == Set(Scenario.all.map(\.name)))
        for (name, row) in rows.sorted(by: { $0.key < $1.key }) {
            let rounds = Int(row["Rounds"] ?? "") ?? 0
            #expect(rounds >= 20 && row["Held"] == "\(rounds)", "\(name): \(row)")
            for title in ["Lost", "Twice", "False alerts"] { #expect(row[title] == "0", "\(name): \(title)") }
            #expect(row["Messages lost"]?.hasPrefix("0 of ") == true, "\(name)")
            #expect(row["Controls"]?.hasSuffix(" caught") == true, "\(name)")
        }
    }

    @Test func `every scenario is measured on containers too, or says why not`() throws {
        let (begin, end) = ("<!-- measured on containers -->", "<!-- end of measured on containers -->")
        let rows = try Self.measured(between: begin, end)
        #expect(Set(rows.keys) == Set(Scenario.all.map(\.name)))
        let text = try Self.text()
        for (name, row) in rows where row["Held"] != row["Rounds"] {
            #expect(row["Held"] == "left out" && text.contains("\n- \(name): "), "\(name): \(row)")
        }
    }

    @Test func `each section says what to see in the metrics, and each of them exists`() throws {
        let text = try Self.text()
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let operations = try String(contentsOf: root.appending(path: "docs/OPERATIONS.md"), encoding: .utf8)
        let rows = operations.matches(of: /(?m)^\| `([a-z_]+)` \| (?:counter|gauge|histogram) \|/)
        let metrics = rows.map { String($0.1) }
        let known = Set(metrics + ["up"])
        #expect(known.count > 50)
        for scenario in Scenario.all {
            let named = try Self.words(quotedAfter: "Metrics", in: Self.section(of: scenario, in: text))
            let isReference = named.contains { Scenario.named($0) != nil }
            #expect(isReference || !named.isDisjoint(with: known), "\(scenario.name)")
            let strange = named.subtracting(known).filter { $0.contains("_") }
            #expect(strange.isEmpty, "\(scenario.name): \(strange.sorted())")
        }
    }
}
