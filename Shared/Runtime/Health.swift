import Logging
import NIOConcurrencyHelpers
import Resilience

/// One real question to a dependency, with a time-out (DESIGN rule 11).
public struct HealthProbe: Sendable {
    public let name: String
    public internal(set) var timeout: Duration
    private let ask: @Sendable () async throws -> Void

    /// - `ask`: returns when healthy, throws when not; too late is not healthy.
    public init(_ name: String, timeout: Duration, ask: @escaping @Sendable () async throws -> Void) {
        precondition(timeout > .zero, "a probe's time-out must be positive, got \(timeout)")
        self.name = name
        self.timeout = timeout
        self.ask = ask
    }

    /// Measures once; never takes longer than the time-out.
    public func measure(clock: MachineClock) async -> HealthMeasurement {
        do {
            try await withDeadline(timeout, clock: clock, operation: ask)
            return HealthMeasurement(isHealthy: true, measuredAt: clock.now, reason: nil)
        } catch {
            return HealthMeasurement(isHealthy: false, measuredAt: clock.now, reason: "\(error)")
        }
    }
}

public struct HealthMeasurement: Hashable, Sendable {
    public let isHealthy: Bool
    public let measuredAt: MachineInstant
    /// Why it is not healthy.
    public let reason: String?
}

/// Measures every probe at a fixed interval, each by itself, and gives the latest results.
///
/// A result that was not renewed in time is not healthy: a board that stopped measuring must not show old good news.
/// A change shows within one interval and the probe's time-out, which is cut to the interval (CHECKLIST N10).
public final class HealthBoard: Sendable {
    private let probes: [HealthProbe]
    private let interval: Duration
    private let clock: MachineClock
    private let log: Logger
    private let metrics: MetricsRegistry
    private let results = NIOLockedValueBox<[String: HealthMeasurement]>([:])

    public init(
        _ probes: [HealthProbe], every interval: Duration, clock: MachineClock, log: Logger, metrics: MetricsRegistry
    ) {
        precondition(interval > .zero, "a health interval must be positive, got \(interval)")
        self.probes = probes.map { probe in
            var bounded = probe
            bounded.timeout = min(probe.timeout, interval)
            return bounded
        }
        self.interval = interval
        self.clock = clock
        self.log = log
        self.metrics = metrics
    }

    /// Measures until cancelled; a critical part of its process.
    public func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for probe in probes {
                group.addTask { try await self.watch(probe) }
            }
            try await group.waitForAll()
        }
    }

    /// Each check by name; one that was never measured or not renewed within two intervals is false.
    public var checks: [String: Bool] {
        let oldest = clock.now.advanced(by: .zero - interval * 2)
        let results = results.withLockedValue { $0 }
        return Dictionary(
            uniqueKeysWithValues: probes.map { probe in
                (probe.name, results[probe.name].map { $0.isHealthy && $0.measuredAt >= oldest } ?? false)
            })
    }

    /// The latest measurements as they are.
    public var latest: [String: HealthMeasurement] { results.withLockedValue { $0 } }

    public var isHealthy: Bool { checks.values.allSatisfy { $0 } }

    private func watch(_ probe: HealthProbe) async throws {
        let gauge = metrics.gauge("health_check", "1 when the probe succeeded.", labels: ["check": probe.name])
        var due = clock.now
        while true {
            let measured = await probe.measure(clock: clock)
            try Task.checkCancellation()
            let before = results.withLockedValue { $0.updateValue(measured, forKey: probe.name) }
            gauge.set(measured.isHealthy)
            if before?.isHealthy != measured.isHealthy {
                log.log(
                    level: measured.isHealthy ? .info : .warning, "health check changed",
                    metadata: [
                        Key.check: "\(probe.name)", Key.state: measured.isHealthy ? "healthy" : "unhealthy",
                        Key.reason: "\(measured.reason ?? "")",
                    ])
            }
            due = max(clock.now, due.advanced(by: interval))
            try await clock.sleep(until: due)
        }
    }
}
