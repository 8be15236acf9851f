import Foundation
import Runtime
import TestKit
import Testing

@testable import Alerting

/// What goes over the wire to Slack and to the webhook, and what their answers mean.
@Suite struct SlackBodyTests {
    static func alert(_ number: Int, state: Alert.State = .firing, text: String = "is gone") -> Alert {
        var alert = Alert(
            AlertRequest(
                id: "id-\(number)", kind: number % 2 == 0 ? "shardDead" : "gameOrphaned",
                fingerprint: "game:4018693\(number)", summary: text, detail: ["games": "7"], source: "orchestrator/1",
                at: 1_776_726_799_000_000), state: state)
        alert.sequence = Int64(number)
        return alert
    }

    static func message(_ alerts: [Alert], omitted: Int = 0) -> AlertMessage {
        AlertMessage(id: "m", alerts: alerts, omitted: omitted)
    }

    private func encoded(_ message: AlertMessage) throws -> [String: Any] {
        let data = try AlertJSON.encoder.encode(SlackBody(message))
        return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    // CHECKLIST R16.
    @Test func `one alert has a header, its facts, its source and a text for those without blocks`() throws {
        var alert = Self.alert(2, text: "Shard 2 <&> is gone")
        alert.suppressed = 4
        let body = try encoded(Self.message([alert]))
        #expect(SlackRules.problem(of: body) == nil)
        let text = try #require(body["text"] as? String)
        #expect(text.contains("shardDead") && text.contains("Shard 2 &lt;&amp;&gt; is gone"))
        let whole = String(decoding: try JSONSerialization.data(withJSONObject: body), as: UTF8.self)
        for part in ["4 of the same were held back", "games: 7", "orchestrator", "2026-04-20"] {
            #expect(whole.contains(part), "\(part)")
        }
    }

    @Test func `a recovery says how long it lasted`() {
        var alert = Self.alert(1, state: .recovered)
        alert.lastedMilliseconds = 185_000
        #expect(SlackBody(Self.message([alert])).text.contains("It lasted 3 min 5 s."))
        #expect(AlertText.length(850) == "850 ms" && AlertText.length(4_250) == "4.2 s")
        #expect(AlertText.length(7_800_000) == "2 h 10 min")
    }

    @Test func `a thousand are counted by kind and every one is named, within Slack's bounds`() throws {
        let alerts = (0..<1_000).map { Self.alert($0, text: String(repeating: "long & winding ", count: 30)) }
        let body = try encoded(Self.message(alerts, omitted: 12))
        #expect(SlackRules.problem(of: body) == nil)
        let whole = SlackRules.texts(of: body).joined(separator: "\n")
        #expect(whole.contains("*shardDead* × 500") && whole.contains("*gameOrphaned* × 500"))
        #expect(whole.contains("12 more had no room here"))
        let missing = alerts.filter { !whole.contains($0.fingerprint) }
        #expect(missing.isEmpty)
    }

    // PITFALLS 6: the longest names must not push the last ones out.
    @Test func `a full group of the longest names still fits`() throws {
        let alerts = (0..<AlertPolicy().groupLimit).map { number in
            var alert = Alert(
                AlertRequest(
                    id: "\(number)", kind: "shardDead",
                    fingerprint: "\(number):" + String(repeating: "x", count: 300), summary: "gone", source: "s",
                    at: 0), state: .firing)
            alert.sequence = Int64(number)
            return alert
        }
        let body = try encoded(Self.message(alerts))
        #expect(SlackRules.problem(of: body) == nil)
        let whole = SlackRules.texts(of: body).joined(separator: "\n")
        #expect(whole.contains("999:xxx"))
    }

    @Test func `requirement 8: text alone after blocks were refused; long texts keep head and tail`() throws {
        let long = "head " + String(repeating: "x", count: 9_000) + " tail"
        var message = Self.message([Self.alert(1, text: long)])
        let body = try encoded(message)
        #expect(SlackRules.problem(of: body) == nil)
        message.isTextOnly = true
        let plain = try encoded(message)
        #expect(plain["blocks"] == nil)
        let text = try #require(plain["text"] as? String)
        #expect(text.utf16.count <= 3_000 && text.contains("head") && text.contains(" … "))
        #expect(
            AlertText.truncated(long, to: 100).hasSuffix("tail")
                && AlertText.truncated(long, to: 100).utf16.count <= 100)
        #expect(AlertText.truncated("👩‍👩‍👧‍👦👩‍👩‍👧‍👦", to: 12).utf16.count <= 12)
    }

