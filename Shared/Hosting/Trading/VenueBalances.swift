import Domain
import Postgres

/// What each venue itself lets the account spend: written by whoever asks the venue, read by whoever reserves.
///
/// The account's own books may say more, where money lies at another venue or was taken out (CHECKLIST N20).
public struct VenueBalances: Hashable, Sendable {
    public let account: TradingAccount

    public init(_ account: TradingAccount) { self.account = account }

    /// The database's time in microseconds since 1970, to be read before the venue is asked.
    public static func now(_ database: some PostgresQuerying) async throws -> Int64 {
        let row = try await database.first(
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8 AS now")
        guard let row else { throw PostgresError(.permanent, "no time", context: "venue balance") }
        return try row.int64("now")
    }

    /// Stores what a venue says can be spent; an older answer than is stored changes nothing.
    ///
    /// `asked` is the database's time before the question was sent (`now`): what is booked later is not in the answer.
    public func record(
        _ available: Money, at venue: Venue, asked: Int64, _ database: some PostgresQuerying
    ) async throws {
        try await database.execute(
            """
            INSERT INTO venue_balances (account, venue, available, asked_at)
            VALUES (\(account.name), \(venue.rawValue), \(available.microdollars),
                to_timestamp(\(asked)::float8 / 1000000))
            ON CONFLICT (account, venue) DO UPDATE SET available = excluded.available, asked_at = excluded.asked_at
            WHERE venue_balances.asked_at <= excluded.asked_at
            """)
    }

    /// What may still be spent at each venue that was asked.
    ///
    /// Less what is reserved there and what was bought since the question. A purchase that the answer held already
    /// counts twice until the next one, never not at all; what was sold since counts only then.
    public var spendable: PostgresQuestion<[Venue: Money]> {
        PostgresQuestion(
            """
            SELECT b.venue, (b.available
                - coalesce((SELECT sum(r.amount - r.released) FROM reservations r JOIN market_mappings m
                    USING (market_id) WHERE r.state = 'held' AND (m.venue = b.venue OR EXISTS (
                        SELECT FROM intents i JOIN market_mappings o ON o.market_id = i.market_id
                        WHERE i.reservation_id = r.reservation_id AND o.venue = b.venue))), 0)
                - coalesce((SELECT sum(f.price * f.quantity + f.fee) FROM fills f JOIN market_mappings m
                    USING (market_id) WHERE m.venue = b.venue AND f.action = 'buy' AND f.booked_at >= b.asked_at
                        AND f.standing <> 'reversed'), 0)
                )::int8 AS spendable
            FROM venue_balances b WHERE b.account = \(account.name)
            """
        ) { rows in
            var spendable: [Venue: Money] = [:]
            for row in rows {
                spendable[try row.choice("venue")] = try Money(microdollars: row.int64("spendable"))
            }
            return spendable
        }
    }
}
