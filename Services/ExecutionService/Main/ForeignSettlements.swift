import Domain
import Hosting
import Postgres
import Resilience
import Runtime

/// Reads what the venue has paid the account, and tells of what it paid for markets in which nothing of ours ever
/// traded.
///
/// It holds up nothing: orders wait for comparisons alone. What was read is stored when all of it was, so a list that
/// could not be read is asked for again from where it was, by the next life too (decision 0078).
struct ForeignSettlements: Sendable {
    /// How often at most the list is read.
    static let interval = Duration.seconds(60)

    let host: ServiceHost
    let keeper: PositionKeeper
    let records: ReconciliationStore

    /// Reads at each wake-up, and again until all was read.
    func run(_ wakeUps: AsyncStream<Void>) async throws {
        for await _ in wakeUps {
            while try await !look() { try await host.clock.sleep(for: Self.interval) }
            try await host.clock.sleep(for: Self.interval)
        }
    }

    /// - Returns: false when it is to be read again.
    private func look() async throws -> Bool {
        do {
            let now = host.venueClock.now
            let known = try await records.settlementsRead(host.database)
            // What was paid before this account was first compared is nobody's news.
            let first = max(now.advanced(by: .zero - Reconciler.overlap), .epoch)
            try await keeper.lookForStrangers(since: Reconciler.listed(from: known, now: now) ?? first)
            try await records.setSettlementsRead(now, host.database)
            return true
        } catch  where !Task.isCancelled {
            host.context.metrics.counter(
                "settlements_not_read_total", "Lists of settlements that a venue did not tell."
            ).increment()
            host.log.warning("settlements not read", metadata: [Key.reason: "\(error)"])
            return false
        }
    }
}
