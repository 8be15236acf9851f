import Logging
import NIOConcurrencyHelpers
import Resilience

/// What the pool's own checks found (CHECKLIST R27, R28).
public struct PoolHealth: Hashable, Sendable {
    /// Nil before the first check has ended.
    public var isHealthy: Bool?
    public var consecutiveFailures = 0
    /// Whether the threshold of failures in a row is reached: worth an alert.
    public var isAlertDue = false
    public var lastError: String?
    public var lastSuccessAt: MachineInstant?
    public var lastDuration: Duration?
    /// When the first of the failures in a row began; nil while all is well.
    public var awaySince: MachineInstant?
    /// How long the database was away the last time, from the first failed check to the next good one.
    public var lastOutage: Duration?
    public var outages = 0
    public var checks = 0

    public init() {}
}

/// Where the checks write and anyone reads.
final class PoolHealthBox: Sendable {
    private let state = NIOLockedValueBox(PoolHealth())

    var current: PoolHealth { state.withLockedValue { $0 } }

    func succeeded(at now: MachineInstant, took duration: Duration, log: Logger) {
        let recovered = state.withLockedValue { health -> (failures: Int, outage: Duration)? in
            let failures = health.consecutiveFailures
            health.isHealthy = true
            health.consecutiveFailures = 0
            health.isAlertDue = false
            health.lastError = nil
            health.lastSuccessAt = now
            health.lastDuration = duration
            health.checks += 1
            guard let since = health.awaySince else { return nil }
            let outage = now.since(since)
            health.awaySince = nil
            health.lastOutage = outage
            health.outages += 1
            return (failures, outage)
        }
        guard let recovered else { return }
        log.info(
            "database recovered",
            metadata: [
                "failures": "\(recovered.failures)", "outage_ms": "\(recovered.outage.wholeMilliseconds)",
            ])
    }

    /// A check that began at `start` has failed.
    func failed(_ error: any Error, since start: MachineInstant, threshold: Int, log: Logger) {
        let (failures, isNew) = state.withLockedValue { health in
            let wasDue = health.isAlertDue
            health.isHealthy = false
            health.consecutiveFailures += 1
            health.isAlertDue = health.consecutiveFailures >= threshold
            health.lastError = "\(error)"
            health.awaySince = health.awaySince ?? start
            health.checks += 1
            return (health.consecutiveFailures, health.isAlertDue && !wasDue)
        }
        let attempt = failures <= threshold ? "\(failures) of \(threshold)" : "\(failures)"
        log.warning("database health check failed", metadata: ["attempt": "\(attempt)", "error": "\(error)"])
        if isNew { log.error("database unreachable", metadata: ["failures": "\(failures)", "error": "\(error)"]) }
    }
}
