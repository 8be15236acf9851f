import Postgres

extension AuditRow {
    /// The columns that `init(_:)` reads.
    static let columns: SQL = """
        id, writer::text::int8 AS writer, event, intent_id, order_id, market_id, game_id, details::text AS details,
        CASE WHEN isfinite(at) THEN (extract(epoch FROM at) * 1000000)::int8::text ELSE at::text END AS at
        """

    init(_ row: Row) throws(PostgresError) {
        id = try row.int64("id")
        writer = try row.int64OrNil("writer")
        at = try row.text("at")
        event = try row.text("event")
        intent = try row.textOrNil("intent_id")
        order = try row.textOrNil("order_id")
        market = try row.textOrNil("market_id")
        game = try row.textOrNil("game_id")
        details = try row.text("details")
    }
}

extension SealedRow {
    static let columns: SQL = "\(AuditRow.columns), position, previous_hash, hash"

    init(_ stored: Row) throws(PostgresError) {
        self.init(
            try AuditRow(stored), position: try stored.int64("position"),
            previous: try stored.bytesOrNil("previous_hash").flatMap { AuditHash($0) },
            hash: try stored.bytesOrNil("hash").flatMap { AuditHash($0) })
    }
}
