import Logging
import NIOConcurrencyHelpers
import Resilience

/// One real question to a dependency, with a time-out (DESIGN rule 11).
public struct HealthProbe: Sendable {
    public let name: String
    public internal(set) var timeout: Duration
    /// Whether nothing can be done without it, not even less.
    public let isVital: Bool
    /// How soon it is asked again while it fails, for a question that costs nobody anything; nil for the interval.
    public let retryInterval: Duration?
    private let ask: @Sendable () async throws -> Void

    /// - `ask`: returns when healthy, throws when not; too late is not healthy.
    public init(
        _ name: String, timeout: Duration, isVital: Bool = false, retryInterval: Duration? = nil,
        ask: @escaping @Sendable () async throws -> Void
    ) {
        precondition(timeout > .zero, "a probe's time-out must be positive, got \(timeout)")
        self.retryInterval = retryInterval
        self.name = name
        self.timeout = timeout
        self.isVital = isVital
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

/// What a board's checks come to.
public enum HealthStanding: Hashable, Sendable, CaseIterable {
    /// Some check was never measured.
    case unmeasured
    case well
    /// Some check fails.
    case failing
    /// A vital check has failed for `HealthBoard.patience`.
    case broken
}

/// Measures every probe at a fixed interval, each by itself, and gives the latest results.
///
/// A result that was not renewed in time is not healthy: a board that stopped measuring must not show old good news.
/// A change shows within one interval and the probe's time-out, which is cut to the interval (CHECKLIST N10); the end
/// of a failure sooner, where the question is a cheap one.
/// While it is switched off nothing is asked and nothing is claimed: there are no checks, and none of them fails.
public final class HealthBoard: Sendable {
    private struct State: Sendable {
        var isOn = true
        var results: [String: HealthMeasurement] = [:]
        /// Since when those that fail have failed without a break.
        var failingSince: [String: MachineInstant] = [:]
    }

    /// How long a vital check fails before all is broken: as long as a service may be silent (`SERVICE_TIMEOUT_SECS`).
    public static let patience = Duration.seconds(10)

    private let probes: [HealthProbe]
    private let interval: Duration
    private let clock: MachineClock
    private let log: Logger
    private let metrics: MetricsRegistry
    private let state = NIOLockedValueBox(State())
    /// One element for any number of changes that nobody has looked at; for one reader.
    public let changes: AsyncStream<Void>
    private let changed: AsyncStream<Void>.Continuation

    public init(
        _ probes: [HealthProbe], isOn: Bool = true, every interval: Duration, clock: MachineClock, log: Logger,
        metrics: MetricsRegistry
    ) {
        precondition(interval > .zero, "a health interval must be positive, got \(interval)")
        self.probes = probes.map { probe in
            var bounded = probe
            bounded.timeout = min(probe.timeout, interval)
            return bounded
        }
        self.interval = interval
        (changes, changed) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        self.clock = clock
        self.log = log
        self.metrics = metrics
        state.withLockedValue { $0.isOn = isOn }
        enabled.set(isOn)
    }

    private var enabled: Gauge { metrics.gauge("health_checks_enabled", "1 while health is measured.") }

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
        let state = state.withLockedValue { $0 }
        guard state.isOn else { return [:] }
        return Dictionary(
            uniqueKeysWithValues: probes.map { probe in
                let latest = state.results[probe.name]
                return (probe.name, latest.map { $0.isHealthy && $0.measuredAt >= oldest } ?? false)
            })
    }

    /// The latest measurements as they are; empty while switched off.
    public var latest: [String: HealthMeasurement] { state.withLockedValue { $0.results } }

    public var isHealthy: Bool { checks.values.allSatisfy { $0 } }

    /// What the checks come to; well while switched off, for then none of them fails.
    public var standing: HealthStanding {
        let now = clock.now
        let state = state.withLockedValue { $0 }
        guard state.isOn else { return .well }
        guard probes.allSatisfy({ state.results[$0.name] != nil }) else { return .unmeasured }
        let isBroken = probes.contains { probe in
            probe.isVital && state.failingSince[probe.name].map { now.since($0) >= Self.patience } ?? false
        }
        return isBroken ? .broken : isHealthy ? .well : .failing
    }

    public var isOn: Bool { state.withLockedValue { $0.isOn } }

    /// Switches the measuring off, or on again; returns once everything has been measured anew.
    public func setOn(_ on: Bool) async {
        let hasChanged = state.withLockedValue { state in
            guard state.isOn != on else { return false }
            state = State(isOn: on)
            return true
        }
        guard hasChanged else { return }
        enabled.set(on)
        log.log(level: on ? .info : .warning, "health checks switched", metadata: [Key.state: on ? "on" : "off"])
        guard on else { return }
        await withTaskGroup(of: Void.self) { group in
            for probe in probes { group.addTask { await self.measure(probe) } }
        }
    }

    /// Measures one check now, besides its interval; nil for an unknown one, or while switched off.
    public func measure(_ name: String) async -> HealthMeasurement? {
        guard isOn, let probe = probes.first(where: { $0.name == name }) else { return nil }
        await measure(probe)
        return latest[name]
    }

    private func watch(_ probe: HealthProbe) async throws {
        var due = clock.now
        while true {
            if isOn { await measure(probe) }
            try Task.checkCancellation()
            if let pause = probe.retryInterval, isFailing(probe) {
                due = clock.now.advanced(by: min(pause, interval))
            } else {
                due = max(clock.now, due.advanced(by: interval))
            }
            try await clock.sleep(until: due)
        }
    }

    private func isFailing(_ probe: HealthProbe) -> Bool {
        state.withLockedValue { $0.failingSince[probe.name] != nil }
    }

    private func measure(_ probe: HealthProbe) async {
        let measured = await probe.measure(clock: clock)
        if Task.isCancelled { return }
        let known = state.withLockedValue { state -> (isNew: Bool, before: HealthMeasurement?) in
            // Switched off meanwhile.
            guard state.isOn else { return (false, nil) }
            let since = state.failingSince[probe.name] ?? measured.measuredAt
            state.failingSince[probe.name] = measured.isHealthy ? nil : since
            return (true, state.results.updateValue(measured, forKey: probe.name))
        }
        guard known.isNew else { return }
        metrics.gauge("health_check", "1 when the probe succeeded.", labels: ["check": probe.name])
            .set(measured.isHealthy)
        guard known.before?.isHealthy != measured.isHealthy else { return }
        changed.yield()
        log.log(
            level: measured.isHealthy ? .info : .warning, "health check changed",
            metadata: [
                Key.check: "\(probe.name)", Key.state: measured.isHealthy ? "healthy" : "unhealthy",
                Key.reason: "\(measured.reason ?? "")",
            ])
    }
}
