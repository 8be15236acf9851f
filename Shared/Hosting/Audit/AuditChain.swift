import Postgres

/// The audit log's chain in PostgreSQL: seals what is settled, and checks what is sealed.
///
/// Rows are written without a hash, so that no transaction that moves money waits for a chain. Afterwards they are
/// sealed in the order of (transaction, id), and only those of transactions below the oldest one that still runs: none
/// can come in between any more. The lock is the row of `audit_chain`; who does not get it leaves the work to who has
/// it. Rows and chain's end are one transaction: a sealer may end anywhere.
public struct AuditChain: Sendable {
    public enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        /// `audit_chain` has no row: somebody removed it.
        case noEnd
        /// Rows changed while they were being sealed.
        case changed(expected: Int, sealed: Int)

        public var description: String {
            switch self {
            case .noEnd: "audit_chain has no row: run `linesman audit verify`"
            case .changed(let expected, let sealed): "\(sealed) of \(expected) audit rows took their seal"
            }
        }
    }

    /// What one round did.
    public enum Round: Hashable, Sendable {
        /// `isWhole` when no settled row was left.
        case sealed(Int, isWhole: Bool)
        /// Another sealer is at it.
        case busy
    }

    /// What waits for its seal.
    public struct Backlog: Hashable, Sendable {
        public let rows: Int64
        /// Since the oldest of them was written; zero when none waits.
        public let age: Duration
    }

    /// Rows sealed in one transaction.
    public static let batch = 1_000

    private let database: PostgresPool

    public init(_ database: PostgresPool) { self.database = database }

    // MARK: Sealing

    /// Seals at most one batch of settled rows.
    public func seal(limit: Int = Self.batch) async throws -> Round {
        try await database.transaction("seal audit") { transaction in
            let end = try await transaction.first(
                "SELECT position, hash FROM audit_chain WHERE id = 1 FOR UPDATE SKIP LOCKED")
            guard let end else {
                let isThere = try await transaction.first("SELECT 1 AS one FROM audit_chain") != nil
                guard isThere else { throw Failure.noEnd }
                return .busy
            }
            // The horizon and the rows are read in one statement, and so in one snapshot.
            let rows = try await transaction.query(
                """
                SELECT \(AuditRow.columns) FROM audit_log
                WHERE hash IS NULL AND (writer IS NULL OR writer < pg_snapshot_xmin(pg_current_snapshot()))
                ORDER BY audit_log.writer NULLS FIRST, audit_log.id LIMIT \(limit)
                """
            ).map { try AuditRow($0) }
            guard !rows.isEmpty else { return .sealed(0, isWhole: true) }
            try await store(Self.chain(rows, after: try Self.head(end)), transaction)
            return .sealed(rows.count, isWhole: rows.count < limit)
        }
    }

    static func chain(_ rows: [AuditRow], after head: AuditHead) -> [SealedRow] {
        var (head, sealed) = (head, [SealedRow]())
        sealed.reserveCapacity(rows.count)
        for row in rows {
            let next = SealedRow(row, after: head)
            sealed.append(next)
            head = AuditHead(position: next.position, hash: next.hash ?? .origin)
        }
        return sealed
    }

    private func store(_ sealed: [SealedRow], _ transaction: PostgresTransaction) async throws {
        let count = try await transaction.execute(
            """
            UPDATE audit_log a SET position = s.position, previous_hash = decode(s.previous, 'hex'),
                hash = decode(s.hash, 'hex')
            FROM unnest(\(sealed.map(\.row.id)), \(sealed.map(\.position)),
                \(sealed.map { "\($0.previous ?? .origin)" }), \(sealed.map { "\($0.hash ?? .origin)" }))
                AS s (id, position, previous, hash)
            WHERE a.id = s.id AND a.hash IS NULL
            """)
        guard count == sealed.count, let last = sealed.last else {
            throw Failure.changed(expected: sealed.count, sealed: count)
        }
        try await transaction.execute(
            """
            UPDATE audit_chain SET position = \(last.position), hash = decode(\("\(last.hash ?? .origin)"), 'hex'),
                sealed_at = now()
            WHERE id = 1
            """)
    }

    /// Counted by the database's clock.
    public func backlog() async throws -> Backlog {
        let row = try await database.first(
            """
            SELECT count(*) AS rows,
                coalesce(greatest(0, extract(epoch FROM clock_timestamp() - min(at)) * 1000), 0)::int8 AS age
            FROM audit_log WHERE hash IS NULL
            """)
        guard let row else { return Backlog(rows: 0, age: .zero) }
        return Backlog(rows: try row.int64("rows"), age: .milliseconds(try row.int64("age")))
    }

    /// The transaction that rows wait for, in an operator's words; nil when none is open.
    public func oldestWriter() async throws -> String? {
        let row = try await database.first(
            """
            SELECT pid, datname, application_name, coalesce(state, '-') AS state,
                extract(epoch FROM clock_timestamp() - xact_start)::int8 AS seconds
            FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
            ORDER BY age(backend_xid) DESC LIMIT 1
            """)
        return try row.map {
            try "process \($0.int("pid")) (\($0.text("application_name")), database \($0.text("datname"))), "
                + "\($0.text("state")), open for \($0.int64("seconds")) s"
        }
    }

    /// The chain's end as it is stored; nil when its row is gone.
    public func head() async throws -> AuditHead? {
        try await database.first("SELECT position, hash FROM audit_chain WHERE id = 1").map { try Self.head($0) }
    }

    private static func head(_ row: Row) throws -> AuditHead {
        AuditHead(position: try row.int64("position"), hash: AuditHash(try row.bytes("hash")) ?? .origin)
    }

    // MARK: Checking

    /// What a check of the whole chain found.
    public struct Report: Sendable {
        /// Rows in the chain.
        public let rows: Int64
        public let head: AuditHead
        /// Rows that wait for their seal: nothing is said of them.
        public let waiting: Int64
        /// Heads kept outside the database that the chain was compared with.
        public let keptHeads: Int
        /// At most `AuditVerifier.findingsLimit`.
        public let findings: [AuditFinding]
        public let findingsCount: Int
    }

    /// Reads the whole chain in one snapshot, so that sealing goes on meanwhile.
    public func verify(
        kept: [KeptHead] = [], page: Int = 2_000, timeout: Duration = .seconds(3_600)
    ) async throws -> Report {
        try await database.transaction("verify audit", isolation: .repeatableRead, timeout: timeout) { transaction in
            // A long log takes longer than any statement of the suite may.
            try await transaction.script("SET LOCAL statement_timeout = 0")
            var verifier = AuditVerifier(kept: kept)
            var (position, id): (Int64, Int64) = (0, 0)
            while true {
                let rows = try await transaction.query(
                    """
                    SELECT \(SealedRow.columns) FROM audit_log
                    WHERE position IS NOT NULL AND hash IS NOT NULL AND position >= \(position)
                        AND (position, audit_log.id) > (\(position), \(id))
                    ORDER BY position, audit_log.id LIMIT \(page)
                    """
                ).map { try SealedRow($0) }
                for row in rows { verifier.take(row) }
                guard let last = rows.last, rows.count == page else { break }
                (position, id) = (last.position, last.row.id)
            }
            try await finish(&verifier, transaction)
            let waiting = try await transaction.first("SELECT count(*) AS n FROM audit_log WHERE hash IS NULL")
            return Report(
                rows: verifier.rows, head: verifier.head, waiting: try waiting?.int64("n") ?? 0, keptHeads: kept.count,
                findings: verifier.findings, findingsCount: verifier.findingsCount)
        }
    }

    private func finish(_ verifier: inout AuditVerifier, _ transaction: PostgresTransaction) async throws {
        let end = try await transaction.first("SELECT position, hash FROM audit_chain WHERE id = 1")
        let last = verifier.last?.place ?? AuditRow.Place(writer: 0, id: 0)
        let limit = AuditVerifier.findingsLimit
        let inserted = try await transaction.query(
            """
            SELECT id FROM audit_log WHERE hash IS NULL AND position IS NULL
                AND (coalesce(writer::text::int8, 0), id) < (\(last.writer), \(last.id)) ORDER BY id LIMIT \(limit)
            """
        ).map { try $0.int64("id") }
        let halfSealed = try await transaction.query(
            "SELECT id FROM audit_log WHERE (hash IS NULL) <> (position IS NULL) ORDER BY id LIMIT \(limit)"
        ).map { try $0.int64("id") }
        verifier.finish(end: try end.map { try Self.head($0) }, inserted: inserted, halfSealed: halfSealed)
    }
}
