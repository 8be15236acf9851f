import NIOConcurrencyHelpers
import NIOCore
import Runtime

/// The bounded queue between the event loop, which never waits, and one consumer, which may be slow.
///
/// A full queue drops all it holds and leaves one gap in its place: the newest messages are worth most.
final class SubscriptionQueue: Sendable {
    /// Payload of the batches that small ones are put together to: what a kept slice keeps alive.
    private static let batchBytes = 64 * 1024

    private struct State {
        /// Finished batches and gaps, oldest first; two gaps are never neighbours.
        var sealed = CircularBuffer<RedisDelivery>()
        /// The batch that still grows.
        var tail = RedisMessages()
        var count = 0
        var bytes = 0
        var dropped = 0
        /// Whether messages fall into a gap that is still to come.
        var isInterrupted = false
        var isFinished = false
        /// Whether the consumer found nothing, and waits at the gate or is on its way there.
        var isAwaited = false

        /// Small batches are put together, so that many reads of one message each do not cost memory of their own.
        mutating func append(_ messages: RedisMessages) {
            if tail.byteCount + messages.byteCount > SubscriptionQueue.batchBytes { seal() }
            tail.append(contentsOf: messages)
            count += messages.count
            bytes += messages.byteCount
        }

        private mutating func seal() {
            guard !tail.isEmpty else { return }
            sealed.append(.messages(tail))
            tail = RedisMessages()
        }

        mutating func append(_ gap: RedisGap) {
            seal()
            guard let last = sealed.last, case .gap(let earlier) = last else { return sealed.append(.gap(gap)) }
            sealed.removeLast()
            let reason = max(earlier.reason, gap.reason)
            sealed.append(.gap(RedisGap(reason, dropped: earlier.dropped + gap.dropped)))
        }

        mutating func take() -> RedisDelivery? {
            if let first = sealed.popFirst() {
                if case .messages(let messages) = first { release(messages) }
                return first
            }
            guard !tail.isEmpty else { return nil }
            let messages = tail
            tail = RedisMessages()
            release(messages)
            return .messages(messages)
        }

        private mutating func release(_ messages: RedisMessages) {
            count -= messages.count
            bytes -= messages.byteCount
        }

        /// Drops all it holds and `more` that do not fit in any case.
        mutating func overflow(and more: Int) {
            let lost = count + more
            var gap = RedisGap(.overflow, dropped: lost)
            for case .gap(let earlier) in sealed {
                gap = RedisGap(max(gap.reason, earlier.reason), dropped: gap.dropped + earlier.dropped)
            }
            dropped += lost
            sealed.removeAll()
            tail = RedisMessages()
            count = 0
            bytes = 0
            append(gap)
        }
    }

    let limit: Int
    let byteLimit: Int
    private let counter: Counter
    /// Opened when there is news for a consumer that waits.
    private let gate = Gate()
    private let state = NIOLockedValueBox(State())

    /// `dropped` counts what is dropped, over all queues.
    init(limit: Int, byteLimit: Int, dropped: Counter) {
        self.limit = limit
        self.byteLimit = byteLimit
        counter = dropped
    }

    var dropped: Int { state.withLockedValue { $0.dropped } }

    /// Adds messages in order and wakes the consumer once.
    func push(_ messages: RedisMessages) {
        wake { state in
            guard !state.isInterrupted, !state.isFinished else {
                state.dropped += messages.count
                self.counter.increment(by: messages.count)
                return
            }
            guard state.count + messages.count > limit || state.bytes + messages.byteCount > byteLimit,
                state.count + messages.count > 1
            else { return state.append(messages) }
            let newest = messages.newest(count: limit, bytes: byteLimit)
            let tooMany = messages.count - newest.count
            counter.increment(by: state.count + tooMany)
            state.overflow(and: tooMany)
            state.append(newest)
        }
    }

    func push(_ gap: RedisGap) {
        wake { $0.append(gap) }
    }

    /// From now on messages are missed: what arrives before `resume` is part of the gap.
    func interrupt() {
        state.withLockedValue { $0.isInterrupted = true }
    }

    /// Ends an interruption with the one gap that stands for it.
    func resume() {
        wake { state in
            guard state.isInterrupted else { return }
            state.isInterrupted = false
            state.append(RedisGap(.reconnected))
        }
    }

    /// Hands out what is left, then nothing more.
    func finish() {
        wake { $0.isFinished = true }
    }

    private func wake(_ change: (inout State) -> Void) {
        let isAwaited = state.withLockedValue { state in
            change(&state)
            defer { state.isAwaited = false }
            return state.isAwaited
        }
        if isAwaited { gate.open() }
    }

    /// All that is there, or the next that comes; nil when finished or cancelled.
    ///
    /// One consumer at a time.
    func next(isolation actor: isolated (any Actor)? = #isolation) async -> RedisDelivery? {
        while true {
            let (ready, isFinished) = state.withLockedValue { state in
                let ready = state.take()
                state.isAwaited = ready == nil
                return (ready, state.isFinished)
            }
            if ready != nil || isFinished || Task.isCancelled { return ready }
            await withTaskCancellationHandler {
                await pass(isolation: actor)
            } onCancel: {
                gate.open()
            }
        }
    }

    /// Takes the caller's isolation, which the closure above would not have without naming it.
    private func pass(isolation actor: isolated (any Actor)?) async { await gate.pass() }
}
