import Domain
import Logging
import Redis
import Resilience
import Runtime
import Wire

/// Typed publish and subscribe: what `Wire` says, over `Redis`, with journal and gap repair (DESIGN section 4).
///
/// Hints may be missed, and subscribers are told. Journaled messages are kept: acknowledged ⊆ received ⊆ attempted,
/// in each publisher's order, none twice. One bus per process and identity; `client.run` and `run` must both be
/// running.
public final class Bus: Sendable {
    private let client: RedisClient
    private let encoder: EnvelopeEncoder
    private let settings: BusSettings
    private let clock: MachineClock
    private let metrics: BusMetrics
    private let watch: JournalWatch
    private let outbox: JournalOutbox
    private let hints: HintPublisher
    private let letters: DeadLetters
    private let positions: PositionKeeper
    private let canary: Canary

    /// `onDeadLetter` hears of each message that cannot be decoded, on the loop that read it: it must be short.
    public init(
        client: RedisClient, identity: BusIdentity, settings: BusSettings = BusSettings(), clock: MachineClock,
        wallClock: WallClock = .real, log: Logger, metrics: MetricsRegistry,
        onDeadLetter: @escaping @Sendable (DeadLetter) -> Void = { _ in }
    ) {
        self.client = client
        self.settings = settings
        self.clock = clock
        let metrics = BusMetrics(metrics)
        self.metrics = metrics
        encoder = EnvelopeEncoder(identity: identity, wallClock: wallClock)
        watch = JournalWatch(client: client, incarnation: identity.incarnation.rawValue)
        outbox = JournalOutbox(
            client: client, watch: watch, identity: identity, settings: settings, clock: clock, log: log,
            metrics: metrics)
        hints = HintPublisher(client: client, encoder: encoder, clock: clock, metrics: metrics)
        letters = DeadLetters(
            client: client, source: identity.source, settings: settings, clock: clock, wallClock: wallClock, log: log,
            metrics: metrics, heard: onDeadLetter)
        positions = PositionKeeper(clock: clock, log: log, metrics: metrics)
        canary = Canary(
            client: client, identity: identity, settings: settings, clock: clock, log: log, metrics: metrics)
    }

