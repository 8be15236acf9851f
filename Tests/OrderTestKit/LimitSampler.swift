import Domain
import Hosting
import NIOConcurrencyHelpers
import Postgres
import Resilience
import Runtime

/// Looks at committed states again and again: what is reserved and what is held may never be more than the limits, and
/// a reservation lives exactly as long as its intent.
final class LimitSampler: Sendable {
    /// What lasts is seen again and again: more of it says nothing new.
    private static let most = 20

    struct Seen: Sendable {
        var samples = 0
        var largest = Money.zero
        var largestOfMarket = Money.zero
        var violations: [String] = []
    }

    private let pool: PostgresPool
    private let seen = NIOLockedValueBox(Seen())
    var result: Seen { seen.withLockedValue { $0 } }

    init(pool: PostgresPool) { self.pool = pool }

    /// Until cancelled.
    func run() async throws {
        while !Task.isCancelled {
            do { try await look() } catch let error as PostgresError where error.permitsRetry { continue }
            try await MachineClock.real.sleep(for: .milliseconds(50))
        }
    }

    private func look() async throws {
        // One statement is one snapshot of what is committed.
        let row = try await pool.first(
            """
            SELECT coalesce(sum(value), 0)::int8 AS total, coalesce(max(value), 0)::int8 AS largest
            FROM (
                SELECT market_id, sum(value) AS value FROM (
                    SELECT market_id, amount - released AS value FROM reservations WHERE state = 'held'
                    UNION ALL SELECT market_id, cost FROM positions WHERE state = 'open') AS part
                GROUP BY market_id) AS market
            """)
        guard let row else { return }
        let state = try (
            total: Money(microdollars: row.int64("total")), largest: Money(microdollars: row.int64("largest"))
        )
        let broken = try await BooksCheck.broken(BooksCheck.always, pool)
        seen.withLockedValue { seen in
            seen.samples += 1
            seen.largest = max(seen.largest, state.total)
            seen.largestOfMarket = max(seen.largestOfMarket, state.largest)
            var found = broken
            if state.total > IntentFeeder.total { found.append("reserved and filled: \(state.total)") }
            if state.largest > IntentFeeder.market { found.append("of a market: \(state.largest)") }
            seen.violations += found.prefix(Self.most - min(Self.most, seen.violations.count))
        }
    }
}
