import Logging
import NIOConcurrencyHelpers
import Redis
import Resilience
import Runtime

/// Brings journaled messages to the server: in order per channel, bounded, across every loss of the connection.
///
/// While all is well a batch leaves as soon as the one before it is answered, without a task of its own. A lane whose
/// batch failed is taken over by a task, which retries, waits, and gives the lane back after its first success.
final class JournalOutbox: Sendable {
    /// A batch to be sent.
    private struct Shipment {
        let channel: String
        let server: RedisServer
        let identity: JournalIdentity
        let journalLength: Int
        let keys: [String]
        let batch: [OutboxLane.Message]
    }

    private let client: RedisClient
    private let watch: JournalWatch
    private let identity: BusIdentity
    private let settings: BusSettings
    private let clock: MachineClock
    private let log: Logger
    private let metrics: BusMetrics
    private let state = NIOLockedValueBox(OutboxState())

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

    /// Whether no lane has failed so often that its publishers no longer wait.
    var isFlowing: Bool { state.withLockedValue { $0.lanes.values.allSatisfy { !$0.isStuck } } }

    var isRunning: Bool { state.withLockedValue { $0.wake != nil } }

    // MARK: Publishing

    /// Queues a message and waits until it is stored, or until the attempts of R7 have failed and it stays queued.
    ///
    /// Throws `outboxFull`: nothing is queued then.
    func publish(_ draft: EnvelopeDraft, on channel: String, journalLength: Int) async throws -> Published {
        try await withCheckedThrowingContinuation { continuation in
            do {
                let shipment = try append(draft, on: channel, journalLength: journalLength) {
                    continuation.resume(returning: $0)
                }
                if let shipment { send(shipment) }
            } catch {
                continuation.resume(throwing: error)
            }
        }
    }

    private func append(
        _ draft: EnvelopeDraft, on channel: String, journalLength: Int, completion: @escaping OutboxLane.Completion
    ) throws(BusError) -> Shipment? {
        let (shipment, refused, waits) = state.withLockedValue { state -> (Shipment?, BusError?, Bool) in
            guard state.count < settings.outboxLimit, state.bytes < settings.outboxByteLimit else {
                metrics.outboxRefused.increment()
                let full = "\(state.count) messages, \(state.bytes) bytes wait for the server"
                return (nil, BusError(.outboxFull, full), true)
            }
            if state.lanes[channel] == nil {
                let keys = JournalScript.keys(channel, identity)
                state.lanes[channel] = OutboxLane(journalLength: journalLength, keys: keys)
            }
            let (waits, bytes) = state.add(draft, channel, completion)
            state.count += 1
            state.bytes += bytes
            metrics.queued.set(state.count)
            return (next(channel, &state), nil, waits)
        }
        if let refused { throw refused }
        if !waits { completion(.queued) }
        return shipment
    }

    /// What an idle lane sends next; a lane that cannot send is handed to a task.
    private func next(_ channel: String, _ state: inout OutboxState) -> Shipment? {
        guard state.wake != nil, let lane = state.lanes[channel], lane.phase == .idle else { return nil }
        let current = watch.current
        guard lane.hasWork(for: current) else { return nil }
        guard let current, let server = client.server, server.runID == current.runID, lane.identity == current else {
            state.trouble(channel)
            return nil
        }
        state.lanes[channel]?.phase = .sending
        return Shipment(
            channel: channel, server: server, identity: current, journalLength: lane.journalLength, keys: lane.keys,
            batch: lane.batch)
    }

    // MARK: Sending

    private func send(_ shipment: Shipment) {
        client.enqueue(
            JournalScript.append.command(keys: shipment.keys, arguments: arguments(shipment)), on: shipment.server
        ) { self.answered(shipment, $0) }
    }

    private func arguments(_ shipment: Shipment) -> [RedisArgument] {
        var arguments: [RedisArgument] = []
        arguments.reserveCapacity(5 + 2 * shipment.batch.count)
        arguments.append(.text(shipment.identity.dataID))
        arguments.append(.text(shipment.channel))
        arguments.append(RedisArgument(shipment.journalLength))
        arguments.append(RedisArgument(JournalScript.memorySlots))
        arguments.append(.integer(JournalScript.memoryLife.wholeMilliseconds))
        for message in shipment.batch {
            arguments.append(.integer(message.sequence))
            arguments.append(.bytes(message.payload))
        }
        return arguments
    }

    private func answered(_ shipment: Shipment, _ result: Result<RESPValue, RedisError>) {
        switch result {
        case .success(let reply):
            if let ids = reply.array, ids.count == shipment.batch.count { return confirm(shipment, ids) }
            // Nil: the data began anew since the watch last asked.
            handOver(shipment.channel, failures: 0)
        case .failure(let error) where error.code == .noScript:
            handOver(shipment.channel, failures: 0)
        case .failure:
            metrics.retries.increment()
            handOver(shipment.channel, failures: 1)
        }
    }

    private func confirm(_ shipment: Shipment, _ ids: [RESPValue]) {
        let (confirmed, following) = state.withLockedValue { state -> ([OutboxLane.Message], Shipment?) in
            let confirmed = state.confirm(ids.count, shipment.channel, at: clock.now, metrics)
            return (confirmed, next(shipment.channel, &state))
        }
        if let following { send(following) }
        for (message, id) in zip(confirmed, ids) { message.completion?(.stored(id: id.text ?? "")) }
    }

