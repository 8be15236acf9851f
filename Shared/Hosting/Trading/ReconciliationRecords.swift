import Domain
import Postgres

/// What the newest comparison of our books with a venue's found, as it is stored.
public struct ReconciliationRecord: Hashable, Sendable, Codable {
    public enum Verdict: String, Hashable, Sendable, Codable, CaseIterable {
        case equal
        case differs
        /// An order is open, a difference is being mended, or our books moved meanwhile.
        case waiting
        case unreachable
        /// The venue keeps nothing for us.
        case ownBooks = "own_books"
    }

    /// One line of what differs.
    public struct Difference: Hashable, Sendable, Codable {
        /// What kind, as `position` or `foreign_fill`: a bounded set.
        public let code: String
        /// The order, fill or market; empty for the balance.
        public let subject: String
        public let market: String?
        /// In units of the kind: 1/100 contract, 1/1000000 dollar; nil where there is none.
        public let ours: Int64?
        public let venues: Int64?
        /// Whether our own machinery mends it.
        public let isMended: Bool

        public init(
            code: String, subject: String, market: String? = nil, ours: Int64? = nil, venues: Int64? = nil,
            isMended: Bool
        ) {
            self.code = code
            self.subject = subject
            self.market = market
            self.ours = ours
            self.venues = venues
            self.isMended = isMended
        }

        public var name: String { "\(code):\(subject)" }
    }

    public var verdict: Verdict
    public var reason = ""
    public var lookedBy: String
    /// The database's time in microseconds since 1970, before the venue was asked.
    public var lookedAt: Int64
    public var equalAt: Int64?
    public var differsSince: Int64?
    public var orders = 0
    public var fills = 0
    public var positions = 0
    /// In 1/1000000 dollar.
    public var balance: Int64?
    /// As the venue says, whatever was accepted.
    public var venueBalance: Int64?
    /// Venue time in microseconds: orders and fills before it are known to be equal.
    public var comparedTo: Int64?
    public var differences: [Difference] = []
    /// Names of what engaged the kill switch; empty once the books were equal.
    public var haltedFor: [String] = []

    public init(verdict: Verdict, lookedBy: String, lookedAt: Int64) {
        self.verdict = verdict
        self.lookedBy = lookedBy
        self.lookedAt = lookedAt
    }
}

/// A fill of an order that is not ours.
public struct ForeignFill: Hashable, Sendable, Codable {
    public let fill: String
    public let venueOrder: String
    public let market: String
    public let bought: String?
    /// In 1/10000 dollar.
    public let yesPrice: Int64
    /// In 1/100 contract.
    public let quantity: Int64
    /// In 1/1000000 dollar; nil when the venue did not say, or nobody kept it yet.
    public let fee: Int64?
    /// Venue time in microseconds.
    public let venueAt: Int64

    public init(
        fill: String, venueOrder: String, market: String, bought: String?, yesPrice: Int64, quantity: Int64,
        fee: Int64? = nil, venueAt: Int64
    ) {
        self.fill = fill
        self.venueOrder = venueOrder
        self.market = market
        self.bought = bought
        self.yesPrice = yesPrice
        self.quantity = quantity
        self.fee = fee
        self.venueAt = venueAt
    }
}

extension ForeignFill {
    /// Reads a row of `foreign_fills`.
    init(_ row: Row) throws {
        self.init(
            fill: try row.text("fill_id"), venueOrder: try row.text("venue_order_id"),
            market: try row.text("market_id"), bought: try row.textOrNil("bought"),
            yesPrice: try row.int64("yes_price"), quantity: try row.int64("quantity"),
            fee: try row.int64OrNil("fee"), venueAt: try row.int64("venue_at"))
    }
}

/// The results of reconciliation in PostgreSQL, of one account at one venue.
public struct ReconciliationStore: Sendable {
    /// What differs rightly, as it was accepted.
    public struct Acceptance: Hashable, Sendable {
        public let code: String
        public let subject: String
        public let amount: Int64?
    }

    public let account: TradingAccount
    public let venue: Venue

    public init(_ account: TradingAccount, at venue: Venue) {
        self.account = account
        self.venue = venue
    }

    // MARK: The newest result

    /// Nil before the first look.
    public func read(_ database: some PostgresQuerying) async throws -> ReconciliationRecord? {
        try await database.first(
            """
            SELECT *, (extract(epoch FROM looked_at) * 1000000)::int8 AS looked,
                (extract(epoch FROM equal_at) * 1000000)::int8 AS equal,
                (extract(epoch FROM differs_since) * 1000000)::int8 AS since
            FROM reconciliations WHERE account = \(account.name) AND venue = \(venue.rawValue)
            """
        ).map { row in
            var record = ReconciliationRecord(
                verdict: try row.choice("verdict"), lookedBy: try row.text("looked_by"),
                lookedAt: try row.int64("looked"))
            record.reason = try row.text("reason")
            record.equalAt = try row.int64OrNil("equal")
            record.differsSince = try row.int64OrNil("since")
            record.orders = try row.int("orders")
            record.fills = try row.int("fills")
            record.positions = try row.int("positions")
            record.balance = try row.int64OrNil("balance")
            record.venueBalance = try row.int64OrNil("venue_balance")
            record.comparedTo = try row.int64OrNil("compared_to")
            record.differences = try row.json("differences")
            record.haltedFor = try row.json("halted_for")
            return record
        }
    }

