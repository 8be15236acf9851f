import Resilience
import Servers

/// What happens to processes, as an operator reads it.
enum SuiteWords {
    /// Lines for a piece of news; the first begins with the process's name.
    static func lines(_ name: String, _ news: ProcessSuite.News) -> [String] {
        switch news {
        case .started(let pid, 0): ["\(name): started, pid \(pid)"]
        case .started(let pid, let restarts): ["\(name): started again, pid \(pid), restart \(restarts)"]
        case .report(let report, let said): ["\(name): \(text(report))"] + said.map { "    it said: \($0)" }
        case .raise(let trouble, _): ["\(name): ALERT \(kind): \(summary(name, trouble))"]
        case .recover: ["\(name): alert over: \(recovery(name))"]
        }
    }

    /// The kind of every alert that a supervisor raises.
    static let kind = "crashLoop"

    static func fingerprint(_ name: String) -> String { "\(kind):\(name)" }

    static func recovery(_ name: String) -> String { "\(name) is up again and stays up." }

    static func summary(_ name: String, _ trouble: ProcessWatch.Trouble) -> String {
        switch trouble {
        case .crashLoop(let crashes, let end):
            "\(name) crashed \(crashes) times in short order (last: \(text(end))); it is left alone for its cooldown."
        case .refusedSettings:
            "\(name) refuses its settings; it is not started again before they are mended (then SIGHUP)."
        case .serversMissing(let starts):
            "\(name) gave up waiting for its servers \(starts) times in a row; it is tried again and again."
        }
    }

    private static func text(_ report: ProcessWatch.Report) -> String {
        switch report {
        case .ready: "running"
        case .ended(let end, let wasHung, let next):
            switch next {
            case .stopped: "stopped\(end == .status(.exited(0)) ? "" : ", \(text(end))")"
            case .restart(let attempt, let delay):
                "\(wasHung ? "hung and " : "")\(text(end)); started again \(when(delay)) (attempt \(attempt))"
            case .coolDown(let delay):
                "\(wasHung ? "hung and " : "")\(text(end)); crashed too often, left alone for \(delay.short)"
            case .waitForServers(let delay):
                "gave up waiting for its servers (\(text(end))); tried again in \(delay.short)"
            case .refused: "refuses its settings (\(text(end))); not started again before SIGHUP"
            }
        case .hangs(let misses): "hangs: no sign of life at \(misses) looks in a row; asked to end"
        case .isSlow(let limit): "hangs: not ready \(limit.short) after its start; asked to end"
        case .killed: "did not end when asked; killed"
        }
    }

    private static func when(_ delay: Duration) -> String { delay == .zero ? "at once" : "in \(delay.short)" }

    static func text(_ end: ProcessWatch.End) -> String {
        switch end {
        case .status(let status): "ended with \(status.words)"
        case .notStarted(let reason): "could not be started (\(reason))"
        }
    }
}
