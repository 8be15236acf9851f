import Foundation
import Testing

@testable import Linesman

@Suite struct StatusCommandTests {
    private func table(bus: String?, more: String = "", shards: String = "", services: String = "") throws -> String {
        let document = """
            {
              "fleet": {"isLeading": true, "term": 3, "shards": [\(shards)], "games": [],
                "services": [\(services)]},
              "checks": {"redis": true}, "tradingMode": "paper", "venueTime": "2026-04-20T00:00:00Z",
              "recentAlerts": []\(bus.map { ", \"bus\": \($0)" } ?? "")\(more)
            }
            """
        return StatusCommand.table(try JSONDecoder().decode(SuiteStatus.self, from: Data(document.utf8)))
    }

    @Test func `each service's bus is a line with its state and what was lost`() throws {
        let shown = try table(
            bus: """
                [
                  {"service": "game-shard", "instance": "shard-01", "state": "live", "breaker": "closed",
                   "reconnects": 2, "gaps": 1, "dropped": 0, "unsent": 7, "waiting": 0, "deadLetters": 1},
                  {"service": "orchestrator", "instance": "1", "state": "interrupted", "breaker": "open",
                   "reconnects": 1, "gaps": 0, "dropped": 12, "unsent": 0, "waiting": 40, "deadLetters": 3}
                ]
                """)
        let lines = shown.split(separator: "\n").map(String.init)
        let start = try #require(lines.firstIndex(of: "bus"))
        #expect(
            lines[(start + 1)...].prefix(3).map { $0 } == [
                "  game-shard/shard-01          live        "
                    + "2 reconnects, 1 gap, 0 dropped, 7 unsent, 0 waiting, 1 dead letter",
                "  orchestrator/1               interrupted "
                    + "1 reconnect, 0 gaps, 12 dropped, 0 unsent, 40 waiting, 3 dead letters, breaker open",
                "games",
            ])
    }

    @Test func `the bus of who is dead is not shown as it was last heard`() throws {
        func bus(_ service: String, _ instance: String) -> String {
            """
            {"service": "\(service)", "instance": "\(instance)", "state": "live", "breaker": "closed",
             "reconnects": 0, "gaps": 0, "dropped": 0, "unsent": 0, "waiting": 0, "deadLetters": 0}
            """
        }
        func shard(_ name: String, _ status: String) -> String {
            """
            {"shard": "\(name)", "status": "\(status)", "failedChecks": [], "games": 0, "capacity": 20,
             "heardMsAgo": 1}
            """
        }
        let names = [("game-shard", "a"), ("game-shard", "b"), ("market-discovery", "1"), ("signal-processor", "1")]
        let shown = try table(
            bus: "[\(names.map(bus).joined(separator: ", "))]",
            shards: "\(shard("a", "dead")), \(shard("b", "healthy"))",
            services: """
                {"service": "market-discovery", "instance": "1", "status": "dead", "failedChecks": [], "heardMsAgo": 1},
                {"service": "signal-processor", "instance": "1", "status": "healthy", "failedChecks": [],
                 "heardMsAgo": 1}
                """)
        let lines = shown.split(separator: "\n").filter { $0.contains("reconnects") }
        let states = lines.map { $0.split(separator: " ").prefix(2).joined(separator: " ") }
        #expect(
            states == ["game-shard/a dead", "game-shard/b live", "market-discovery/1 dead", "signal-processor/1 live"])
    }

    @Test func `the status of an orchestrator that tells nothing of the bus is still read`() throws {
        #expect(try table(bus: nil).contains("\nbus\ngames"))
    }

    // CHECKLIST R22.
    @Test func `the monitor shows each check with its age, and what is switched off is said`() throws {
        let checks = """
            [{"name": "shards", "state": "unhealthy", "detail": "0 of 2 shards serve", "at": 5000000, "since": 1,
              "tookMs": 0.4},
             {"name": "redis", "state": "unknown", "detail": "not looked at", "at": 0, "since": 0, "tookMs": 0}]
            """
        let on = try table(
            bus: nil,
            more: """
                , "at": 5750000, "alerting": {"isEnabled": true, "firing": ["AllShardsUnhealthy"], "failingSinks": []},
                "monitor": {"isOn": true, "intervalMs": 5000, "lastCycleMs": 3.24, "checks": \(checks)}
                """)
        #expect(on.contains("monitor every 5.0 s, the last look took 3.2 ms\n"))
        #expect(on.contains("  shards                       UNHEALTHY  750 ms ago  0 of 2 shards serve\n"))
        #expect(on.contains("  redis                        unknown    not looked at\n"))
        #expect(on.contains("\nalerts, firing: AllShardsUnhealthy\n"))
        let off = try table(
            bus: nil,
            more: """
                , "at": 1, "alerting": {"isEnabled": false, "firing": [], "failingSinks": []},
                "monitor": {"isOn": false, "intervalMs": 5000, "lastCycleMs": null, "checks": []}
                """)
        #expect(off.contains("monitor OFF") && off.contains("alerts OFF"))
    }
}
