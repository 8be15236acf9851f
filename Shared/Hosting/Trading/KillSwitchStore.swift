import Domain
import Postgres
import Redis
import Wire

/// The kill switch as the database knows it.
public enum KillSwitchStore {
    /// Read where it counts: it cannot change until the transaction ends.
    ///
    /// No row is unknown.
    public static func read(_ transaction: PostgresTransaction) async throws -> KillSwitchState {
        try await transaction.ask(question)
    }

    /// The same, to be asked among others.
    public static let question = PostgresQuestion<KillSwitchState>.first(
        "SELECT engaged, \(reduceOnly) AS reduce_only FROM kill_switch WHERE id = 1 FOR SHARE"
    ) { row in
        // What cannot be read is as unknown as what is not there.
        state(engaged: try? row?.boolOrNil("engaged"), reduceOnly: (try? row?.boolOrNil("reduce_only")) ?? false)
    }

    /// Of the row of `kill_switch`: whoever changes it otherwise changes the moment, and ends this with it.
    public static let reduceOnly: SQL = "coalesce(reduce_only_at = changed_at, false)"

    /// The same as an expression, for `state(engaged:)`.
    public static let engaged: SQL = "(SELECT engaged FROM kill_switch WHERE id = 1 FOR SHARE)"

    /// Who changed it last, and why.
    public struct Record: Hashable, Sendable {
        public let state: KillSwitchState
        public let reason: String
        public let by: String
        /// In microseconds since 1970, by the database.
        public let at: Int64
    }

    /// A look that holds nothing; nil without a row, which counts as engaged.
    public static func look(_ database: some PostgresQuerying, timeout: Duration) async throws -> Record? {
        let row = try await database.first(
            """
            SELECT engaged, \(reduceOnly) AS reduce_only, reason, changed_by,
                (extract(epoch FROM changed_at) * 1000000)::int8 AS at
            FROM kill_switch WHERE id = 1
            """, timeout: timeout)
        return try row.map {
            Record(
                state: state(engaged: try $0.bool("engaged"), reduceOnly: try $0.bool("reduce_only")),
                reason: try $0.text("reason"),
                by: try $0.text("changed_by"), at: try $0.int64("at"))
        }
    }

    /// Nil, where there is no row, is unknown.
    public static func state(engaged: Bool?, reduceOnly: Bool = false) -> KillSwitchState {
        engaged.map { $0 ? (reduceOnly ? .reduceOnly : .engaged) : .released } ?? .unknown
    }

    /// Engages or releases it, with its announcement and its line in the audit.
    ///
    /// Engaging what is engaged leaves the first reason and is audited all the same. `reduceOnly` stops only what opens
    /// positions, and never loosens what is engaged for all; engaging for all makes it so.
    /// - Returns: whether it changed anything.
    @discardableResult
    public static func change(
        engaged: Bool, reduceOnly: Bool = false, reason: String, by: String, _ transaction: PostgresTransaction
    ) async throws -> Bool {
        let changed = try await transaction.execute(
            """
            INSERT INTO kill_switch (id, engaged, reason, changed_by, reduce_only_at)
            VALUES (1, \(engaged), \(reason), \(by), CASE WHEN \(engaged && reduceOnly) THEN now() END)
            ON CONFLICT (id) DO UPDATE SET engaged = excluded.engaged, reason = excluded.reason,
                changed_by = excluded.changed_by, changed_at = now(), reduce_only_at = excluded.reduce_only_at
            WHERE kill_switch.engaged <> excluded.engaged OR (excluded.engaged AND excluded.reduce_only_at IS NULL
                AND coalesce(kill_switch.reduce_only_at = kill_switch.changed_at, false))
            """)
        try await AuditEntry(
            engaged ? .killSwitchActivated : .killSwitchDeactivated,
            details: [
                "reason": reason, "by": by, "changed": "\(changed == 1)", "reduce_only": "\(engaged && reduceOnly)",
            ]
        ).write(transaction)
        if changed == 1 {
            try await OutboxStore.append(
                KillSwitchChange(engaged: engaged, reason: reason, by: by), on: Channels.killSwitch,
                key: "kill-switch", trace: nil, in: transaction)
        }
        return changed == 1
    }

    // MARK: Who has seen it

    static func acknowledge(
        _ acknowledgement: KillSwitchAcknowledgement, _ database: some PostgresQuerying, timeout: Duration
    ) async throws {
        // For builds that know of engaged alone it is that.
        let isReduceOnly = acknowledgement.sees == .reduceOnly
        try await database.execute(
            """
            INSERT INTO kill_switch_acknowledgements (service, instance, incarnation, sees, at, reduce_only_at)
            VALUES (\(acknowledgement.service), \(acknowledgement.instance), \(acknowledgement.incarnation),
                \(isReduceOnly ? KillSwitchState.engaged.rawValue : acknowledgement.sees.rawValue), now(),
                CASE WHEN \(isReduceOnly) THEN now() END)
            ON CONFLICT (service, instance) DO UPDATE SET incarnation = excluded.incarnation, sees = excluded.sees,
                at = excluded.at, reduce_only_at = excluded.reduce_only_at
            """, timeout: timeout)
    }

    /// What every process says that it sees, and how long ago, in seconds of the database's time.
    public static func acknowledgements(
        _ database: some PostgresQuerying, timeout: Duration
    ) async throws -> [(seen: KillSwitchAcknowledgement, age: Double)] {
        try await database.query(
            """
            SELECT service, instance, incarnation,
                CASE WHEN reduce_only_at = at THEN 'reduce_only' ELSE sees END AS sees,
                (extract(epoch FROM at) * 1000000)::int8 AS at,
                extract(epoch FROM now() - at)::float8 AS age
            FROM kill_switch_acknowledgements ORDER BY service, instance
            """, timeout: timeout
        ).map {
            let seen = KillSwitchAcknowledgement(
                service: try $0.text("service"), instance: try $0.text("instance"),
                incarnation: try $0.text("incarnation"), sees: try $0.choice("sees"), at: try $0.int64("at"))
            return (seen, try $0.double("age"))
        }
    }
}

/// The kill switch as Redis repeats it, so that other hosts hear of it while PostgreSQL is away.
///
/// It can only engage: a Redis that is away, or that lost it, releases nothing that the database or a file holds.
public enum KillSwitchNotice {
    static let key = "trading:kill_switch:engaged"

    public static func put(_ reason: String, _ redis: RedisClient) async throws {
        try await redis.set(key, to: .text(reason))
    }

    /// - Returns: whether it was there.
    @discardableResult
    public static func remove(_ redis: RedisClient) async throws -> Bool { try await redis.delete(key) > 0 }

    public static func isThere(_ redis: RedisClient, timeout: Duration) async throws -> Bool {
        try await redis.send(["EXISTS", .text(key)], timeout: timeout).integer == 1
    }
}
