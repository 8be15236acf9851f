import Domain
import ExecutionServiceEngine
import Hosting
import Logging
import Postgres
import Runtime

/// Asks a venue that may take fills back what became of them, until each is confirmed or reversed.
struct ProvisionalFills: Sendable {
    let host: ServiceHost
    let store: OrderStore
    let venue: any ExecutionVenue
    let alarm: Alarm

    func follow(every interval: Duration) async throws {
        while !Task.isCancelled {
            do {
                try await look()
            } catch  where !Task.isCancelled {
                // Silence proves neither: they stay provisional and are asked for again.
                host.log.warning("provisional fills not looked at", metadata: [Key.reason: "\(error)"])
            }
            try await host.clock.sleep(for: interval)
        }
    }

    private func look() async throws {
        let open = try await store.provisionalFills()
        host.context.metrics.gauge("fills_provisional", "Fills that their venue may still take back.")
            .set(Double(open.count))
        if open.isEmpty { return }
        let standings = try await venue.standings(of: open)
        let confirmed = open.map(\.id).filter { standings[$0] == .confirmed }
        if !confirmed.isEmpty { try await store.confirm(confirmed) }
        let reversed = Dictionary(grouping: open.filter { standings[$0.id] == .reversed }, by: \.order)
        for (order, fills) in reversed.sorted(by: { $0.key < $1.key }) {
            let booking = try await store.reverse(Set(fills.map(\.id)), of: order, now: host.venueClock.now)
            guard let booking else { continue }
            host.outbox()
            host.context.metrics.counter("fills_reversed_total", "Fills that their venue took back.")
                .increment(by: booking.reversed.count)
            alarm.raise(booking.alert)
        }
    }
}
