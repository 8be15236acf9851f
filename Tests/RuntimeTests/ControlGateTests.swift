import Runtime
import TestKit
import Testing

/// CHECKLIST N32: who may give orders.
@Suite struct ControlGateTests {
    private let metrics = MetricsRegistry()

    private func answer(token: String?, _ header: String?, isLocal: Bool = true) -> StatusResponse? {
        let gate = ControlGate(token: token.map { Secret($0) }, metrics: metrics)
        let headers = header.map { ["authorization": $0] } ?? [:]
        return gate.refusal(of: StatusRequest(path: "/control/drain", headers: headers, isLocal: isLocal))
    }

    @Test func `only who knows the token passes, and only from this host`() {
        #expect(answer(token: "correct horse", "Bearer correct horse") == nil)
        #expect(answer(token: "correct horse", "bearer  correct horse") == nil)
        for header in [nil, "", "Bearer", "Bearer ", "Basic correct horse", "correct horse"] {
            #expect(answer(token: "correct horse", header)?.status == 401)
        }
        let twice = "correct horsecorrect horse"
        for wrong in ["correct horsf", "correct hors", "correct horse ", twice, "Correct horse"] {
            #expect(answer(token: "correct horse", "Bearer \(wrong)")?.status == 401)
        }
        #expect(answer(token: "correct horse", "Bearer correct horse", isLocal: false)?.status == 403)
        let passed = metrics.counter("control_requests_total", labels: ["result": "passed"])
        #expect(passed.value == 2)
    }

    @Test func `without a token nobody passes, and the answer says what to set`() throws {
        for header in [nil, "Bearer ", "Bearer x"] {
            let refusal = try #require(answer(token: nil, header))
            #expect(refusal.status == 403)
            #expect(refusal.body.contains("CONTROL_TOKEN") && refusal.body.contains("no_token_configured"))
        }
        #expect(answer(token: "", "Bearer ")?.status == 401)
        #expect(answer(token: "", "Bearer x")?.status == 401)
    }

    @Test func `no refusal shows the token`() throws {
        let refusal = try #require(answer(token: "correct horse", "Bearer wrong"))
        #expect(!refusal.body.contains("correct horse") && !refusal.body.contains("Bearer wrong"))
    }
}
