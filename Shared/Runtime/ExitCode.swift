/// What a process says by ending; the same in every executable (CHECKLIST H21).
public enum ExitCode: Int32, Sendable, CaseIterable {
    case ok = 0
    /// A critical part failed, or the drain did not finish in time.
    case failure = 1
    case usage = 64
    /// A boot check failed: something it needs is not there.
    case unavailable = 69
    /// The settings are wrong; every problem was printed.
    case configuration = 78

    /// The code for an error that ended a process.
    public static func of(_ error: any Error) -> ExitCode {
        switch error {
        case is SettingsError: .configuration
        case is BootCheckFailure: .unavailable
        default: .failure
        }
    }
}
