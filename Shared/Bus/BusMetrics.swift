import NIOConcurrencyHelpers
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
    let late: Counter
    let marks: Counter
    let sourcesForgotten: Counter
    let outboxRefused: Counter
    let tooLarge: Counter
    let keptDropped: Counter
    let abandoned: Counter
    let deadLetters: Counter
    let deadLettersUnwritten: Counter
    let positionFailures: Counter
    let canarySent: Counter
    let canaryMissed: Counter
    let canaryForeign: Counter
    let recycled: Counter
    let canaryHealthy: Gauge
    let queued: Gauge
    private let subscriptions: Gauge
    private let open = NIOLockedValueBox(0)
    private let gaps: [Gap.Reason: Counter]

    init(_ registry: MetricsRegistry) {
        hintsSent = registry.counter("bus_hints_sent_total", "hints handed to the server")
        hintsDropped = registry.counter("bus_hints_dropped_total", "hints dropped without a connection")
        stored = registry.counter("bus_journaled_total", "journaled messages stored by the server")
        retries = registry.counter("bus_publish_retries_total", "attempts to store that were repeated")
        republished = registry.counter("bus_republished_total", "journaled messages published again after a data loss")
        replayed = registry.counter("bus_replayed_total", "journaled messages read back from the journal")
        duplicates = registry.counter("bus_duplicates_total", "messages dropped because they had been delivered")
        late = registry.counter("bus_late_total", "messages dropped because a newer one had been delivered")
        marks = registry.counter("bus_sequence_marks_total", "marks sent that say which hints were lost")
        sourcesForgotten = registry.counter(
            "bus_sources_forgotten_total", "publishers forgotten by hint subscriptions because there were too many")
        outboxRefused = registry.counter("bus_outbox_refused_total", "journaled messages refused by a full outbox")
        tooLarge = registry.counter("bus_too_large_total", "messages refused because of their size")
        keptDropped = registry.counter(
            "bus_kept_dropped_total", "stored messages that could not be kept for publishing again")
        abandoned = registry.counter("bus_outbox_abandoned_total", "journaled messages lost with their process")
        deadLetters = registry.counter("bus_dead_letters_total", "messages that could not be decoded")
        deadLettersUnwritten = registry.counter(
            "bus_dead_letters_unwritten_total", "dead letters not written to the server, by rate or without one")
        positionFailures = registry.counter("bus_position_failures_total", "positions that could not be saved")
        canarySent = registry.counter("bus_canary_sent_total", "canaries sent")
        canaryMissed = registry.counter("bus_canary_missed_total", "canaries that did not come back")
        canaryForeign = registry.counter("bus_canary_foreign_total", "canaries of another process of the same name")
        recycled = registry.counter(
            "bus_subscriptions_recycled_total", "subscription connections replaced because a canary was missing")
        canaryHealthy = registry.gauge("bus_canary_healthy", "1 when the last canary came back")
        queued = registry.gauge("bus_outbox_messages", "journaled messages that wait for the server")
        subscriptions = registry.gauge("bus_subscriptions", "subscriptions, each of one consumer to one stream")
        gaps = Dictionary(
            uniqueKeysWithValues: Gap.Reason.allCases.map { reason in
                let labels = ["reason": reason.rawValue]
                return (reason, registry.counter("bus_gaps_total", "gaps handed to subscribers", labels: labels))
            })
    }

    /// A subscription began, or ended.
    func opened(_ difference: Int) {
        open.withLockedValue { open in
            open += difference
            subscriptions.set(open)
        }
    }

    func count(_ gap: Gap) { gaps[gap.reason]?.increment() }

    var gapTotal: Int { gaps.values.reduce(0) { $0 + $1.value } }
}
