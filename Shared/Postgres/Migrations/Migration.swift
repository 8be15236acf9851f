/// One step of the schema's history; its SQL never changes once released.
///
/// The rule that lets one image be rolled back without a restore: a migration only adds. What it adds has a default or
/// may be null, what the version before reads keeps its name and type, and what was never null or was one of a list
/// stays so. A migration that takes something away says with `oldestReader` which builds can still work with what is
/// left: the one before is always among them.
public struct Migration: Sendable {
    /// Starts at 1 and grows by 1.
    public let version: Int
    public let name: String
    /// Several statements, without transaction control: they run inside one transaction.
    public let sql: String
    /// The least version that a build must know to run on the schema after this migration; 1 for one that only adds.
    public let oldestReader: Int

    public init(version: Int, name: String, sql: String, oldestReader: Int = 1) {
        precondition(version > 0, "migration version \(version)")
        precondition((1...version).contains(oldestReader), "migration \(version) is read from \(oldestReader) on")
        self.version = version
        self.name = name
        self.sql = sql
        self.oldestReader = oldestReader
    }

    /// Where the SQL stands, for error messages.
    public var file: String {
        let digits = String(version)
        return "M\(String(repeating: "0", count: max(0, 4 - digits.count)))\(digits)-\(name).sql"
    }

    /// Linesman's whole history, oldest first.
    public static let all: [Migration] = [
        Migration(version: 1, name: "fleet", file: PackageResources.M0001_fleet_sql),
        Migration(version: 2, name: "trading", file: PackageResources.M0002_trading_sql),
        Migration(version: 3, name: "records", file: PackageResources.M0003_records_sql),
        Migration(version: 4, name: "positions", file: PackageResources.M0004_positions_sql),
        Migration(version: 5, name: "failures", file: PackageResources.M0005_failures_sql),
        Migration(version: 6, name: "drains", file: PackageResources.M0006_drains_sql),
        Migration(version: 7, name: "lives", file: PackageResources.M0007_lives_sql),
        Migration(version: 8, name: "balances", file: PackageResources.M0008_balances_sql),
        Migration(version: 9, name: "desk", file: PackageResources.M0009_desk_sql),
        Migration(version: 10, name: "audit", file: PackageResources.M0010_audit_sql),
        Migration(version: 11, name: "exits", file: PackageResources.M0011_exits_sql),
        Migration(version: 12, name: "reconciliation", file: PackageResources.M0012_reconciliation_sql),
        Migration(version: 13, name: "plans", file: PackageResources.M0013_plans_sql),
        Migration(version: 14, name: "alerts", file: PackageResources.M0014_alerts_sql),
        Migration(version: 15, name: "settlements", file: PackageResources.M0015_settlements_sql),
        Migration(version: 16, name: "accounts", file: PackageResources.M0016_accounts_sql),
        Migration(version: 17, name: "reduce-only", file: PackageResources.M0017_reduce_only_sql),
        Migration(version: 18, name: "rules", file: PackageResources.M0018_rules_sql),
        Migration(version: 19, name: "adoption", file: PackageResources.M0019_adoption_sql),
    ]

    /// A file that the build has put into the program; the line feed at its end is not part of the SQL.
    private init(version: Int, name: String, file: [UInt8], oldestReader: Int = 1) {
        let text = file.last == 0x0A ? file.dropLast() : file[...]
        self.init(
            version: version, name: name, sql: String(decoding: text, as: UTF8.self), oldestReader: oldestReader)
    }
}
