import Runtime

/// Every metric of this module.
struct RedisMetrics: Sendable {
    /// Of one connection.
    struct Link: Sendable {
        let connected: Gauge
        let connects: Counter
        let losses: Counter

        init(_ registry: MetricsRegistry, role: RedisLink.Role) {
            let labels = ["connection": role.rawValue]
            connected = registry.gauge("redis_connected", "whether the connection is up", labels: labels)
            connects = registry.counter("redis_connects_total", "successful connects", labels: labels)
            losses = registry.counter("redis_losses_total", "failed attempts and lost connections", labels: labels)
        }
    }

    let commands: Link
    let subscriptions: Link
    let dropped: Counter

    init(_ registry: MetricsRegistry) {
        commands = Link(registry, role: .commands)
        subscriptions = Link(registry, role: .subscriptions)
        dropped = registry.counter(
            "redis_messages_dropped_total", "messages received but dropped by a full or interrupted queue")
    }
}
