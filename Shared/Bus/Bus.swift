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
    private let clock: MachineClock
    private let metrics: BusMetrics
    private let watch: JournalWatch
    private let outbox: JournalOutbox
    private let hints: HintPublisher
    private let letters: DeadLetters

    public init(
        client: RedisClient, identity: BusIdentity, settings: BusSettings = BusSettings(), clock: MachineClock,
        wallClock: WallClock = .real, log: Logger, metrics: MetricsRegistry
    ) {
        self.client = client
        self.clock = clock
        let metrics = BusMetrics(metrics)
        self.metrics = metrics
        encoder = EnvelopeEncoder(identity: identity, wallClock: wallClock)
        watch = JournalWatch(client: client, incarnation: identity.incarnation.rawValue)
        outbox = JournalOutbox(
            client: client, watch: watch, identity: identity, settings: settings, clock: clock, log: log,
            metrics: metrics)
        hints = HintPublisher(client: client, metrics: metrics)
        letters = DeadLetters(limit: settings.deadLetterLimit, counter: metrics.deadLetters, log: log)
    }

    /// Sends journaled messages and watches over the server's data until the task is cancelled.
    public func run() async throws {
        let listener = watch.onChange { [outbox] in outbox.dataChanged() }
        defer { watch.removeListener(listener) }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await self.outbox.run() }
            tasks.addTask {
                for await _ in self.client.servers() { await self.checkData() }
            }
            tasks.addTask {
                while true {
                    try await self.clock.sleep(for: .seconds(1))
                    await self.checkData()
                }
            }
            try await tasks.waitForAll()
        }
    }

    private func checkData() async {
        // A server that cannot be asked is asked again in a second; the client has logged why.
        guard let seen = try? await watch.check() else { return }
        outbox.prune(seen)
    }

    /// Publishes on a channel; never waits longer than the attempts take.
    ///
    /// Throws `BusError` (`outboxFull`, `notEncodable`): nothing was or will be published then.
    @discardableResult
    public func publish<Message: WireMessage>(
        _ message: Message, on channel: Channel<Message>, trace: TraceID? = nil
    ) async throws -> Published {
        let encode: (Int64) throws -> [UInt8] = { sequence in
            try self.encoder.encode(message, sequence: sequence, trace: trace)
        }
        guard let length = channel.kind.journalLength else {
            return try await hints.publish(on: channel.name, encode: encode)
        }
        return try await outbox.publish(on: channel.name, journalLength: length, encode: encode)
    }

    /// Subscribes to a channel, and waits until the subscription is live.
    ///
    /// `start` says where to begin on a journaled channel; a hint channel always begins now. Throws `RedisError` when
    /// it takes longer than `timeout`.
    public func subscribe<Message: WireMessage>(
        to channel: Channel<Message>, from start: JournalStart = .now, timeout: Duration = .seconds(10)
    ) async throws -> Subscription<Message> {
        let redis = try await client.subscribe(to: [channel.name], timeout: timeout)
        let decoder = EnvelopeDecoder<Message>(deadLetters: letters)
        guard channel.kind.journalLength != nil else {
            let reader = HintReader(redis: redis, decoder: decoder, metrics: metrics, sourcesKept: 1024)
            return Subscription(source: reader, start: nil)
        }
        // Subscribed first, then read: what is published in between is queued, and dropped if it is before the tail.
        let (identity, tail) = try await present(of: channel.name, timeout: timeout)
        let reader = JournalReader(
            channel: channel.name, start: start, tail: tail, identity: identity, redis: redis, client: client,
            watch: watch, clock: clock, decoder: decoder, metrics: metrics)
        return Subscription(source: reader, start: await reader.start)
    }

    /// Subscribes to every hint channel that matches, and waits until the subscription is live.
    public func subscribe<Message: WireMessage>(
        matching pattern: ChannelPattern<Message>, timeout: Duration = .seconds(10)
    ) async throws -> Subscription<Message> {
        let redis = try await client.subscribe(matching: [pattern.glob], timeout: timeout)
        let decoder = EnvelopeDecoder<Message>(deadLetters: letters)
        let reader = HintReader(redis: redis, decoder: decoder, metrics: metrics, sourcesKept: 16_384)
        return Subscription(source: reader, start: nil)
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
            redis: client.status, queued: waiting.count, queuedBytes: waiting.bytes,
            hintsSent: metrics.hintsSent.value, hintsDropped: metrics.hintsDropped.value,
            stored: metrics.stored.value, retries: metrics.retries.value, republished: metrics.republished.value,
            gaps: metrics.gapTotal, replayed: metrics.replayed.value, duplicates: metrics.duplicates.value,
            deadLetters: metrics.deadLetters.value)
    }
}
