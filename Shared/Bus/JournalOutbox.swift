import Logging
import NIOConcurrencyHelpers
import Redis
import Resilience
import Runtime

/// Brings journaled messages to the server: in order per channel, bounded, across every loss of the connection.
final class JournalOutbox: Sendable {
    private struct State {
        var lanes: [String: OutboxLane] = [:]
        var count = 0
        var bytes = 0
        /// Names of lanes that need a task; nil while nobody runs the outbox.
        var wake: AsyncStream<String>.Continuation?
    }

    private let client: RedisClient
    private let watch: JournalWatch
    private let identity: BusIdentity
    private let settings: BusSettings
    private let clock: MachineClock
    private let log: Logger
    private let metrics: BusMetrics
    private let state = NIOLockedValueBox(State())

    init(
        client: RedisClient, watch: JournalWatch, identity: BusIdentity, settings: BusSettings, clock: MachineClock,
        log: Logger, metrics: BusMetrics
    ) {
        self.client = client
        self.watch = watch
        self.identity = identity
        self.settings = settings
        self.clock = clock
        self.log = log
        self.metrics = metrics
    }

    var waiting: (count: Int, bytes: Int) { state.withLockedValue { ($0.count, $0.bytes) } }

    // MARK: Publishing

    /// Queues a message and waits until it is stored, or until the attempts of R7 have failed and it stays queued.
    ///
    /// `encode` makes the payload of the sequence it is given; it is called under a lock. Throws `outboxFull`, or what
    /// `encode` throws; nothing is queued then.
    func publish(
        on channel: String, journalLength: Int, encode: (Int64) throws -> [UInt8]
    ) async throws -> Published {
        let outcome = Promise<Published>()
        try append(on: channel, journalLength: journalLength, encode: encode) { outcome.fulfil($0) }
        return await outcome.value()
    }

    private func append(
        on channel: String, journalLength: Int, encode: (Int64) throws -> [UInt8],
        completion: @escaping OutboxLane.Completion
    ) throws {
        let waits = try state.withLockedValue { state in
            var lane = state.lanes[channel] ?? OutboxLane(journalLength: journalLength)
            guard state.count < settings.outboxLimit, state.bytes < settings.outboxByteLimit else {
                throw BusError(.outboxFull, "\(state.count) messages, \(state.bytes) bytes wait for the server")
            }
            let payload = try encode(lane.nextSequence)
            let waits = state.wake != nil && !lane.isStuck
            lane.append(payload, completion: waits ? completion : nil)
            state.count += 1
            state.bytes += payload.count
            Self.start(&lane, channel, state.wake)
            state.lanes[channel] = lane
            return waits
        }
        if !waits { completion(.queued) }
        metrics.queued.set(waiting.count)
    }

    private static func start(_ lane: inout OutboxLane, _ channel: String, _ wake: AsyncStream<String>.Continuation?) {
        guard let wake, !lane.isDraining, !lane.waiting.isEmpty else { return }
        lane.isDraining = true
        wake.yield(channel)
    }

    // MARK: Sending

    /// Sends what waits until the task is cancelled.
    func run() async {
        // Bounded by the number of channels: a lane is named once until its task has ended.
        let (names, wake) = AsyncStream.makeStream(of: String.self)
        state.withLockedValue { state in
            state.wake = wake
            for channel in state.lanes.keys.sorted() { Self.startLane(channel, &state) }
        }
        await withDiscardingTaskGroup { tasks in
            for await channel in names {
                tasks.addTask { await self.drain(channel) }
            }
        }
        let left = state.withLockedValue { state in
            state.wake = nil
            return state.lanes.keys.sorted().flatMap { channel in
                state.lanes[channel]?.isDraining = false
                return state.lanes[channel]?.stopWaiting() ?? []
            }
        }
        for completion in left { completion(.queued) }
    }

    private static func startLane(_ channel: String, _ state: inout State) {
        guard var lane = state.lanes[channel] else { return }
        start(&lane, channel, state.wake)
        state.lanes[channel] = lane
    }

    /// The server holds other data: what it may have lost waits again in every lane.
    func dataChanged() {
        guard let current = watch.current else { return }
        for channel in state.withLockedValue({ $0.lanes.keys.sorted() }) { adopt(current, channel, startsLane: true) }
    }

    /// The server was just seen to hold this data.
    func prune(_ seen: JournalIdentity) {
        state.withLockedValue { state in
            for channel in state.lanes.keys { state.lanes[channel]?.prune(at: self.clock.now, seen: seen) }
        }
    }

