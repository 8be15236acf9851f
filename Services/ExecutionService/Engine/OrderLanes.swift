import Domain

extension OrderPriority {
    /// Whether it limits what can be lost, so that it may go where entries may not.
    public var reducesRisk: Bool { self < .arbitrage }
}

/// Which orders are on their way, and which of those that wait goes next (CHECKLIST N33, H28).
///
/// Every account of a venue has lanes of its own, a part of them only for what limits a loss: entries at a venue that
/// hangs hold up no stop loss, and an account that is held up holds up no other. A market has one order at a time.
/// Invariant: what is on its way holds its markets, and nothing else holds any.
public struct OrderLanes: Hashable, Sendable {
    /// Orders of one account on their way at once.
    public let perAccount: Int
    /// Of them those that entries may not use.
    public let kept: Int
    private var queue: OrderQueue
    private var locks = MarketLocks()
    private var running: [IntentID: OrderQueue.Item] = [:]

    public init(perAccount: Int = 8, kept: Int = 2, queue: OrderQueue = OrderQueue()) {
        precondition(perAccount >= 1 && (0..<perAccount).contains(kept), "\(kept) of \(perAccount) lanes kept")
        self.perAccount = perAccount
        self.kept = kept
        self.queue = queue
    }

    public var inFlight: Int { running.count }
    public var waiting: Int { queue.count }
    public var dropped: Int { queue.dropped }
    public var lockedMarkets: Int { locks.count }

    public func isInFlight(_ intent: IntentID) -> Bool { running[intent] != nil }

    /// Lets an item wait for its turn unless it waits or is on its way already.
    ///
    /// - Returns: what had to go because the queue is full; it is found again in the database.
    @discardableResult
    public mutating func offer(_ item: OrderQueue.Item) -> OrderQueue.Item? {
        isInFlight(item.intent) ? nil : queue.add(item)
    }

    /// Takes the next item that has a lane and finds its markets free; it holds both until `finish`.
    public mutating func start() -> OrderQueue.Item? {
        var counts: [String: (all: Int, entries: Int)] = [:]
        for item in running.values {
            counts[item.account, default: (0, 0)].all += 1
            if !item.priority.reducesRisk { counts[item.account, default: (0, 0)].entries += 1 }
        }
        let (perAccount, entryLanes, locks) = (perAccount, perAccount - kept, locks)
        let next = queue.next { item in
            let used = counts[item.account] ?? (0, 0)
            return used.all < perAccount && (item.priority.reducesRisk || used.entries < entryLanes)
                && item.markets.allSatisfy { locks.holder(of: $0) == nil }
        }
        guard let next else { return nil }
        _ = self.locks.take(next.markets, for: next.intent)
        running[next.intent] = next
        return next
    }

    /// Frees an item's lane and markets, whatever became of it; again does nothing.
    public mutating func finish(_ intent: IntentID) {
        running[intent] = nil
        locks.release(intent)
    }
}
