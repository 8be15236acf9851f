import Resilience
import Runtime

/// Every metric of this module but the events.
struct RedisMetrics: Sendable {
    /// Of one connection.
    struct Link: Sendable {
        let connected: Gauge
        let connects: Counter
        let reconnects: Counter
        let losses: Counter
        private let breaker: Gauge
        let openings: Counter

        init(_ registry: MetricsRegistry, role: RedisLinkRole) {
            let labels = ["connection": role.rawValue]
            connected = registry.gauge("redis_connected", "whether the connection is up", labels: labels)
            connects = registry.counter("redis_connects_total", "successful connects", labels: labels)
            reconnects = registry.counter(
                "redis_reconnects_total", "successful connects after the first", labels: labels)
            losses = registry.counter("redis_losses_total", "failed attempts and lost connections", labels: labels)
            breaker = registry.gauge("redis_breaker_state", "0 closed, 1 half-open, 2 open", labels: labels)
            openings = registry.counter("redis_breaker_openings_total", "times the breaker opened", labels: labels)
        }

        func set(_ state: CircuitBreaker.State) {
            switch state {
            case .closed: breaker.set(0)
            case .halfOpen: breaker.set(1)
            case .open: breaker.set(2)
            }
        }
    }

    let commands: Link
    let subscriptions: Link
    let dropped: Counter
    let tooLarge: Counter
    private let errorReplies: [RedisError.Code: Counter]

    init(_ registry: MetricsRegistry) {
        commands = Link(registry, role: .commands)
        subscriptions = Link(registry, role: .subscriptions)
        dropped = registry.counter(
            "redis_messages_dropped_total", "messages received but dropped by a full or interrupted queue")
        tooLarge = registry.counter(
            "redis_messages_too_large_total", "messages refused before they were sent, for their size")
        errorReplies = Dictionary(
            uniqueKeysWithValues: RedisError.Code.allCases.map { code in
                let labels = ["code": code.rawValue]
                return (code, registry.counter("redis_error_replies_total", "error replies", labels: labels))
            })
    }

    func countErrorReply(_ code: RedisError.Code) { errorReplies[code]?.increment() }
}
