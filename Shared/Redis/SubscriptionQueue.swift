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
        var consumer: CheckedContinuation<RedisDelivery?, Never>?

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
    private let executor: LoopExecutor
    private let state = NIOLockedValueBox(State())

    /// `dropped` counts what is dropped, over all queues; `executor` is that of the loop that fills the queue.
    init(limit: Int, byteLimit: Int, dropped: Counter, executor: LoopExecutor) {
        self.limit = limit
        self.byteLimit = byteLimit
        counter = dropped
        self.executor = executor
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
        let consumer = state.withLockedValue { state in
            state.isFinished = true
            return state.consumer.take()
        }
        consumer?.resume(returning: nil)
    }

    private func wake(_ change: (inout State) -> Void) {
        let woken = state.withLockedValue { state -> (CheckedContinuation<RedisDelivery?, Never>, RedisDelivery)? in
            change(&state)
            guard let consumer = state.consumer, let delivery = state.take() else { return nil }
            state.consumer = nil
            return (consumer, delivery)
        }
        if let (consumer, delivery) = woken { consumer.resume(returning: delivery) }
    }

    /// All that is there, or the next that comes; nil when finished or cancelled.
    ///
    /// One consumer at a time.
    func next(isolation actor: isolated (any Actor)? = #isolation) async -> RedisDelivery? {
        if let ready = state.withLockedValue({ $0.take() }) { return ready }
        return await executor.keeping { await wait(isolation: actor) }
    }

    private func wait(isolation actor: isolated (any Actor)?) async -> RedisDelivery? {
        await withTaskCancellationHandler {
            await withCheckedContinuation(isolation: actor) { continuation in
                let delivery = state.withLockedValue { state -> RedisDelivery?? in
                    precondition(state.consumer == nil, "a subscription has one consumer")
                    if let delivery = state.take() { return .some(delivery) }
                    if state.isFinished || Task.isCancelled { return .some(nil) }
                    state.consumer = continuation
                    return .none
                }
                if let delivery { continuation.resume(returning: delivery) }
            }
        } onCancel: {
            state.withLockedValue { $0.consumer.take() }?.resume(returning: nil)
        }
    }
}
