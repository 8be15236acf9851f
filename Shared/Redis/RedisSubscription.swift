/// A live subscription to channels and patterns: batches of messages, and a gap wherever some were missed.
///
/// Bounded: a consumer that is too slow loses what is queued, is told so by one gap, and holds nobody up. Consumed by
/// one task. Ends when cancelled or released.
public final class RedisSubscription: AsyncSequence, Sendable {
    public typealias Element = RedisDelivery
    public typealias Failure = Never

    public struct AsyncIterator: AsyncIteratorProtocol {
        let subscription: RedisSubscription

        public mutating func next() async -> RedisDelivery? { await subscription.next() }

        public mutating func next(isolation actor: isolated (any Actor)?) async -> RedisDelivery? {
            await subscription.next(isolation: actor)
        }
    }

    private let id: UInt64
    private let queue: SubscriptionQueue
    private let hub: SubscriptionHub

    init(id: UInt64, queue: SubscriptionQueue, hub: SubscriptionHub) {
        self.id = id
        self.queue = queue
        self.hub = hub
    }

    deinit {
        hub.remove(id)
    }

    /// All messages that are there, or the next to come; nil when cancelled.
    ///
    /// A caller on the client's event loop (`RedisClient.unownedExecutor`) is resumed there, on the same thread.
    public func next(isolation actor: isolated (any Actor)? = #isolation) async -> RedisDelivery? {
        await queue.next(isolation: actor)
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(subscription: self) }

    /// Puts a gap behind what is queued: for an owner that learns of a loss in another way.
    public func interject(_ gap: RedisGap) { queue.push(gap) }

    /// Unsubscribes from the names nobody else wants, and ends the sequence.
    public func cancel() { hub.remove(id) }

    /// Messages dropped because the queue was full or the subscription not live.
    public var dropped: Int { queue.dropped }
}
