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
                _ = try await settleOnce()
            } catch let error as PostgresError where !Task.isCancelled {
                host.log.warning("positions not settled", metadata: [Key.reason: "\(error)"])
            }
        }
    }

    /// - Returns: the markets of which the venue did not tell.
    func settleOnce() async throws -> Set<MarketID> {
        var unread: Set<MarketID> = []
        for market in try await store.openPositions().keys.sorted() {
            let outcome: MarketOutcome
            do {
                outcome = try await venue.outcome(of: market)
            } catch  where !Task.isCancelled {
                host.context.metrics.counter("markets_not_read_total", "Results that a venue did not tell.").increment()
                host.log.warning("market not read", metadata: ["market": "\(market)", Key.reason: "\(error)"])
                unread.insert(market)
                continue
            }
            switch outcome {
            case .open, .closed: continue
            case .settled(let value): try await pay(market, value, voided: false)
            case .voided(let value): try await pay(market, value, voided: true)
            case .refunded: try await pay(market, nil, voided: true)
            }
        }
        return unread
    }

    /// Looks through what the venue says it has paid the account for markets in which nothing of ours ever traded.
    ///
    /// What is open is paid out by its market alone, above. Each is told once, whoever looks and however often.
    func lookForStrangers(since: VenueInstant) async throws {
        try await venue.settlements(since: since) { told in
            guard try await store.isStrange(told.market) else { return }
            try await pay(
                told.market, told.yesValue, voided: told.isVoid,
                telling: [
                    "yes": "\(told.yes)", "no": "\(told.no)", "venue_paid": "\(told.paid)", "settled_at": "\(told.at)",
                ])
        }
    }

    /// Without a value what is open is paid back as it was bought.
    func pay(_ market: MarketID, _ value: Price?, voided: Bool, telling more: [String: String] = [:]) async throws {
        let result = try await store.settle(
            market, at: value, voided: voided, telling: more, now: host.venueClock.now)
        host.context.metrics.counter(
            "settlements_total", "Settlements by what they did to our books.", labels: ["result": result.rawValue]
        ).increment()
        switch result {
        case .nothingHeld: return
        case .neverTraded:
            host.log.warning("settlement of a market we never traded", metadata: ["market": "\(market)"])
            return
        case .paid: break
        }
        host.outbox()
        host.log.info(
            "position settled", metadata: ["market": "\(market)", "value": "\(value.map { "\($0)" } ?? "refund")"])
    }
}
