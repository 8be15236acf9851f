import Resilience
import Runtime

/// How `linesman up` restarts what crashes or hangs (CHECKLIST R103, N24; the seed's names and numbers).
public struct SupervisorSettings: Sendable {
    public let budget: RestartBudget
    public let checkInterval: Duration
    /// 0 never says of a process that it hangs.
    public let missThreshold: Int

    public init(_ reader: SettingsReader) {
        let keys = ["RESTART_BACKOFF_SECS", "RESTART_WINDOW_SECS"]
        let text = reader.text(
            "RESTART_BACKOFF_SECS", default: "5,15,45",
            "Seconds before a crashed process is started again: the first time, the second, …; the last goes on.")
        let delays = Self.delays(text)
        reader.require(delays != nil, ["RESTART_BACKOFF_SECS"], "must be 1 to 10 numbers from 0 to 3600, with commas")
        let prompt = reader.seconds(
            "RESTART_FIRST_SECS", default: .seconds(1), in: .zero...(.seconds(3_600)),
            "The most that a process which had come up waits after its first crash in RESTART_WINDOW_SECS.")
        let attempts = reader.integer(
            "MAX_RESTART_ATTEMPTS", default: 3, in: 0...100,
            "Restarts of one process within RESTART_WINDOW_SECS before its cooldown and an alert.")
        let cooldown = reader.seconds(
            "RESTART_COOLDOWN_SECS", default: .seconds(600), in: .zero...(.seconds(86_400)),
            "How long a process in a crash loop is left alone before it is tried again.")
        let window = reader.seconds(
            "RESTART_WINDOW_SECS", default: .seconds(600), in: .seconds(1)...(.seconds(86_400)),
            "Crashes longer ago than this no longer count.")
        let stableAfter = reader.seconds(
            "RESTART_STABLE_SECS", default: .seconds(60), in: .zero...(.seconds(86_400)),
            "A process up for this long after a crash loop is well again, and the alert ends.")
        checkInterval = reader.seconds(
            "SUPERVISOR_CHECK_INTERVAL_SECS", default: .seconds(5), in: .milliseconds(100)...(.seconds(3_600)),
            "How often a sign of life of each process is looked for.")
        missThreshold = reader.integer(
            "HEARTBEAT_MISS_THRESHOLD", default: 3, in: 0...1_000,
            "Looks in a row without a sign of life after which a process hangs and is restarted; 0 never judges.")
        budget = RestartBudget(
            delays: delays ?? [.seconds(5)], attempts: attempts, cooldown: cooldown, window: window,
            stableAfter: stableAfter, prompt: prompt)
        let all = (0..<attempts).reduce(Duration.zero) { sum, attempt in
            sum + budget.delays[min(attempt, budget.delays.count - 1)]
        }
        reader.require(all < window, keys, "all delays together must be shorter than the window, or it is never spent")
    }

    private static func delays(_ text: String) -> [Duration]? {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        guard (1...10).contains(parts.count) else { return nil }
        var delays: [Duration] = []
        for part in parts {
            guard let seconds = Double(part.filter { $0 != " " }), (0...3_600).contains(seconds) else { return nil }
            delays.append(.milliseconds(Int64((seconds * 1_000).rounded())))
        }
        return delays
    }
}
