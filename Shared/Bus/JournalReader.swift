import Redis
import Resilience
import Runtime
import Wire

/// Reads a journaled channel: what is published while the chain of ids holds, and the journal itself where it breaks.
///
/// Legal transitions: `inChain -> behind` (a broken chain, a gap of the connection or of the queue), `behind ->
/// inChain` (the journal was read to its end).
actor JournalReader<Message: WireMessage>: DeliverySource {
    /// The most entries of a page, and of the first one, whose size nobody knows.
    private static var pageLimit: Int { 256 }
    private static var firstPage: Int { 32 }
    /// The most bytes that a page is meant to have.
    private static var pageBytes: Int { 4 << 20 }

    private let channel: String
    private let redis: RedisSubscription
    private let client: RedisClient
    private let watch: JournalWatch
    private let clock: MachineClock
    private let decoder: EnvelopeDecoder<Message>
    private let metrics: BusMetrics
    private let listener: UInt64

    private var identity: JournalIdentity
    /// The last entry delivered or passed over.
    private var cursor: JournalID
    private var isBehind: Bool
    /// Whether the next break of the chain was already reported, or means nothing (before the first entry).
    private var forgivesBreak: Bool
    /// A gap to hand out before anything else.
    private var pendingGap: Gap?
    private var tracker = SequenceTracker()
    private var pageSize = JournalReader.firstPage

    init(
        channel: String, start: JournalStart, tail: JournalID, identity: JournalIdentity, redis: RedisSubscription,
        client: RedisClient, watch: JournalWatch, clock: MachineClock, decoder: EnvelopeDecoder<Message>,
        metrics: BusMetrics
    ) {
        self.channel = channel
        self.redis = redis
        self.client = client
        self.watch = watch
        self.clock = clock
        self.decoder = decoder
        self.metrics = metrics
        self.identity = identity
        switch start {
        case .now: (cursor, isBehind, forgivesBreak) = (tail, false, false)
        case .beginning: (cursor, isBehind, forgivesBreak) = (.zero, true, true)
        case .position(let position):
            let isSame = position.identity == identity
            let keepsIDs = position.identity.dataID == identity.dataID
            cursor = keepsIDs ? JournalID(position.id) ?? .zero : .zero
            isBehind = true
            if !isSame {
                cursor = min(cursor, tail)
                pendingGap = Gap(.dataLost)
            }
            forgivesBreak = isSame ? false : cursor != tail
            tracker = SequenceTracker(position.seen)
        }
        listener = watch.onChange { [weak redis] _ in redis?.interject(RedisGap(.dataLost)) }
        metrics.opened(1)
        // A change between the question that gave `identity` and the listener is told to nobody else.
        if watch.current != identity { redis.interject(RedisGap(.dataLost)) }
    }

    deinit {
        watch.removeListener(listener)
        metrics.opened(-1)
    }

    nonisolated func cancel() { redis.cancel() }

    /// Where this subscription begins.
    var start: JournalPosition { position }

    private var position: JournalPosition { JournalPosition(identity: identity, id: cursor.description) }

    func nextBatch() async -> [Item<Message>]? {
        while true {
            var items: [Item<Message>] = []
            if let gap = pendingGap {
                pendingGap = nil
                append(gap, to: &items)
            } else if isBehind {
                guard await readPage(into: &items) else { return nil }
            } else {
                guard let delivery = await redis.next() else { return nil }
                switch delivery {
                case .messages(let messages): receive(messages, into: &items)
                case .gap(let gap):
                    isBehind = true
                    if gap.reason != .overflow, await dataBeganAnew() { append(Gap(.dataLost), to: &items) }
                }
            }
            if !items.isEmpty { return items }
        }
    }

    private func receive(_ messages: RedisMessages, into items: inout [Item<Message>]) {
        for message in messages {
            guard let frame = JournalFrame(message.payload) else {
                decoder.deadLetters.add(channel: channel, reason: "not a journal frame", payload: message.payload)
                continue
            }
            if frame.id <= cursor { continue }
            guard frame.previous == cursor else {
                // All that follows is in the journal as well: it is stored before it is published.
                isBehind = true
                return
            }
            forgivesBreak = false
            advance(to: frame.id, frame.payload, into: &items)
        }
    }

    /// Reads on from the cursor, once.
    ///
    /// - Returns: false when cancelled.
    private func readPage(into items: inout [Item<Message>]) async -> Bool {
        guard let (page, isLast) = await page() else { return false }
        for entry in page {
            guard let id = JournalID(entry.id) else { continue }
            if entry["p"].flatMap({ JournalID($0) }) != cursor, !forgivesBreak {
                if await dataBeganAnew() {
                    append(Gap(.dataLost), to: &items)
                    return true
                }
                append(Gap(.trimmed), to: &items)
            }
            forgivesBreak = false
            metrics.replayed.increment()
            advance(to: id, (entry["m"] ?? [])[...], into: &items)
        }
        if isLast {
            isBehind = false
            if forgivesBreak { return await settle() }
        }
        return true
    }

    /// The next entries, and whether they are the last ones for now; nil when cancelled.
    ///
    /// Pages are as large as the entries allow: a reply beyond `REDIS_MAX_REPLY_BYTES`, or one that takes too long,
    /// would cost the connection each time it is asked for.
    private func page() async -> (entries: [RedisStreamEntry], isLast: Bool)? {
        let stream = JournalScript.stream(channel)
        let from = "(\(cursor)"
        while !Task.isCancelled {
            let asked = pageSize
            let outcome = await persistently { [client] () async throws -> [RedisStreamEntry]? in
                do {
                    return try await client.range(of: stream, from: from, count: asked)
                } catch let error as RedisError where asked > 1 && Self.mayBeTooLarge(error) {
                    return nil
                }
            }
            guard let outcome else { return nil }
            guard let entries = outcome else {
                // The connection is lost as well, which costs less than asking for the same again.
                pageSize = max(1, asked / 4)
                continue
            }
            let bytes = entries.reduce(0) { $0 + $1.fields.reduce(0) { $0 + $1.count } }
            if !entries.isEmpty {
                let target = min(Self.pageBytes, client.settings.maximumReplyBytes / 4)
                pageSize = min(Self.pageLimit, max(1, target / max(1, bytes / entries.count)))
            }
            return (entries, entries.count < asked)
        }
        return nil
    }

    private static func mayBeTooLarge(_ error: RedisError) -> Bool {
        error.code == .protocolViolation || error.code == .commandTimedOut
    }

    /// Puts the cursor where the journal really ends: what it pointed at may be lost, and newer ids may be smaller.
    ///
    /// From then on every break of the chain is a gap of its own.
    /// - Returns: false when cancelled.
    private func settle() async -> Bool {
        guard let tail = await tail() else { return false }
        // Written meanwhile: read first.
        guard tail <= cursor else {
            isBehind = true
            return true
        }
        cursor = tail
        forgivesBreak = false
        return true
    }

    /// The newest entry, nil when cancelled.
    private func tail() async -> JournalID? {
        let stream = JournalScript.stream(channel)
        return await persistently { [client] in
            try await client.last(of: stream).flatMap { JournalID($0.id) } ?? .zero
        }
    }

    /// Asks which data the server holds, and starts over when it is not the data of the cursor: the one gap for that
    /// is the caller's to hand out.
    private func dataBeganAnew() async -> Bool {
        guard let found = await persistently({ [watch] in try await watch.check() }), found != identity else {
            return false
        }
        if found.dataID == identity.dataID {
            // What the cursor points at may be lost, and a clock that was set back gives smaller ids: all that is
            // stored behind the gap is behind the end of now.
            guard let tail = await tail() else { return false }
            cursor = min(cursor, tail)
            // At the end the chain must hold from here on.
            forgivesBreak = cursor != tail
        } else {
            // Ids of other data mean nothing; sequences tell what was delivered before.
            cursor = .zero
            forgivesBreak = true
        }
        identity = found
        isBehind = true
        return true
    }

    private func advance(to id: JournalID, _ payload: ArraySlice<UInt8>, into items: inout [Item<Message>]) {
        cursor = id
        guard case .message(let envelope)? = decoder.decode(payload, channel: channel) else { return }
        let verdict = tracker.observe(
            source: envelope.source, incarnation: envelope.incarnation.rawValue, sequence: envelope.sequence)
        // The chain of ids shows what is missing; a jump of the sequence says no more.
        if verdict == .duplicate { return metrics.duplicates.increment() }
        if verdict == .late { return metrics.late.increment() }
        items.append(Item(delivery: .message(envelope, channel: channel), position: position))
    }

    private func append(_ gap: Gap, to items: inout [Item<Message>]) {
        metrics.count(gap)
        items.append(Item(delivery: .gap(gap), position: position))
    }

    /// Repeats until it succeeds.
    ///
    /// - Returns: nil when cancelled.
    private func persistently<R: Sendable>(_ operation: @Sendable () async throws -> R) async -> R? {
        var backoff = Backoff(base: .milliseconds(20), cap: .milliseconds(500), jitter: 0)
        var generator = SeededGenerator(seed: 0)
        while !Task.isCancelled {
            do {
                return try await operation()
            } catch {
                // Thrown only by cancellation, which the loop sees.
                try? await clock.sleep(for: backoff.next(using: &generator))
            }
        }
        return nil
    }
}
