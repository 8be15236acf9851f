import Resilience
import Runtime

/// How many connections there are and what happened to them (CHECKLIST R33).
public struct PoolStatistics: Hashable, Sendable {
    /// Open connections: idle and active.
    public var size = 0
    public var idle = 0
    public var active = 0
    /// Callers waiting for a connection.
    public var waiting = 0
    public var opened = 0
    public var closed = 0
    public var failedConnects = 0
    public var acquireTimeouts = 0
    public var retries = 0
    /// Statements and transactions that succeeded after they had failed, and those that failed for good.
    public var recovered = 0
    public var givenUp = 0
    /// Connections that were held for longer than `DB_POOL_LEAK_REPORT_SECS`.
    public var leaksReported = 0
    public var breaker = CircuitBreaker.State.closed
    /// The reason of the last failed connect; nil once one succeeded.
    public var lastFailure: String?

    public init() {}
}

/// The pool's metrics.
struct PoolMetrics: Sendable {
    let opened: Counter
    let failedConnects: Counter
    let acquireTimeouts: Counter
    let retries: Counter
    let recovered: Counter
    let givenUp: Counter
    let probes: Counter
    let leaksReported: Counter
    let storageFaults: Counter
    private let size: Gauge
    private let idle: Gauge
    private let active: Gauge
    private let waiting: Gauge

    init(_ registry: MetricsRegistry) {
        opened = registry.counter("db_pool_connections_opened", "sessions opened")
        failedConnects = registry.counter("db_pool_connects_failed", "failed attempts to open a session")
        acquireTimeouts = registry.counter("db_pool_acquire_timeouts", "callers that got no connection in time")
        retries = registry.counter("db_transaction_retries", "statements and transactions run again")
        recovered = registry.counter(
            "db_transactions_recovered", "statements and transactions that succeeded when they were run again")
        givenUp = registry.counter(
            "db_transactions_given_up", "statements and transactions that failed each time they were run again")
        probes = registry.counter("db_pool_probes", "idle connections asked whether they still answer")
        leaksReported = registry.counter("db_pool_leaks_reported", "connections held for longer than the limit")
        storageFaults = registry.counter(
            "db_storage_faults", "statements that failed for want of room, or of a disk that works, at the server")
        size = registry.gauge("db_pool_size", "open connections")
        idle = registry.gauge("db_pool_idle", "connections that nobody holds")
        active = registry.gauge("db_pool_active", "connections that somebody holds")
        waiting = registry.gauge("db_pool_waiting", "callers waiting for a connection")
    }

    func set(idle: Int, active: Int, waiting: Int) {
        size.set(idle + active)
        self.idle.set(idle)
        self.active.set(active)
        self.waiting.set(waiting)
    }
}
