import AsyncHTTPClient
import Foundation
import NIOCore
import Runtime

/// A place that alerts are sent to beside the file.
struct WebhookSink: Sendable {
    enum Shape: Sendable {
        /// Block Kit with a text fallback; a section holds at most 3,000 characters.
        case slack
        /// The alert itself.
        case plain
    }

    let name: String
    let url: Secret
    let shape: Shape

    func body(for alert: Alert) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        switch shape {
        case .plain: return try encoder.encode(alert)
        case .slack: return try encoder.encode(SlackMessage(alert))
        }
    }

    /// - Throws: `AlertError`: `refused` for what will not change by trying again, `throttled` and `unavailable`
    ///   otherwise.
    func send(_ alert: Alert, with client: HTTPClient) async throws {
        var request = HTTPClientRequest(url: url.value)
        request.method = .POST
        request.headers.add(name: "content-type", value: "application/json")
        request.body = .bytes(ByteBuffer(bytes: try body(for: alert)))
        let status: UInt
        do {
            status = try await client.execute(request, timeout: .seconds(5)).status.code
        } catch {
            throw AlertError(code: .unavailable, message: "\(name) does not answer")
        }
        switch status {
        case 200..<300: return
        case 429: throw AlertError(code: .throttled, message: "\(name) answered 429")
        case 500...: throw AlertError(code: .unavailable, message: "\(name) answered \(status)")
        default: throw AlertError(code: .refused, message: "\(name) answered \(status)")
        }
    }
}

private struct SlackMessage: Encodable {
    struct Text: Encodable {
        let type: String
        let text: String
    }

    struct Block: Encodable {
        let type: String
        let text: Text
    }

    let text: String
    let blocks: [Block]

    init(_ alert: Alert) {
        let title = alert.state == .firing ? "Alert: \(alert.kind)" : "Recovered: \(alert.kind)"
        var lines = [alert.summary, "from \(alert.source)"]
        lines += alert.detail.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
        if let lasted = alert.lastedMilliseconds { lines.append("lasted \(Double(lasted) / 1000) s") }
        if alert.suppressed > 0 { lines.append("\(alert.suppressed) of the same held back") }
        text = "\(title): \(alert.summary)"
        blocks = [
            Block(type: "header", text: Text(type: "plain_text", text: String(title.prefix(150)))),
            Block(
                type: "section",
                text: Text(type: "mrkdwn", text: String(lines.joined(separator: "\n").prefix(3_000)))),
        ]
    }
}
