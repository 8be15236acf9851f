import Foundation
import Runtime
import TestKit
import Testing

/// What the five services export, beside what docs/OPERATIONS.md says of it.
@Suite struct MetricsTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Name and kind of each documented metric.
    private static func documented() throws -> [String: String] {
        let text = try String(contentsOf: root.appending(path: "docs/OPERATIONS.md"), encoding: .utf8)
        let lines = text.matches(of: /(?m)^\| `([a-z_]+)` \| (counter|gauge|histogram) \|/)
        return Dictionary(lines.map { (String($0.1), String($0.2)) }, uniquingKeysWith: { $1 })
    }

    /// Of which deploy/prometheus/rules.yml asks the increase.
    private static func asked(of service: String) throws -> [String] {
        let rules = try String(contentsOf: root.appending(path: "deploy/prometheus/rules.yml"), encoding: .utf8)
        let all = rules.matches(of: /increase\((\w+)/).map { String($0.1) }
        #expect(all.count > 8)
        return all.filter { name in
            switch name {
            case "venue_rate_limited_total": service == "execution-service"
            case "alert_attempts_failed_total": false
            case _ where name.hasPrefix("db_journal"): service == "game-shard"
            default: true
            }
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func `every service answers on its own port, and every metric it has is documented`() async throws {
        let documented = try Self.documented()
        try await withRedis { redis in
            try await withPostgres { database in
                var starting = try RealFleet()
                try await starting.start(redis: redis.url, database: database.url, speed: 60)
                let fleet = starting
                try await eventually(within: .seconds(90), "all is well") {
                    try await fleet.status()?.isAllWell == true
                }
                try await fleet.startGame()
                for service in RealFleet.services {
                    #expect(try await fleet.get(service, "/healthz").status == 200, "\(service)")
                    try await eventually(within: .seconds(20), "\(service) is ready") {
                        try await fleet.get(service, "/readyz").status == 200
                    }
                    let text = try await fleet.get(service, "/metrics").body
                    let found = text.matches(of: /(?m)^# TYPE (\w+) (\w+)$/)
                    #expect(found.count > 30, "\(service)")
                    for metric in found {
                        #expect(documented[String(metric.1)] == String(metric.2), "\(metric.1) of \(service)")
                    }
                    // What rules ask the increase of must be there before it grows.
                    for name in try Self.asked(of: service) {
                        #expect(text.contains("\n\(name)"), "\(name) of \(service)")
                    }
                    let status = try await fleet.get(service, "/status").body
                    #expect(status.contains("\"service\":\"\(service)\""), "\(status.prefix(300))")
                }
                _ = await fleet.stop()
            }
        }
    }
}
