import ChaosEngine
import NIOConcurrencyHelpers
import Postgres

/// Asks PostgreSQL for the names of what it stores, and for each of them again.
final class RowWatch: Sendable {
    private struct State {
        var ledger = RowLedger()
        /// On the database's clock, in microseconds: nil until it was asked.
        var since: Int64?
    }

    private let state = NIOLockedValueBox(State())
    /// A row bears the time at which its transaction began.
    private static let overlap = 10_000_000 as Int64

    var missing: Int { state.withLockedValue { $0.ledger.missing } }

    /// Takes in what was stored since the last time.
    func look(_ pool: PostgresPool) async throws {
        let since = state.withLockedValue { $0.since }
        let rows = try await pool.query(
            """
            WITH moment AS (SELECT (extract(epoch FROM now()) * 1000000)::int8 AS now),
                since AS (
                    SELECT to_timestamp((coalesce(\(since)::int8, now) - \(Self.overlap)) / 1000000.0) AS at
                    FROM moment)
            SELECT 'signals' AS kind, signal_id AS name, now FROM signals, since, moment WHERE received_at > at
            UNION ALL SELECT 'intents', intent_id, now FROM intents, since, moment WHERE created_at > at
            UNION ALL SELECT 'fills', fill_id, now FROM fills, since, moment WHERE booked_at > at
            UNION ALL SELECT 'moment', '', now FROM moment
            """, timeout: .seconds(1))
        let named = try rows.map { (try $0.text("kind"), try $0.text("name")) }
        let now = try rows.last?.int64("now")
        state.withLockedValue { state in
            state.since = now ?? state.since
            for (kind, name) in named {
                if let table = RowLedger.Table(rawValue: kind) { state.ledger.saw([name], in: table) }
            }
        }
    }

    /// Asks for everything that was seen.
    func ask(_ pool: PostgresPool) async throws {
        for table in RowLedger.Table.allCases {
            let names = state.withLockedValue { $0.ledger.names(in: table) }
            guard !names.isEmpty else { continue }
            let known: SQL =
                switch table {
                case .signals: "SELECT FROM signals WHERE signal_id = name"
                case .intents: "SELECT FROM intents WHERE intent_id = name"
                case .fills: "SELECT FROM fills WHERE fill_id = name"
                }
            let rows = try await pool.query(
                "SELECT name FROM unnest(\(names)::text[]) AS name WHERE NOT EXISTS (\(known))", timeout: .seconds(1))
            let lacking = try rows.map { try $0.text("name") }
            state.withLockedValue { $0.ledger.databaseLacks(lacking, in: table) }
        }
    }
}
