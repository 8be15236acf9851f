import Logging
import Resilience
import Runtime

/// Where the events of one client come together: each is logged, counted, and handed to whoever listens.
final class RedisEvents: Sendable {
    /// Events that a slow reader may leave unread before it loses the oldest.
    static let limit = 256

    private let log: Logger
    private let counters: [RedisEvent.Kind: Counter]
    private let dropped: Counter
    private let broadcast = Broadcast<RedisEvent>(limit: RedisEvents.limit)

    init(log: Logger, metrics: MetricsRegistry) {
        self.log = log
        counters = Dictionary(
            uniqueKeysWithValues: RedisEvent.Kind.allCases.map { kind in
                let labels = ["event": kind.rawValue]
                return (kind, metrics.counter("redis_events_total", "what happened to the connections", labels: labels))
            })
        dropped = metrics.counter("redis_events_dropped_total", "events that a slow reader lost")
    }

    func stream() -> AsyncStream<RedisEvent> { broadcast.stream() }

    /// `error` is the reason in words, for the log alone.
    func emit(_ event: RedisEvent, _ error: RedisError? = nil) {
        counters[event.kind]?.increment()
        dropped.increment(by: broadcast.send(event))
        let (level, message, metadata) = Self.line(event)
        var all = metadata
        if let error {
            all[Key.error] = "\(error.message)"
            if error.needsOperator, level < .error { return log.log(level: .error, "\(message)", metadata: all) }
        }
        log.log(level: level, "\(message)", metadata: all)
    }

    private static func line(_ event: RedisEvent) -> (Logger.Level, String, Logger.Metadata) {
        switch event {
        case .connected(let role, let server, let isReconnect):
            let kind = isReconnect ? "reconnect" : "first"
            let metadata: Logger.Metadata = [
                Key.connection: "\(role.rawValue)", Key.count: "\(server.connection)", Key.kind: "\(kind)",
            ]
            return (.info, "redis connected", metadata)
        case .waiting(let role, let code):
            return (.warning, "redis is not ready", of(role, code))
        case .lost(let role, let code, let delay):
            return (.warning, "redis connection lost", of(role, code, delay))
        case .attemptFailed(let role, let code, let delay):
            return (.warning, "redis attempt failed", of(role, code, delay))
        case .breaker(let role, let state):
            let level = state == .open ? Logger.Level.warning : .info
            let metadata: Logger.Metadata = [Key.connection: "\(role.rawValue)", Key.state: "\(state.rawValue)"]
            return (level, "redis circuit breaker", metadata)
        case .gapOpened(_, let count):
            return (.warning, "redis subscriptions interrupted", [Key.count: "\(count)"])
        case .gapClosed(let length):
            return (.info, "redis subscriptions live again", [Key.duration: "\(length.wholeMilliseconds)"])
        case .subscriptionRefused(let code):
            return (.error, "redis subscription refused", [Key.code: "\(code.rawValue)"])
        case .refused(let code):
            return (.warning, "redis refuses commands", [Key.code: "\(code.rawValue)"])
        case .leftoversRemoved(let count):
            return (.info, "redis connections of an earlier life closed", [Key.count: "\(count)"])
        case .outputBufferLimitTooLow(let limit, let minimum):
            let metadata: Logger.Metadata = [
                Key.limit: "\(limit)", Key.minimum: "\(minimum)",
                Key.setting: "client-output-buffer-limit pubsub",
            ]
            return (.warning, "redis cuts slow subscribers off too early", metadata)
        case .outputBufferOverrun(let count):
            return (.warning, "redis has cut off slow readers", [Key.count: "\(count)"])
        }
    }

    private static func of(
        _ role: RedisLinkRole, _ code: RedisError.Code, _ delay: Duration? = nil
    ) -> Logger.Metadata {
        var metadata: Logger.Metadata = [Key.connection: "\(role.rawValue)", Key.code: "\(code.rawValue)"]
        if let delay { metadata[Key.delay] = "\(delay.wholeMilliseconds)" }
        return metadata
    }
}

extension Key {
    static let limit = "limit"
    static let minimum = "minimum"
}
