import Domain
import ExecutionServiceEngine
import Hosting
import Logging
import Postgres
import Runtime
import Venues

extension OrderDesk {
    /// Looks for orders whose fate is not known until each is found or proven absent.
    func resolveUnknownOrders(every interval: Duration) async throws {
        while !Task.isCancelled {
            do {
                for open in try await store.openOrders() { try await resolveAlone(open) }
            } catch let error as PostgresError where !Task.isCancelled {
                host.log.warning("unknown orders not read", metadata: [Key.reason: "\(error)"])
            }
            try await host.clock.sleep(for: interval)
        }
    }

    /// One that the database refuses for good holds up no other.
    private func resolveAlone(_ open: OpenOrder) async throws {
        do {
            try await resolve(open)
        } catch let error as PostgresError where error.code == .permanent {
            failed("unknown order not booked", error, [Key.order: "\(open.record.request.id)"])
        }
    }

    private func resolve(_ open: OpenOrder) async throws {
        let order = open.record
        if open.isPartOfPlan { return }
        let step = engine.next(
            for: order, intentExpiresAt: open.intentExpiresAt, at: host.venueClock.now, machine: host.clock.now)
        switch step {
        case .wait: return
        case .page: try await look(for: order)
        case .absent(let retries):
            try await note(
                store.book(order.request.id, .provenAbsent(retries: retries), at: host.venueClock.now))
            // Its intent waits for another attempt.
            if retries { wakeUps() }
        }
    }

    /// A failed look proves nothing: an outage is not "not found".
    ///
    /// What the venue says again and again and makes no sense needs a person.
    private func look(for order: OrderRecord) async throws {
        let started = host.clock.now
        do {
            if let news = try await venue.find(order) {
                try await note(store.book(order.request.id, news, at: host.venueClock.now))
            } else {
                engine.pagedWithout(order.request.id, startedAt: started)
            }
        } catch let error as PostgresError {
            throw error
        } catch  where !Task.isCancelled {
            let failure = error as? VenueError
            host.context.metrics.counter(
                "unknown_order_looks_failed_total", "Looks for an unknown order that told nothing.",
                labels: ["code": failure?.code.rawValue ?? "other"]
            ).increment()
            if let failure, !failure.isTransient, isFirstNonsense(of: order.request.id) {
                alarm.raise(.orderUnknown(order.request.id, reason: "\(failure)"))
            }
            host.log.warning(
                "unknown order could not be looked for",
                metadata: ["order": "\(order.request.id)", Key.reason: "\(error)"])
        }
    }
}
