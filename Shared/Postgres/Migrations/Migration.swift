/// One step of the schema's history; its SQL never changes once released.
public struct Migration: Sendable {
    /// Starts at 1 and grows by 1.
    public let version: Int
    public let name: String
    /// Several statements, without transaction control: they run inside one transaction.
    public let sql: String

    public init(version: Int, name: String, sql: String) {
        precondition(version > 0, "migration version \(version)")
        self.version = version
        self.name = name
        self.sql = sql
    }

    /// Linesman's whole history, oldest first.
    public static let all: [Migration] = [m0001Fleet, m0002Trading, m0003Records, m0004Positions]
}
