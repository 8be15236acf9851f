import Runtime

/// Where alerts go and how often (DESIGN sections 6 and 7).
public struct AlertSettings: Sendable {
    public let isEnabled: Bool
    public let slackWebhook: Secret?
    public let customWebhook: Secret?
    public let logPath: String
    public let rateLimit: Duration

    public init(_ reader: SettingsReader) {
        isEnabled = reader.flag("CRITICAL_ALERTS_ENABLED", default: true, "Whether alerts are written and sent.")
        slackWebhook = reader.secret("SLACK_WEBHOOK_URL", "Slack's incoming webhook; empty sends nothing to Slack.")
        customWebhook = reader.secret("CUSTOM_WEBHOOK_URL", "A second webhook that takes the alert as JSON.")
        logPath = reader.text(
            "ALERT_LOG_PATH", default: "/var/log/linesman/critical_alerts.log",
            "The synced file that every alert is written to first.")
        rateLimit = reader.seconds(
            "ALERT_RATE_LIMIT_SECS", default: .seconds(300), in: .zero ... .seconds(86_400),
            "At most one message for one fingerprint in this time.")
    }
}
