import NIOConcurrencyHelpers

/// A bounded queue into one task: whoever pushes never waits, the task takes all that is there at once.
final class Mailbox<Item: Sendable>: Sendable {
    private struct State {
        var items: [Item] = []
        var bytes = 0
        /// After `replace` nothing more is taken in.
        var isClosed = false
        var waiter: CheckedContinuation<[Item]?, Never>?
    }

    private let state = NIOLockedValueBox(State())
    private let itemBound: Int
    private let byteBound: Int

    init(itemBound: Int, byteBound: Int) {
        self.itemBound = itemBound
        self.byteBound = byteBound
    }

    /// - Returns: false when the bound is reached; nothing was taken then.
    func push(_ items: [Item], bytes: Int) -> Bool {
        let (fits, wake) = state.withLockedValue { state -> (Bool, Delivery?) in
            if state.isClosed { return (true, nil) }
            guard state.items.count + items.count <= itemBound, state.bytes + bytes <= byteBound else {
                return (false, nil)
            }
            state.items += items
            state.bytes += bytes
            return (true, Self.wake(&state))
        }
        wake?.deliver()
        return fits
    }

    /// Drops everything that waits and leaves this one item as the last.
    func replace(with item: Item) {
        let wake = state.withLockedValue { state -> Delivery? in
            guard !state.isClosed else { return nil }
            state.items = [item]
            state.bytes = 0
            state.isClosed = true
            return Self.wake(&state)
        }
        wake?.deliver()
    }

    /// All that waits, at least one item; nil when the task is cancelled.
    func next() async -> [Item]? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer = state.withLockedValue { state -> [Item]?? in
                    if Task.isCancelled { return .some(nil) }
                    if !state.items.isEmpty { return .some(Self.take(&state)) }
                    precondition(state.waiter == nil, "a mailbox has one reader")
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

    private struct Delivery {
        let waiter: CheckedContinuation<[Item]?, Never>
        let items: [Item]

        func deliver() { waiter.resume(returning: items) }
    }

    private static func wake(_ state: inout State) -> Delivery? {
        guard let waiter = state.waiter, !state.items.isEmpty else { return nil }
        state.waiter = nil
        return Delivery(waiter: waiter, items: take(&state))
    }

    private static func take(_ state: inout State) -> [Item] {
        defer {
            state.items = []
            state.bytes = 0
        }
        return state.items
    }
}
