import Domain
import NIOConcurrencyHelpers

/// The events of a feed in batches: all that happened since the consumer last asked.
///
/// Bounded by coalescing: of a market only the newest book waits, of confirmations and arrivals only the newest; of
/// trades and the like at most `capacity` wait, the oldest are dropped and counted. For one consumer.
public struct MarketEvents: AsyncSequence, Sendable {
    public typealias Element = [MarketEvent]

    let queue: MarketEventQueue

    public struct AsyncIterator: AsyncIteratorProtocol {
        let queue: MarketEventQueue

        /// The next batch, never empty; nil when the task is cancelled.
        public func next() async -> [MarketEvent]? { await queue.next() }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(queue: queue) }
}

/// Where a feed leaves its events.
final class MarketEventQueue: Sendable {
    private struct State {
        var events: [MarketEvent?] = []
        var live = 0
        var books: [MarketID: Int] = [:]
        var confirmation: Int?
        var arrival: Int?
        var notices = 0
        var dropped = 0
        var waiter: CheckedContinuation<[MarketEvent]?, Never>?
    }

    private let state = NIOLockedValueBox(State())
    private let capacity: Int

    init(capacity: Int = 4096) {
        self.capacity = capacity
    }

    /// How many trades and lifecycle notices were dropped because nobody took them.
    var dropped: Int { state.withLockedValue { $0.dropped } }

    func push(_ events: [MarketEvent]) {
        guard !events.isEmpty else { return }
        let wake = state.withLockedValue { state -> (CheckedContinuation<[MarketEvent]?, Never>, [MarketEvent])? in
            for event in events { add(event, to: &state) }
            guard let waiter = state.waiter, state.live > 0 else { return nil }
            state.waiter = nil
            return (waiter, Self.take(&state))
        }
        if let (waiter, batch) = wake { waiter.resume(returning: batch) }
    }

    func next() async -> [MarketEvent]? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer = state.withLockedValue { state -> [MarketEvent]?? in
                    if state.live > 0 { return .some(Self.take(&state)) }
                    if Task.isCancelled { return .some(nil) }
                    precondition(state.waiter == nil, "market events have one consumer")
                    state.waiter = continuation
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let waiter = state.withLockedValue { state in
                defer { state.waiter = nil }
                return state.waiter
            }
            waiter?.resume(returning: nil)
        }
    }

    private func add(_ event: MarketEvent, to state: inout State) {
        switch event {
        case .book(let market, _, _):
            if let earlier = state.books[market] { Self.remove(earlier, &state) }
            state.books[market] = state.events.count
        case .invalidated(let markets, _):
            for market in markets {
                if let earlier = state.books.removeValue(forKey: market) { Self.remove(earlier, &state) }
            }
        case .confirmed:
            if let earlier = state.confirmation { Self.remove(earlier, &state) }
            state.confirmation = state.events.count
        case .arrived:
            if let earlier = state.arrival { Self.remove(earlier, &state) }
            state.arrival = state.events.count
        case .trade, .lifecycle:
            state.notices += 1
            if state.notices > capacity { dropOldestNotice(&state) }
        case .connected, .disconnected:
            break
        }
        state.events.append(event)
        state.live += 1
        if state.events.count > 2 * state.live + 64 { Self.compact(&state) }
    }

    private func dropOldestNotice(_ state: inout State) {
        let index = state.events.firstIndex { event in
            switch event {
            case .trade, .lifecycle: true
            default: false
            }
        }
        guard let index else { return }
        Self.remove(index, &state)
        state.notices -= 1
        state.dropped += 1
    }

    private static func remove(_ index: Int, _ state: inout State) {
        state.events[index] = nil
        state.live -= 1
    }

    /// Squeezes the holes out, so that a consumer that never comes costs no more than what still counts.
    private static func compact(_ state: inout State) {
        state.events = state.events.filter { $0 != nil }
        state.books.removeAll(keepingCapacity: true)
        state.confirmation = nil
        state.arrival = nil
        for (index, event) in state.events.enumerated() {
            switch event {
            case .book(let market, _, _): state.books[market] = index
            case .confirmed: state.confirmation = index
            case .arrived: state.arrival = index
            default: break
            }
        }
    }

    private static func take(_ state: inout State) -> [MarketEvent] {
        let batch = state.events.compactMap { $0 }
        state.events = []
        state.live = 0
        state.books.removeAll(keepingCapacity: true)
        state.confirmation = nil
        state.arrival = nil
        state.notices = 0
        return batch
    }
}
