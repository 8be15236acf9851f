import Logging
import NIOConcurrencyHelpers
import Resilience

/// Runs the parts of a process in three tiers and restarts what may be restarted (CHECKLIST S1 to S8).
///
/// A part starts when it is added. A clean return ends its supervision. An error ends the process for a critical part,
/// restarts the others after a backoff; an important part that restarts too often counts as critical, a best-effort
/// part goes on at the longest delay. The body is called anew for each run, so each run makes fresh resources.
public final class Supervisor: Sendable {
    public enum Tier: String, Sendable, CaseIterable {
        case critical
        case important
        case bestEffort = "best-effort"
    }

    /// Legal transitions: `running -> waiting | ended | failed | stopped`, `waiting -> running | stopped`.
    public enum State: String, Sendable, CaseIterable {
        case running
        /// Between a failure and the next run.
        case waiting
        /// Returned by itself.
        case ended
        /// Ended the process.
        case failed
        /// Cancelled by the drain.
        case stopped
    }

    public struct PartReport: Hashable, Sendable {
        public let name: String
        public let tier: Tier
        public internal(set) var state: State = .running
        public internal(set) var restarts = 0
        public internal(set) var lastError: String?
        /// How long the last finished run lasted.
        public internal(set) var lastRunTime: Duration?
    }

    /// Why supervision is over.
    public enum Outcome: Sendable {
        /// Every part returned, and no more will be added.
        case finished
        case failed(part: String, error: any Error)
    }

    private struct Contents {
        var reports: [PartReport] = []
        var tasks: [(name: String, task: Task<Void, Never>)] = []
        var hooks: [(name: String, run: @Sendable () async -> Void)] = []
        var isSealed = false
        var isDraining = false
    }

    private let clock: MachineClock
    private let random: RandomSource
    private let log: Logger
    private let metrics: MetricsRegistry
    private let backoff: Backoff
    private let intensity: RestartIntensity
    private let state = NIOLockedValueBox(Contents())
    private let decided = Promise<Outcome>()

    /// - `backoff`: between runs, per part: 1 s doubled up to 60 s, from the start again after 60 s stable.
    /// - `intensity`: of an important part: at most 10 restarts in 10 minutes.
    public init(
        clock: MachineClock, random: RandomSource, log: Logger, metrics: MetricsRegistry, backoff: Backoff = Backoff(),
        intensity: RestartIntensity = RestartIntensity()
    ) {
        self.clock = clock
        self.random = random
        self.log = log
        self.metrics = metrics
        self.backoff = backoff
        self.intensity = intensity
    }

    /// Starts a part; the name must be unique.
    ///
    /// Ignored once the drain has begun.
    public func add(_ name: String, _ tier: Tier, _ body: @escaping @Sendable () async throws -> Void) {
        state.withLockedValue { state in
            guard !state.isDraining else { return }
            precondition(!state.reports.contains { $0.name == name }, "two parts are named \(name)")
            state.reports.append(PartReport(name: name, tier: tier))
            // There before the first restart: what a counter is born with, nobody who asks for its increase sees.
            _ = restarts(of: name)
            // `drain` awaits it.
            state.tasks.append((name, Task { await self.supervise(name, tier, body) }))
        }
    }

    /// Adds a hook that the drain runs, the last added first, while the parts still run.
    public func onDrain(_ name: String, _ hook: @escaping @Sendable () async -> Void) {
        state.withLockedValue { $0.hooks.append((name, hook)) }
    }

    /// Every part in the order in which they were added.
    public var report: [PartReport] { state.withLockedValue { $0.reports } }

    /// Says that no more parts come, so that the outcome is `finished` when all have returned.
    public func seal() {
        state.withLockedValue { $0.isSealed = true }
        noteIfFinished()
    }

    /// Waits for the end of supervision.
    public func outcome() async -> Outcome { await decided.value() }

    // MARK: - Running

