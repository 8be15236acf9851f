import Alerting
import Foundation
import Testing

@testable import Linesman

/// CHECKLIST R97 to R100: how reliable the suite was, by what it wrote down.
@Suite struct ReliabilityTests {
    private static let second: Int64 = 1_000_000

    /// - `at`: seconds.
    private func record(
        _ kind: String, _ state: String = "firing", at seconds: Int64, fingerprint: String? = nil, lasted: Int64? = nil,
        severity: String = "critical", lasting: Bool = true, fileOnly: Bool = false, held: Bool = false, id: String = ""
    ) throws -> Alert {
        var fields: [String: Any] = [
            "id": id.isEmpty ? "\(kind)/\(seconds)" : id, "kind": kind, "state": state, "severity": severity,
            "fingerprint": fingerprint ?? kind, "summary": "s", "source": "orchestrator/1",
            "at": seconds * Self.second, "lasting": lasting, "held": held,
        ]
        if let lasted { fields["lasted_ms"] = lasted }
        if fileOnly { fields["file_only"] = true }
        return try JSONDecoder().decode(Alert.self, from: JSONSerialization.data(withJSONObject: fields))
    }

    private func value(_ name: String, of found: Reliability) -> Reliability.Figure? {
        found.figures.first { $0.name == name }
    }

    @Test func `the mean time to recover is that of critical causes that ended`() throws {
        let found = Reliability(
            [
                try record("RedisConnectivityIssue", at: 100),
                try record("RedisConnectivityIssue", at: 105, held: true),
                try record("RedisConnectivityIssue", "recovered", at: 110, lasted: 10_000),
                try record("DatabaseConnectivityIssue", at: 200),
                try record("DatabaseConnectivityIssue", "recovered", at: 230),
                try record("nakedLeg", at: 300, severity: "warning"),
                try record("orderUnknown", at: 310, lasting: false),
                try record("killSwitchEngaged", at: 400),
                try record("exitHeldBack", at: 401),
                try record("nakedLegHeldBack", at: 402),
                try record("auditHead", at: 500, fileOnly: true),
            ], to: 10_100 * Self.second)
        #expect(value("mean time to recover", of: found)?.value == "20 s (2 critical causes)")
        #expect(value("critical causes that ended", of: found)?.value == "2 of 2", "the switch waits for a person")
        #expect(value("available", of: found)?.value == "99.600 %")
        #expect(value("available", of: found)?.isMet == false && !found.isMet)
        let redis = try #require(found.causes.first { $0.kind == "RedisConnectivityIssue" })
        #expect((redis.fired, redis.recovered, redis.open, redis.meanMs) == (1, 1, 0, 10_000))
        #expect(found.causes.first { $0.kind == "killSwitchEngaged" }?.open == 1)
        #expect(found.causes.first { $0.kind == "orderUnknown" }?.open == 0)
        #expect(!found.causes.contains { $0.kind == "auditHead" })
    }

    @Test func `outages at one time count once, and one that lasts counts until now`() throws {
        let found = Reliability(
            [
                try record("AllShardsUnhealthy", at: 0),
                try record("RedisConnectivityIssue", at: 5),
                try record("RedisConnectivityIssue", "recovered", at: 20),
                try record("AllShardsUnhealthy", "recovered", at: 10),
                try record("DatabaseConnectivityIssue", at: 90),
            ], to: 100 * Self.second)
        #expect(value("available", of: found)?.value == "70.000 %")
        #expect(value("critical causes that ended", of: found)?.isMet == false)
    }

    @Test func `a record in two files is one, and an end without its beginning says how long it was`() throws {
        let end = try record("AllShardsUnhealthy", "recovered", at: 60, lasted: 5_000, id: "one")
        let found = Reliability([end, end], from: 0, to: 1_000 * Self.second)
        #expect(found.records == 1)
        #expect(value("mean time to recover", of: found)?.value == "5 s (1 critical causes)")
        #expect(value("available", of: found)?.value == "99.471 %", "since it began, of which nothing else is known")
    }

