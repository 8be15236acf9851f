import Foundation
import Servers
import TestKit
import Testing

/// Real orchestrators seal the audit log, and the operator's command checks it (CHECKLIST R92).
@Suite(.processes) struct AuditSealTests {
    private struct Report: Decodable {
        let isWhole: Bool
        let rows: Int
        let keptHeads: Int
        let findings: [Finding]
    }

    private struct Finding: Decodable {
        let kind: String
    }

    private func verify(
        _ rig: OrchestratorRig, _ more: String...
    ) async throws -> (code: ChildProcess.ExitStatus, report: Report) {
        let (code, output) = try await rig.linesman(
            ["audit", "verify", "--json", "--database", rig.database.url] + more,
            ["ALERT_LOG_PATH": "\(rig.folder.path)/alerts.log"])
        return (code, try JSONDecoder().decode(Report.self, from: Data(output.utf8)))
    }

    private func number(_ rig: OrchestratorRig, _ sql: String) async throws -> Int {
        let text = try await rig.database.run(sql: sql)
        return text.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) } ?? -1
    }

    @Test(.timeLimit(.minutes(4)))
    func `two orchestrators seal one chain, keep its heads, and a chain written anew is found`() async throws {
        try await OrchestratorRig.run(["AUDIT_SEAL_INTERVAL_MS": "50", "AUDIT_HEAD_INTERVAL_SECS": "0.2"]) { rig in
            let orchestrators = try ["1", "2"].map {
                try rig.spawn("orchestrator", named: "orchestrator-\($0)", ["SERVICE_INSTANCE": $0])
            }
            try await eventually(within: .seconds(60), "the schema is there") {
                (try? await number(rig, "SELECT count(*) FROM audit_chain")) == 1
            }
            for number in 1...20 {
                try await rig.database.run(sql: "INSERT INTO audit_log (event) VALUES ('event-\(number)')")
            }
            try await eventually(within: .seconds(60), "every row is sealed") {
                try await number(rig, "SELECT count(*) FROM audit_log WHERE hash IS NULL") == 0
            }
            orchestrators[0].signal(SIGKILL)
            try await rig.database.run(sql: "INSERT INTO audit_log (event) VALUES ('after the death')")
            try await eventually(within: .seconds(60), "the other one goes on") {
                let (code, report) = try await verify(rig)
                return code == .exited(0) && report.isWhole && report.rows == 21 && report.keptHeads > 0
            }
            try await eventually(within: .seconds(60), "a head of all 21 rows is kept") {
                try alerts(rig).contains("\"position\":\"21\"")
            }
            #expect(await orchestrators[1].terminate() == .exited(0))

            try await expectFound(rig)
        }
    }

    private func alerts(_ rig: OrchestratorRig) throws -> String {
        try FileManager.default.contentsOfDirectory(atPath: rig.folder.path).filter { $0.hasPrefix("alerts") }
            .map { FileManager.default.contents(atPath: "\(rig.folder.path)/\($0)") ?? Data() }
            .map { String(decoding: $0, as: UTF8.self) }.joined()
    }

    private func expectFound(_ rig: OrchestratorRig) async throws {
        // Gone at the end, and the end changed with it: only the file knows.
        try await rig.database.run(
            sql: """
                SET session_replication_role = replica; DELETE FROM audit_log WHERE position = 21;
                UPDATE audit_chain SET position = 20, hash = (SELECT hash FROM audit_log WHERE position = 20)
                """)
        let cut = try await verify(rig)
        #expect(cut.code == .exited(1) && !cut.report.isWhole)
        #expect(Set(cut.report.findings.map(\.kind)) == ["head_differs"])
        try await rig.database.run(
            sql: "SET session_replication_role = replica; UPDATE audit_log SET event = 'forged' WHERE position = 3")
        let (code, output) = try await rig.linesman(
            ["audit", "verify", "--database", rig.database.url], ["ALERT_LOG_PATH": "\(rig.folder.path)/alerts.log"])
        #expect(code == .exited(1))
        #expect(output.contains("at place 3 is not what was sealed") && output.contains("NOT AS IT WAS SEALED"))
        let none = try await rig.linesman(
            ["audit", "verify", "--database", rig.database.url, "--alert-file", "/nowhere/alerts.log"])
        #expect(none.code == .exited(69) && none.output.contains("there is no /nowhere/alerts.log"))
        let head = try await rig.linesman(["audit", "head", "--database", rig.database.url])
        #expect(head.code == .exited(0) && head.output.hasPrefix("20 "))
    }
}
