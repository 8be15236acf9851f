import Runtime

/// Where the kill switch's file is, and how often every process looks at the switch (DESIGN rule 14).
public struct KillSwitchSettings: Sendable {
    public let file: String
    public let interval: Duration

    public init(_ reader: SettingsReader) {
        file = reader.text(
            "KILL_SWITCH_FILE", default: "/var/run/linesman/kill-switch", "Nothing is sent while this file is there.")
        reader.require(file.hasPrefix("/"), ["KILL_SWITCH_FILE"], "must be an absolute path")
        interval = reader.milliseconds(
            "KILL_SWITCH_POLL_MS", default: .milliseconds(500), in: .milliseconds(10)...(.seconds(10)),
            "How often a process looks at the kill switch to say that it has seen it; each order looks anew.")
    }
}
