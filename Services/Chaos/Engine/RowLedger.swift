/// Rows by name: what was seen to be committed once must be there for good, whatever else was stored since.
public struct RowLedger: Hashable, Sendable {
    /// What is stored once and never removed.
    public enum Table: String, Hashable, Sendable, CaseIterable {
        case signals
        case intents
        case fills
    }

    private var seen: [Table: Set<String>] = [:]
    private var gone: Set<String> = []

    public init() {}

    public mutating func saw(_ names: some Sequence<String>, in table: Table) {
        seen[table, default: []].formUnion(names)
    }

    /// Of which PostgreSQL is to be asked.
    public func names(in table: Table) -> [String] { seen[table].map { $0.sorted() } ?? [] }

    /// PostgreSQL does not have these any more.
    public mutating func databaseLacks(_ names: some Sequence<String>, in table: Table) {
        gone.formUnion(names.map { "\(table.rawValue) \($0)" })
    }

    /// How many were gone at some look.
    public var missing: Int { gone.count }
}
