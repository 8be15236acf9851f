import Runtime

/// The pool's metrics.
struct PoolMetrics: Sendable {
    let opened: Counter
    let failedConnects: Counter
    let acquireTimeouts: Counter
    let retries: Counter
    private let idle: Gauge
    private let active: Gauge
    private let waiting: Gauge

    init(_ registry: MetricsRegistry) {
        opened = registry.counter("db_pool_connections_opened", "sessions opened")
        failedConnects = registry.counter("db_pool_connects_failed", "failed attempts to open a session")
        acquireTimeouts = registry.counter("db_pool_acquire_timeouts", "callers that got no connection in time")
        retries = registry.counter("db_transaction_retries", "transactions run again")
        idle = registry.gauge("db_pool_idle", "connections that nobody holds")
        active = registry.gauge("db_pool_active", "connections that somebody holds")
        waiting = registry.gauge("db_pool_waiting", "callers waiting for a connection")
    }

    func set(_ statistics: PoolStatistics) {
        idle.set(statistics.idle)
        active.set(statistics.active)
        waiting.set(statistics.waiting)
    }
}
