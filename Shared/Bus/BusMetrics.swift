import Runtime

/// Every metric of this module.
struct BusMetrics: Sendable {
    let hintsSent: Counter
    let hintsDropped: Counter
    let stored: Counter
    let retries: Counter
    let republished: Counter
    let replayed: Counter
    let duplicates: Counter
    let deadLetters: Counter
    let queued: Gauge
    private let gaps: [Gap.Reason: Counter]

    init(_ registry: MetricsRegistry) {
        hintsSent = registry.counter("bus_hints_sent_total", "hints handed to the server")
        hintsDropped = registry.counter("bus_hints_dropped_total", "hints dropped without a connection")
        stored = registry.counter("bus_journaled_total", "journaled messages stored by the server")
        retries = registry.counter("bus_publish_retries_total", "attempts to store that were repeated")
        republished = registry.counter("bus_republished_total", "journaled messages published again after a data loss")
        replayed = registry.counter("bus_replayed_total", "journaled messages read back from the journal")
        duplicates = registry.counter("bus_duplicates_total", "messages dropped because they had been delivered")
        deadLetters = registry.counter("bus_dead_letters_total", "messages that could not be decoded")
        queued = registry.gauge("bus_outbox_messages", "journaled messages that wait for the server")
        gaps = Dictionary(
            uniqueKeysWithValues: Gap.Reason.allCases.map { reason in
                let labels = ["reason": reason.rawValue]
                return (reason, registry.counter("bus_gaps_total", "gaps handed to subscribers", labels: labels))
            })
    }

    func count(_ gap: Gap) { gaps[gap.reason]?.increment() }

    var gapTotal: Int { gaps.values.reduce(0) { $0 + $1.value } }
}
