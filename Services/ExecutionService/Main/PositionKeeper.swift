import Domain
import ExecutionServiceEngine
import Hosting
import Logging
import Postgres
import Runtime

/// Keeps what we hold in step with the venue: pays positions out, and compares the rest.
struct PositionKeeper: Sendable {
    let host: ServiceHost
    let store: OrderStore
    let venue: any ExecutionVenue
    let desk: OrderDesk

    /// Asks for the result of every market we hold, at each wake-up: by its stored ticker, never by a search.
    func settle(_ wakeUps: AsyncStream<Void>) async throws {
        for await _ in wakeUps {
            do {
                try await settleOnce()
            } catch let error as PostgresError where !Task.isCancelled {
                host.log.warning("positions not settled", metadata: [Key.reason: "\(error)"])
            }
        }
    }

    private func settleOnce() async throws {
        for market in try await store.openPositions().keys.sorted() {
            let outcome: MarketOutcome
            do {
                outcome = try await venue.outcome(of: market)
            } catch  where !Task.isCancelled {
                host.log.warning("market not read", metadata: ["market": "\(market)", Key.reason: "\(error)"])
                continue
            }
            switch outcome {
            case .open, .closed: continue
            case .settled(let value): try await pay(market, value, voided: false)
            case .voided(let value): try await pay(market, value, voided: true)
            case .refunded: try await pay(market, nil, voided: true)
            }
        }
    }

    /// Without a value what is open is paid back as it was bought.
    private func pay(_ market: MarketID, _ value: Price?, voided: Bool) async throws {
        guard try await store.settle(market, at: value, voided: voided, now: host.venueClock.now) else { return }
        host.outbox()
        host.context.metrics.counter("positions_settled_total", "Positions paid out.").increment()
        host.log.info(
            "position settled", metadata: ["market": "\(market)", "value": "\(value.map { "\($0)" } ?? "refund")"])
    }

    /// Compares until both say the same, then again each interval.
    ///
    /// No new order is sent while they differ.
    func reconcile(every interval: Duration) async throws {
        var hasAlerted = false
        while !Task.isCancelled {
            var isEqual = false
            do {
                try await settleOnce()
                let differences = try await compare()
                isEqual = differences?.isEmpty ?? false
                if let differences, !differences.isEmpty, !hasAlerted {
                    hasAlerted = true
                    try await store.recordDifferences(differences)
                    await desk.alarm.mismatch(differences)
                }
            } catch  where !Task.isCancelled {
                host.log.warning("positions not compared", metadata: [Key.reason: "\(error)"])
            }
            await desk.setReconciled(isEqual)
            if isEqual, hasAlerted {
                hasAlerted = false
                await desk.alarm.matched()
            }
            try await host.clock.sleep(for: isEqual ? interval : .seconds(1))
        }
    }

    /// Nil while an order is open: then the two may differ rightly.
    private func compare() async throws -> [PositionDifference]? {
        guard let venues = try await venue.positions() else { return [] }
        if try await !store.openOrders().isEmpty { return nil }
        return Reconciliation.differences(ours: try await store.openPositions(), venues: venues)
    }
}