    /// Replaces what the looks before said; an older look than is stored changes nothing.
    public func write(_ record: ReconciliationRecord, _ transaction: PostgresTransaction) async throws {
        try await transaction.execute(
            """
            INSERT INTO reconciliations AS r (account, venue, verdict, reason, looked_by, looked_at, equal_at,
                differs_since, orders, fills, positions, balance, venue_balance, compared_to, differences, halted_for)
            VALUES (\(account.name), \(venue.rawValue), \(record.verdict.rawValue), \(record.reason),
                \(record.lookedBy), \(Self.time(record.lookedAt)), \(Self.time(record.equalAt)),
                \(Self.time(record.differsSince)), \(Int64(record.orders)), \(Int64(record.fills)),
                \(Int64(record.positions)), \(record.balance as Int64?), \(record.venueBalance as Int64?),
                \(record.comparedTo as Int64?), \(.json(record.differences)), \(.json(record.haltedFor)))
            ON CONFLICT (account, venue) DO UPDATE SET verdict = excluded.verdict, reason = excluded.reason,
                looked_by = excluded.looked_by, looked_at = excluded.looked_at, equal_at = excluded.equal_at,
                differs_since = excluded.differs_since, orders = excluded.orders, fills = excluded.fills,
                positions = excluded.positions, balance = excluded.balance, venue_balance = excluded.venue_balance,
                compared_to = excluded.compared_to, differences = excluded.differences,
                halted_for = excluded.halted_for
            WHERE r.looked_at <= excluded.looked_at
            """)
    }

    // MARK: What the venue has paid

    /// Venue time in microseconds from which its list of settlements is still to be read: up to there it was read, or
    /// the books were compared when nobody had read it yet; nil before both.
    public func settlementsRead(_ database: some PostgresQuerying) async throws -> Int64? {
        try await database.first(
            """
            SELECT coalesce(settlements_read_to, compared_to) AS until FROM reconciliations
            WHERE account = \(account.name) AND venue = \(venue.rawValue)
            """
        )?.int64OrNil("until")
    }

    /// The list was read whole up to this venue time.
    public func setSettlementsRead(_ until: VenueInstant, _ database: some PostgresQuerying) async throws {
        try await database.execute(
            """
            UPDATE reconciliations SET settlements_read_to = \(until.microseconds)
            WHERE account = \(account.name) AND venue = \(venue.rawValue)
            """)
    }

    static func time(_ microseconds: Int64?) -> SQL {
        "timestamptz 'epoch' + \(microseconds as Int64?)::int8 * interval '1 microsecond'"
    }

    // MARK: A look that a person wants

    /// Asks for a look now.
    ///
    /// - Returns: the database's time in microseconds; a look that began later has heard of it.
    public func request(_ database: some PostgresQuerying) async throws -> Int64 {
        let row = try await database.first(
            """
            INSERT INTO reconciliation_requests (account, venue, wanted_at)
            VALUES (\(account.name), \(venue.rawValue), clock_timestamp())
            ON CONFLICT (account, venue) DO UPDATE SET wanted_at = excluded.wanted_at
            RETURNING (extract(epoch FROM wanted_at) * 1000000)::int8 AS wanted
            """)
        guard let row else { throw PostgresError(.permanent, "no time", context: "reconciliation request") }
        return try row.int64("wanted")
    }

    /// When a look was last asked for, in the database's time.
    public func requested(_ database: some PostgresQuerying) async throws -> Int64? {
        try await database.first(
            """
            SELECT (extract(epoch FROM wanted_at) * 1000000)::int8 AS wanted FROM reconciliation_requests
            WHERE account = \(account.name) AND venue = \(venue.rawValue)
            """
        )?.int64("wanted")
    }

    // MARK: What a person accepted

    public func accepted(_ database: some PostgresQuerying) async throws -> [Acceptance] {
        try await database.query(
            """
            SELECT code, subject, amount FROM reconciliation_accepted
            WHERE account = \(account.name) AND venue = \(venue.rawValue) ORDER BY code, subject
            """
        ).map {
            Acceptance(
                code: try $0.text("code"), subject: try $0.text("subject"), amount: try $0.int64OrNil("amount"))
        }
    }