    private func adopt(_ current: JournalIdentity, _ channel: String, startsLane: Bool) {
        let again = state.withLockedValue { state -> Int in
            // A lane that drains adopts by itself, between two batches.
            guard var lane = state.lanes[channel], !(startsLane && lane.isDraining) else { return 0 }
            let again = lane.adopt(current)
            state.count += again.count
            state.bytes += again.reduce(0) { $0 + $1.payload.count }
            if startsLane { Self.start(&lane, channel, state.wake) }
            state.lanes[channel] = lane
            return again.count
        }
        guard again > 0 else { return }
        metrics.republished.increment(by: again)
        log.info("journal published again", metadata: [Key.channel: "\(channel)", Key.count: "\(again)"])
    }

    private func drain(_ channel: String) async {
        var attempt = 0
        var backoff = Backoff(base: .milliseconds(100), cap: .seconds(1), jitter: 0)
        while !Task.isCancelled, let lane = nextBatch(channel) {
            do {
                guard try await store(channel, lane) else { continue }
                attempt = 0
                backoff.reset()
            } catch {
                attempt += 1
                metrics.retries.increment()
                await pause(channel, attempt, &backoff, error)
            }
        }
    }

    /// The lane with its next batch; nil ends the lane's task.
    private func nextBatch(_ channel: String) -> OutboxLane? {
        state.withLockedValue { state in
            guard let lane = state.lanes[channel], !lane.waiting.isEmpty else {
                state.lanes[channel]?.isDraining = false
                return nil
            }
            return lane
        }
    }

    /// - Returns: false when nothing was sent because the lane had to be put in order first.
    private func store(_ channel: String, _ lane: OutboxLane) async throws -> Bool {
        guard let server = client.server else { throw RedisError(.notConnected, "there is no connection") }
        var current = watch.current
        if current == nil || current?.runID != server.runID { current = try await watch.check() }
        guard let current else { return false }
        if lane.identity != current {
            adopt(current, channel, startsLane: false)
            return false
        }
        let batch = lane.batch
        let head: [RedisArgument] = [
            .text(current.dataID), .text(channel), RedisArgument(lane.journalLength),
            RedisArgument(JournalScript.memorySlots), .integer(JournalScript.memoryLife.wholeMilliseconds),
        ]
        let reply = try await client.evaluate(
            JournalScript.append,
            keys: [JournalScript.stream(channel), JournalScript.memory(channel, identity), JournalScript.dataKey],
            arguments: head + batch.flatMap { [.integer($0.sequence), .bytes($0.payload)] }, on: server)
        guard let ids = reply.array else {
            // The data began anew since the check.
            try await watch.check()
            return false
        }
        guard ids.count == batch.count else { throw RedisError(.unexpectedReply, "\(ids.count) ids for a batch") }
        confirm(channel, ids.map { $0.text ?? "" })
        return true
    }

    private func confirm(_ channel: String, _ ids: [String]) {
        let confirmed = state.withLockedValue { state -> [OutboxLane.Message] in
            guard var lane = state.lanes[channel] else { return [] }
            let confirmed = lane.confirm(ids.count, at: self.clock.now)
            state.count -= confirmed.count
            state.bytes -= confirmed.reduce(0) { $0 + $1.payload.count }
            state.lanes[channel] = lane
            return confirmed
        }
        metrics.stored.increment(by: confirmed.count)
        metrics.queued.set(waiting.count)
        for (message, id) in zip(confirmed, ids) { message.completion?(.stored(id: id)) }
    }

    /// Waits before the next attempt; after the last one of R7 nobody waits for this lane any more.
    private func pause(_ channel: String, _ attempt: Int, _ backoff: inout Backoff, _ error: any Error) async {
        var generator = SeededGenerator(seed: 0)
        var delay = RetryPolicy.publish.delay(afterAttempt: attempt, using: &generator)
        if delay == nil {
            let left = state.withLockedValue { $0.lanes[channel]?.stopWaiting() ?? [] }
            for completion in left { completion(.queued) }
            if attempt == RetryPolicy.publish.attempts {
                log.warning(
                    "journal not reachable, messages queue",
                    metadata: [Key.channel: "\(channel)", Key.error: "\(error)"])
            }
            if client.server == nil {
                // The present server first: it may have come back since.
                for await _ in client.servers() { return }
            }
            delay = backoff.next(using: &generator)
        }
        // Thrown only by cancellation, which the caller's loop sees.
        try? await clock.sleep(for: delay ?? .zero)
    }
}
