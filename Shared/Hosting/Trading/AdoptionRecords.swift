import Domain
import Postgres

/// What a person wants to be Linesman's own: fills of orders that we do not know (decision 0082).
public struct AdoptionRequest: Hashable, Sendable {
    /// Of the signal that stands before an adopted order: nobody's advice led to it.
    public static let signalKind = "adopted"

    public let number: Int64
    /// Identifiers of fills, whose orders are adopted as a whole; empty for all that are kept.
    public let fills: [String]
    public let reason: String
    public let author: String
}

/// What became of one fill that was to be adopted.
public struct AdoptionLine: Hashable, Sendable, Codable {
    public let fill: String
    /// As it is kept; nil when there is none of that name.
    public let kept: ForeignFill?
    /// The order of ours that it belongs to now, or did before; nil when it is not ours.
    public let order: String?
    /// As booked, in 1/1000000 dollar.
    public let fee: Int64?
    /// Whether the venue did not tell the fee, and it is the one of its published schedule.
    public let isFeeComputed: Bool
    /// Why it was not adopted, one of a bounded set; nil when it was.
    public let refusal: String?
    /// The same for people.
    public let explanation: String?

    public init(
        fill: String, kept: ForeignFill?, order: String? = nil, fee: Int64? = nil, isFeeComputed: Bool = false,
        refusal: String? = nil, explanation: String? = nil
    ) {
        self.fill = fill
        self.kept = kept
        self.order = order
        self.fee = fee
        self.isFeeComputed = isFeeComputed
        self.refusal = refusal
        self.explanation = explanation
    }

    public var isAdopted: Bool { refusal == nil }
}

/// A fill that is kept, and the order of ours under which it was adopted.
public struct KeptFill: Hashable, Sendable {
    public let fill: ForeignFill
    /// Nil as long as nobody has adopted it.
    public let order: String?
}

extension ReconciliationStore {
    /// How long a request is good for: what the account holds then is no longer what its author saw.
    private static let life: SQL = "interval '1 hour'"

    // MARK: Who asks

    /// Asks the execution-service to adopt fills; a look must be asked for besides.
    ///
    /// - Returns: the number under which the answer will be found.
    public func askToAdopt(
        _ fills: [String], reason: String, by author: String, _ database: some PostgresQuerying
    ) async throws -> Int64 {
        let row = try await database.first(
            """
            INSERT INTO adoption_requests (account, venue, fills, reason, asked_by)
            VALUES (\(account.name), \(venue.rawValue), \(.json(fills)), \(reason), \(author)) RETURNING number
            """)
        guard let row else { throw PostgresError(.permanent, "no number", context: "adoption request") }
        return try row.int64("number")
    }

    /// What became of a request; nil as long as nobody has carried it out.
    public func adoptionAnswer(to number: Int64, _ database: some PostgresQuerying) async throws -> [AdoptionLine]? {
        try await database.first("SELECT answer FROM adoption_requests WHERE number = \(number)")?
            .jsonOrNil("answer", as: [AdoptionLine].self)
    }

    // MARK: Who carries it out

    /// What was asked before a moment of the database's time, in microseconds, lately, and not answered: oldest first.
    public func adoptionsAsked(
        before moment: Int64, _ database: some PostgresQuerying
    ) async throws -> [AdoptionRequest] {
        try await database.query(
            """
            SELECT number, fills, reason, asked_by FROM adoption_requests
            WHERE account = \(account.name) AND venue = \(venue.rawValue) AND answered_at IS NULL
                AND asked_at <= \(Self.time(moment)) AND asked_at > clock_timestamp() - \(Self.life)
            ORDER BY number
            """
        ).map { row in
            AdoptionRequest(
                number: try row.int64("number"), fills: try row.json("fills", as: [String].self),
                reason: try row.text("reason"), author: try row.text("asked_by"))
        }
    }

    /// Locks a request until the transaction ends.
    ///
    /// - Returns: false when somebody has answered it.
    public func take(_ request: AdoptionRequest, _ transaction: PostgresTransaction) async throws -> Bool {
        try await transaction.first(
            """
            SELECT number FROM adoption_requests WHERE number = \(request.number) AND answered_at IS NULL FOR UPDATE
            """) != nil
    }

    /// The fills that a request is about, with the others of their orders, locked and oldest first.
    ///
    /// When it names none it is about those that a look calls `foreign`; at most a thousand at a time.
    public func keptFills(
        for request: AdoptionRequest, foreign: Set<FillID>, _ transaction: PostgresTransaction
    ) async throws -> [KeptFill] {
        let names = request.fills.isEmpty ? foreign.map(\.rawValue).sorted() : request.fills
        return try await transaction.query(
            """
            SELECT * FROM foreign_fills
            WHERE account = \(account.name) AND venue = \(venue.rawValue) AND venue_order_id IN (
                SELECT venue_order_id FROM foreign_fills WHERE account = \(account.name)
                    AND venue = \(venue.rawValue) AND fill_id = ANY(\(names)::text[]))
            ORDER BY venue_at, fill_id LIMIT 1000 FOR UPDATE
            """
        ).map { KeptFill(fill: try ForeignFill($0), order: try $0.textOrNil("order_id")) }
    }

    /// Locks the newest comparison, so that nobody accepts what is being adopted; after the fills, as a look does.
    public func lockComparison(_ transaction: PostgresTransaction) async throws {
        try await transaction.execute(
            """
            SELECT 1 FROM reconciliations WHERE account = \(account.name) AND venue = \(venue.rawValue) FOR UPDATE
            """)
    }

    /// Notes that fills are ours from now on, under an order; what was compared before counts no more.
    public func markAdopted(
        _ fills: [String], as order: OrderID, by author: String, _ transaction: PostgresTransaction
    ) async throws {
        try await transaction.execute(
            """
            UPDATE foreign_fills SET adopted_at = now(), order_id = \(order.rawValue)
            WHERE account = \(account.name) AND venue = \(venue.rawValue) AND fill_id = ANY(\(fills)::text[])
            """)
        try await transaction.execute(
            """
            UPDATE reconciliations SET verdict = 'waiting', reason = \("adopted by \(author), not looked at again"),
                looked_at = clock_timestamp()
            WHERE account = \(account.name) AND venue = \(venue.rawValue)
            """)
    }

    /// Writes down what became of a request, once.
    public func answer(
        _ request: AdoptionRequest, _ lines: [AdoptionLine], by name: String, _ transaction: PostgresTransaction
    ) async throws {
        try await transaction.execute(
            """
            UPDATE adoption_requests
            SET answered_at = clock_timestamp(), answered_by = \(name), answer = \(.json(lines))
            WHERE number = \(request.number)
            """)
    }
}
