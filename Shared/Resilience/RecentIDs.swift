/// The identifiers heard of lately, a bounded number: what is told at least once is acted on once.
public struct RecentIDs: Sendable {
    private var known: Set<String> = []
    private var order: [String] = []
    private var next = 0
    private let limit: Int

    /// Remembers the last `limit` identifiers, at least one.
    public init(limit: Int = 4_096) { self.limit = max(limit, 1) }

    /// - Returns: whether it is new.
    public mutating func insert(_ id: String) -> Bool {
        guard known.insert(id).inserted else { return false }
        if order.count < limit {
            order.append(id)
        } else {
            known.remove(order[next])
            order[next] = id
            next = (next + 1) % limit
        }
        return true
    }
}
