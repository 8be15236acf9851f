/// An announcement that waits in the database, written with the change it announces.
public struct OutboxRow: Hashable, Sendable {
    /// Grows in the order of writing; `messageID` makes a repeated publication recognisable.
    public let id: Int64
    public let topic: String
    /// The game or the order whose announcements stay in order.
    public let key: String
    public let messageType: String
    /// A JSON document.
    public let payload: String
    public let trace: String
    /// The database's time of writing, microseconds since 1970.
    public let createdAt: Int64
    /// How often it failed while others could be published.
    public let attempts: Int

    /// The same at every publication of this row.
    public var messageID: String { "outbox:\(id)" }
}

/// The outbox table (DESIGN rule 3).
public enum OutboxStore {
    /// Writes an announcement into the transaction of the change it announces; nudge the relay after the commit.
    ///
    /// Order per key is the order of `id`. Writers of one key hold a lock in common (the game's or the order's row),
    /// else a later `id` may be committed, and published, first.
    ///
    /// The payload is a JSON document; the result is the row's id.
    @discardableResult
    public static func append(
        topic: String, key: String, messageType: String, payload: String, trace: String,
        in transaction: PostgresTransaction
    ) async throws -> Int64 {
        let row = try await transaction.first(insert(topic, key, messageType, payload, trace))
        guard let row else {
            throw PostgresError(.permanent, "no id for the outbox row", context: transaction.name)
        }
        return try row.int64("id")
    }

    /// As `append`, with what the transaction sends next, for who does not want the row's id.
    public static func enqueue(
        topic: String, key: String, messageType: String, payload: String, trace: String,
        in transaction: PostgresTransaction
    ) throws {
        try transaction.enqueue(insert(topic, key, messageType, payload, trace))
    }

    private static func insert(
        _ topic: String, _ key: String, _ messageType: String, _ payload: String, _ trace: String
    ) -> SQL {
        """
        INSERT INTO outbox (topic, key, message_type, payload, trace)
        VALUES (\(topic), \(key), \(messageType), \(.jsonText(payload)), \(trace)) RETURNING id
        """
    }

    /// Unpublished rows, oldest first, locked until the transaction ends: `limit` of keys in which nothing has failed.
    ///
    /// A key's rows are given only to who holds the lock of its oldest one, so several relays share the work and each
    /// key stays in order. What has been committed late is found like any other row: rows are chosen by what they are,
    /// not by where somebody stopped.
    public static func take(_ limit: Int, in transaction: PostgresTransaction) async throws -> [OutboxRow] {
        let heads = try await transaction.query(
            """
            SELECT key FROM outbox
            WHERE published_at IS NULL AND next_attempt_at IS NULL AND id IN (
                SELECT DISTINCT ON (key) id FROM (
                    SELECT id, key FROM outbox AS waiting
                    WHERE published_at IS NULL AND NOT EXISTS (
                        SELECT 1 FROM outbox AS failed
                        WHERE failed.key = waiting.key AND failed.published_at IS NULL
                            AND failed.next_attempt_at IS NOT NULL)
                    ORDER BY id LIMIT \(limit)
                ) AS oldest ORDER BY key, id)
            ORDER BY id FOR UPDATE SKIP LOCKED
            """)
        guard !heads.isEmpty else { return [] }
        let keys = try heads.map { try $0.text("key") }
        return try await transaction.query(
            """
            SELECT \(columns) FROM outbox
            WHERE published_at IS NULL AND key = ANY(\(keys))
            ORDER BY id LIMIT \(limit) FOR UPDATE
            """
        ).map(row)
    }

    /// Rows that have failed and whose time has come, one for each key, locked until the transaction ends.
    ///
    /// `evenEarly` takes them before their time: why they failed is over.
    public static func takeFailed(
        _ limit: Int, evenEarly: Bool = false, in transaction: PostgresTransaction
    ) async throws -> [OutboxRow] {
        try await transaction.query(
            """
            SELECT \(columns) FROM outbox
            WHERE published_at IS NULL AND (next_attempt_at <= clock_timestamp()
                OR next_attempt_at IS NOT NULL AND \(evenEarly))
            ORDER BY next_attempt_at LIMIT \(limit) FOR UPDATE SKIP LOCKED
            """
        ).map(row)
    }

    private static let columns: SQL = "id, topic, key, message_type, payload, trace, created_at, attempts"

    private static func row(_ row: Row) throws -> OutboxRow {
        OutboxRow(
            id: try row.int64("id"), topic: try row.text("topic"), key: try row.text("key"),
            messageType: try row.text("message_type"), payload: try row.text("payload"), trace: try row.text("trace"),
            createdAt: try row.timestampMicros("created_at"), attempts: try row.int("attempts"))
    }

    /// Marks them, and tells how many were not marked before.
    @discardableResult
    public static func markPublished(_ ids: [Int64], in transaction: PostgresTransaction) async throws -> Int {
        guard !ids.isEmpty else { return 0 }
        return try await transaction.execute(
            "UPDATE outbox SET published_at = now() WHERE id = ANY(\(ids)) AND published_at IS NULL")
    }

    /// Lets its key wait until it is tried again.
    static func postpone(
        _ row: OutboxRow, attempts: Int, by delay: Duration, in transaction: PostgresTransaction
    ) async throws {
        try await transaction.execute(
            """
            UPDATE outbox SET attempts = \(attempts),
                next_attempt_at = clock_timestamp() + make_interval(secs => \(delay.inSeconds))
            WHERE id = \(row.id) AND published_at IS NULL
            """)
    }

    /// Puts it aside for the operator, so that its key goes on without it.
    static func bury(
        _ row: OutboxRow, attempts: Int, failure: String, in transaction: PostgresTransaction
    ) async throws {
        try await transaction.execute(
            """
            WITH dead AS (DELETE FROM outbox WHERE id = \(row.id) AND published_at IS NULL RETURNING *)
            INSERT INTO outbox_dead_letters
                (id, topic, key, message_type, payload, trace, created_at, attempts, failure)
            SELECT id, topic, key, message_type, payload, trace, created_at, \(attempts), \(failure) FROM dead
            """)
    }

    /// Removes, among the oldest `limit` rows, those that were published longer ago than `age`; tells how many.
    @discardableResult
    public static func prune(
        olderThan age: Duration, limit: Int, _ database: some PostgresQuerying
    ) async throws -> Int {
        try await database.execute(
            """
            DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT \(limit))
                AND published_at < now() - make_interval(secs => \(age.inSeconds))
            """)
    }

    /// How many wait, and for how long the oldest has.
    public static func backlog(_ database: some PostgresQuerying) async throws -> (count: Int, oldest: Duration) {
        let row = try await database.first(
            """
            SELECT count(*) AS count,
                coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS age
            FROM outbox WHERE published_at IS NULL
            """)
        return (try row?.int("count") ?? 0, .seconds(try row?.double("age") ?? 0))
    }
}