    private func supervise(_ name: String, _ tier: Tier, _ body: @Sendable () async throws -> Void) async {
        var backoff = backoff
        var intensity = intensity
        while !Task.isCancelled {
            let started = clock.now
            backoff.connected(at: started)
            update(name) { $0.state = .running }
            do {
                try await body()
                let state: State = Task.isCancelled ? .stopped : .ended
                update(name) { report in
                    report.state = state
                    report.lastRunTime = clock.now.since(started)
                }
                log.info("part ended", metadata: [Key.part: "\(name)", Key.tier: "\(tier.rawValue)"])
                return noteIfFinished()
            } catch {
                let now = clock.now
                if Task.isCancelled { break }
                backoff.disconnected(at: now)
                let isOverrun = !intensity.permits(at: now) && tier == .important
                if tier == .critical || isOverrun {
                    return fail(name, tier, error, after: now.since(started), isOverrun: isOverrun)
                }
                let delay = random.withGenerator { backoff.next(using: &$0) }
                noteRestart(name, tier, error, after: now.since(started), delay: delay)
                do { try await clock.sleep(for: delay) } catch { break }
            }
        }
        update(name) { $0.state = .stopped }
    }

    private func restarts(of name: String) -> Counter {
        metrics.counter("supervisor_restarts_total", "Restarts of supervised parts.", labels: ["part": name])
    }

    private func noteRestart(
        _ name: String, _ tier: Tier, _ error: any Error, after runTime: Duration, delay: Duration
    ) {
        let restarts = update(name) { report in
            report.state = .waiting
            report.restarts += 1
            report.lastError = "\(error)"
            report.lastRunTime = runTime
            return report.restarts
        }
        self.restarts(of: name).increment()
        metrics.histogram("supervisor_run_seconds", "How long runs that failed had lasted.", labels: ["part": name])
            .observe(runTime)
        log.warning(
            "part failed, will restart",
            metadata: [
                Key.part: "\(name)", Key.tier: "\(tier.rawValue)", Key.reason: "\(error)",
                Key.restarts: "\(restarts ?? 0)", Key.delay: "\(delay.wholeMilliseconds)",
                Key.runTime: "\(runTime.wholeMilliseconds)",
            ])
    }

    private func fail(_ name: String, _ tier: Tier, _ error: any Error, after runTime: Duration, isOverrun: Bool) {
        update(name) { report in
            report.state = .failed
            report.lastError = "\(error)"
            report.lastRunTime = runTime
        }
        log.error(
            isOverrun ? "part restarted too often" : "critical part failed",
            metadata: [
                Key.part: "\(name)", Key.tier: "\(tier.rawValue)", Key.reason: "\(error)",
                Key.runTime: "\(runTime.wholeMilliseconds)",
            ])
        decided.fulfil(.failed(part: name, error: error))
    }

    @discardableResult
    private func update<R>(_ name: String, _ change: (inout PartReport) -> R) -> R? {
        state.withLockedValue { state in
            state.reports.firstIndex { $0.name == name }.map { change(&state.reports[$0]) }
        }
    }

    private func noteIfFinished() {
        let isFinished = state.withLockedValue { state in
            state.isSealed && !state.isDraining && state.reports.allSatisfy { $0.state == .ended }
        }
        if isFinished { decided.fulfil(.finished) }
    }

    // MARK: - Draining

    /// Runs the hooks in reverse order, then cancels the parts in reverse order and waits for them; all within `limit`.
    ///
    /// A hook that hangs gives way so that the later ones still get a share of the time (CHECKLIST N34).
    /// - Returns: whether everything ended in time.
    public func drain(within limit: Duration) async -> Bool {
        let (hooks, parts) = state.withLockedValue { state in
            state.isDraining = true
            return (Array(state.hooks.reversed()), Array(state.tasks.reversed()))
        }
        let end = clock.now.advanced(by: limit)
        var isClean = true
        for (index, hook) in hooks.enumerated() {
            let reserve = min(.milliseconds(500), limit / 10) * (hooks.count - index)
            let share = max(.milliseconds(1), clock.now.duration(to: end) - reserve)
            do {
                try await withDeadline(share, clock: clock) { await hook.run() }
            } catch {
                isClean = false
                log.error("drain hook overran", metadata: [Key.hook: "\(hook.name)", Key.reason: "\(error)"])
            }
        }
        for part in parts {
            part.task.cancel()
            do {
                let left = max(.milliseconds(1), clock.now.duration(to: end))
                try await withDeadline(left, clock: clock) { await part.task.value }
            } catch {
                isClean = false
                log.error("part ignored its cancellation", metadata: [Key.part: "\(part.name)"])
            }
        }
        decided.fulfil(.finished)
        return isClean
    }
}
