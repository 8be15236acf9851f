import Domain

/// How urgent an order is: what limits a loss comes first (CHECKLIST S20, N33).
public enum OrderPriority: Int, Hashable, Comparable, Sendable, CaseIterable {
    case stopLoss
    /// Covers or unwinds a leg that stands alone.
    case repair
    case takeProfit
    case arbitrage
    case entry

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// What waits to be sent: the most urgent first, then the oldest; an account that may not send holds up nobody else.
public struct OrderQueue: Hashable, Sendable {
    public struct Item: Hashable, Sendable {
        public let intent: IntentID
        public let account: String
        /// All that it trades in.
        public let markets: Set<MarketID>
        public let priority: OrderPriority

        public init(intent: IntentID, account: String, markets: Set<MarketID> = [], priority: OrderPriority) {
            self.intent = intent
            self.account = account
            self.markets = markets
            self.priority = priority
        }
    }

    public let capacity: Int
    /// Items that had to go because more urgent ones came: the least urgent and newest first.
    public private(set) var dropped = 0
    private var items: [Item] = []
    private var known: Set<IntentID> = []

    public init(capacity: Int = 1_000) {
        precondition(capacity >= 1, "capacity \(capacity)")
        self.capacity = capacity
    }

    public var count: Int { items.count }

    /// Adds an item once; what is dropped for it is returned, it stays in the database and is found again there.
    @discardableResult
    public mutating func add(_ item: Item) -> Item? {
        guard known.insert(item.intent).inserted else { return nil }
        let index = items.firstIndex { $0.priority > item.priority } ?? items.count
        items.insert(item, at: index)
        if items.count <= capacity { return nil }
        dropped += 1
        let last = items.removeLast()
        known.remove(last.intent)
        return last
    }

    /// Takes the first item that may be sent now.
    public mutating func next(where maySend: (Item) -> Bool) -> Item? {
        guard let index = items.firstIndex(where: maySend) else { return nil }
        known.remove(items[index].intent)
        return items.remove(at: index)
    }

    public mutating func remove(_ intent: IntentID) {
        if known.remove(intent) != nil { items.removeAll { $0.intent == intent } }
    }
}
