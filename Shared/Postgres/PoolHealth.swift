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
    public var checks = 0

    public init() {}
}

/// Where the checks write and anyone reads.
final class PoolHealthBox: Sendable {
    private let state = NIOLockedValueBox(PoolHealth())

    var current: PoolHealth { state.withLockedValue { $0 } }

    func succeeded(at now: MachineInstant, took duration: Duration, log: Logger) {
        let failures = state.withLockedValue { health in
            let failures = health.consecutiveFailures
            health.isHealthy = true
            health.consecutiveFailures = 0
            health.isAlertDue = false
            health.lastError = nil
            health.lastSuccessAt = now
            health.lastDuration = duration
            health.checks += 1
            return failures
        }
        if failures > 0 { log.info("database recovered", metadata: ["failures": "\(failures)"]) }
    }

    func failed(_ error: any Error, threshold: Int, log: Logger) {
        let failures = state.withLockedValue { health in
            health.isHealthy = false
            health.consecutiveFailures += 1
            health.isAlertDue = health.consecutiveFailures >= threshold
            health.lastError = "\(error)"
            health.checks += 1
            return health.consecutiveFailures
        }
        log.warning(
            "database health check failed",
            metadata: ["attempt": "\(failures)/\(threshold)", "error": "\(error)"])
    }
}
