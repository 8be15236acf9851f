import Domain
import Hosting
import Logging
import Postgres
import Runtime

/// Pays positions out when their markets are settled.
struct PositionKeeper: Sendable {
    let host: ServiceHost
    let store: OrderStore
    let venue: any ExecutionVenue

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

    func settleOnce() async throws {
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
}