    /// From now on the venue differs rightly by this much; what was accepted before of the same thing is added to.
    public func accept(
        _ code: String, _ subject: String, more amount: Int64?, reason: String, by: String,
        _ transaction: PostgresTransaction
    ) async throws {
        try await transaction.execute(
            """
            INSERT INTO reconciliation_accepted AS a (account, venue, code, subject, amount, reason, accepted_by)
            VALUES (\(account.name), \(venue.rawValue), \(code), \(subject), \(amount as Int64?), \(reason), \(by))
            ON CONFLICT (account, venue, code, subject) DO UPDATE SET amount = a.amount + excluded.amount,
                reason = excluded.reason, accepted_by = excluded.accepted_by, accepted_at = now()
            """)
        try await AuditEntry(
            "reconciliation_accepted", market: code == "position" ? try? MarketID(subject) : nil,
            details: [
                "account": account.name, "venue": venue.rawValue, "code": code, "subject": subject,
                "amount": amount.map(String.init) ?? "", "reason": reason, "by": by,
            ]
        ).write(transaction)
    }

    /// Accepts everything that the newest look calls a difference of a person's business; the next look is asked for.
    ///
    /// - Returns: what was accepted.
    public func acceptAll(
        reason: String, by: String, _ transaction: PostgresTransaction
    ) async throws -> [ReconciliationRecord.Difference] {
        // Two who accept the same thing at once must not add it up twice.
        try await transaction.execute(
            """
            SELECT 1 FROM reconciliations WHERE account = \(account.name) AND venue = \(venue.rawValue) FOR UPDATE
            """)
        guard let record = try await read(transaction), record.verdict == .differs else { return [] }
        let differences = record.differences.filter { !$0.isMended }
        for difference in differences {
            var more: Int64?
            if difference.code == "position" || difference.code == "balance" {
                more = (difference.venues ?? 0) - (difference.ours ?? 0)
            }
            try await accept(difference.code, difference.subject, more: more, reason: reason, by: by, transaction)
        }
        var next = record
        next.verdict = .waiting
        next.reason = "accepted by \(by), not looked at again"
        try await write(next, transaction)
        _ = try await request(transaction)
        return differences
    }

    /// What the venue's balance is above our books at the first comparison: from then on it must stay so.
    ///
    /// - Returns: whether there was none before.
    public func setBaseline(_ amount: Int64, by: String, _ transaction: PostgresTransaction) async throws -> Bool {
        let set = try await transaction.execute(
            """
            INSERT INTO reconciliation_accepted (account, venue, code, subject, amount, reason, accepted_by)
            VALUES (\(account.name), \(venue.rawValue), 'balance', '', \(amount), 'first comparison', \(by))
            ON CONFLICT (account, venue, code, subject) DO NOTHING
            """)
        guard set == 1 else { return false }
        try await AuditEntry(
            "reconciliation_baseline",
            details: ["account": account.name, "venue": venue.rawValue, "amount": "\(amount)", "by": by]
        ).write(transaction)
        return true
    }

    // MARK: Fills of others

    /// Keeps fills that are not ours, and the fees of those that were kept without.
    ///
    /// - Returns: those that were not known before.
    public func keep(_ fills: [ForeignFill], _ transaction: PostgresTransaction) async throws -> [ForeignFill] {
        var new: [ForeignFill] = []
        // In one order everywhere: two that keep, or keep and adopt, wait for each other in a line.
        for fill in fills.sorted(by: { ($0.venueAt, $0.fill) < ($1.venueAt, $1.fill) }) {
            let kept = try await transaction.execute(
                """
                INSERT INTO foreign_fills (account, venue, fill_id, venue_order_id, market_id, bought, yes_price,
                    quantity, fee, venue_at)
                VALUES (\(account.name), \(venue.rawValue), \(fill.fill), \(fill.venueOrder), \(fill.market),
                    \(fill.bought as String?), \(fill.yesPrice), \(fill.quantity), \(fill.fee as Int64?),
                    \(fill.venueAt))
                ON CONFLICT (account, venue, fill_id) DO NOTHING
                """)
            if kept == 1 { new.append(fill) } else if fill.fee != nil { try await addFee(of: fill, transaction) }
        }
        return new
    }

    private func addFee(of fill: ForeignFill, _ transaction: PostgresTransaction) async throws {
        try await transaction.execute(
            """
            UPDATE foreign_fills SET fee = \(fill.fee as Int64?) WHERE account = \(account.name)
                AND venue = \(venue.rawValue) AND fill_id = \(fill.fill) AND fee IS NULL
            """)
    }

    /// Those that nobody has adopted, newest first, at most so many.
    public func foreignFills(limit: Int, _ database: some PostgresQuerying) async throws -> [ForeignFill] {
        try await database.query(
            """
            SELECT * FROM foreign_fills
            WHERE account = \(account.name) AND venue = \(venue.rawValue) AND adopted_at IS NULL
            ORDER BY venue_at DESC, fill_id LIMIT \(Int64(limit))
            """
        ).map { try ForeignFill($0) }
    }
}
