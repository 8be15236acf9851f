import Foundation
import Servers

/// One process of the suite: how it is started, and what is expected of it.
struct SuiteProcess: Sendable {
    let name: String
    let executable: String
    /// All of it.
    let environment: [String: String]
    var policy = ProcessWatch.Policy()
    /// Whether it tells that it lives (`NotifySocket`).
    var isHeard = false

    /// `shard-01` and so on: sorted as they are counted.
    static func shardName(_ number: Int, _ beginning: String = "shard") -> String {
        "\(beginning)-\(number < 10 ? "0" : "")\(number)"
    }

    func spawn(in directory: String?, log: String, notify: String?) throws(ServersError) -> ChildProcess {
        var environment = environment
        environment["NOTIFY_SOCKET"] = notify
        return try ChildProcess.spawn(
            executable, environment: environment, directory: directory, output: .file(log), orphanSignal: SIGTERM)
    }
}

extension ProcessWatch.End {
    /// Whether the process itself can have said why: not when it was ended from outside, or ended well.
    var hasReason: Bool {
        switch self {
        case .status(.exited(0)), .status(.signalled(SIGKILL)), .status(.signalled(SIGTERM)), .notStarted: false
        case .status: true
        }
    }
}

extension ChildProcess.ExitStatus {
    /// As an operator knows it: `exit code 1`, `signal 9 (SIGKILL)`.
    var words: String {
        guard case .signalled(let number) = self else { return description }
        let names: [Int32: String] = [
            SIGHUP: "SIGHUP", SIGINT: "SIGINT", SIGQUIT: "SIGQUIT", SIGILL: "SIGILL, a trap of the program",
            SIGTRAP: "SIGTRAP, a trap of the program", SIGABRT: "SIGABRT", SIGBUS: "SIGBUS", SIGFPE: "SIGFPE",
            SIGKILL: "SIGKILL", SIGSEGV: "SIGSEGV", SIGPIPE: "SIGPIPE", SIGTERM: "SIGTERM",
        ]
        return names[number].map { "\(description) (\($0))" } ?? description
    }
}

extension Duration {
    /// Short, for people: `0.5 s`, `45 s`, `2 m 3 s`, `5 h 12 m`.
    var short: String {
        let seconds = Int64(inSeconds)
        switch seconds {
        case ..<10 where wholeMilliseconds % 1_000 != 0: return "\(inSeconds.formatted(decimals: 1)) s"
        case ..<120: return "\(seconds) s"
        case ..<7_200: return seconds % 60 == 0 ? "\(seconds / 60) m" : "\(seconds / 60) m \(seconds % 60) s"
        default: return "\(seconds / 3_600) h \(seconds % 3_600 / 60) m"
        }
    }
}
