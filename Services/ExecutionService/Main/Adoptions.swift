import Domain
import Hosting
import Logging
import Runtime

/// Carries out what people have asked to be adopted.
struct Adoptions: Sendable {
    let host: ServiceHost
    let store: OrderStore
    let desk: OrderDesk
    let records: ReconciliationStore

    /// Answers every request that was made before a look began, by what the look has seen.
    ///
    /// One that cannot be carried out now, as when the database refuses it, waits for the next look.
    ///
    /// - Returns: whether anything was adopted.
    func carryOut(askedBefore asked: Int64, _ seen: ForeignSight) async throws -> Bool {
        var hasAdopted = false
        for request in try await records.adoptionsAsked(before: asked, host.database) {
            guard let answer = await answer(to: request, seen) else { continue }
            host.outbox()
            for booking in answer.bookings { try await desk.note(booking) }
            if !answer.bookings.isEmpty { hasAdopted = true }
            let adopted = answer.lines.count(where: \.isAdopted)
            host.context.metrics.counter("fills_adopted_total", "Fills that a person made ours.").increment(by: adopted)
            host.log.notice(
                "adoption asked for",
                metadata: [
                    "by": "\(request.author)", Key.reason: "\(request.reason)", "adopted": "\(adopted)",
                    "refused": "\(answer.lines.count - adopted)",
                ])
        }
        return hasAdopted
    }

    /// Nil when somebody else has answered, or when it cannot be carried out now: no other request waits for that.
    private func answer(to request: AdoptionRequest, _ seen: ForeignSight) async -> AdoptionAnswer? {
        do {
            return try await store.adopt(request, seen, records, by: host.source, at: host.venueClock.now)
        } catch {
            host.log.warning(
                "adoption not carried out", metadata: ["by": "\(request.author)", Key.reason: "\(error)"])
            return nil
        }
    }
}
