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
        let row = try await transaction.first(
            """
            INSERT INTO outbox (topic, key, message_type, payload, trace)
            VALUES (\(topic), \(key), \(messageType), \(.jsonText(payload)), \(trace)) RETURNING id
            """)
        guard let row else {
            throw PostgresError(.permanent, "no id for the outbox row", context: transaction.name)
        }
        return try row.int64("id")
    }

    /// Unpublished rows, oldest first, locked until the transaction ends.
    ///
    /// A key's rows are given only to who holds the lock of its oldest one, so several relays share the work and each
    /// key stays in order.
    public static func take(_ limit: Int, in transaction: PostgresTransaction) async throws -> [OutboxRow] {
        let heads = try await transaction.query(
            """
            SELECT key FROM outbox
            WHERE published_at IS NULL AND id IN (
                SELECT DISTINCT ON (key) id FROM (
                    SELECT id, key FROM outbox WHERE published_at IS NULL ORDER BY id LIMIT \(limit)
                ) AS oldest ORDER BY key, id)
            ORDER BY id FOR UPDATE SKIP LOCKED
            """)
        guard !heads.isEmpty else { return [] }
        let keys = try heads.map { try $0.text("key") }
        return try await transaction.query(
            """
            SELECT id, topic, key, message_type, payload, trace, created_at FROM outbox
            WHERE published_at IS NULL AND key = ANY(\(keys))
            ORDER BY id LIMIT \(limit) FOR UPDATE
            """
        ).map { row in
            OutboxRow(
                id: try row.int64("id"), topic: try row.text("topic"), key: try row.text("key"),
                messageType: try row.text("message_type"), payload: try row.text("payload"),
                trace: try row.text("trace"), createdAt: try row.timestampMicros("created_at"))
        }
    }

    /// Marks them, and tells how many were not marked before.
    @discardableResult
    public static func markPublished(_ ids: [Int64], in transaction: PostgresTransaction) async throws -> Int {
        guard !ids.isEmpty else { return 0 }
        return try await transaction.execute(
            "UPDATE outbox SET published_at = now() WHERE id = ANY(\(ids)) AND published_at IS NULL")
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
