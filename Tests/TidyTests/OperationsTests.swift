import Foundation
import Testing

/// docs/OPERATIONS.md beside the code: a kind of alert without a section, or a metric without a line, is a failure.
@Suite struct OperationsTests {
    private static func text(_ path: String) throws -> String {
        try String(contentsOf: TidyTests.root.appending(path: path), encoding: .utf8)
    }

    /// Everything that is built into a service or the command line.
    private static let code: [(path: String, text: String)] = TidyTests.sources
        .filter { !$0.isTest && !$0.path.hasPrefix("Benchmarks/") && !$0.path.hasPrefix("Services/VenueSimulator/") }
        .map { ($0.path, $0.lines.joined(separator: "\n")) }

    // MARK: - Alerts

    /// The kinds that are raised anywhere, each with a file that does it.
    private static let kinds: [String: String] = {
        var found: [String: String] = [:]
        for (path, text) in code {
            for match in text.matches(of: /(?:fire|record)\(\s*"([A-Za-z]+)"/) { found[String(match.1)] = path }
            for match in text.matches(of: /(?:fire|record)\(\s*(?:(\w+)\.)?(\w+),/) {
                let named = match.1.flatMap { type in code.first { $0.path.hasSuffix("/\(type).swift") }?.text }
                if let kind = constant(String(match.2), in: named ?? text) { found[kind] = path }
            }
            for match in text.matches(of: /, kind: "([A-Za-z]+)"/) {
                found[String(match.1)] = path
            }
            guard let list = text.firstMatch(of: /enum AlertKind: [^{]*\{([^}]*)/) else { continue }
            for match in list.1.matches(of: /case \w+ = "(\w+)"/) { found[String(match.1)] = path }
        }
        return found
    }()

    private static func constant(_ name: String, in text: String) -> String? {
        text.matches(of: /static let (\w+) = "([A-Za-z]+)"/).first { $0.1 == name }.map { String($0.2) }
    }

    @Test func `every kind of alert has a section that says what to do`() throws {
        let text = try Self.text("docs/OPERATIONS.md")
        let sections = Set(text.matches(of: /(?m)^### `(\w+)`$/).map { String($0.1) })
        #expect(Self.kinds.count > 20)
        for (kind, path) in Self.kinds.sorted(by: { $0.key < $1.key }) where !sections.contains(kind) {
            Issue.record("\(kind), raised in \(path), has no section in docs/OPERATIONS.md")
        }
        for section in sections.sorted() where Self.kinds[section] == nil {
            Issue.record("docs/OPERATIONS.md has a section for \(section), which nobody raises")
        }
    }

    // MARK: - Metrics

    /// The metrics that are registered anywhere, each with a file that does it.
    private static let metrics: [String: String] = {
        var found: [String: String] = [:]
        for (path, text) in code where path != "Shared/Runtime/Metrics.swift" {
            for match in text.matches(of: /(?:counter|gauge|histogram)\(\s*"([a-z_]+)"/) {
                found[String(match.1)] = path
            }
            // Through a function of its own, with the help.
            for match in text.matches(of: /count\(\s*"([a-z_]+_total)",/) { found[String(match.1)] = path }
            for match in text.matches(of: /static let \w+Metric = "([a-z_]+)"/) { found[String(match.1)] = path }
            for match in text.matches(of: /"\\\(prefix\)(_[a-z_]+)"/) { found["system_monitor\(match.1)"] = path }
            if path.hasSuffix("/ScorePoller.swift") {
                for match in text.matches(of: /count\("([a-z_]+)",/) { found["shard_\(match.1)_total"] = path }
            }
            guard path.hasSuffix("ShardEffect.swift"), let label = text.firstRange(of: "var label:") else { continue }
            for match in text[label.upperBound...].prefix(600).matches(of: /: \("([a-z_]+)",/) {
                found["shard_\(match.1)_total"] = path
            }
        }
        return found
    }()

    private static func documentedMetrics() throws -> Set<String> {
        let text = try text("docs/OPERATIONS.md")
        return Set(text.matches(of: /(?m)^\| `([a-z_]+)` \| (?:counter|gauge|histogram) \|/).map { String($0.1) })
    }

    @Test func `every metric is documented, and nothing else is`() throws {
        let documented = try Self.documentedMetrics()
        #expect(Self.metrics.count > 100)
        for (metric, path) in Self.metrics.sorted(by: { $0.key < $1.key }) where !documented.contains(metric) {
            Issue.record("\(metric), registered in \(path), is not in docs/OPERATIONS.md")
        }
        for metric in documented.sorted() where Self.metrics[metric] == nil {
            Issue.record("docs/OPERATIONS.md tells of \(metric), which nobody registers")
        }
    }

    // MARK: - What asks for them

    /// The metrics that an expression of PromQL names: what is neither a function nor a label.
    static func metrics(of expression: String) -> Set<String> {
        let bare =
            expression
            .replacing(/\{[^}]*\}/, with: "").replacing(/\[[^\]]*\]/, with: "")
            .replacing(/(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/, with: "")
        var found: Set<String> = []
        for match in bare.matches(of: /([a-z_:][a-z0-9_:]*)(\s*\()?/) where match.2 == nil {
            let word = String(match.1)
            if !["or", "and", "unless", "by", "bool", "offset", "le", "e"].contains(word) { found.insert(word) }
        }
        return found
    }

    /// A histogram is asked for by the names of its parts.
    private static func isKnown(_ metric: String) throws -> Bool {
        let known = try documentedMetrics().union(["up"])
        let whole = metric.replacing(/_(?:bucket|sum|count)$/, with: "")
        return known.contains(metric) || known.contains(whole)
    }

    @Test func `an expression's metrics are found, and not its functions and labels`() {
        let expression = "histogram_quantile(0.99, sum by (le, service) (rate(a_seconds_bucket{x=\"y\"}[5m]))) > 1 or b"
        #expect(Self.metrics(of: expression) == ["a_seconds_bucket", "b"])
        #expect(Self.metrics(of: "(sum(lead) or vector(0)) != 1") == ["lead"])
    }

    @Test func `every alert of Prometheus asks for metrics that exist, and has a line`() throws {
        let rules = try Self.text("deploy/prometheus/rules.yml")
        let operations = try Self.text("docs/OPERATIONS.md")
        let alerts = rules.matches(of: /alert: (\w+)/).map { String($0.1) }
        let expressions = rules.matches(of: /(?m)^ +expr: (.+)$/).map { String($0.1) }
        #expect(alerts.count == expressions.count && alerts.count > 10)
        for alert in alerts {
            #expect(operations.contains("| `\(alert)` |"), "\(alert) has no line in docs/OPERATIONS.md")
            #expect(try Self.text("deploy/prometheus/rules_test.yml").contains("alertname: \(alert)"), "\(alert)")
        }
        for expression in expressions {
            for metric in Self.metrics(of: expression) {
                #expect(try Self.isKnown(metric), "\(metric) in \(expression)")
            }
        }
    }

    @Test func `every query of the dashboard asks for metrics that exist`() throws {
        struct Dashboard: Decodable {
            struct Panel: Decodable {
                struct Target: Decodable { let expr: String }
                let title: String
                let targets: [Target]?
            }
            let panels: [Panel]
        }
        let file = try Self.text("deploy/grafana/dashboards/linesman.json")
        let dashboard = try JSONDecoder().decode(Dashboard.self, from: Data(file.utf8))
        let queries = dashboard.panels.flatMap { panel in (panel.targets ?? []).map { (panel.title, $0.expr) } }
        #expect(queries.count > 15)
        for (title, expression) in queries {
            let metrics = Self.metrics(of: expression)
            #expect(!metrics.isEmpty, "\(title): \(expression)")
            for metric in metrics { #expect(try Self.isKnown(metric), "\(metric) in \(title): \(expression)") }
        }
    }

    @Test func `Prometheus asks every process that is deployed`() throws {
        let compose = try Self.text("docker-compose.yml")
        let prometheus = try Self.text("deploy/prometheus/prometheus.yml")
        let services = compose.matches(of: /(?m)^  ([a-z0-9-]+):(?: &\w+)?\n    <<: \*(?:service|orchestrator)\n/)
            .map { String($0.1) }.filter { !["settings", "venue-simulator"].contains($0) }
        #expect(services.count >= 7)
        for service in services { #expect(prometheus.contains("\(service):8080"), "\(service)") }
    }
}