    /// Sends journaled messages, watches over the server's data and over itself, until the task is cancelled.
    public func run() async throws {
        let listener = watch.onChange { [outbox] _ in outbox.dataChanged() }
        defer { watch.removeListener(listener) }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await self.outbox.run() }
            tasks.addTask { try await self.canary.run() }
            tasks.addTask {
                for await _ in self.client.servers() {
                    self.hints.sayLosses()
                    self.canary.hurry()
                    await self.checkData()
                }
            }
            tasks.addTask {
                while true {
                    try await self.clock.sleep(for: .seconds(1))
                    self.hints.sayLosses()
                    await self.checkData()
                }
            }
            tasks.addTask {
                while true {
                    try await self.clock.sleep(for: self.settings.positionInterval)
                    await self.positions.saveAll()
                }
            }
            try await tasks.waitForAll()
        }
    }

    /// Before the end of the process: waits until every journaled message is stored and every position saved, at most
    /// for `limit`; `run` must still be running.
    ///
    /// What is left is counted (`bus_outbox_abandoned_total`) and logged.
    public func drain(within limit: Duration) async {
        async let saved: Void = positions.drain(within: limit)
        await outbox.drain(within: limit)
        await saved
    }

    /// Each time Redis is back and keeps journaled messages again; also at the first connect.
    public func revivals() -> AsyncStream<Void> {
        let (stream, revived) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        // Ends with the reader of the stream.
        let watching = Task {
            for await server in client.servers() {
                // Lanes that were stuck go on by themselves, each with its own next attempt.
                while client.server == server, !outbox.isFlowing {
                    guard (try? await clock.sleep(for: .milliseconds(20))) != nil else { return }
                }
                revived.yield()
            }
        }
        revived.onTermination = { _ in watching.cancel() }
        return stream
    }

    private func checkData() async {
        // The answer may be read long after it was given: what it proves is as old as the question.
        let asked = clock.now
        // A server that cannot be asked is asked again in a second; the client has logged why.
        guard let seen = try? await watch.check() else { return }
        outbox.prune(seen, at: asked)
    }

    /// Publishes on a channel; never waits longer than the attempts take.
    ///
    /// Throws `BusError` (`outboxFull`, `notEncodable`, `tooLarge`): nothing was or will be published then.
    @discardableResult
    public func publish<Message: WireMessage>(
        _ message: Message, on channel: Channel<Message>, trace: TraceID? = nil
    ) async throws -> Published {
        let draft = try draft(message, trace)
        guard let length = channel.kind.journalLength else { return await hints.publish(draft, on: channel.name) }
        return try await outbox.publish(draft, on: channel.name, journalLength: length)
    }

    /// Sends a hint from where the caller stands, and waits for nothing: whoever needs to know uses `publish`.
    ///
    /// Throws `BusError` (`notEncodable`, `tooLarge`): nothing was sent then.
    public func post<Message: WireMessage>(
        _ message: Message, on channel: Channel<Message>, trace: TraceID? = nil
    ) throws(BusError) {
        precondition(channel.kind.journalLength == nil, "what is journaled is waited for, channel \(channel)")
        hints.post(try draft(message, trace), on: channel.name)
    }

    private func draft<Message: WireMessage>(
        _ message: Message, _ trace: TraceID?
    ) throws(BusError) -> EnvelopeDraft {
        let draft = try encoder.draft(message, trace: trace)
        guard draft.size <= settings.messageByteLimit else {
            metrics.tooLarge.increment()
            throw BusError(.tooLarge, "\(Message.type) of \(draft.size) bytes: see BUS_MESSAGE_MAX_BYTES")
        }
        do throws(RedisError) {
            // What its subscribers could not bear cuts them off, whichever way it is published.
            try client.requireSendable(messageOf: draft.size)
        } catch {
            metrics.tooLarge.increment()
            throw BusError(.tooLarge, "\(Message.type): \(error.message)")
        }
        return draft
    }

    /// Subscribes to a channel, and waits until the subscription is live.
    ///
    /// `start` says where to begin on a journaled channel; a hint channel always begins now. Throws `RedisError` when
    /// it takes longer than `timeout`.
    public func subscribe<Message: WireMessage>(
        to channel: Channel<Message>, from start: JournalStart = .now, timeout: Duration = .seconds(10)
    ) async throws -> Subscription<Message> {
        let since = clock.now
        guard channel.kind.journalLength != nil else {
            let redis = try await client.subscribe(to: [channel.name], timeout: timeout)
            return Subscription(source: hintReader(redis, since: since, sourcesKept: 1024), start: nil)
        }
        let reader: JournalReader<Message> = try await journalReader(channel.name, from: start, timeout: timeout)
        return Subscription(source: reader, start: await reader.start)
    }

    /// Subscribes to a journaled channel and goes on where an earlier life of this consumer stopped.
    ///
    /// A delivery counts as handled when the consumer asks for the next one; how far it has come is saved at the
    /// interval of `BUS_POSITION_INTERVAL_MS` and by `drain`. So a consumer that is killed sees the last moments again
    /// (at least once), and misses nothing that the journal still holds; otherwise it is handed one gap. `first` is
    /// where the first life begins. Throws what the store throws, or `RedisError` as `subscribe` does.
    public func subscribe<Message: WireMessage>(
        to channel: Channel<Message>, resuming store: some PositionStore, first: JournalStart = .beginning,
        timeout: Duration = .seconds(10)
    ) async throws -> Subscription<Message> {
        precondition(channel.kind.journalLength != nil, "hints have no position to resume from, channel \(channel)")
        let stored = try await store.load()
        let reader: JournalReader<Message> = try await journalReader(
            channel.name, from: stored.map { .position($0) } ?? first, timeout: timeout)
        let start = await reader.start
        // The next life must not begin later than this one, whenever it ends.
        if stored == nil { try await store.save(start) }
        let progress = DurableProgress(store: store, saved: stored ?? start)
        positions.add(progress)
        return Subscription(source: reader, start: start, progress: progress)
    }

    /// Subscribes to every hint channel that matches, and waits until the subscription is live.
    public func subscribe<Message: WireMessage>(
        matching pattern: ChannelPattern<Message>, timeout: Duration = .seconds(10)
    ) async throws -> Subscription<Message> {
        let since = clock.now
        let redis = try await client.subscribe(matching: [pattern.glob], timeout: timeout)
        let reader: HintReader<Message> = hintReader(redis, since: since, sourcesKept: 16_384)
        return Subscription(source: reader, start: nil)
    }

    private func hintReader<Message: WireMessage>(
        _ redis: RedisSubscription, since: MachineInstant, sourcesKept: Int
    ) -> HintReader<Message> {
        HintReader(
            redis: redis, decoder: EnvelopeDecoder(deadLetters: letters), watch: watch, metrics: metrics, clock: clock,
            since: since, sourcesKept: sourcesKept)
    }

    private func journalReader<Message: WireMessage>(
        _ channel: String, from start: JournalStart, timeout: Duration
    ) async throws -> JournalReader<Message> {
        let redis = try await client.subscribe(to: [channel], timeout: timeout)
        // Subscribed first, then read: what is published in between is queued, and dropped if it is before the tail.
        let (identity, tail) = try await present(of: channel, timeout: timeout)
        return JournalReader(
            channel: channel, start: start, tail: tail, identity: identity, redis: redis, client: client,
            watch: watch, clock: clock, decoder: EnvelopeDecoder(deadLetters: letters), metrics: metrics)
    }

    /// Which data the server holds, and the newest entry of a journal.
    private func present(
        of channel: String, timeout: Duration
    ) async throws -> (identity: JournalIdentity, tail: JournalID) {
        let deadline = clock.now.advanced(by: timeout)
        while true {
            do {
                let identity = try await watch.check()
                let last = try await client.last(of: JournalScript.stream(channel))
                return (identity, last.flatMap { JournalID($0.id) } ?? .zero)
            } catch let error as RedisError where error.isTransient && clock.now < deadline {
                try await clock.sleep(for: .milliseconds(50))
            }
        }
    }

    /// The latest messages that could not be decoded.
    public var deadLetters: [DeadLetter] { letters.latest }

    public var status: BusStatus {
        let waiting = outbox.waiting
        return BusStatus(
            redis: client.status, isRunning: outbox.isRunning, queued: waiting.count, queuedBytes: waiting.bytes,
            hintsSent: metrics.hintsSent.value, hintsDropped: metrics.hintsDropped.value,
            stored: metrics.stored.value, retries: metrics.retries.value, republished: metrics.republished.value,
            gaps: metrics.gapTotal, replayed: metrics.replayed.value, duplicates: metrics.duplicates.value,
            late: metrics.late.value, deadLetters: metrics.deadLetters.value, abandoned: metrics.abandoned.value,
            canary: canary.status)
    }

    /// For a health probe: says why what this process publishes does not come back to it.
    ///
    /// Throws `BusError` (`deaf`).
    public func checkHealth() throws {
        let canary = canary.status
        if !canary.isHealthy { throw BusError(.deaf, canary.reason ?? "") }
    }
}
