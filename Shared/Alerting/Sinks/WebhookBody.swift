import Foundation
import Runtime

/// A message as the second webhook takes it; the document is described in docs/ALERTS.md.
struct WebhookBody: Encodable {
    struct Entry: Encodable {
        let sequence: Int64
        let id: String
        let kind: String
        let severity: AlertSeverity
        let fingerprint: String
        let state: Alert.State
        let summary: String
        let detail: [String: String]?
        let source: String
        let at: Int64
        let time: String
        let suppressed: Int
        let lastedMilliseconds: Int64?

        private enum CodingKeys: String, CodingKey {
            case sequence, id, kind, severity, fingerprint, state, summary, detail, source, at, time, suppressed
            case lastedMilliseconds = "lasted_ms"
        }
    }

    let version: Int
    let id: String
    let firing: Int
    let recovered: Int
    let omitted: Int
    let alerts: [Entry]

    /// The most bytes of a body with every detail; a larger one goes without details.
    static let byteLimit = 1 << 20

    private init(_ message: AlertMessage, withDetail: Bool) {
        version = 1
        id = message.id
        firing = message.alerts.count { $0.state == .firing }
        recovered = message.alerts.count - firing
        omitted = message.omitted
        alerts = message.alerts.map { alert in
            Entry(
                sequence: alert.sequence, id: alert.id, kind: alert.kind, severity: alert.severity,
                fingerprint: alert.fingerprint, state: alert.state, summary: alert.summary,
                detail: withDetail ? alert.detail : nil, source: alert.source, at: alert.at,
                time: AlertText.time(alert.at), suppressed: alert.suppressed,
                lastedMilliseconds: alert.lastedMilliseconds)
        }
    }

    static func bytes(_ message: AlertMessage) throws -> Data {
        let whole = try AlertJSON.encoder.encode(WebhookBody(message, withDetail: !message.isTextOnly))
        guard whole.count > byteLimit else { return whole }
        return try AlertJSON.encoder.encode(WebhookBody(message, withDetail: false))
    }
}

extension AlertText {
    static func time(_ at: Int64) -> String { WallClock.text(at) }
}
