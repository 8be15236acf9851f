import NIOConcurrencyHelpers
import Resilience

/// How one part of the system is, as far as its watcher can know.
public enum CheckState: String, Codable, Hashable, Sendable, CaseIterable {
    case healthy
    case unhealthy
    /// Nobody can tell: not looked at yet, or whoever looks is in no position to judge.
    case unknown
}

/// One look at one part of the system, with a time-out.
public struct SystemCheck: Sendable {
    public struct Finding: Hashable, Sendable {
        public let state: CheckState
        /// For people: how many there are, or why it is not healthy.
        public let detail: String

        public init(_ state: CheckState, _ detail: String = "") {
            self.state = state
            self.detail = detail
        }
    }

    public let name: String
    let timeout: Duration
    let look: @Sendable () async throws -> Finding

    /// - Parameters:
    ///   - name: as it is shown.
    ///   - timeout: no answer within it is unhealthy.
    ///   - look: finds out; what it throws is unhealthy.
    public init(_ name: String, timeout: Duration, look: @escaping @Sendable () async throws -> Finding) {
        precondition(timeout > .zero, "a check's time-out must be positive, got \(timeout)")
        self.name = name
        self.timeout = timeout
        self.look = look
    }
}

/// The last result of one check.
public struct CheckReport: Codable, Hashable, Sendable {
    public let name: String
    public let state: CheckState
    public let detail: String
    /// Wall time of the look, in microseconds since 1970.
    public let at: Int64
    /// Wall time since which it is in this state.
    public let since: Int64
    public let tookMs: Double
}

/// Looks at several parts of a system at once, and keeps what was found last.
///
/// Each check has its own time-out and its result counts the moment it is there, so one that hangs delays no other.
public final class SystemChecks: Sendable {
    private struct Instruments: Sendable {
        let state: Gauge
        let took: Histogram
        let timeouts: Counter
    }

    private let checks: [SystemCheck]
    private let clock: MachineClock
    private let wall: WallClock
    private let instruments: [String: Instruments]
    private let cycles: Histogram
    private let latest = NIOLockedValueBox<[String: CheckReport]>([:])

    /// - Parameters:
    ///   - prefix: of the metrics, for example `system_monitor`.
    ///   - checks: with names that are all different.
    ///   - clock: of the process.
    ///   - wall: for what people read.
    ///   - metrics: of the process.
    public init(
        _ prefix: String, _ checks: [SystemCheck], clock: MachineClock, wall: WallClock, metrics: MetricsRegistry
    ) {
        self.checks = checks
        self.clock = clock
        self.wall = wall
        cycles = metrics.histogram("\(prefix)_cycle_seconds", "One look at everything, in parallel.")
        instruments = Dictionary(
            checks.map { check in
                let labels = ["check": check.name]
                return (
                    check.name,
                    Instruments(
                        state: metrics.gauge(
                            "\(prefix)_state", "1 healthy, 0 unhealthy, -1 not known.", labels: labels),
                        took: metrics.histogram("\(prefix)_check_seconds", "One look at one part.", labels: labels),
                        timeouts: metrics.counter(
                            "\(prefix)_timeouts_total", "Looks without an answer in time.", labels: labels))
                )
            }, uniquingKeysWith: { first, _ in first })
    }

    /// Looks at everything at once.
    ///
    /// - Returns: how long it took, the longest time-out at most.
    @discardableResult
    public func cycle() async -> Duration {
        let began = clock.now
        await withTaskGroup(of: Void.self) { group in
            for check in checks { group.addTask { await self.look(at: check) } }
        }
        let took = began.duration(to: clock.now)
        cycles.observe(took)
        return took
    }

    /// What was found last, in the order of the checks; those never looked at are unknown.
    public var reports: [CheckReport] {
        let latest = latest.withLockedValue { $0 }
        return checks.map { check in
            latest[check.name]
                ?? CheckReport(name: check.name, state: .unknown, detail: "not looked at", at: 0, since: 0, tookMs: 0)
        }
    }

    /// Forgets everything that was found.
    public func clear() {
        latest.withLockedValue { $0 = [:] }
        for instrument in instruments.values { instrument.state.set(-1) }
    }

    private func look(at check: SystemCheck) async {
        let began = clock.now
        var finding: SystemCheck.Finding
        do {
            finding = try await withDeadline(check.timeout, clock: clock, operation: check.look)
        } catch {
            if Task.isCancelled { return }
            if error is DeadlineExceeded { instruments[check.name]?.timeouts.increment() }
            finding = SystemCheck.Finding(.unhealthy, "\(error)")
        }
        let took = began.duration(to: clock.now)
        let at = wall.microseconds
        latest.withLockedValue { latest in
            let before = latest[check.name]
            latest[check.name] = CheckReport(
                name: check.name, state: finding.state, detail: finding.detail, at: at,
                since: before?.state == finding.state ? before?.since ?? at : at, tookMs: took.inSeconds * 1_000)
        }
        instruments[check.name]?.took.observe(took)
        instruments[check.name]?.state.set(finding.state.gauge)
    }
}

extension CheckState {
    fileprivate var gauge: Int {
        switch self {
        case .healthy: 1
        case .unhealthy: 0
        case .unknown: -1
        }
    }
}