    @Test func `days before the first word of the suite count for nothing`() throws {
        let records = [
            try record("auditHead", at: 1_000, fileOnly: true),
            try record("RedisConnectivityIssue", at: 1_900),
            try record("RedisConnectivityIssue", "recovered", at: 2_000),
        ]
        for from in [nil, 0, 1_000 * Self.second] as [Int64?] {
            let found = Reliability(records, from: from, to: 2_000 * Self.second)
            #expect(found.from == 1_000 * Self.second)
            #expect(value("available", of: found)?.value == "90.000 %")
        }
    }

    @Test func `only what reaches into the days asked for is counted`() throws {
        let records = [
            try record("AllShardsUnhealthy", at: 0), try record("AllShardsUnhealthy", "recovered", at: 10),
            try record("RedisConnectivityIssue", at: 90), try record("RedisConnectivityIssue", "recovered", at: 110),
        ]
        let found = Reliability(records, from: 100 * Self.second, to: 200 * Self.second)
        #expect(found.causes.map(\.kind) == ["RedisConnectivityIssue"])
        #expect(value("available", of: found)?.value == "90.000 %")
    }

    @Test func `nothing written down judges nothing`() {
        let found = Reliability([], to: 5)
        #expect(found.isMet && found.causes.isEmpty)
        #expect(found.text.contains("nothing to judge by"))
    }

    @Test func `rehearsals say how many recovered by themselves, and what was told without a reason`() throws {
        func round(
            _ recovered: Int64?, wrong: [String] = [], isControl: Bool = false, delivered: Int64? = nil
        ) -> String {
            """
            {"scenario": "redis-kill", "round": 1, "isControl": \(isControl), "passed": true,
             "filedMs": 400, "deliveredMs": \(delivered.map { "\($0)" } ?? "null"),
             "recoveredMs": \(recovered.map { "\($0)" } ?? "null"), "orders": 3, "moved": 0, "lost": 0, "duplicated": 0,
             "tookMs": 1000, "alertsExpected": \(isControl ? 0 : 1), "alertsReceived": \(isControl ? 0 : 1),
             "falseAlerts": [\(wrong.map { "\"\($0)\"" }.joined())], "problems": []}
            """
        }
        func report(_ rounds: [String]) throws -> ChaosReport {
            try JSONDecoder().decode(
                ChaosReport.self, from: Data("{\"rounds\": [\(rounds.joined(separator: ","))]}".utf8))
        }
        let good = try report(Array(repeating: round(900), count: 20) + [round(nil, isControl: true)])
        #expect(Reliability([], to: 5, rehearsals: good).isMet)
        let way = "slowest alert, from its file to the sink"
        #expect(value(way, of: Reliability([], to: 5, rehearsals: good))?.isMet == nil, "no sink")
        let two = try report([round(900, delivered: 300), round(900, delivered: 900)])
        let quick = Reliability([], to: 5, rehearsals: two)
        #expect(value(way, of: quick)?.value == "0.5 s (2 rounds)" && quick.isMet)
        let slow = Reliability([], to: 5, rehearsals: try report([round(900, delivered: 30_400)]))
        #expect(value(way, of: slow)?.isMet == false && !slow.isMet)
        let bad = try report(Array(repeating: round(900, wrong: ["AllShardsUnhealthy"]), count: 19) + [round(nil)])
        let found = Reliability([], to: 5, rehearsals: bad)
        #expect(value("rehearsals that recovered by themselves", of: found)?.value == "19 of 20, 95.000 %")
        #expect(value("rehearsals that recovered by themselves", of: found)?.isMet == false)
        #expect(value("false alerts in rehearsals", of: found)?.value == "19 of 39, 48.718 %")
        #expect(value("false alerts in rehearsals", of: found)?.isMet == false)
    }
}