    @Test func `control characters and mentions of strangers do nothing`() throws {
        let request = AlertRequest(
            id: "1\u{1B}[2J", kind: "a\u{0}b", fingerprint: "x\u{202E}y", summary: "<!channel> \u{7}now", source: "s",
            at: 0)
        #expect(!request.summary.contains("\u{7}") && !request.id.contains("\u{1B}"))
        #expect(!request.fingerprint.contains("\u{202E}"))
        #expect(SlackBody(Self.message([Alert(request, state: .firing)])).text.contains("&lt;!channel&gt;"))
        let one = AlertRequest.bounded(fingerprint: String(repeating: "a", count: 500) + "1")
        let other = AlertRequest.bounded(fingerprint: String(repeating: "a", count: 500) + "2")
        #expect(one != other && one.utf16.count <= 200)
    }

    @Test func `the webhook gets every field, one document for one alert and for many`() throws {
        let data = try WebhookBody.bytes(Self.message([Self.alert(1), Self.alert(2, state: .recovered)]))
        let body = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(body["version"] as? Int == 1 && body["firing"] as? Int == 1 && body["recovered"] as? Int == 1)
        let alerts = try #require(body["alerts"] as? [[String: Any]])
        let expected = [
            "at", "detail", "fingerprint", "id", "kind", "sequence", "severity", "source", "state", "summary",
            "suppressed", "time",
        ]
        #expect(alerts.first?.keys.sorted() == expected)
        #expect(alerts.first?["time"] as? String == "2026-04-20T23:13:19.000000Z")
        let many = try WebhookBody.bytes(
            Self.message((0..<900).map { Self.alert($0, text: String(repeating: "y", count: 2_000)) }))
        #expect(!String(decoding: many, as: UTF8.self).contains("\"detail\""))
    }

    @Test(arguments: [
        (200, "ok", "delivered"), (200, "<html>sign in</html>", "foreign"), (200, "captive", "foreign"),
        (429, "rate_limited", "throttled"), (500, "rollup_error", "unavailable"), (503, "<html>", "unavailable"),
        (408, "", "unavailable"), (400, "invalid_payload", "message_refused"),
        (400, "invalid_blocks", "message_refused"),
        (413, "", "message_refused"), (403, "action_prohibited", "sink_refused"), (404, "no_service", "sink_refused"),
        (404, "channel_not_found", "sink_refused"), (410, "channel_is_archived", "sink_refused"),
        (401, "", "sink_refused"), (302, "", "sink_refused"), (404, "<html>proxy</html>", "foreign"),
    ])
    func `requirement 5: every answer of Slack means one thing`(status: UInt, body: String, code: String) {
        let sink = AlertSink(
            name: "slack", address: Secret("https://hooks.slack.com/services/T0/B0/XXX"), shape: .slack)
        let found =
            switch AnswerTable.judge(status: status, retryAfter: nil, body: body, from: sink) {
            case .delivered: "delivered"
            case .later(let error, _), .refused(let error): error.code.rawValue
            }
        #expect(found == code)
    }

    @Test func `Retry-After is read when it is a number, and a webhook need not say ok`() {
        let webhook = AlertSink(name: "webhook", address: Secret("http://127.0.0.1/"), shape: .plain)
        func after(_ text: String?) -> Duration? {
            if case .later(_, let after) = AnswerTable.judge(status: 429, retryAfter: text, body: "", from: webhook) {
                return after
            }
            return nil
        }
        #expect(after("30") == .seconds(30) && after(" 1.5 ") == .milliseconds(1_500))
        #expect(after(nil) == .seconds(1) && after("Fri, 31 Dec 1999") == .seconds(1) && after("-1") == .seconds(1))
        #expect(AnswerTable.judge(status: 204, retryAfter: nil, body: "", from: webhook) == .delivered)
        #expect(AnswerTable.judge(status: 200, retryAfter: nil, body: "thanks", from: webhook) == .delivered)
    }
}
