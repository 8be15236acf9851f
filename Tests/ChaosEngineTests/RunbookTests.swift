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

    @Test func `each section says what it shows, the one command, and every alert`() throws {
        let text = try Self.text()
        for scenario in Scenario.all {
            let begin = try #require(text.range(of: "### `\(scenario.name)`\n"))
            let section = text[begin.upperBound...].prefix { $0 != "#" }
            #expect(section.contains(scenario.shows), "\(scenario.name)")
            #expect(section.contains("`linesman chaos \(scenario.name)`"), "\(scenario.name)")
            for alert in scenario.alerts { #expect(section.contains("`\(alert)`"), "\(scenario.name)") }
        }
    }
}
