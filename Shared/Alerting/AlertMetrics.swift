import Runtime

/// Every metric of alerting.
struct AlertMetrics: Sendable {
    private let registry: MetricsRegistry
    let written: Counter
    let fileFailures: Counter
    let unreadable: Counter
    let undelivered: Gauge
    let watcherCalls: Counter
    let watcherFailures: Counter
    private let fired: Counter
    private let suppressed: Counter
    private let repeated: Counter
    private let dropped: Counter
    private let forgotten: Counter
    let unwritten: Counter
    let firing: Gauge

    init(_ registry: MetricsRegistry) {
        self.registry = registry
        written = registry.counter("alerts_written_total", "Alerts written to the alert file and synced.")
        fileFailures = registry.counter("alert_file_failures_total", "Failed reads and writes of the alert file.")
        unreadable = registry.counter("alert_file_unreadable_total", "Lines of the alert file that are no alerts.")
        undelivered = registry.gauge(
            "alert_files_removed_undelivered", "Alert files removed before every sink had got what they hold.")
        watcherCalls = registry.counter("alert_deadman_calls_total", "Calls that the outside watcher answered.")
        watcherFailures = registry.counter("alert_deadman_failures_total", "Calls that it did not answer.")
        fired = registry.counter("alerts_fired_total", "Alerts raised, repeats included.")
        suppressed = registry.counter("alerts_suppressed_total", "Alerts held back by the rate limit.")
        repeated = registry.counter("alerts_repeated_total", "Alerts that arrived twice under one id.")
        dropped = registry.counter("alerts_dropped_total", "Alerts that a sink did not get; the file has them.")
        forgotten = registry.counter("alert_causes_forgotten_total", "Causes forgotten for want of room.")
        unwritten = registry.counter("alerts_unwritten_total", "Alerts that the file never got.")
        firing = registry.gauge("alerts_firing", "Causes that fire now.")
    }

    func delivered(to sink: String) -> Counter {
        registry.counter("alerts_delivered_total", "Alerts that a sink has taken.", labels: ["sink": sink])
    }

    func deliverySeconds(at sink: String) -> Histogram {
        registry.histogram(
            "alert_delivery_seconds", "From when an alert was raised until a sink took it.", labels: ["sink": sink])
    }

    func failed(at sink: String, _ code: AlertError.Code) -> Counter {
        registry.counter(
            "alert_attempts_failed_total", "Messages that a sink did not take.",
            labels: ["sink": sink, "code": code.rawValue])
    }

    /// Adds what the engine has counted since the last time.
    func export(_ engine: AlertEngine, since last: inout AlertEngine.Statistics) {
        let now = engine.statistics
        fired.increment(by: now.fired - last.fired)
        suppressed.increment(by: now.held - last.held)
        repeated.increment(by: now.repeatedIDs - last.repeatedIDs)
        dropped.increment(by: now.dropped - last.dropped)
        forgotten.increment(by: now.forgotten - last.forgotten)
        unwritten.increment(by: now.unwritten - last.unwritten)
        last = now
    }
}
