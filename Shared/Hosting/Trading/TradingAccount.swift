import Domain
import Postgres
import Wire

/// The account that orders are paid from: one for paper and one for money, never mixed.
///
/// A database trades for one of them at a time. Whoever approves, sends or books takes the account's lock first and
/// learns under it whether it is this one, so that a process whose flags say something else than the others' does
/// nothing (CHECKLIST R89, decision 0081).
public struct TradingAccount: Hashable, Sendable {
    public let name: String

    public init(_ mode: TradingMode) { name = mode == .live ? "live" : "paper" }

    /// Opens it with the initial bankroll unless it is there; the first of a database is the one that it trades for.
    ///
    /// - Throws: `TradingAccountError` when the database trades for another.
    public func open(with initial: Money, _ database: some PostgresQuerying) async throws {
        if let trading = try await Self.trading(database), trading != name {
            throw TradingAccountError(account: name, trading: trading)
        }
        try await insert(initial, isFirst: "NOT EXISTS (SELECT FROM bankroll)", database)
        // Opened by a build that knew of no such choice.
        try await database.execute(
            """
            UPDATE bankroll SET is_trading = true
            WHERE account = \(name) AND NOT is_trading AND (SELECT count(*) FROM bankroll) = 1
            """)
        try await check(database)
    }

    /// - Throws: `TradingAccountError` when the database trades for another.
    public func check(_ database: some PostgresQuerying) async throws {
        let trading = try await Self.trading(database)
        guard trading == name else { throw TradingAccountError(account: name, trading: trading) }
    }

    /// The account that the database trades for; nil for none.
    public static func trading(_ database: some PostgresQuerying) async throws -> String? {
        try await database.first("SELECT account FROM bankroll WHERE is_trading")?.text("account")
    }

    private func insert(_ initial: Money, isFirst: SQL, _ database: some PostgresQuerying) async throws {
        // Of two that come at once with different accounts the second is not the first of the database any more.
        try await database.execute(
            """
            INSERT INTO bankroll (account, cash, initial, is_trading)
            VALUES (\(name), \(initial.microdollars), \(initial.microdollars), \(isFirst)) ON CONFLICT DO NOTHING
            """)
    }

    /// What of its money may be traded with, locked until the transaction ends: all but what is put aside.
    ///
    /// Every transaction that reserves, releases or books takes this lock first, so that they follow one another and
    /// none can wait for another in a circle.
    ///
    /// - Throws: `TradingAccountError` when the database trades for another by now.
    public func lock(_ transaction: PostgresTransaction) async throws -> Money { try await transaction.ask(locked) }

    /// The same, to be asked first among others.
    public var locked: PostgresQuestion<Money> {
        .first("SELECT cash - saved AS cash, is_trading FROM bankroll WHERE account = \(name) FOR UPDATE") {
            [name] row in
            guard let row else { throw PostgresError(.permanent, "no account \(name)", context: "account") }
            guard try row.bool("is_trading") else { throw TradingAccountError(account: name, trading: nil) }
            return try Money(microdollars: row.int64("cash"))
        }
    }

    /// Has the database trade for this account from now on, if nothing of another is open.
    ///
    /// One that trades for none, as after an upgrade from a build that knew of no such choice, takes what is open for
    /// this account's: only a person can know.
    ///
    /// - Returns: what is open, by name and number; empty when it was done, or was so before.
    public func use(
        initial: Money, reason: String, by author: String, _ transaction: PostgresTransaction
    ) async throws -> [String: Int64] {
        // Whoever trades holds one of these rows: from here on nothing new comes, and what was begun is seen.
        let before = try await transaction.query("SELECT account, is_trading FROM bankroll ORDER BY account FOR UPDATE")
            .first { try $0.bool("is_trading") }.map { try $0.text("account") }
        if before == name { return [:] }
        let open = before == nil ? [:] : try await Self.open(transaction)
        guard open.isEmpty else { return open }
        try await insert(initial, isFirst: "false", transaction)
        try await transaction.execute("UPDATE bankroll SET is_trading = false WHERE is_trading")
        try await transaction.execute("UPDATE bankroll SET is_trading = true WHERE account = \(name)")
        try await transaction.execute(
            """
            UPDATE orders SET account = \(name)
            WHERE account IS NULL AND state IN ('stored', 'sent', 'unknown', 'resting')
            """)
        try await AuditEntry(
            .accountChanged, details: ["from": before ?? "", "to": name, "reason": reason, "by": author]
        ).write(transaction)
        return [:]
    }

    /// What keeps a database from trading for another account: of this one it would be neither seen nor ended.
    public static func open(_ database: some PostgresQuerying) async throws -> [String: Int64] {
        let rows = try await database.query(
            """
            SELECT 'orders' AS what, count(*) AS n FROM orders WHERE state IN ('stored', 'sent', 'unknown', 'resting')
            UNION ALL SELECT 'intents', count(*) FROM intents WHERE state IN ('approved', 'sending')
            UNION ALL SELECT 'plans', count(*) FROM plans p WHERE state <> 'finished' OR (
                finished_at > now() - interval '1 day' AND ending <> 'naked' AND (
                    SELECT sum(CASE WHEN (i.leg = 1) = (o.action = 'buy') THEN o.filled ELSE -o.filled END)
                    FROM intents i JOIN orders o USING (intent_id) WHERE i.plan_id = p.plan_id) <> 0)
            UNION ALL SELECT 'reservations', count(*) FROM reservations WHERE state = 'held'
            UNION ALL SELECT 'positions', count(*) FROM positions WHERE state = 'open' AND net_quantity <> 0
            UNION ALL SELECT 'provisional fills', count(*) FROM fills WHERE standing = 'provisional'
            """)
        let counts = try rows.map { (try $0.text("what"), try $0.int64("n")) }
        return Dictionary(uniqueKeysWithValues: counts.filter { $0.1 > 0 })
    }
}

/// The database trades for another account than this process' flags say: nothing may be approved, sent or booked.
public struct TradingAccountError: Error, Hashable, Sendable, CustomStringConvertible {
    public let account: String
    /// Nil when it is not known, or none.
    public let trading: String?

    public init(account: String, trading: String?) {
        self.account = account
        self.trading = trading
    }

    public var description: String {
        "this database trades for \(trading.map { "the \($0) account" } ?? "another account, or none yet"), and the "
            + "flags here are "
            + "those of \(account): give this process the flags of the others, or have the database trade for "
            + "\(account) with `linesman account use \(account) --reason …`"
    }
}
