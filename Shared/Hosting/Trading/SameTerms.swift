import Domain
import Postgres

/// Which markets of different venues pay on the same terms, as a person has found by reading both (PITFALLS 8, row 24).
///
/// Overtime, postponement and refund differ between venues, and no field of theirs says so. Without a word here there
/// is no arbitrage across venues.
public enum SameTerms {
    /// Why two markets cannot be said to pay on the same terms.
    public struct Refusal: Error, Hashable, CustomStringConvertible {
        public let description: String
    }

    public struct Pair: Hashable, Sendable, Codable {
        public let first: String
        public let second: String
        public let by: String
        public let note: String
    }

    /// All of them, by name.
    public static func list(_ database: some PostgresQuerying) async throws -> [Pair] {
        try await database.query(
            "SELECT first_market, second_market, compared_by, note FROM same_terms ORDER BY first_market, second_market"
        ).map {
            Pair(
                first: try $0.text("first_market"), second: try $0.text("second_market"),
                by: try $0.text("compared_by"), note: try $0.text("note"))
        }
    }

    /// Takes a person's word that both pay on the same terms; said again it replaces who and why.
    ///
    /// - Throws: `Refusal` unless both are known markets of one game at two venues.
    public static func match(
        _ left: MarketID, _ right: MarketID, note: String, by: String, _ transaction: PostgresTransaction
    ) async throws {
        if note.isEmpty || by.isEmpty { throw Refusal(description: "who compared them, and what with, must be said") }
        let row = try await transaction.first(
            """
            SELECT count(*) AS known, count(DISTINCT venue) AS venues, count(DISTINCT game_id) AS games
            FROM market_mappings WHERE market_id IN (\(left.rawValue), \(right.rawValue))
            """)
        guard let row, try row.int("known") == 2 else {
            throw Refusal(description: "\(left) and \(right) must be two different markets that we know")
        }
        guard try row.int("games") == 1, try row.int("venues") == 2 else {
            throw Refusal(description: "\(left) and \(right) must be markets of one game at two venues")
        }
        try await transaction.execute(
            """
            INSERT INTO same_terms (first_market, second_market, compared_by, note)
            VALUES (\(min(left, right).rawValue), \(max(left, right).rawValue), \(by), \(note))
            ON CONFLICT (first_market, second_market) DO UPDATE SET compared_by = excluded.compared_by,
                note = excluded.note, compared_at = now()
            """)
        try await AuditEntry(
            .termsMatched, market: left, details: ["other": right.rawValue, "by": by, "note": note]
        ).write(transaction)
    }

    /// Takes the word back; false when there was none.
    public static func unmatch(
        _ left: MarketID, _ right: MarketID, by: String, _ transaction: PostgresTransaction
    ) async throws -> Bool {
        let gone = try await transaction.execute(
            """
            DELETE FROM same_terms WHERE first_market = \(min(left, right).rawValue)
                AND second_market = \(max(left, right).rawValue)
            """)
        guard gone == 1 else { return false }
        try await AuditEntry(.termsUnmatched, market: left, details: ["other": right.rawValue, "by": by])
            .write(transaction)
        return true
    }
}
