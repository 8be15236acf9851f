import Runtime

/// How the audit log is sealed (docs/AUDIT.md).
public struct AuditSettings: Sendable {
    public let sealInterval: Duration
    public let headInterval: Duration
    public let patience: Duration

    public init(_ reader: SettingsReader) {
        sealInterval = reader.milliseconds(
            "AUDIT_SEAL_INTERVAL_MS", default: .seconds(1), in: .milliseconds(10)...(.seconds(3_600)),
            "How often new rows of the audit log are chained.")
        headInterval = reader.seconds(
            "AUDIT_HEAD_INTERVAL_SECS", default: .seconds(3_600), in: .milliseconds(10)...(.seconds(86_400)),
            "How often the end of the audit log's chain is written into the alert file.")
        patience = reader.seconds(
            "AUDIT_SEAL_ALERT_SECS", default: .seconds(300), in: .seconds(1)...(.seconds(86_400)),
            "A row of the audit log that waits this long for its seal is an alert.")
    }
}
