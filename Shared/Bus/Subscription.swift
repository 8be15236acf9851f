import NIOConcurrencyHelpers
import Resilience
import Wire

/// A delivery and how far the subscription has come with it.
struct Item<Message: WireMessage>: Sendable {
    let delivery: Delivery<Message>
    /// Nil on a hint channel.
    let position: JournalPosition?
}

/// What stands behind a subscription.
protocol DeliverySource<Message>: Sendable {
    associatedtype Message: WireMessage

    /// The next deliveries, at least one; nil when cancelled.
    func nextBatch() async -> [Item<Message>]?
    func cancel()
}

/// A subscription that tells the truth: messages in each publisher's order, none twice, and a gap where some are gone.
///
/// Consumed by one task, which pulls: replay happens in its `next`, so a slow consumer holds nobody up. Deliveries of
/// one read are handed out without suspending. Ends when the task is cancelled or `cancel` is called.
public final class Subscription<Message: WireMessage>: AsyncSequence, Sendable {
    public typealias Element = Delivery<Message>
    public typealias Failure = Never

    public struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate let subscription: Subscription<Message>
        private var batch: [Item<Message>] = []
        private var index = 0

        fileprivate init(_ subscription: Subscription<Message>) {
            self.subscription = subscription
        }

        public mutating func next() async -> Delivery<Message>? {
            await next(isolation: #isolation)
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async -> Delivery<Message>? {
            if index == batch.count {
                // The last of the batch is handled, before the wait for the next.
                subscription.progress?.handOut(nil)
                guard let fresh = await subscription.source.nextBatch() else { return nil }
                batch = fresh
                index = 0
            }
            guard index < batch.count else { return nil }
            let item = batch[index]
            index += 1
            if let position = item.position {
                subscription.reached.withLockedValue { $0 = position }
                subscription.progress?.handOut(DurableProgress.Step(position: position, mark: item.delivery.mark))
            }
            return item.delivery
        }
    }

    fileprivate let source: any DeliverySource<Message>
    fileprivate let reached: NIOLockedValueBox<JournalPosition?>
    /// Nil for a subscription whose position nobody keeps.
    fileprivate let progress: DurableProgress?

    init(source: any DeliverySource<Message>, start: JournalPosition?, progress: DurableProgress? = nil) {
        self.source = source
        self.progress = progress
        reached = NIOLockedValueBox(start)
    }

    deinit {
        source.cancel()
        progress?.end()
    }

    /// Behind the last delivery that was handed out; nil on a hint channel.
    public var position: JournalPosition? { reached.withLockedValue { $0 } }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(self) }

    public func cancel() { source.cancel() }
}

extension Delivery {
    /// Whose message it is, nil for a gap.
    fileprivate var mark: SequenceTracker.Mark? {
        guard case .message(let envelope, _) = self else { return nil }
        return SequenceTracker.Mark(
            source: envelope.source, incarnation: envelope.incarnation.rawValue, sequence: envelope.sequence)
    }
}
