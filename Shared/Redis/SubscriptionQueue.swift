import NIOConcurrencyHelpers
import NIOCore
import Runtime

/// The bounded queue between the event loop, which never waits, and one consumer, which may be slow.
///
/// A full queue drops all it holds and leaves one gap in its place: the newest messages are worth most.
final class SubscriptionQueue: Sendable {
    private struct State {
        /// Finished batches and gaps, oldest first; two gaps are never neighbours.
        var sealed = CircularBuffer<RedisDelivery>()
        /// The batch that still grows.
        var tail: [RedisMessage] = []
        var count = 0
        var bytes = 0
        var dropped = 0
        /// Whether messages fall into a gap that is still to come.
        var isInterrupted = false
        var isFinished = false
        var consumer: CheckedContinuation<RedisDelivery?, Never>?

        mutating func append(_ gap: RedisGap) {
            if !tail.isEmpty {
                sealed.append(.messages(tail))
                tail = []
            }
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
            tail = []
            release(messages)
            return .messages(messages)
        }

        private mutating func release(_ messages: [RedisMessage]) {
            count -= messages.count
            bytes -= messages.reduce(0) { $0 + $1.payload.count }
        }

        mutating func overflow() {
            var gap = RedisGap(.overflow, dropped: count)
            for case .gap(let earlier) in sealed {
                gap = RedisGap(max(gap.reason, earlier.reason), dropped: gap.dropped + earlier.dropped)
            }
            dropped += count
            sealed.removeAll()
            tail = []
            count = 0
            bytes = 0
            append(gap)
        }
    }

    let limit: Int
    let byteLimit: Int
    private let counter: Counter
    private let state = NIOLockedValueBox(State())

    /// `dropped` counts what is dropped, over all queues.
    init(limit: Int, byteLimit: Int, dropped: Counter) {
        self.limit = limit
        self.byteLimit = byteLimit
        counter = dropped
    }

    var dropped: Int { state.withLockedValue { $0.dropped } }

    /// Adds messages in order and wakes the consumer once.
    func push(_ messages: [RedisMessage]) {
        wake { state in
            guard !state.isInterrupted, !state.isFinished else {
                state.dropped += messages.count
                self.counter.increment(by: messages.count)
                return
            }
            for message in messages {
                if state.count >= self.limit || state.bytes + message.payload.count > self.byteLimit, state.count > 0 {
                    self.counter.increment(by: state.count)
                    state.overflow()
                }
                state.tail.append(message)
                state.count += 1
                state.bytes += message.payload.count
            }
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
    func next() async -> RedisDelivery? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
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
