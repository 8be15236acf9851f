import Redis
import Resilience
import Runtime
import Wire

/// Reads hint channels: finds by sequence what was missed, and drops what comes twice or too late.
actor HintReader<Message: WireMessage>: DeliverySource {
    private let redis: RedisSubscription
    private let decoder: EnvelopeDecoder<Message>
    private let metrics: BusMetrics
    private let clock: MachineClock
    private let watch: JournalWatch
    private let listener: UInt64
    private var ledger: HintLedger

    /// `since` is from before the subscription was asked for; what is lost later is reported.
    init(
        redis: RedisSubscription, decoder: EnvelopeDecoder<Message>, watch: JournalWatch, metrics: BusMetrics,
        clock: MachineClock, since: MachineInstant, sourcesKept: Int
    ) {
        self.redis = redis
        self.decoder = decoder
        self.watch = watch
        self.metrics = metrics
        self.clock = clock
        ledger = HintLedger(sourcesKept: sourcesKept, listeningSince: since)
        metrics.opened(1)
        // A restart cuts the connection, which is a gap already.
        listener = watch.onChange { [weak redis] change in
            if change.isSameServer { redis?.interject(RedisGap(.dataLost)) }
        }
    }

    deinit {
        watch.removeListener(listener)
        metrics.opened(-1)
    }

    nonisolated func cancel() { redis.cancel() }

    func nextBatch() async -> [Item<Message>]? {
        while let delivery = await redis.next() {
            var items: [Item<Message>] = []
            switch delivery {
            case .messages(let messages):
                let forgotten = ledger.forgotten
                for message in messages { receive(message, into: &items) }
                metrics.sourcesForgotten.increment(by: ledger.forgotten - forgotten)
            case .gap(let gap):
                // What was missed is said once.
                ledger.coverAll(at: clock.now)
                append(Gap(Gap.Reason(gap.reason), missed: gap.known), to: &items)
            }
            if !items.isEmpty { return items }
        }
        return nil
    }

    private func receive(_ message: RedisMessage, into items: inout [Item<Message>]) {
        switch decoder.decode(message.payload, channel: message.channel) {
        case .message(let envelope):
            let verdict = ledger.message(
                source: source(envelope.source, message), incarnation: envelope.incarnation.rawValue,
                sequence: envelope.sequence)
            switch verdict {
            case .deliver: break
            case .duplicate: return metrics.duplicates.increment()
            case .late: return metrics.late.increment()
            case .gap(let missed): append(Gap(.sequence, missed: missed), to: &items)
            }
            items.append(Item(delivery: .message(envelope, channel: message.channel), position: nil))
        case .mark(let envelope):
            let missed = ledger.mark(
                source: source(envelope.source, message), incarnation: envelope.incarnation.rawValue,
                sequence: envelope.sequence, lost: envelope.body.lost, age: .microseconds(envelope.body.age),
                at: clock.now)
            if let missed { append(Gap(.sequence, missed: missed), to: &items) }
        case nil: break
        }
    }

    /// A sequence counts per source, incarnation and channel.
    private func source(_ name: String, _ message: RedisMessage) -> String {
        message.pattern == nil ? name : "\(message.channel) \(name)"
    }

    private func append(_ gap: Gap, to items: inout [Item<Message>]) {
        metrics.count(gap)
        items.append(Item(delivery: .gap(gap), position: nil))
    }
}

extension Gap.Reason {
    init(_ reason: RedisGap.Reason) {
        switch reason {
        case .overflow: self = .overflow
        case .reconnected: self = .reconnected
        case .dataLost: self = .dataLost
        }
    }
}

extension RedisGap {
    /// How many messages are known to be missing.
    var known: Int? { dropped > 0 ? dropped : nil }
}
