import Runtime

/// Where alerts go and how often (DESIGN sections 6 and 7).
public struct AlertSettings: Sendable {
    public let isEnabled: Bool
    public let slackWebhook: Secret?
    public let customWebhook: Secret?
    public let logPath: String
    /// When the file has this size a new one is begun.
    public let logByteLimit: Int
    /// Files that are kept beside the present one.
    public let logFiles: Int
    public let rateLimit: Duration
    public let sendTimeout: Duration
    public let canaryInterval: Duration
    public let acknowledgementTimeout: Duration
    public let deadManURL: Secret?
    public let deadManInterval: Duration

    public init(_ reader: SettingsReader) {
        isEnabled = reader.flag(
            "CRITICAL_ALERTS_ENABLED", default: true,
            "Whether alerts are written and sent; from the settings file it is read again at SIGHUP.")
        slackWebhook = reader.secret("SLACK_WEBHOOK_URL", "Slack's incoming webhook; empty sends nothing to Slack.")
        customWebhook = reader.secret(
            "CUSTOM_WEBHOOK_URL", "A second webhook that takes alerts as JSON (docs/ALERTS.md).")
        logPath = reader.text(
            "ALERT_LOG_PATH", default: "/var/log/linesman/critical_alerts.log",
            "The synced file that every alert is written to first; other services put their own name into it.")
        reader.require(logPath.hasPrefix("/"), ["ALERT_LOG_PATH"], "must be an absolute path")
        logByteLimit = reader.integer(
            "ALERT_LOG_MAX_BYTES", default: 4 << 20, in: 4_096...(1 << 30),
            "The size at which the alert file is put aside and a new one begun.")
        logFiles = reader.integer(
            "ALERT_LOG_FILES", default: 5, in: 1...100, "How many alert files are kept beside the present one.")
        rateLimit = reader.seconds(
            "ALERT_RATE_LIMIT_SECS", default: .seconds(300), in: .zero ... .seconds(86_400),
            "At most one message for one fingerprint in this time.")
        sendTimeout = reader.milliseconds(
            "ALERT_SEND_TIMEOUT_MS", default: .seconds(5), in: .milliseconds(50)...(.seconds(60)),
            "How long a webhook may take to answer.")
        canaryInterval = reader.seconds(
            "ALERT_CANARY_INTERVAL_SECS", default: .seconds(86_400), in: .zero ... .seconds(2_592_000),
            "A message shows that the way is open when none went through for this long; 0 sends none.")
        acknowledgementTimeout = reader.milliseconds(
            "ALERT_ACK_TIMEOUT_MS", default: .seconds(2), in: .milliseconds(50)...(.seconds(60)),
            "Without the orchestrator's word in this time a service delivers its alert itself.")
        deadManURL = reader.secret(
            "ALERT_DEADMAN_URL", "An outside watcher that is called while the orchestrator lives; empty calls none.")
        deadManInterval = reader.seconds(
            "ALERT_DEADMAN_INTERVAL_SECS", default: .seconds(60), in: .milliseconds(100)...(.seconds(86_400)),
            "How often the outside watcher is called.")
        for (key, secret) in [
            ("SLACK_WEBHOOK_URL", slackWebhook), ("CUSTOM_WEBHOOK_URL", customWebhook),
            ("ALERT_DEADMAN_URL", deadManURL),
        ] {
            reader.require(Self.isAddress(secret), [key], "must be an address that begins with http:// or https://")
        }
    }

    private static func isAddress(_ secret: Secret?) -> Bool {
        guard let address = secret?.value else { return true }
        let scheme = ["https://", "http://"].first { address.hasPrefix($0) }
        guard let scheme else { return false }
        return address.count > scheme.count && address.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
    }

    /// Every sink that is set, by its name.
    var sinks: [String: AlertSink] {
        var sinks: [String: AlertSink] = [:]
        if let slackWebhook { sinks["slack"] = AlertSink(name: "slack", address: slackWebhook, shape: .slack) }
        if let customWebhook { sinks["webhook"] = AlertSink(name: "webhook", address: customWebhook, shape: .plain) }
        return sinks
    }

    func policy(for role: AlertDispatcher.Role) -> AlertPolicy {
        var policy = AlertPolicy()
        policy.rateLimit = rateLimit
        policy.canaryInterval = role == .main ? canaryInterval : .zero
        return policy
    }
}
