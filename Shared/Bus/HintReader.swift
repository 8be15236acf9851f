import Redis
import Resilience
import Wire

/// Reads hint channels: finds by sequence what was missed, and drops what comes twice.
actor HintReader<Message: WireMessage>: DeliverySource {
    private let redis: RedisSubscription
    private let decoder: EnvelopeDecoder<Message>
    private let metrics: BusMetrics
    private var tracker: SequenceTracker

    init(redis: RedisSubscription, decoder: EnvelopeDecoder<Message>, metrics: BusMetrics, sourcesKept: Int) {
        self.redis = redis
        self.decoder = decoder
        self.metrics = metrics
        tracker = SequenceTracker(sourcesKept: sourcesKept)
    }

    nonisolated func cancel() { redis.cancel() }

    func nextBatch() async -> [Item<Message>]? {
        while let delivery = await redis.next() {
            var items: [Item<Message>] = []
            switch delivery {
            case .messages(let messages):
                for message in messages { receive(message, into: &items) }
            case .gap(let gap):
                // What was missed is said once: the sequences begin anew.
                tracker.forgetAll()
                append(Gap(gap.reason == .overflow ? .overflow : .reconnected, missed: gap.known), to: &items)
            }
            if !items.isEmpty { return items }
        }
        return nil
    }

    private func receive(_ message: RedisMessage, into items: inout [Item<Message>]) {
        guard let envelope = decoder.decode(message.payload, channel: message.channel) else { return }
        // A sequence counts per source, incarnation and channel.
        let source = message.pattern == nil ? envelope.source : "\(message.channel) \(envelope.source)"
        switch tracker.observe(
            source: source, incarnation: envelope.incarnation.rawValue, sequence: envelope.sequence)
        {
        case .next:
            break
        case .duplicate:
            metrics.duplicates.increment()
            return
        case .gap(let missing):
            append(Gap(.sequence, missed: missing.count), to: &items)
        }
        items.append(Item(delivery: .message(envelope, channel: message.channel), position: nil))
    }

    private func append(_ gap: Gap, to items: inout [Item<Message>]) {
        metrics.count(gap)
        items.append(Item(delivery: .gap(gap), position: nil))
    }
}

extension RedisGap {
    /// How many messages are known to be missing.
    var known: Int? { dropped > 0 ? dropped : nil }
}