    private func handOver(_ channel: String, failures: Int) {
        state.withLockedValue { state in
            state.lanes[channel]?.failures = failures
            state.trouble(channel)
        }
    }

    // MARK: Repairing

    /// Serves until the task is cancelled; messages only queue before and after.
    func run() async {
        let (signals, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        state.withLockedValue { $0.wake = wake }
        for channel in channels { resume(channel) }
        await withDiscardingTaskGroup { tasks in
            for await _ in signals {
                for channel in state.withLockedValue({ $0.takeTroubled() }) {
                    tasks.addTask { await self.repair(channel) }
                }
            }
        }
        let left = state.withLockedValue { $0.stop() }
        for completion in left { completion(.queued) }
    }

    private var channels: [String] { state.withLockedValue { $0.lanes.keys.sorted() } }

    private func resume(_ channel: String) {
        if let shipment = state.withLockedValue({ next(channel, &$0) }) { send(shipment) }
    }

    /// The server holds other data: what it may have lost waits again in every lane.
    func dataChanged() {
        for channel in channels { resume(channel) }
    }

    /// The server was seen to hold this data at that time.
    func prune(_ seen: JournalIdentity, at time: MachineInstant) {
        state.withLockedValue { state in
            for channel in state.lanes.keys { state.lanes[channel]?.prune(at: time, seen: seen) }
        }
    }

    /// Tries until one batch is stored or nothing waits; then the lane goes on by itself.
    private func repair(_ channel: String) async {
        var backoff = Backoff(base: .milliseconds(100), cap: .seconds(1), jitter: 0)
        var failures = state.withLockedValue { $0.lanes[channel]?.failures ?? 0 }
        if failures > 0 { await pause(channel, failures, &backoff, nil) }
        while !Task.isCancelled {
            do {
                if try await storeOnce(channel) { break }
            } catch {
                failures += 1
                metrics.retries.increment()
                await pause(channel, failures, &backoff, error)
            }
        }
        resume(channel)
    }

    /// - Returns: whether the lane is in order again; false when something else had to be done first.
    private func storeOnce(_ channel: String) async throws -> Bool {
        guard let server = client.server else { throw RedisError(.notConnected, "there is no connection") }
        var current = watch.current
        if current == nil || current?.runID != server.runID { current = try await watch.check() }
        guard let current else { return false }
        adopt(current, channel)
        let shipment = state.withLockedValue { state -> Shipment? in
            guard let lane = state.lanes[channel], !lane.waiting.isEmpty else {
                state.lanes[channel]?.phase = .idle
                return nil
            }
            return Shipment(
                channel: channel, server: server, identity: current, journalLength: lane.journalLength,
                keys: lane.keys, batch: lane.batch)
        }
        guard let shipment else { return true }
        let reply = try await client.evaluate(
            JournalScript.append, keys: shipment.keys, arguments: arguments(shipment), on: server)
        guard let ids = reply.array else {
            // The data began anew since the check.
            try await watch.check()
            return false
        }
        guard ids.count == shipment.batch.count else {
            throw RedisError(.unexpectedReply, "\(ids.count) ids for a batch of \(shipment.batch.count)")
        }
        confirm(shipment, ids)
        return true
    }

    private func adopt(_ current: JournalIdentity, _ channel: String) {
        let again = state.withLockedValue { state -> Int in
            let again = state.lanes[channel]?.adopt(current) ?? []
            state.count += again.count
            state.bytes += again.reduce(0) { $0 + $1.payload.count }
            return again.count
        }
        guard again > 0 else { return }
        metrics.republished.increment(by: again)
        log.info("journal published again", metadata: [Key.channel: "\(channel)", Key.count: "\(again)"])
    }

    /// Waits before the next attempt; after the last one of R7 nobody waits for this lane any more.
    private func pause(_ channel: String, _ failures: Int, _ backoff: inout Backoff, _ error: (any Error)?) async {
        var generator = SeededGenerator(seed: 0)
        var delay = RetryPolicy.publish.delay(afterAttempt: failures, using: &generator)
        if delay == nil {
            let left = state.withLockedValue { $0.lanes[channel]?.stopWaiting() ?? [] }
            for completion in left { completion(.queued) }
            if failures == RetryPolicy.publish.attempts {
                log.warning(
                    "journal not reachable, messages queue",
                    metadata: [Key.channel: "\(channel)", Key.error: "\(error.map { "\($0)" } ?? "")"])
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

    // MARK: Ending

    /// Waits until nothing is left to be stored, at most for `limit`; what is left then is counted and logged, by
    /// channel.
    func drain(within limit: Duration) async {
        let end = clock.now.advanced(by: limit)
        while waiting.count > 0, clock.now < end, !Task.isCancelled {
            // Thrown only by cancellation, which the loop sees.
            try? await clock.sleep(for: .milliseconds(5))
        }
        let left = state.withLockedValue { $0.lanes.mapValues(\.waiting.count).filter { $0.value > 0 } }
        for (channel, count) in left.sorted(by: { $0.key < $1.key }) {
            metrics.abandoned.increment(by: count)
            log.error("messages end with this process", metadata: [Key.channel: "\(channel)", Key.count: "\(count)"])
        }
    }
}
