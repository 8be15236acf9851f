import Runtime

/// Whether a process measures its health; the one thing about it that SIGHUP reads again.
public struct HealthSettings: Sendable {
    public let isEnabled: Bool

    public init(_ reader: SettingsReader) {
        isEnabled = reader.flag(
            "HEALTH_CHECKS_ENABLED", default: true,
            "Whether health is measured and judged; from the settings file it is read again at SIGHUP.")
    }
}
